"""A tensor that a file of weights holds."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_LAYER: Final = re.compile(r"blk\.(\d{1,6})\.", re.ASCII)


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
