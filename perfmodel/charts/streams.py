"""Pictures of streamed weights and of placements.

`timeline` and `pipeline_timeline` draw channel and engine over time; `levels` draws the contents of
each memory and the time that a run reads it.
"""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.charts import (
    BLUE,
    ORANGE,
    SKY,
    VERMILION,
    Bars,
    Chart,
    ChartAxis,
    Panel,
    Picture,
)
from perfmodel.charts.activity_lanes import TRANSFER, ActivityBar, lanes
from perfmodel.charts.stacked_bars import at_ends, shares_panel
from perfmodel.errors import InputError, input_error
from perfmodel.schedule.place.result import PlacementResult
from perfmodel.schedule.stream.pipeline import StreamTimeline
from perfmodel.schedule.stream.result import StreamResult
from perfmodel.units import show

_COLORS = {"weights": BLUE, "KV cache": ORANGE, "cache of experts": SKY}


@Picture
def timeline(stream: StreamResult, *, run: int = -1, loads: int = 60) -> Chart:
    """Draw the first loads of a run, and the concurrent computation.

    Parameters
    ----------
    run
        Index of the simulated run; negative from the last.
    loads
        Largest number of items: a token of a large model has thousands.

    Raises
    ------
    InputError
        Nothing was simulated, or no such run.
    """
    line = stream.timeline
    if line is None:
        raise input_error("nothing was simulated", "stream", expected="a feasible one")
    if not -stream.runs <= run < stream.runs:
        raise input_error(f"there is no run {run}", "run", expected=f"0 to {stream.runs - 1}")
    head = f"{run % stream.runs}/"
    items = [i for i in line.order if line.items[i].name.startswith(head)][:loads]
    p, channel = stream.prediction, stream.channel.name
    return lanes.chart(
        _bars(line, items, channel, len(head)),
        f"{p.workload.name} on {p.device}, from {channel}",
        f"{show(stream.run_s, 'time')} a run, {show(stream.bubble_s, 'time')} of it bubbles; "
        f"{100 * stream.hidden_fraction:.3g} % of the loading is hidden; the first {len(items)} "
        "items of a run",
        order=[channel, "engine"],
        about=f"Stream of {p.workload.name}",
    )


@Picture
def pipeline_timeline(line: StreamTimeline, title: str = "Pipeline") -> Chart:
    """Draw an entire pipeline: one lane for the channel, one for the engine."""
    return lanes.chart(
        _bars(line, line.order, "channel", 0),
        title,
        f"{show(line.makespan_s, 'time')}, {show(line.bubble_s, 'time')} of it bubbles",
        order=["channel", "engine"],
        about=title,
    )


def _bars(line: StreamTimeline, items: Sequence[int], channel: str, cut: int) -> list[ActivityBar]:
    """Return loads on the channel and computation on the engine, starting at time 0."""
    lanes_ = (
        (channel, TRANSFER, line.io_start, line.io_end),
        ("engine", "compute", line.compute_start, line.compute_end),
    )
    bars = [
        ActivityBar(lane, line.items[i].name[cut:], float(start[i]), float(end[i]), kind)
        for lane, kind, start, end in lanes_
        for i in items
        if end[i] > start[i]
    ]
    zero = min((bar.start_s for bar in bars), default=0.0)
    return [bar._replace(start_s=bar.start_s - zero, end_s=bar.end_s - zero) for bar in bars]


@Picture
def levels(placement: PlacementResult) -> Chart:
    """Draw the contents of each memory (left) and the time that a run reads it (right).

    Raises
    ------
    InputError
        The placement is infeasible.
    """
    if not placement.feasible:
        raise InputError([str(v) for v in placement.violations])
    p, names = placement.prediction, [level.name for level in placement.levels]
    times = [show(placement.level_s[name], "time") for name in names]
    above = f"at most {100 * placement.gap:.2g} % above the least"
    unit = "time" if placement.objective == "latency_s" else "energy"
    value = f"{show(placement.value, unit)} a run, {'the least' if placement.proved else above}"
    hover_text = "; ".join(
        f"{name} holds {show(placement.used_bytes[name], 'bytes')} and is read for {time}"
        for name, time in zip(names, times, strict=True)
    )
    return Chart(
        f"{p.workload.name} in the memories of {p.device}",
        f"{p.precision}; {value}",
        f"Placement of {p.workload.name}: {hover_text}.",
        [_contents_panel(placement, names), _read_time_panel(placement, names, times)],
        legend="above",
        height=190 + 60 * max(len(names), 2),
        stacked=True,
    )


def _contents_panel(placement: PlacementResult, names: list[str]) -> Panel:
    """Return the contents of each memory, as shares of its capacity."""

    def stored(role: str) -> list[float]:
        own = dict.fromkeys(names, 0.0)
        for row in placement.rows:
            own[row.level] += row.stored_bytes if row.role == role else 0
        return list(own.values())

    cached = [placement.cache_bytes.get(name, 0.0) for name in names]
    parts = {"weights": stored("weight"), "KV cache": stored("kv"), "cache of experts": cached}
    rooms = [float(level.capacity_bytes) for level in placement.levels]
    return shares_panel(names, parts, rooms, _COLORS, across=(0.0, 0.43))


def _read_time_panel(placement: PlacementResult, names: list[str], times: list[str]) -> Panel:
    """Return the time that a run reads each memory."""
    seconds = [placement.level_s[name] for name in names]
    hover = [f"{name} is read for {time} a run" for name, time in zip(names, times, strict=True)]
    bars = Bars(
        "time of a run",
        seconds,
        names,
        hover,
        legend=False,
        across=True,
        color=VERMILION,
        edge_width=0.0,
    )
    return Panel(
        ChartAxis("time of a run", 0.0, 1.35 * max(*seconds, 1e-9), "time", most=5),
        ChartAxis(names=names, grid=False, labels=False),
        [bars],
        notes=at_ends(names, seconds, times),
        across=(0.66, 1.0),
    )
