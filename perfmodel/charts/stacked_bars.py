"""Stacked bars, shared by several pictures: time by part, and shares of capacities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from perfmodel.charts import (
    GREY,
    INK,
    VERMILION,
    Bars,
    ChartAxis,
    Note,
    Panel,
    ReferenceLine,
    percent,
    size,
)
from perfmodel.units import show

#: Name of a bar -> part -> amount.
Amounts = Mapping[str, Mapping[str, float]]


def stacked(
    names: Sequence[str],
    parts: Mapping[str, Sequence[float]],
    colors: Mapping[str, str],
    hover_text: Callable[[str, int], str],
    *,
    across: bool = True,
    meta: Mapping[str, str] | None = None,
    **more: Any,
) -> list[Bars]:
    """Return stacked bars, the first part at the bottom or on the left.

    Parameters
    ----------
    names
        Names of the bars.
    parts
        Part -> its length in each bar.
    hover_text
        Part, index of the bar -> hover text.
    across
        Whether the bars are horizontal.
    meta
        Further metadata, for programs.
    more
        Further attributes of each `Bars`.
    """
    return [
        Bars(
            part,
            list(lengths) if across else names,
            names if across else list(lengths),
            [hover_text(part, i) for i in range(len(names))],
            across=across,
            color=colors.get(part, GREY),
            meta={"part": part, **(meta or {})},
            **more,
        )
        for part, lengths in parts.items()
    ]


def time_panel(
    bars: Amounts,
    order: Sequence[str],
    colors: Mapping[str, str],
    *,
    title: str = "time",
    noun: str = "",
    total: float | None = None,
    **where: Any,
) -> Panel:
    """Return horizontal bars of seconds by part, with their sums at the ends.

    Parameters
    ----------
    order
        Parts from left to right.
    title, noun
        Titles of the axes of time and of bars.
    total
        Seconds to which all shares refer; by default those of each bar.
    where
        Position of the panel.
    """
    names = list(bars)
    totals = [total_of(row) for row in bars.values()]
    lengths = {part: [row.get(part, 0.0) for row in bars.values()] for part in order}

    def hover_text(part: str, i: int) -> str:
        seconds = lengths[part][i]
        share = percent(seconds, total or totals[i])
        return f"<b>{names[i]}</b>, {part}<br>{show(seconds, 'time')}, {share}"

    texts = [show(t, "time") + (f", {percent(t, total)}" if total else "") for t in totals]
    return Panel(
        ChartAxis(title, 0.0, 1.22 * max(totals, default=0.0) or 1.0, "time"),
        ChartAxis(noun, names=names, grid=False, size=13 if len(names) < 12 else 11),
        stacked(names, lengths, colors, hover_text),
        notes=at_ends(names, totals, texts),
        **where,
    )


def largest(
    rows: Amounts, most: int, others: str, weigh: Callable[[Mapping[str, float]], float]
) -> dict[str, Mapping[str, float]]:
    """Return at most `most` rows in their order: the heaviest, and the sum of all others last.

    Parameters
    ----------
    others
        Name of the sum, with ``{}`` for the number of rows in it.
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


def shares_panel(
    names: Sequence[str],
    amounts: Mapping[str, Sequence[float]],
    capacities: Sequence[float],
    colors: Mapping[str, str],
    write: Callable[[float], str] = size,
    *,
    title: str = "share of the capacity (%)",
    **where: Any,
) -> Panel:
    """Return horizontal bars of used shares of several capacities, with a line at 100 %.

    Parameters
    ----------
    names, capacities
        Name and capacity of each bar.
    amounts
        Part -> amount in each bar; parts without any amount are left out.
    write
        Formats an amount with its unit.
    where
        Position of the panel, and further attributes of each bar.
    """
    amounts = {part: row for part, row in amounts.items() if any(row)}
    parts = {
        part: [100.0 * v / max(capacity, 1e-9) for v, capacity in zip(row, capacities, strict=True)]
        for part, row in amounts.items()
    }
    meta, labels = where.pop("meta", None), where.pop("labels", True)
    legend = {name: where.pop(name) for name in ("group", "heading") if name in where}

    def hover_text(part: str, i: int) -> str:
        used = f"{write(amounts[part][i])}, {percent(amounts[part][i], capacities[i])}"
        return f"<b>{part}</b> in {names[i]}: {used} of {write(capacities[i])}"

    notes: list[Note] = []
    ends = [100.0]
    for i, (name, capacity) in enumerate(zip(names, capacities, strict=True)):
        used = float(sum(row[i] for row in amounts.values()))
        text = f"{write(used)} of {write(capacity)}"
        if used > capacity:
            text += f"<br><b>{write(used - capacity)} too much</b>"
        color = INK if used <= capacity else VERMILION
        if capacity:
            ends.append(100.0 * used / capacity)
            position = 1.02, name, "y", color
            notes.append(Note(text, *position, anchor="left middle", align="left"))
    return Panel(
        ChartAxis(title, 0.0, 1.03 * max(ends)),
        ChartAxis(names=names, grid=False, labels=labels),
        stacked(names, parts, colors, hover_text, meta=meta, **legend),
        limits=[ReferenceLine(100.0, "x", width=2, dash="solid")],
        notes=notes,
        **where,
    )


def total_of(row: Mapping[str, float]) -> float:
    """Return the sum of a row's parts."""
    return sum(row.values())


def at_ends(bars: Sequence[str], ends: Sequence[float], texts: Sequence[str]) -> list[Note]:
    """Return texts at the ends of horizontal bars."""
    return [
        Note(text, end, bar, anchor="left auto", shift=(6, 0), veil=True)
        for bar, end, text in zip(bars, ends, texts, strict=True)
    ]
