"""A GGUF file to a workload: its architecture's family with the weights as the file stores them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from perfmodel.arrays import Value
from perfmodel.errors import Fault, InputError, few, nearest
from perfmodel.formats import format_named
from perfmodel.pydantic_faults import Flaw
from perfmodel.units import show
from perfmodel.workload.families import ExecutionSemantics, Family, family
from perfmodel.workload.importers.gguf.architectures import ARCHITECTURES
from perfmodel.workload.importers.gguf.keys import Keys
from perfmodel.workload.importers.gguf.parts import files_of, read_parts, stem_of
from perfmodel.workload.importers.gguf.read import Header, LongArray, StoredAs
from perfmodel.workload.importers.gguf.types import FILE_TYPES
from perfmodel.workload.importers.stored.held import FileTensor, sizes_of, stamp_of
from perfmodel.workload.importers.stored.match import WeightFile, match
from perfmodel.workload.importers.stored.rewrite import with_weights
from perfmodel.workload.library import ModelEntry, entry, with_settings
from perfmodel.workload.library_file import structure_flaws
from perfmodel.workload.workload import Workload

#: Tokens of context where neither the user says a number nor the model was trained on fewer.
CONTEXT: Final = 2048
_FILES: dict[str, tuple[tuple[Any, ...], ModelEntry]] = {}


def supported() -> list[str]:
    """Return the values of ``general.architecture`` that can be read."""
    return sorted(ARCHITECTURES)


def load_gguf(path: Path, settings: Mapping[str, Value] | None = None) -> Workload:
    """Return the workload of a GGUF file, from its header alone.

    Parameters
    ----------
    path
        The file; of a model in parts, any of them, the others beside it.
    settings
        As in `perfmodel.workload.library.find`: free dimensions, and ``phase``. What else shapes
        the graph is the file's.

    Raises
    ------
    InputError
        Every fault of the file, or of the settings, with its place.
    """
    path = Path(path)
    stamp = tuple(map(stamp_of, files_of(path)))
    known = _FILES.get(str(path))
    if known is None or known[0] != stamp:
        known = _FILES[str(path)] = stamp, _entry(read_parts(path), path)
    return with_settings(known[1], settings) if settings else known[1].base


def _entry(header: Header, path: Path) -> ModelEntry:
    architecture = header.keys.get("general.architecture")
    read = ARCHITECTURES.get(architecture) if isinstance(architecture, str) else None
    if not header.tensors:
        raise InputError(_no_tensors(header, architecture))
    if not isinstance(architecture, str) or read is None:
        raise InputError(_unknown(header, architecture))
    k = Keys(header, architecture)
    name, structure, groups = read(k)
    kind = family(name)
    if not k.faults:
        k.faults += [_placed(flaw, k) for flaw in structure_flaws(kind, structure)]
    if k.faults:
        raise InputError(k.faults)
    shape = kind.structure.model_validate(structure)
    tensors = {t.name: _held(t) for t in header.tensors}
    source = WeightFile(header.file, architecture, tensors, faults=k.faults, notes=k.notes)
    matched = match(kind.build(shape, ExecutionSemantics()), groups, source)
    if k.faults:
        raise InputError(k.faults)
    trained = k.size("context_length", 0, least=0)
    if k.faults:
        raise InputError(k.faults)
    if header.lacks:
        k.notes.append(
            f"the file lacks {show(header.lacks, 'bytes')} of its tensors' data: "
            "its header alone was read"
        )
    if trained:
        k.notes.append(f"trained on contexts up to {trained} tokens")
    made = entry(
        stem_of(path),
        kind,
        shape,
        path,
        _defaults(kind, trained),
        precision=_precision(header, tensors.values()),
        notes=tuple(k.notes),
        trained_context=trained,
    )
    return with_weights(made, matched, groups, path)


def _held(tensor: StoredAs) -> FileTensor:
    return FileTensor(
        tensor.name,
        tensor.elements,
        tensor.type.format,
        tensor.bytes,
        f"byte {tensor.at}",
        tensor.shape,
    )


def _defaults(kind: Family, trained: int) -> dict[str, float]:
    """Return the defaults of free dimensions: none is longer than the model was trained on."""
    if not trained or kind.name not in ("transformer", "mamba", "mamba2", "rwkv"):
        return {}
    longest = {
        **dict.fromkeys(("context", "prompt", "past"), CONTEXT),
        "generate": 256,
        "tokens": 128,
    }
    return {name: float(min(trained, most)) for name, most in longest.items()}


def _placed(flaw: Flaw, k: Keys) -> Fault:
    path = ".".join(map(str, flaw.path))
    place = k.fields.get(path, path), k.header.file
    return Fault(flaw.message, *place, expected=flaw.expected, suggestion=flaw.suggestion)


def _no_tensors(header: Header, architecture: Any) -> Fault:
    tokens = header.keys.get("tokenizer.ggml.tokens")
    count = tokens.length if isinstance(tokens, LongArray) else len(tokens or ())
    what = f"a vocabulary of {count:,} tokens" if count else f"{len(header.keys)} keys"
    of = f" of the architecture '{architecture}'" if isinstance(architecture, str) else ""
    expected = "the GGUF file of a whole model"
    return Fault(f"holds {what}{of} and no tensors", file=header.file, expected=expected)


def _unknown(header: Header, architecture: Any) -> Fault:
    key = "general.architecture"
    expected = f"one of {few(supported(), 'docs/gguf.md', 80)}"
    if key not in header.keys:
        return Fault(f"missing key '{key}'", file=header.file, expected=expected)
    if not isinstance(architecture, str):
        return Fault("is no text", key, header.file, expected=expected)
    meant = nearest(architecture, ARCHITECTURES, 0.85)
    message = f"no reader for the architecture '{architecture}'"
    expected = "" if meant else expected
    return Fault(message, key, header.file, expected=expected, suggestion=meant)


def _precision(header: Header, tensors: Collection[FileTensor]) -> str:
    """Return the precision of the file: the name of its mixture, or the formats by role."""
    stated = header.keys.get("general.file_type")
    sizes = sizes_of(tensors)
    most = max(sizes, key=sizes.__getitem__)
    weights = (FILE_TYPES.get(stated) if type(stated) is int else None) or most
    if format_named(weights).source.startswith("ggml"):
        return weights
    activations = most if most in ("bf16", "fp32") else "fp16"
    return f"w={weights},a={activations},kv=fp16"
