"""Workload of a GGUF file: structure from its header, weights in the stored formats."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from perfmodel.arrays import Value
from perfmodel.caches import GRAPH_BYTES, cached_by_files
from perfmodel.errors import Fault, InputError, few, nearest
from perfmodel.formats import format_named
from perfmodel.formats.gguf import is_gguf
from perfmodel.pydantic_faults import Flaw
from perfmodel.units import show
from perfmodel.workload.families import ExecutionSemantics, Family, family
from perfmodel.workload.importers.gguf.architectures import ARCHITECTURES
from perfmodel.workload.importers.gguf.keys import Keys
from perfmodel.workload.importers.gguf.parts import files_of, read_parts, stem_of
from perfmodel.workload.importers.gguf.read import Header, LongArray, StoredAs
from perfmodel.workload.importers.gguf.types import FILE_TYPES
from perfmodel.workload.importers.stored.file_tensor import FileTensor, sizes_of
from perfmodel.workload.importers.stored.match import WeightFile, match
from perfmodel.workload.importers.stored.rewrite import with_weights
from perfmodel.workload.library import ModelEntry, entry, with_settings
from perfmodel.workload.library_file import structure_flaws
from perfmodel.workload.workload import Workload

#: Default number of context tokens, unless the model was trained on fewer.
CONTEXT: Final = 2048


def supported() -> list[str]:
    """Return the values of ``general.architecture`` that can be read."""
    return sorted(ARCHITECTURES)


def load_gguf(path: Path, settings: Mapping[str, Value] | None = None) -> Workload:
    """Return the workload of a GGUF file, reading only its header.

    Parameters
    ----------
    path
        The file; for a split model any of its parts, with the others in the same folder.
    settings
        As in `perfmodel.workload.library.find`: free dimensions, and ``phase``. The file determines
        everything else about the graph.

    Raises
    ------
    InputError
        Lists every fault of the file, or of the settings, with its location.
    """
    model = _model_of(Path(path))
    return with_settings(model, settings) if settings else model.base


@cached_by_files(GRAPH_BYTES)
def _model_of(path: Path) -> tuple[ModelEntry, list[Path]]:
    return _entry(read_parts(path), path), files_of(path)


def _entry(header: Header, path: Path) -> ModelEntry:
    architecture = header.keys.get("general.architecture")
    read = ARCHITECTURES.get(architecture) if isinstance(architecture, str) else None
    if not header.tensors:
        raise InputError(_no_tensors(header, architecture))
    if not isinstance(architecture, str) or read is None:
        raise InputError(_unknown(header, architecture))
    keys = Keys(header, architecture)
    name, structure, groups = read(keys)
    kind = family(name)
    if not keys.faults:
        keys.faults += [_placed(flaw, keys) for flaw in structure_flaws(kind, structure)]
    if keys.faults:
        raise InputError(keys.faults)
    shape = kind.structure.model_validate(structure)
    tensors = {t.name: _held(t) for t in header.tensors}
    source = WeightFile(header.file, architecture, tensors, faults=keys.faults, notes=keys.notes)
    matched = match(kind.build(shape, ExecutionSemantics()), groups, source)
    if keys.faults:
        raise InputError(keys.faults)
    trained = keys.size("context_length", 0, least=0)
    if keys.faults:
        raise InputError(keys.faults)
    if header.lacks:
        keys.notes.append(
            f"the file lacks {show(header.lacks, 'bytes')} of its tensors' data: "
            "its header alone was read"
        )
    if trained:
        keys.notes.append(f"trained on contexts up to {trained} tokens")
    model = entry(
        stem_of(path),
        kind,
        shape,
        path,
        _defaults(kind, trained),
        precision=_precision(header, tensors.values()),
        notes=tuple(keys.notes),
        trained_context=trained,
    )
    return with_weights(model, matched, groups, path)


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
    """Return the defaults of free dimensions, limited to the trained context length."""
    if not trained or kind.name not in ("transformer", "mamba", "mamba2", "rwkv"):
        return {}
    longest = {
        **dict.fromkeys(("context", "prompt", "past"), CONTEXT),
        "generate": 256,
        "tokens": 128,
    }
    return {name: float(min(trained, most)) for name, most in longest.items()}


def _placed(flaw: Flaw, keys: Keys) -> Fault:
    path = ".".join(map(str, flaw.path))
    place = keys.fields.get(path, path), keys.header.file
    return Fault(flaw.message, *place, expected=flaw.expected, suggestion=flaw.suggestion)


def _no_tensors(header: Header, architecture: Any) -> Fault:
    tokens = header.keys.get("tokenizer.ggml.tokens")
    count = tokens.length if isinstance(tokens, LongArray) else len(tokens or ())
    content = f"a vocabulary of {count:,} tokens" if count else f"{len(header.keys)} keys"
    owner = f" of the architecture '{architecture}'" if isinstance(architecture, str) else ""
    expected = "the GGUF file of a whole model"
    return Fault(f"holds {content}{owner} and no tensors", file=header.file, expected=expected)


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
    """Return the precision of the file: the name of its GGUF mixture, or formats by role."""
    stated = header.keys.get("general.file_type")
    sizes = sizes_of(tensors)
    most = max(sizes, key=sizes.__getitem__)
    weights = (FILE_TYPES.get(stated) if type(stated) is int else None) or most
    if is_gguf(format_named(weights)):
        return weights
    activations = most if most in ("bf16", "fp32") else "fp16"
    return f"w={weights},a={activations},kv=fp16"
