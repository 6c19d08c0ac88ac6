"""A tensor that a file of weights holds."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

_LAYER: Final = re.compile(r"blk\.(\d{1,6})\.", re.ASCII)


def stamp_of(file: Path) -> tuple[int, int]:
    """Return what changes with a file: when it was written, and its size; zeros where it is not."""
    try:
        status = os.stat(file)
    except (OSError, ValueError):  # ValueError: a null character in the name
        return 0, 0
    return status.st_mtime_ns, status.st_size


def sizes_of(tensors: Iterable[FileTensor]) -> dict[str, int]:
    """Return format -> bytes of the tensors in it."""
    sizes: dict[str, int] = {}
    for tensor in tensors:
        sizes[tensor.format] = sizes.get(tensor.format, 0) + tensor.bytes
    return sizes


class FileTensor(NamedTuple):
    """A tensor of a file.

    Attributes
    ----------
    name
        As the file calls it.
    elements
        Numbers that it stands for (packed ones unpacked).
    format
        Name of the format that it is stored in.
    bytes
        What it takes, scales included.
    place
        Where its entry stands in the file, for messages.
    shape
        Row length last where the file says so; for messages.
    """

    name: str
    elements: int
    format: str
    bytes: int
    place: str = ""
    shape: tuple[int, ...] = ()


def layer_of(name: str) -> int:
    """Return the number of the layer that a tensor of GGUF's name is of; -1 outside the layers."""
    found = _LAYER.match(name)
    return int(found[1]) if found else -1


def whole_of(name: str) -> str:
    """Return the name of a tensor of all experts for that of one; empty for another tensor's."""
    parts = name.split(".")
    if len(parts) != 5 or parts[2] not in ("ffn_up", "ffn_gate", "ffn_down"):
        return ""
    return ".".join((*parts[:2], f"{parts[2]}_exps", parts[4]))
