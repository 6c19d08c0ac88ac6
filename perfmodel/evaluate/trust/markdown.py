"""Tables and figures in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from perfmodel.evaluate.result import percent


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Return a table, its first columns aligned to the left."""
    align = ["---"] * left + ["---:"] * (len(head) - left)
    lines = ["| " + " | ".join(row) + " |" for row in (head, align, *rows)]
    return "\n".join(lines) + "\n"


def short(value: float | None, *, sign: bool = False) -> str:
    """Return a fraction in per cent, without the unit."""
    return percent(value, sign=sign).replace(" %", "")
