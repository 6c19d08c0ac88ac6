"""Find the model in a file: JSON of Keras 2 and 3, a ``.keras`` archive, TensorFlow.js layers."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from perfmodel.errors import Fault, InputError
from perfmodel.marks import Marks
from perfmodel.specfile import MAX_BYTES, read
from perfmodel.workload.importers.keras.fields import Fields, Place

__all__ = ["Found", "find_model"]

_CONFIG: Final = "config.json"
#: Entries that an archive may list, and a zip bomb's sign: how far a text may be packed.
_ENTRIES: Final = 10_000


class Found(NamedTuple):
    """A model and what stands beside it.

    Attributes
    ----------
    model
        Its ``class_name`` and ``config``, with their place.
    manifest
        Groups of stored weights of a TensorFlow.js file.
    """

    model: Fields
    marks: Marks
    file: str
    manifest: list[Any]


def find_model(path: Path) -> Found:
    """Read a file.

    Raises
    ------
    InputError
        It cannot be read, is no JSON or archive, or holds no model of layers.
    """
    file = str(path)
    if path.name.endswith(".keras"):
        file = f"{path}/{_CONFIG}"
        data, marks = read(unpacked(path, _CONFIG), file, json_text=True)
    else:
        data, marks = read(path, json_text=True)
    if not isinstance(data, dict):
        raise InputError(Fault("is not a mapping", file=file, line=1, column=1,
                               expected="a model with 'class_name' and 'config'"))  # fmt: skip
    root = cast("dict[str, Any]", data)
    place: Place = ()
    manifest: Any = root.get("weightsManifest")
    model: Mapping[str, Any] = root
    for key in ("modelTopology", "model_config"):
        inside: Any = model.get(key)
        if isinstance(inside, dict):
            model, place = cast("dict[str, Any]", inside), (*place, key)
    if "class_name" not in model:
        line, column = marks.at(place)
        graph = root.get("format") == "graph-model" or "node" in model
        message = "is a graph of TensorFlow, not of layers" if graph else "holds no model of layers"
        raise InputError(
            Fault(message, path=marks.show(place), file=file, line=line, column=column,
                  expected="a layers-model with 'class_name' and 'config'")
        )  # fmt: skip
    return Found(Fields(model, place), marks, file,
                 cast("list[Any]", manifest) if isinstance(manifest, list) else [])  # fmt: skip


def unpacked(path: Path, member: str, most: int = MAX_BYTES) -> bytes:
    """Return one file of a zip archive; nothing is written, and no more than `most` bytes are read.

    Raises
    ------
    InputError
        It is no archive, lacks the file, or the file is too large or encrypted.
    """
    expected = f"a zip archive with a '{member}'"
    try:
        with zipfile.ZipFile(path) as archive:
            if len(archive.infolist()) > _ENTRIES:
                raise InputError(Fault(f"lists more than {_ENTRIES} files", file=str(path),
                                       expected=expected))  # fmt: skip
            if member not in archive.namelist():
                raise InputError(Fault(f"holds no '{member}'", file=str(path), expected=expected))
            with archive.open(member) as stream:
                content = stream.read(most + 1)
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise InputError(Fault(reason, file=str(path), expected="a readable file")) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError,
            RuntimeError) as error:  # fmt: skip
        reason = str(error).splitlines()[0].lower() if str(error) else "damaged"
        raise InputError(Fault(f"is no archive that can be read: {reason}", file=str(path),
                               expected=expected)) from None  # fmt: skip
    if len(content) > most:
        raise InputError(Fault(f"'{member}' is larger than {most >> 20} MiB", file=str(path),
                               expected="a model without its weights"))  # fmt: skip
    return content
