"""GGUF models that are split over several files, read as one header.

llama.cpp names the files ``STEM-00001-of-00003.gguf`` (``llama_split_path``), and each states
``split.no``, ``split.count`` and ``split.tensors.count``. The first one has the keys of the model.
`gguf.load` calls `read_split_model`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from perfmodel.errors import Fault, input_error
from perfmodel.settings import FaultList
from perfmodel.workload.importers.gguf.header import GgufHeader, read_header

#: ``LLAMA_SPLIT_PREFIX`` of llama.cpp's ``llama_split_path``.
_PART: Final = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.ASCII)
#: Largest accepted number of parts, far above published ones; each part costs a file lookup.
_MOST: Final = 4096


def model_stem(path: Path) -> str:
    """Return a file's name without its suffix and its number among the split files."""
    part = _PART.fullmatch(path.name)
    return part["stem"] if part else path.name.removesuffix(".gguf")


def files_of_model(path: Path) -> list[Path]:
    """Return the paths of all files of a split model, or of the single file."""
    part = _PART.fullmatch(path.name)
    count = int(part["count"]) if part else 0
    if part is None or not 1 < count <= _MOST:
        return [path]
    stem = part["stem"]
    return [path.with_name(f"{stem}-{n:05}-of-{count:05}.gguf") for n in range(1, count + 1)]


def read_split_model(path: Path) -> GgufHeader:
    """Return the header of a model with the tensors of all its files.

    Raises
    ------
    InputError
        Lists every missing file and every fault of the others.
    """
    files = files_of_model(path)
    if len(files) == 1:
        return _require_unsplit(read_header(path))
    faults = FaultList()
    headers: list[GgufHeader] = []
    for file in files:
        if not file.exists():
            expected = f"all parts side by side, as {path.name} is one of {len(files)}"
            faults.append(Fault("a part is missing", file=str(file), expected=expected))
            continue
        header = faults.trying(read_header, file)
        headers += [header] if header else []
    for number, header in enumerate(headers) if not faults else ():
        stated = header.keys.get("split.no"), header.keys.get("split.count")
        if stated != (number, len(files)):
            message = f"states that it is part {stated[0]} (from 0) of {stated[1]}"
            expected = f"{number} of {len(files)}"
            faults.append(Fault(message, "split.no", header.file, expected=expected))
    faults.settle()
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
                faults.append(Fault(message, f"byte {tensor.entry_offset}", header.file))
            seen.add(tensor.name)
    faults.settle()
    return replace(headers[0], tensors=tensors, missing_bytes=sum(h.missing_bytes for h in headers))


def _require_unsplit(header: GgufHeader) -> GgufHeader:
    """Return the header of a single file, which must not belong to a split model."""
    count = header.keys.get("split.count")
    if type(count) is int and count > 1:
        raise input_error(
            f"is one of {count} parts",
            "split.count",
            header.file,
            expected=f"names ending in -00001-of-{count:05}.gguf and so on, side by side",
        )
    return header
