"""Picture of a schedule curve: bytes spilled and reloaded over capacity, with proved bounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from perfmodel.charts import (
    BLUE,
    GREEN,
    GREY,
    PALE,
    VERMILION,
    Band,
    Chart,
    ChartAxis,
    Lines,
    Note,
    Panel,
    Picture,
    Points,
    ReferenceLine,
    Series,
    binary,
)
from perfmodel.charts.schedule_memory import title_of
from perfmodel.errors import input_error
from perfmodel.schedule.curve import Curve
from perfmodel.schedule.result import Schedule
from perfmodel.units import show


@Picture
def curve(curve: Curve) -> Chart:
    """Draw bytes spilled and reloaded over capacity, and latency below if it is known.

    The line is achievable: a schedule is feasible wherever its footprint fits, also below the
    capacity for which it was computed. The shaded area is excluded by proof: a bound at a capacity
    holds for all smaller ones. Left of the largest working set nothing is feasible.

    Raises
    ------
    InputError
        No schedule is feasible.
    """
    every = curve.schedules
    fitting = [s for s in every if s.outcome.solution is not None]
    least = every[0].working_set_bytes
    if not fitting:
        raise input_error(
            "nothing fits at any capacity", path="capacity", expected=f"{binary(least)} or more"
        )
    first = fitting[0]
    sizes = [_capacity_bytes(s) for s in every]
    low, high = min(*sizes, least) / 1.12, max(sizes) * 1.12
    # Least capacity in which a schedule runs without spilling.
    free = next((_least_capacity(s) for s in fitting if not s.trace.cost_bytes), None)
    across = ChartAxis("capacity", low, high, "bytes", log=True)
    most = max(s.trace.cost_bytes for s in fitting)
    hover_text = f"nothing fits below {binary(least)}"
    limits = [ReferenceLine(float(least), "x", hover_text, VERMILION, 0.0)]
    notes: list[Note] = []
    if free is not None:
        limits.append(ReferenceLine(float(free), "x", color=GREEN))
        hover_text = f"no spill<br>from {binary(free)}"  # below what is written at the other line
        notes.append(Note(hover_text, float(free), 0.9, "x", GREEN, 11, "left top", "left", (4, 0)))
    timed = all(s.latency_s is not None for s in fitting)
    panel = Panel(
        replace(across, title="", labels=False) if timed else across,
        ChartAxis("spilled and reloaded", 0.0, 1.14 * max(most, 1), "bytes", most=7),
        [*_bound_area(fitting, least), *_achievable_line(fitting, high), *_infeasible_marks(every)],
        bands=[Band(low, least, color="rgba(213,94,0,0.10)")],
        limits=limits,
        notes=notes,
        down=(0.42 if timed else 0.0, 1.0),
    )
    return Chart(
        f"What more memory saves {title_of(first)}",
        f"{first.scheduled.precision}, {first.method}; beside it "
        f"{binary(first.compulsory_bytes)} cross at any capacity",
        _text_alternative(curve, fitting, least, free),
        [panel, _latency(fitting, across)] if timed else [panel],
        legend="above",
    )


def _capacity_bytes(s: Schedule) -> float:
    """Return the capacity of a schedule."""
    return float(s.capacity_bytes or 0)


def _least_capacity(s: Schedule) -> int:
    """Return the least capacity in which a schedule runs unchanged."""
    packed = s.layout is not None and s.layout.packed
    return s.layout.height_bytes if s.layout is not None and packed else s.peak_bytes


def _bound_area(fitting: list[Schedule], least: int) -> list[Series]:
    """Return the area below the bounds: each holds down to the next smaller capacity."""
    bounds = [float(s.lower_bound_bytes) for s in fitting]
    if not any(bounds):
        return []
    return [
        Lines(
            "proved: none is below",
            [float(least), *map(_capacity_bytes, fitting)],
            [bounds[0], *bounds],
            color=GREY,
            width=0,
            step="vh",
            fill=PALE,
            meta={"what": "bound"},
        )
    ]


def _achievable_line(fitting: list[Schedule], high: float) -> list[Series]:
    """Return the achievable line, with filled marks where proved optimal, else open ones."""
    # Lower envelope of the costs over the capacities from which each schedule is feasible.
    stairs: list[tuple[float, float]] = []
    for room, cost in sorted(
        (float(_least_capacity(s)), float(s.trace.cost_bytes)) for s in fitting
    ):
        if not stairs or cost < stairs[-1][1]:
            stairs.append((room, cost))
    rooms, costs = zip(*stairs, (high, stairs[-1][1]), strict=True)
    line = Lines("found", rooms, costs, legend=False, step="hv", meta={"what": "line"})
    look: dict[str, Any] = {"edge": BLUE, "edge_width": 2, "meta": {"what": "points"}}
    groups: dict[bool, list[Schedule]] = {True: [], False: []}
    for s in fitting:
        groups[s.outcome.proved].append(s)
    return [
        line,
        *_marks("found, proved best", groups[True], "circle", **look),
        *_marks("found, not proved", groups[False], "circle-open", **look),
    ]


def _marks(name: str, own: list[Schedule], symbol: str, **look: Any) -> list[Series]:
    """Return marks of schedules at their capacities; infeasible ones at zero."""
    rooms = [_capacity_bytes(s) for s in own]
    costs = [float(s.trace.cost_bytes) if s.outcome.solution else 0.0 for s in own]
    hover = [_hover_text(s) for s in own]
    marks = Points(name, rooms, costs, hover, clipped=False, symbol=symbol, size=10, **look)
    return [marks] if own else []


def _hover_text(s: Schedule) -> str:
    """Return the text shown for a schedule."""
    if s.outcome.solution is None:
        return f"{binary(_capacity_bytes(s))}: does not fit"
    lines = [
        f"<b>{binary(_capacity_bytes(s))}</b>",
        f"{binary(s.spill_bytes)} spilled, {binary(s.reload_bytes)} reloaded",
        f"at least {binary(s.lower_bound_bytes)}",
    ]
    return "<br>".join([*lines, *([] if s.feasible else ["its addresses do not fit"])])


def _infeasible_marks(every: tuple[Schedule, ...]) -> list[Series]:
    """Return marks of the capacities at which nothing fits."""
    own = [s for s in every if s.outcome.solution is None]
    return _marks("does not fit", own, "x", color=VERMILION, meta={"what": "failed"})


def _latency(fitting: list[Schedule], across: ChartAxis) -> Panel:
    """Return the panel of latency over capacity."""
    sizes, seconds = [_capacity_bytes(s) for s in fitting], [s.latency_s or 0.0 for s in fitting]
    line = Lines(
        "latency",
        [*sizes, across.high],
        [*seconds, seconds[-1]],
        [
            *(
                f"<b>{binary(c)}</b><br>{show(t, 'time')}"
                for c, t in zip(sizes, seconds, strict=True)
            ),
            "",
        ],
        legend=False,
        color=GREEN,
        step="hv",
        symbol="circle",
        size=[8.0] * len(sizes) + [0.0],
        meta={"what": "latency"},
    )
    axis = ChartAxis("latency", 0.0, 1.14 * max(seconds), "time", most=4)
    return Panel(across, axis, [line], down=(0.0, 0.34))


def _text_alternative(curve: Curve, fitting: list[Schedule], least: int, free: int | None) -> str:
    """Return the picture as text."""
    points = ", ".join(
        f"{binary(_capacity_bytes(s))}: {binary(s.trace.cost_bytes)}" for s in fitting
    )
    proved = sum(s.outcome.proved for s in fitting)
    where = f"{title_of(fitting[0])} at {len(curve.schedules)} capacities"
    parts = [
        f"Bytes spilled and reloaded by {where}: {points}",
        f"{proved} of {len(fitting)} are proved to be the fewest",
        f"Nothing fits below {binary(least)}",
    ]
    if free is not None:
        parts.append(f"Nothing is spilled from {binary(free)} on")
    return ". ".join(parts) + "."
