"""Which reader reads which model file: by suffix and, for ``.json``, by top-level keys.

`load_file` is called by the workload library for every path that is not a YAML entry. A file whose
first bytes belong to another format than its name is reported as such.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

from perfmodel.arrays import Value
from perfmodel.bulk_allocation import collector_paused
from perfmodel.errors import Fault, InputError, input_error
from perfmodel.regular_files import open_regular_file, read_bytes
from perfmodel.specfile import MAX_BYTES
from perfmodel.workload.workload import Workload


@dataclass(frozen=True, slots=True)
class ModelImporter:
    """A reader of model files.

    Attributes
    ----------
    what
        Name of the file type in messages.
    suffixes
        Suffixes of the file names.
    module, function
        Reader ``(path, settings) -> Workload``, imported when a file of this type is read.
    structured
        Whether fields of a family's structure may be set when reading (``layers=16``).
    keys
        Top-level keys of a ``.json`` that no other format has; a reader without keys accepts every
        file that no other reader claims.
    """

    what: str
    suffixes: tuple[str, ...]
    module: str
    function: str
    structured: bool = False
    keys: tuple[str, ...] = ()


#: In order of precedence.
READERS: Final[Sequence[ModelImporter]] = (
    ModelImporter(
        "Hugging Face config.json",
        ("config.json",),
        "perfmodel.workload.importers.huggingface",
        "load_config",
        structured=True,
    ),
    ModelImporter(
        "safetensors",
        (".safetensors", ".safetensors.index.json"),
        "perfmodel.workload.importers.safetensors.load",
        "load_safetensors",
        structured=True,
    ),
    ModelImporter(
        "operator graph .json",
        (".json",),
        "perfmodel.workload.importers.operator_graph.load",
        "load_operator_graph",
    ),
    ModelImporter(
        "GGUF", (".gguf",), "perfmodel.workload.importers.gguf", "load_gguf", structured=True
    ),
    ModelImporter(
        "Keras .json",
        (".json",),
        "perfmodel.workload.importers.keras",
        "load_keras",
        keys=("class_name", "modelTopology"),
    ),
    ModelImporter("Keras archive", (".keras",), "perfmodel.workload.importers.keras", "load_keras"),
    ModelImporter(
        "torch.export", (".pt2",), "perfmodel.workload.importers.torch_export", "load_pt2"
    ),
    ModelImporter("ONNX", (".onnx",), "perfmodel.workload.importers.onnx", "load_onnx"),
    ModelImporter(
        "TensorFlow Lite", (".tflite",), "perfmodel.workload.importers.tflite", "load_tflite"
    ),
)

#: Suffixes of files that are imported rather than read as entries of the library.
IMPORTED_SUFFIXES: Final[tuple[str, ...]] = tuple(
    dict.fromkeys(suffix for reader in READERS for suffix in reader.suffixes)
)


#: Magic bytes: name of the file type, offset, bytes, and its suffixes.
_MAGIC_BYTES: Final = (
    ("a GGUF file", 0, b"GGUF", (".gguf",)),
    ("a TensorFlow Lite file", 4, b"TFL3", (".tflite",)),
    ("a zip archive", 0, b"PK\x03\x04", (".keras", ".pt2")),
)

#: Formats that contain code, or weights without a graph -> alternative for the message.
_CONVERSION_ADVICE: Final = {
    **dict.fromkeys(
        (".pt", ".pth", ".bin"),
        "a .pt2 of torch.export.save, or the .safetensors with its config.json",
    ),
    **dict.fromkeys((".h5", ".hdf5"), "a .keras of model.save, or a .json of model.to_json"),
    ".pb": "a .tflite or an .onnx that its converter writes",
    ".npz": "the model's own file, or its layers in a .yaml",
    ".pkl": "the model's own file, or its layers in a .yaml",
}


def describe_suffixes() -> str:
    """Return the suffixes for a message, without duplicates: ``.yaml, .safetensors, .json``."""
    distinct = [
        s
        for s in IMPORTED_SUFFIXES
        if not any(s != other and s.endswith(other) for other in IMPORTED_SUFFIXES)
    ]
    return ", ".join((".yaml", *distinct))


def is_imported(name: str | Path) -> bool:
    """Return whether an importer reads files of this name."""
    return str(name).endswith(IMPORTED_SUFFIXES)


def reader_of(path: Path) -> ModelImporter | None:
    """Return the reader of a file, or ``None`` if its name matches no reader."""
    readers = [reader for reader in READERS if path.name.endswith(reader.suffixes)]
    keyed = [reader for reader in readers if reader.keys]
    if keyed and (content := _top_level_mapping(path)) is not None:
        for reader in keyed:
            if any(key in content for key in reader.keys):
                return reader
    return next((reader for reader in readers if not reader.keys), None)


@collector_paused()
def load_file(path: Path, settings: Mapping[str, Value]) -> Workload:
    """Read a model file.

    Raises
    ------
    InputError
        The name matches no reader, or the file has faults.
    """
    reader = reader_of(path)
    if reader is None:
        raise InputError(_fault_of_unknown_file(path))
    load: Callable[[Path, Mapping[str, Value]], Workload]
    load = getattr(import_module(reader.module), reader.function)
    try:
        return load(path, settings)
    except InputError:
        named = _fault_of_other_format(path, reader)
        if named is None:
            raise
        raise InputError(named) from None


def conversion_advice(name: str) -> str:
    """Return advice to convert a model file that no reader accepts; ``""`` if there is none."""
    return _CONVERSION_ADVICE.get(os.path.splitext(name)[1].lower(), "")


def _fault_of_unknown_file(path: Path) -> Fault:
    """Return the fault of a file that no reader accepts, with advice for known other formats."""
    expected = conversion_advice(path.name) or f"a name ending in {describe_suffixes()}"
    if os.path.isdir(path):
        inside = [
            n for n in ("model.safetensors.index.json", "config.json") if (path / n).is_file()
        ]
        return Fault(
            "is a folder",
            file=str(path),
            expected="" if inside else f"a file with {expected}",
            suggestion=str(path / inside[-1]) if inside else "",
        )
    return Fault("is not a file type that holds a workload", file=str(path), expected=expected)


def _fault_of_other_format(path: Path, reader: ModelImporter) -> Fault | None:
    """Return the fault of a file whose first bytes and name belong to different formats."""
    try:
        with open_regular_file(path) as file:
            start = file.read(8)
    except (OSError, InputError):
        return None
    for kind, offset, letters, suffixes in _MAGIC_BYTES:
        if start[offset:].startswith(letters) and not set(suffixes) & set(reader.suffixes):
            return Fault(
                f"begins as {kind} does and is named as {reader.what}",
                file=str(path),
                expected=f"a name ending in {' or '.join(suffixes)}",
            )
    return None


def load_object(model: object, settings: Mapping[str, Value]) -> Workload:
    """Return the workload of a model object in memory.

    Raises
    ------
    InputError
        The object is of an unknown type.
    """
    if type(model).__module__.startswith("torch.export"):
        from perfmodel.workload.importers.torch_export import load_exported

        return load_exported(model, settings)
    raise input_error(
        f"a {type(model).__name__} is not a workload",
        expected="a name, a path, a workload, or a torch.export.ExportedProgram",
    )


def _top_level_mapping(path: Path) -> Mapping[str, Any] | None:
    """Return the mapping in a JSON file, or ``None``: the reader then reports the fault."""
    try:
        data = json.loads(read_bytes(path, MAX_BYTES).decode("utf-8"))
    except (InputError, ValueError, RecursionError):
        return None
    return cast("Mapping[str, Any]", data) if isinstance(data, dict) else None
