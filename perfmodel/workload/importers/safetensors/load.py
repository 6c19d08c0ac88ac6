"""Workload of a safetensors file: structure from its ``config.json`` or from names and shapes.

Tensors are renamed as in GGUF, then matched with the weights of the network's graph, so that each
weight has its stored format and every missing or unexpected tensor is a fault.
"""

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
from perfmodel.workload.importers.safetensors.packed_weights import join_packed_weights
from perfmodel.workload.importers.safetensors.structure_inference import (
    STRUCTURE_SETTINGS,
    infer_model,
)
from perfmodel.workload.importers.safetensors.tensor_names import (
    is_buffer,
    to_file_name,
    to_gguf_name,
)
from perfmodel.workload.importers.weight_files.file_tensor import (
    FileTensor,
    bytes_by_format,
    layer_of,
)
from perfmodel.workload.importers.weight_files.graph_rewrite import with_weights
from perfmodel.workload.importers.weight_files.tensor_matching import WeightFile, match_tensors
from perfmodel.workload.library import ModelEntry, model_entry, with_settings
from perfmodel.workload.symbols import constant
from perfmodel.workload.workload import Workload

#: Families whose graph is checked against the tensors of the file.
_CHECKED: Final = frozenset({"transformer", "vit", "mamba"})
#: Name prefixes of checkpoint parts that the config reader omits.
_OMITTED: Final = (
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
        The file. A ``config.json`` in the same folder defines the network, and every tensor is
        checked against it; without one, the network is inferred from names and shapes.
    settings
        As in `perfmodel.workload.library.find`: free dimensions and ``phase``; without a config
        also ``head_dim``, if no tensor determines it.

    Raises
    ------
    InputError
        Lists every missing, mismatched or unexpected tensor, and all faults of the files.
    """
    path = Path(path)
    settings = dict(settings or {})
    tensors = read_index(path) if path.name.endswith(INDEX) else read_header(path)
    faults: list[Fault] = []
    stored = join_packed_weights(tensors, faults)
    if faults:
        raise InputError(faults)
    by_gguf_name, notes = _rename_tensors(stored)
    config = path.with_name("config.json")
    if config.is_file():
        data, marks = read(config, json_text=True)
        model = parse(data, marks, config)
    else:
        model = infer_model(
            path, by_gguf_name, {k: settings.pop(k) for k in STRUCTURE_SETTINGS if k in settings}
        )
    stored_model = _with_tensors(model, path, by_gguf_name, notes)
    return with_settings(stored_model, settings) if settings else stored_model.base


def _rename_tensors(stored: Mapping[str, FileTensor]) -> tuple[dict[str, FileTensor], list[str]]:
    """Return the tensors by GGUF name, and notes on omitted parts."""
    post_norms = any("post_feedforward_layernorm" in name for name in stored)
    by_gguf_name: dict[str, FileTensor] = {}
    omitted: dict[str, None] = {}
    for name, tensor in stored.items():
        if is_buffer(name):
            continue
        prefix = next((p for p in _OMITTED if name.startswith(p)), "")
        if prefix:
            omitted[f"{prefix}*"] = None
            continue
        gguf_name = to_gguf_name(name, post_norms=post_norms)
        by_gguf_name[name if gguf_name in by_gguf_name else gguf_name] = tensor
    notes = [f"left out: {', '.join(omitted)}"] if omitted else []
    return by_gguf_name, notes


def _with_tensors(
    model: ModelEntry, path: Path, by_gguf_name: dict[str, FileTensor], notes: list[str]
) -> ModelEntry:
    """Return an entry with its weights in the formats of the tensors."""
    structure = model.structure
    # The tensors are more precise on quantisation than the notes of the config.
    config_notes = [note for note in model.base.notes if not note.startswith("quantisation ")]
    precision = model.base.precision or _precision(by_gguf_name)

    def with_notes(notes: tuple[str, ...]) -> ModelEntry:
        return model_entry(
            model.name,
            model.family,
            structure,
            path,
            model.defaults,
            precision=precision,
            notes=notes,
            trained_context=model.base.trained_context,
        )

    if model.family.name not in _CHECKED:
        unchecked = (
            f"the tensors of the file are not checked against the graph of a {model.family.name}"
        )
        return with_notes((*config_notes, unchecked))
    graph = model.base.graph()
    output, table = by_gguf_name.get("output.weight"), by_gguf_name.get("token_embd.weight")
    tied = getattr(structure, "tied_embeddings", False)
    if tied and output and table and output.elements == table.elements:
        notes.append(f"'{output.name}' repeats the tied embedding table: counted once")
        del by_gguf_name["output.weight"]
    groups = _groups(graph, structure)
    if any("multi-token" in note for note in model.base.notes):
        for name in [n for n in by_gguf_name if layer_of(n) >= len(groups)]:
            del by_gguf_name[name]
    names = [tensor.name for tensor in by_gguf_name.values()]
    source = WeightFile(
        str(path), model.name, by_gguf_name, lambda name: to_file_name(name, names), notes=notes
    )
    matched = match_tensors(graph, groups, source)
    if source.faults:
        raise InputError(source.faults)
    return with_weights(with_notes((*config_notes, *source.notes)), matched, groups, path)


def _groups(graph: Graph, structure: Any) -> list[str]:
    """Return the block name of each layer, in order.

    With ``full_every`` = n, every n-th layer has full attention and the others a sliding window;
    otherwise blocks follow one another as in the graph (for example dense layers before experts).
    """
    remaining: dict[str, int] = {}
    for block in graph.blocks:
        if block.layer:
            remaining.setdefault(block.name, int(constant(block.stored) or 0))
    full_every = getattr(structure, "full_every", 0)
    groups: list[str] = []
    for layer in range(sum(remaining.values())):
        full = layer % full_every == full_every - 1 if full_every else True
        available = [name for name, count in remaining.items() if count]
        fitting = [name for name in available if full_every and name.startswith("sliding_") != full]
        groups.append((fitting or available)[0])
        remaining[groups[-1]] -= 1
    return groups


def _precision(named: Mapping[str, FileTensor]) -> str:
    """Return a precision: weights in the format with most bytes, activations in a float format."""
    sizes = bytes_by_format(named.values())
    if not sizes:
        return ""
    floats = [format for format in sizes if format in ("fp16", "bf16", "fp32")]
    most = max(sizes, key=sizes.__getitem__)
    widest_float = max(floats, key=sizes.__getitem__, default="fp16")
    activations = most if most in floats else "fp16" if widest_float == "fp32" else widest_float
    return f"w={most},a={activations},kv={activations}"
