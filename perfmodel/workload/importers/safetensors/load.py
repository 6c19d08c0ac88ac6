"""A safetensors file to a workload: by the config beside it, or by names and shapes alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from perfmodel.arrays import Value
from perfmodel.errors import Fault, InputError
from perfmodel.specfile import read
from perfmodel.workload.graph import Graph
from perfmodel.workload.importers.huggingface import parse
from perfmodel.workload.importers.safetensors.header import INDEX, read_header, read_index
from perfmodel.workload.importers.safetensors.infer import SHAPING, inferred
from perfmodel.workload.importers.safetensors.names import canonical, is_buffer, original
from perfmodel.workload.importers.safetensors.packed import unpacked
from perfmodel.workload.importers.stored.held import FileTensor, layer_of, sizes_of
from perfmodel.workload.importers.stored.match import WeightFile, match
from perfmodel.workload.importers.stored.rewrite import with_weights
from perfmodel.workload.library import ModelEntry, entry, with_settings
from perfmodel.workload.symbols import constant
from perfmodel.workload.workload import Workload

#: Families whose tensors are held against the graph.
_CHECKED: Final = frozenset({"transformer", "vit", "mamba"})
#: Parts of checkpoints that the reader of the config leaves out, by how their names begin.
_LEFT_OUT: Final = (
    "vision_tower.",
    "vision_model.",
    "visual.",
    "multi_modal_projector.",
    "model.vision_tower.",
    "model.multi_modal_projector.",
    "cls.predictions.",
    "cls.seq_relationship.",
    "qa_outputs.",
)


def load_safetensors(path: Path, settings: Mapping[str, Value] | None = None) -> Workload:
    """Return the workload of a ``.safetensors`` file, or of the index of several.

    Parameters
    ----------
    path
        The file. A ``config.json`` beside it says what the network is, and every tensor is held
        against that; without one, the network is told from names and shapes where they tell it.
    settings
        As in `perfmodel.workload.library.find`: free dimensions and ``phase``; without a config,
        ``head_dim`` where no tensor tells it.

    Raises
    ------
    InputError
        Every missing tensor, every one that does not fit or has no place, and faults of the files.
    """
    path = Path(path)
    settings = dict(settings or {})
    tensors = read_index(path) if path.name.endswith(INDEX) else read_header(path)
    faults: list[Fault] = []
    held = unpacked(tensors, faults)
    if faults:
        raise InputError(faults)
    named, notes = _named(held)
    config = path.with_name("config.json")
    if config.is_file():
        data, marks = read(config, json_text=True)
        made = parse(data, marks, config)
    else:
        made = inferred(path, named, {k: settings.pop(k) for k in SHAPING if k in settings})
    model = _with_tensors(made, path, named, notes)
    return with_settings(model, settings) if settings else model.base


def _named(held: Mapping[str, FileTensor]) -> tuple[dict[str, FileTensor], list[str]]:
    """Return tensors by GGUF's names, and notes of what was left out."""
    post_norms = any("post_feedforward_layernorm" in name for name in held)
    named: dict[str, FileTensor] = {}
    left: dict[str, None] = {}
    for name, tensor in held.items():
        if is_buffer(name):
            continue
        prefix = next((p for p in _LEFT_OUT if name.startswith(p)), "")
        if prefix:
            left[f"{prefix}*"] = None
            continue
        new = canonical(name, post_norms=post_norms)
        named[name if new in named else new] = tensor
    notes = [f"left out: {', '.join(left)}"] if left else []
    return named, notes


def _with_tensors(
    made: ModelEntry, path: Path, named: dict[str, FileTensor], notes: list[str]
) -> ModelEntry:
    """Return an entry with the weights as the tensors are stored."""
    structure = made.structure
    # What the config says of its quantisation, the tensors say better.
    said = [note for note in made.base.notes if not note.startswith("quantisation ")]
    precision = made.base.precision or _precision(named)

    def written(notes: tuple[str, ...]) -> ModelEntry:
        context = made.base.trained_context
        sizes = made.name, made.family, structure, path, made.defaults
        return entry(*sizes, precision=precision, notes=notes, trained_context=context)

    if made.family.name not in _CHECKED:
        unread = f"tensors of a {made.family.name} are not held against the file"
        return written((*said, unread))
    graph = made.base.graph()
    output, table = named.get("output.weight"), named.get("token_embd.weight")
    tied = getattr(structure, "tied_embeddings", False)
    if tied and output and table and output.elements == table.elements:
        notes.append(f"'{output.name}' is the embedding table once more: held once")
        del named["output.weight"]
    groups = _groups(graph, structure)
    if any("multi-token" in note for note in made.base.notes):
        for name in [n for n in named if layer_of(n) >= len(groups)]:
            del named[name]
    names = [tensor.name for tensor in named.values()]
    source = WeightFile(
        str(path), made.name, named, lambda name: original(name, names), notes=notes
    )
    matched = match(graph, groups, source)
    if source.faults:
        raise InputError(source.faults)
    return with_weights(written((*said, *source.notes)), matched, groups, path)


def _groups(graph: Graph, structure: Any) -> list[str]:
    """Return the name of the block of each layer: first dense layers, sliding windows."""
    counts: dict[str, int] = {}
    for block in graph.blocks:
        if block.layer:
            counts.setdefault(block.name, int(constant(block.stored) or 0))
    every = getattr(structure, "full_every", 0)
    groups: list[str] = []
    for i in range(sum(counts.values())):
        full = i % every == every - 1 if every else True
        left = [name for name, count in counts.items() if count]
        fitting = [name for name in left if every and name.startswith("sliding_") != full]
        groups.append((fitting or left)[0])
        counts[groups[-1]] -= 1
    return groups


def _precision(named: Mapping[str, FileTensor]) -> str:
    sizes = sizes_of(named.values())
    if not sizes:
        return ""
    floats = [format for format in sizes if format in ("fp16", "bf16", "fp32")]
    most = max(sizes, key=sizes.__getitem__)
    wide = max(floats, key=sizes.__getitem__, default="fp16")
    activations = most if most in floats else "fp16" if wide == "fp32" else wide
    return f"w={most},a={activations},kv={activations}"
