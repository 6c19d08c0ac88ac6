"""A detector as a list of rows: one layer a row, each a short text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class YoloRow:
    """One layer.

    Attributes
    ----------
    module
        Name of the block.
    channels
        Output channels at width 1; 0 where the block keeps its input's or has none.
    repeats
        Inner blocks at depth 1.
    sources
        Rows that it reads: negative ones count back from it.
    options
        Numbers by name (``k`` kernel, ``s`` stride ...); a flag is 1.
    """

    module: str
    channels: int = 0
    repeats: int = 1
    sources: tuple[int, ...] = (-1,)
    options: Mapping[str, float] = field(default_factory=dict[str, float])


def parse(text: str) -> YoloRow:
    """Return the row of a text: ``module [channels] [xREPEATS] [option[=number]] [@row,row]``.

    Raises
    ------
    ValueError
        A part that is none of these.
    """
    module, *parts = text.split()
    channels, repeats, sources = 0, 1, (-1,)
    options: dict[str, float] = {}
    for part in parts:
        name, _, number = part.partition("=")
        if part.isdecimal():
            channels = int(part)
        elif part[0] == "x" and part[1:].isdecimal():
            repeats = int(part[1:])
        elif part[0] == "@":
            sources = tuple(int(row) for row in part[1:].split(","))
        elif name.isidentifier():
            options[name] = float(number) if number else 1.0
        else:
            raise ValueError(f"'{part}' is no part of a row")
    return YoloRow(module, channels, repeats, sources, options)
