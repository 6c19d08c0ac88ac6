"""A tensor that a file of weights holds."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Held"]


class Held(NamedTuple):
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
