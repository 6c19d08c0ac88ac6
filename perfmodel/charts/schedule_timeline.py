"""Picture of a schedule's timeline: steps and transfers over seconds if known, else over steps."""

from __future__ import annotations

from perfmodel.charts import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    Chart,
    Picture,
    binary,
    percent,
)
from perfmodel.charts.activity_lanes import ActivityBar, lanes
from perfmodel.charts.schedule_memory import title_of
from perfmodel.errors import input_error
from perfmodel.schedule.latency.timeline import TimelineActivity, required_stores
from perfmodel.schedule.result import Schedule
from perfmodel.schedule.schedule_text import proof_text
from perfmodel.units import show

#: Kind of activity -> colour.
_COLORS = {
    "compute": BLUE,
    "input": GREEN,
    "weights": GREY,
    "output": PURPLE,
    "spill": VERMILION,
    "reload": ORANGE,
    "tiles": SKY,
}


@Picture
def timeline(s: Schedule) -> Chart:
    """Draw the running steps and the concurrent transfers across the chip's boundary.

    In seconds if a device provides times, otherwise over the order with one unit per step: the
    tensors spilled and reloaded just before a step divide its unit.

    Raises
    ------
    InputError
        There is no schedule.
    """
    if s.outcome.solution is None:
        raise input_error("there is no schedule", path="schedule", expected="one that fits")
    return _in_steps(s) if s.timing is None else _in_seconds(s)


def _in_seconds(s: Schedule) -> Chart:
    """Return the timeline over seconds."""
    assert s.timing is not None
    line = s.timing.timeline
    required = required_stores(s.problem)
    engine = s.where.engine or "compute"
    tiled, between = _tiled(s), _between(s)

    def kind(row: TimelineActivity) -> str:
        match row.what:
            case "run":
                return "compute"
            case "stream":
                return "tiles" if row.index in tiled else "weights"
            case "load":
                passed = between.intersection(s.problem.steps[row.index].writes)
                return "tiles" if passed else "input"
            case "store" if row.index not in required:
                return "spill"
            case "store":
                return "tiles" if row.index in between else "output"
            case _:
                return "reload"

    bars = [
        ActivityBar(
            engine if row.what == "run" else row.where,
            row.name,
            row.start_s,
            row.end_s,
            kind(row),
            binary(row.bytes) if row.bytes else "",
        )
        for row in line.rows
        if row.bytes or row.what == "run"
    ]
    waits = percent(line.exposed_s, line.makespan_s)
    crossing = sum(r.bytes for r in line.rows)
    tiles = f", {binary(s.tile_bytes)} more for tiles" if s.tile_bytes else ""
    return lanes.chart(
        bars,
        f"Timeline of {title_of(s)}",
        f"{s.scheduled.precision}: {show(line.makespan_s, 'time')}, {engine} waits {waits}; "
        f"{binary(crossing)} across, {binary(s.trace.cost_bytes)} of it spilled and "
        f"reloaded{tiles}; {proof_text(s)}",
        order=[engine],
        about=f"Timeline of {title_of(s)}",
        colors=_COLORS,
    )


def _tiled(s: Schedule) -> frozenset[int]:
    """Return the steps whose operands are transferred tile by tile."""
    if s.tiled is None:
        return frozenset()
    return frozenset(k for k, step in enumerate(s.tiled.step) if step in s.tiled.tilings)


def _between(s: Schedule) -> frozenset[int]:
    """Return the buffers that leave the chip because a tiled step writes or reads them."""
    if s.untiled is None:
        return frozenset()
    outside = {b.name for b in s.untiled.problem.buffers if b.stored}
    buffers = s.problem.buffers
    return frozenset(t for t, b in enumerate(buffers) if b.stored and b.name not in outside)


def _in_steps(s: Schedule) -> Chart:
    """Return the timeline over steps."""
    problem = s.problem
    spilled: dict[int, list[int]] = {}
    loaded: dict[int, list[int]] = {}
    for stay in s.trace.intervals:
        if stay.spilled:
            spilled.setdefault(stay.last + 1, []).append(stay.buffer)
        if stay.reloaded:
            loaded.setdefault(stay.first, []).append(stay.buffer)
    bars: list[ActivityBar] = []
    for k, n in enumerate(s.script.order):
        step = problem.steps[n]
        if step.load:
            note = binary(sum(problem.buffers[t].size_bytes for t in step.writes))
            bars.append(ActivityBar("inputs", step.name, k, k + 1, "input", note))
        else:
            note = f"{binary(s.trace.held_bytes[k])} on chip"
            bars.append(ActivityBar("steps", step.name, k, k + 1, "compute", note))
        for lane, kind, moves in (("spills", "spill", spilled), ("reloads", "reload", loaded)):
            own = [problem.buffers[t] for t in moves.get(k, [])]
            for i, buffer in enumerate(own):
                start, end = k + i / len(own), k + (i + 1) / len(own)
                note = binary(buffer.size_bytes)
                bars.append(ActivityBar(lane, buffer.name, start, end, kind, note))
    return lanes.chart(
        bars,
        f"Order of {title_of(s)}",
        f"{s.scheduled.precision}, {s.method}: {binary(s.spill_bytes)} spilled, "
        f"{binary(s.reload_bytes)} reloaded; {proof_text(s)}",
        order=["steps", "inputs", "spills", "reloads"],
        about=f"Order of {title_of(s)}",
        colors=_COLORS,
        in_steps=True,
    )
