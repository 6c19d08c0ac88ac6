"""What pictures of stacked bars share: the bars, the sum of small ones, texts at their ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from perfmodel.charts import GREY, INK, VERMILION, Bars, Note, size

#: Name of a bar -> part -> amount.
Amounts = Mapping[str, Mapping[str, float]]


def stacked(
    names: Sequence[str],
    parts: Mapping[str, Sequence[float]],
    colors: Mapping[str, str],
    words: Callable[[str, int], str],
    *,
    across: bool = True,
    meta: Mapping[str, str] | None = None,
    **more: Any,
) -> list[Bars]:
    """Return bars that stand upon each other, the first part below or on the left.

    Parameters
    ----------
    names
        One per bar.
    parts
        Part -> its length in each bar.
    words
        Part, number of the bar -> what the piece says.
    across
        Whether they lie.
    meta
        What they are beside a part, for programmes.
    more
        Further attributes of each `Bars`.
    """
    return [
        Bars(
            part,
            list(lengths) if across else names,
            names if across else list(lengths),
            [words(part, i) for i in range(len(names))],
            across=across,
            color=colors.get(part, GREY),
            meta={"part": part, **(meta or {})},
            **more,
        )
        for part, lengths in parts.items()
    ]


def largest(
    rows: Amounts, most: int, others: str, weigh: Callable[[Mapping[str, float]], float]
) -> dict[str, Mapping[str, float]]:
    """Return at most so many rows in their order: the heaviest, and the sum of all others last.

    Parameters
    ----------
    others
        Name of the sum, with ``{}`` for how many are in it.
    """
    if len(rows) <= most:
        return dict(rows)
    heavy = set(sorted(rows, key=lambda name: -weigh(rows[name]))[: most - 1])
    light = [row for name, row in rows.items() if name not in heavy]
    merged: dict[str, float] = {}
    for row in light:
        for part, amount in row.items():
            merged[part] = merged.get(part, 0.0) + amount
    return {n: row for n, row in rows.items() if n in heavy} | {others.format(len(light)): merged}


def with_free(
    parts: Mapping[str, Sequence[float]], rooms: Sequence[float]
) -> tuple[dict[str, Sequence[float]], list[float]]:
    """Return the parts that there are, with the ``free`` room of each bar, and what is taken.

    Parameters
    ----------
    rooms
        What each bar has room for.
    """
    used = [float(sum(column)) for column in zip(*parts.values(), strict=True)]
    free = [max(0.0, room - need) for need, room in zip(used, rooms, strict=True)]
    every = {**parts, "free": free}
    return {part: lengths for part, lengths in every.items() if any(lengths)}, used


def total_of(row: Mapping[str, float]) -> float:
    """Return the sum of a row's parts."""
    return sum(row.values())


def at_ends(bars: Sequence[str], ends: Sequence[float], texts: Sequence[str]) -> list[Note]:
    """Return texts behind the ends of lying bars."""
    return [
        Note(text, end, bar, anchor="left auto", shift=(6, 0), veil=True)
        for bar, end, text in zip(bars, ends, texts, strict=True)
    ]


def capacity_mark(memory: str, capacity: float) -> Note:
    """Return an upright stroke where a lying bar would fill its memory."""
    return Note(
        "|",
        capacity,
        memory,
        anchor="center middle",
        size=22,
        hover=f"usable capacity of {memory}: {size(capacity)}",
    )


def need_of(need: float, capacity: float, between: str = ", ") -> tuple[str, str]:
    """Return what a memory needs of what it has, as a text, and the colour of that text.

    Parameters
    ----------
    between
        What stands before the words that say how much is too much.
    """
    text = f"{size(need)} of {size(capacity)}"
    if need <= capacity:
        return text, INK
    return f"{text}{between}<b>{size(need - capacity)} too much</b>", VERMILION
