"""Picture of two schedules side by side: memory maps over the order, bytes and seconds below."""

from __future__ import annotations

from dataclasses import replace

from perfmodel.charts import (
    BLUE,
    GREY,
    ORANGE,
    SKY,
    VERMILION,
    Bars,
    Chart,
    ChartAxis,
    Note,
    Panel,
    Picture,
    ReferenceLine,
    binary,
    quantity,
)
from perfmodel.charts.schedule_memory import memory, title_of
from perfmodel.charts.stacked_bars import at_ends, stacked
from perfmodel.errors import input_error
from perfmodel.schedule.result import Schedule
from perfmodel.units import show

Pair = tuple[str, str]

_SIDES = (0.0, 0.46), (0.54, 1.0)
_BELOW = (0.0, 0.2)
#: Quantity -> colour.
_COLORS = {
    "spill": VERMILION,
    "reload": ORANGE,
    "tiles": SKY,
    "engine works": BLUE,
    "engine waits": GREY,
}


@Picture
def compare(one: Schedule, two: Schedule, names: Pair | None = None) -> Chart:
    """Draw two memory maps on one scale, and below them bytes moved and time.

    Parameters
    ----------
    names
        Names of the two; by default the method and objective, or capacity, that differ.

    Raises
    ------
    InputError
        One of them is no schedule.
    """
    both = one, two
    if any(s.outcome.solution is None for s in both):
        raise input_error("there is no schedule", path="compare", expected="two that fit")
    names = names or _distinct_names(one, two)
    used = max(max(s.peak_bytes, _height(s)) for s in both)
    # A capacity far above the memory in use is not drawn.
    rooms = [s.capacity_bytes or 0 for s in both if (s.capacity_bytes or 0) <= 4 * used]
    high = 1.03 * max(used, *rooms, 1)
    lines = [s.timing.timeline for s in both if s.timing is not None]
    timed = len(lines) == 2
    bytes_ = {
        name: [float(getattr(s, f"{name.removesuffix('s')}_bytes")) for s in both]
        for name in ("spill", "reload", *(["tiles"] if any(s.tile_bytes for s in both) else []))
    }
    bars = _totals_panel(names, bytes_, "bytes", [_byte_text(s) for s in both])
    panels = [
        *(
            _memory_panel(s, name, side, high)
            for s, name, side in zip(both, names, _SIDES, strict=True)
        ),
        replace(bars, across=_SIDES[0]) if timed else bars,
    ]
    if timed:
        spent = {
            "engine works": [line.compute_s for line in lines],
            "engine waits": [line.exposed_s for line in lines],
        }
        seconds = _totals_panel(
            names, spent, "time", [show(line.makespan_s, "time") for line in lines]
        )
        panels.append(replace(seconds, across=_SIDES[1], y=replace(seconds.y, labels=False)))
    return Chart(
        f"Two schedules of {title_of(one)}",
        _subtitle(one, two, names),
        _text_alternative(one, two, names),
        panels,
        legend="above",
        height=680,
        stacked=True,
    )


def _height(s: Schedule) -> int:
    """Return the bytes up to the highest address; 0 without a packing."""
    return s.layout.height_bytes if s.layout is not None and s.layout.packed else 0


def _memory_panel(s: Schedule, name: str, side: tuple[float, float], high: float) -> Panel:
    """Return the memory map of one schedule, without names in its rectangles."""
    panel = memory.chart(s).panels[0]
    left, room = side == _SIDES[0], s.capacity_bytes
    title = Note(f"<b>{name}</b>", 0.0, 1.0, "", anchor="left bottom", size=13)
    return replace(
        panel,
        y=ChartAxis("on chip" if left else "", 0.0, high, "bytes", most=6, labels=left),
        series=[replace(t, text=()) if isinstance(t, Bars) else t for t in panel.series],
        limits=[ReferenceLine(room, color=VERMILION, width=1.6)]
        if room is not None and room <= high
        else [],
        notes=[title],
        across=side,
        down=(0.4, 1.0),
    )


def _distinct_names(one: Schedule, two: Schedule) -> Pair:
    """Return the first trait in which the two differ."""
    pairs = zip(_traits(one), _traits(two), strict=True)
    return next(((a, b) for a, b in pairs if a != b), ("first", "second"))


def _traits(s: Schedule) -> tuple[str, ...]:
    """Return the traits that may distinguish two schedules."""
    room = "no limit" if s.capacity_bytes is None else binary(s.capacity_bytes)
    return (s.method, s.objective, room, f"{len(s.problem.steps)} steps", title_of(s))


def _totals_panel(
    names: Pair, parts: dict[str, list[float]], dimension: str, texts: list[str]
) -> Panel:
    """Return two horizontal bars of bytes or seconds, with their sums at the ends."""
    ends = [sum(values) for values in zip(*parts.values(), strict=True)]
    title = "latency" if dimension == "time" else "spilled and reloaded"
    most = max(*ends, 1e-12 if dimension == "time" else 1.0)
    return Panel(
        ChartAxis(title, 0.0, 1.6 * most, dimension, most=4),
        ChartAxis(names=names, grid=False),
        stacked(
            names,
            parts,
            _COLORS,
            lambda part, i: f"{part}: {quantity(parts[part][i], dimension)}",
            width=0.6,
            legend=False,
            edge_width=0.0,
        ),
        notes=at_ends(names, ends, texts),
        down=_BELOW,
    )


def _byte_text(s: Schedule) -> str:
    """Return bytes spilled, reloaded and moved by tiles, as text."""
    if not s.trace.cost_bytes + s.tile_bytes:
        return "none"
    tiles = f" + {binary(s.tile_bytes)}" if s.tile_bytes else ""
    return f"{binary(s.spill_bytes)} + {binary(s.reload_bytes)}{tiles}"


def _subtitle(one: Schedule, two: Schedule, names: Pair) -> str:
    """Return which schedule moves fewer bytes."""
    first, second = (s.trace.cost_bytes + s.tile_bytes for s in (one, two))
    less = names[first > second]
    text = f"{less} spills and reloads {binary(abs(first - second))} fewer"
    if first == second:
        text = "both spill and reload as many bytes"
    timed = one.latency_s is not None and two.latency_s is not None
    return text + "; latency: engine works (blue), waits (grey)" * timed


def _text_alternative(one: Schedule, two: Schedule, names: Pair) -> str:
    """Return the picture as text."""
    parts = [f"Two schedules of {title_of(one)} side by side"]
    for s, name in zip((one, two), names, strict=True):
        text = f"{name}: {binary(s.spill_bytes)} spilled, {binary(s.reload_bytes)} reloaded, peak "
        time = "" if s.latency_s is None else f", {show(s.latency_s, 'time')}"
        parts.append(text + binary(s.peak_bytes) + time)
    return ". ".join(parts) + "."
