"""Table of the readers of model files, by suffix and, for ``.json``, by top-level keys."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

from perfmodel.arrays import Value
from perfmodel.errors import Fault, InputError, input_error
from perfmodel.regular import contents, open_file
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
        "perfmodel.workload.importers.operator_graph",
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
IMPORTED: Final[tuple[str, ...]] = tuple(
    dict.fromkeys(suffix for reader in READERS for suffix in reader.suffixes)
)


#: Magic bytes: name of the file type, offset, bytes, and its suffixes.
_LETTERS: Final = (
    ("a GGUF file", 0, b"GGUF", (".gguf",)),
    ("a TensorFlow Lite file", 4, b"TFL3", (".tflite",)),
    ("a zip archive", 0, b"PK\x03\x04", (".keras", ".pt2")),
)

#: Formats that contain code, or weights without a graph -> alternative for the message.
_INSTEAD: Final = {
    **dict.fromkeys(
        (".pt", ".pth", ".bin"),
        "a .pt2 of torch.export.save, or the .safetensors with its config.json",
    ),
    **dict.fromkeys((".h5", ".hdf5"), "a .keras of model.save, or a .json of model.to_json"),
    ".pb": "a .tflite or an .onnx that its converter writes",
    ".npz": "the model's own file, or its layers in a .yaml",
    ".pkl": "the model's own file, or its layers in a .yaml",
}


def shown_suffixes() -> str:
    """Return the suffixes for a message, without duplicates: ``.yaml, .safetensors, .json``."""
    distinct = [
        s for s in IMPORTED if not any(s != other and s.endswith(other) for other in IMPORTED)
    ]
    return ", ".join((".yaml", *distinct))


def is_imported(name: str | Path) -> bool:
    """Return whether an importer reads files of this name."""
    return str(name).endswith(IMPORTED)


def reader_of(path: Path) -> ModelImporter | None:
    """Return the reader of a file, or ``None`` if its name matches no reader."""
    readers = [reader for reader in READERS if path.name.endswith(reader.suffixes)]
    keyed = [reader for reader in readers if reader.keys]
    if keyed and (content := _top_level(path)) is not None:
        for reader in keyed:
            if any(key in content for key in reader.keys):
                return reader
    return next((reader for reader in readers if not reader.keys), None)


def load_file(path: Path, settings: Mapping[str, Value]) -> Workload:
    """Read a model file.

    Raises
    ------
    InputError
        The name matches no reader, or the file has faults.
    """
    reader = reader_of(path)
    if reader is None:
        raise InputError(_unread(path))
    load: Callable[[Path, Mapping[str, Value]], Workload]
    load = getattr(import_module(reader.module), reader.function)
    try:
        return load(path, settings)
    except InputError:
        named = _named_otherwise(path, reader)
        if named is None:
            raise
        raise InputError(named) from None


def instead(name: str) -> str:
    """Return advice to convert a model file that no importer reads; ``""`` if there is none."""
    return _INSTEAD.get(os.path.splitext(name)[1].lower(), "")


def _unread(path: Path) -> Fault:
    expected = instead(path.name) or f"a name ending in {shown_suffixes()}"
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
    return Fault("is no kind of file that holds a workload", file=str(path), expected=expected)


def _named_otherwise(path: Path, reader: ModelImporter) -> Fault | None:
    """Return the fault of a file whose first bytes and name belong to different formats."""
    try:
        with open_file(path) as file:
            start = file.read(8)
    except (OSError, InputError):
        return None
    for kind, offset, letters, suffixes in _LETTERS:
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
        f"a {type(model).__name__} is no workload",
        expected="a name, a path, a workload, or a torch.export.ExportedProgram",
    )


def _top_level(path: Path) -> Mapping[str, Any] | None:
    """Return the mapping in a JSON file, or ``None``: the reader then reports the fault."""
    try:
        data = json.loads(contents(path, MAX_BYTES).decode("utf-8"))
    except (InputError, ValueError, RecursionError):
        return None
    return cast("Mapping[str, Any]", data) if isinstance(data, dict) else None
