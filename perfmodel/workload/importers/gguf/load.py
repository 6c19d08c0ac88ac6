"""Workload of a GGUF file: structure from its header, weights in their stored formats.

The header yields the fields of a family of networks (`architectures`); its tensors are then matched
with the weights of that network's graph (`weight_files`), so that each weight has the format of its
tensor.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from perfmodel.arrays import Value
from perfmodel.caches import GRAPH_BYTES, cached_by_files
from perfmodel.errors import Fault, InputError, names_or_command, nearest
from perfmodel.formats import format_named
from perfmodel.formats.gguf import is_gguf
from perfmodel.pydantic_faults import Flaw
from perfmodel.units import show
from perfmodel.workload.families import ExecutionSemantics, Family, family
from perfmodel.workload.importers.gguf.architectures import ARCHITECTURES
from perfmodel.workload.importers.gguf.ggml_types import FILE_TYPES
from perfmodel.workload.importers.gguf.header import GgufHeader, GgufTensor, LongArray
from perfmodel.workload.importers.gguf.header_keys import GgufKeys
from perfmodel.workload.importers.gguf.split_files import (
    files_of_model,
    model_stem,
    read_split_model,
)
from perfmodel.workload.importers.weight_files.file_tensor import FileTensor, bytes_by_format
from perfmodel.workload.importers.weight_files.graph_rewrite import with_weights
from perfmodel.workload.importers.weight_files.tensor_matching import WeightFile, match_tensors
from perfmodel.workload.library import ModelEntry, model_entry, with_settings
from perfmodel.workload.workload import Workload
from perfmodel.workload.workload_file import structure_flaws

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
    return _entry(read_split_model(path), path), files_of_model(path)


def _entry(header: GgufHeader, path: Path) -> ModelEntry:
    """Return the library entry of a header: its structure, with the formats of its tensors."""
    architecture = header.keys.get("general.architecture")
    read = ARCHITECTURES.get(architecture) if isinstance(architecture, str) else None
    if not header.tensors:
        raise InputError(_no_tensors(header, architecture))
    if not isinstance(architecture, str) or read is None:
        raise InputError(_unknown(header, architecture))
    keys = GgufKeys(header, architecture)
    name, structure, groups = read(keys)
    kind = family(name)
    if not keys.faults:
        keys.faults += [_fault_at_key(flaw, keys) for flaw in structure_flaws(kind, structure)]
    if keys.faults:
        raise InputError(keys.faults)
    shape = kind.structure.model_validate(structure)
    tensors = {t.name: _file_tensor(t) for t in header.tensors}
    source = WeightFile(header.file, architecture, tensors, faults=keys.faults, notes=keys.notes)
    matched = match_tensors(kind.build(shape, ExecutionSemantics()), groups, source)
    if keys.faults:
        raise InputError(keys.faults)
    trained = keys.size("context_length", 0, least=0)
    if keys.faults:
        raise InputError(keys.faults)
    if header.missing_bytes:
        keys.notes.append(
            f"the file lacks {show(header.missing_bytes, 'bytes')} of its tensors' data: "
            "only its header was read"
        )
    if trained:
        keys.notes.append(f"trained on contexts up to {trained} tokens")
    model = model_entry(
        model_stem(path),
        kind,
        shape,
        path,
        _defaults(kind, trained),
        precision=_precision(header, tensors.values()),
        notes=tuple(keys.notes),
        trained_context=trained,
    )
    return with_weights(model, matched, groups, path)


def _file_tensor(tensor: GgufTensor) -> FileTensor:
    """Return a tensor info in the form common to all weight files."""
    return FileTensor(
        tensor.name,
        tensor.elements,
        tensor.type.format,
        tensor.bytes,
        f"byte {tensor.entry_offset}",
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


def _fault_at_key(flaw: Flaw, keys: GgufKeys) -> Fault:
    """Return the fault of a structure field at the key of the header that states it."""
    path = ".".join(map(str, flaw.path))
    place = keys.fields.get(path, path), keys.header.file
    return Fault(flaw.message, *place, expected=flaw.expected, suggestion=flaw.suggestion)


def _no_tensors(header: GgufHeader, architecture: Any) -> Fault:
    """Return the fault of a file with keys only, such as a bare vocabulary."""
    tokens = header.keys.get("tokenizer.ggml.tokens")
    count = tokens.length if isinstance(tokens, LongArray) else len(tokens or ())
    content = f"a vocabulary of {count:,} tokens" if count else f"{len(header.keys)} keys"
    owner = f" of the architecture '{architecture}'" if isinstance(architecture, str) else ""
    expected = "the GGUF file of a whole model"
    return Fault(f"holds {content}{owner} and no tensors", file=header.file, expected=expected)


def _unknown(header: GgufHeader, architecture: Any) -> Fault:
    """Return the fault of a missing or unknown architecture."""
    key = "general.architecture"
    expected = f"one of {names_or_command(supported(), 'docs/gguf.md', 80)}"
    if key not in header.keys:
        return Fault(f"missing key '{key}'", file=header.file, expected=expected)
    if not isinstance(architecture, str):
        return Fault("is not a text", key, header.file, expected=expected)
    meant = nearest(architecture, ARCHITECTURES, 0.85)
    message = f"no reader for the architecture '{architecture}'"
    expected = "" if meant else expected
    return Fault(message, key, header.file, expected=expected, suggestion=meant)


def _precision(header: GgufHeader, tensors: Collection[FileTensor]) -> str:
    """Return the precision of the file: the name of its GGUF mixture, or formats by role."""
    stated = header.keys.get("general.file_type")
    sizes = bytes_by_format(tensors)
    most = max(sizes, key=sizes.__getitem__)
    weights = (FILE_TYPES.get(stated) if type(stated) is int else None) or most
    if is_gguf(format_named(weights)):
        return weights
    activations = most if most in ("bf16", "fp32") else "fp16"
    return f"w={weights},a={activations},kv=fp16"
