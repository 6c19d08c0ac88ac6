"""Files of a model that was split (``-00001-of-00003.gguf``) read as one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from perfmodel.errors import Fault, InputError, input_error
from perfmodel.workload.importers.gguf.read import Header, read_header

#: ``LLAMA_SPLIT_PREFIX`` of llama.cpp's ``llama_split_path``.
_PART: Final = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.ASCII)
#: Parts that a file may say it has: more have not been seen, and each is looked for.
_MOST: Final = 4096


def stem_of(path: Path) -> str:
    """Return a file's name without its suffix and without the number of its part."""
    found = _PART.fullmatch(path.name)
    return found["stem"] if found else path.name.removesuffix(".gguf")


def files_of(path: Path) -> list[Path]:
    """Return the files of a model: all parts by their names, or the file itself."""
    found = _PART.fullmatch(path.name)
    count = int(found["count"]) if found else 0
    if found is None or not 1 < count <= _MOST:
        return [path]
    stem = found["stem"]
    return [path.with_name(f"{stem}-{n:05}-of-{count:05}.gguf") for n in range(1, count + 1)]


def read_parts(path: Path) -> Header:
    """Return the header of a model, the tensors of all its parts together.

    Raises
    ------
    InputError
        Every missing part, and every fault of those that are there.
    """
    files = files_of(path)
    if len(files) == 1:
        return _alone(read_header(path))
    faults: list[Fault] = []
    headers: list[Header] = []
    for file in files:
        if not file.exists():
            expected = f"all parts side by side, as {path.name} is one of {len(files)}"
            faults.append(Fault("a part is missing", file=str(file), expected=expected))
            continue
        try:
            headers.append(read_header(file))
        except InputError as error:
            faults += error.faults
    for number, header in enumerate(headers) if not faults else ():
        stated = header.keys.get("split.no"), header.keys.get("split.count")
        if stated != (number, len(files)):
            message = f"says that it is part {stated[0]} (from 0) of {stated[1]}"
            expected = f"{number} of {len(files)}"
            faults.append(Fault(message, "split.no", header.file, expected=expected))
    if faults:
        raise InputError(faults)
    tensors = tuple(tensor for header in headers for tensor in header.tensors)
    total = headers[0].keys.get("split.tensors.count")
    if type(total) is int and total != len(tensors):
        message = f"the parts hold {len(tensors)} tensors"
        place = "split.tensors.count", headers[0].file
        faults.append(Fault(message, *place, expected=f"{total}"))
    seen: set[str] = set()
    for header in headers:
        for tensor in header.tensors:
            if tensor.name in seen:
                message = f"'{tensor.name}' is in an earlier part too"
                faults.append(Fault(message, f"byte {tensor.at}", header.file))
            seen.add(tensor.name)
    if faults:
        raise InputError(faults)
    return replace(headers[0], tensors=tensors, lacks=sum(h.lacks for h in headers))


def _alone(header: Header) -> Header:
    count = header.keys.get("split.count")
    if type(count) is int and count > 1:
        raise input_error(
            f"is one of {count} parts",
            "split.count",
            header.file,
            expected=f"names ending in -00001-of-{count:05}.gguf and so on, side by side",
        )
    return header
