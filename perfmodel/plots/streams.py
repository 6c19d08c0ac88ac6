"""Streams and placements: channel and engine over time, what lies in each memory at what cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perfmodel.errors import InputError, input_error
from perfmodel.plots.engines import TRANSFER, ActivityBar, lanes
from perfmodel.plots.style import BLUE, ORANGE, PALE, SKY, VERMILION, axis, figure, ticks
from perfmodel.units import show

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.schedule.place.result import PlacementResult
    from perfmodel.schedule.stream.pipeline import StreamTimeline
    from perfmodel.schedule.stream.result import StreamResult


class StreamPlots:
    """Plots of a stream; each returns a plotly figure."""

    def __init__(self, found: StreamResult) -> None:
        self._found = found

    def timeline(self, *, run: int = -1, loads: int = 60) -> Figure:
        """Channel and engine over part of a run; see `perfmodel.plots.streams.timeline`."""
        return timeline(self._found, run=run, loads=loads)

    def __repr__(self) -> str:
        return "plots: timeline"


class PlacementPlots:
    """Plots of a placement; each returns a plotly figure."""

    def __init__(self, found: PlacementResult) -> None:
        self._found = found

    def levels(self) -> Figure:
        """Bytes in each memory, and seconds; see `perfmodel.plots.streams.levels`."""
        return levels(self._found)

    def __repr__(self) -> str:
        return "plots: levels"


def stream_plots(found: StreamResult) -> StreamPlots:
    """Return the plots of a stream."""
    return StreamPlots(found)


def placement_plots(found: PlacementResult) -> PlacementPlots:
    """Return the plots of a placement."""
    return PlacementPlots(found)


def timeline(found: StreamResult, *, run: int = -1, loads: int = 60) -> Figure:
    """Draw the first loads of a run, and what the engine computes meanwhile.

    Parameters
    ----------
    run
        Which of the simulated runs, from 0; negative from the last.
    loads
        Items to draw at most: a token of a large model has thousands.

    Raises
    ------
    InputError
        Nothing was simulated, or no such run.
    """
    line = found.timeline
    if line is None:
        raise input_error("nothing was simulated", "stream", expected="a feasible one")
    if not -found.runs <= run < found.runs:
        raise input_error(f"there is no run {run}", "run", expected=f"0 to {found.runs - 1}")
    head = f"{run % found.runs}/"
    chosen = [i for i in line.order if line.items[i].name.startswith(head)][:loads]
    hidden = 100 * found.hidden_fraction
    return _lanes(
        line, chosen, found.channel.name, len(head),
        f"{found.prediction.workload.name} on {found.prediction.device}, from {found.channel.name}",
        f"{show(found.run_s, 'time')} a run, {show(found.bubble_s, 'time')} of it bubbles; "
        f"{hidden:.3g} % of the loading is hidden; the first {len(chosen)} items of a run",
        f"Stream of {found.prediction.workload.name}",
    )  # fmt: skip


def pipeline_timeline(line: StreamTimeline, title: str = "Pipeline") -> Figure:
    """Draw a whole pipeline: a lane for the channel, one for the engine."""
    return _lanes(
        line, list(line.order), "channel", 0, title,
        f"{show(line.makespan_s, 'time')}, {show(line.bubble_s, 'time')} of it bubbles", title,
    )  # fmt: skip


def _lanes(
    line: StreamTimeline,
    chosen: list[int],
    channel: str,
    cut: int,
    title: str,
    subtitle: str,
    about: str,
) -> Figure:
    loads = [i for i in chosen if line.items[i].io_s > 0.0]
    works = [i for i in chosen if line.items[i].compute_s > 0.0]
    starts = [*(line.io_start[i] for i in loads), *(line.compute_start[i] for i in works)]
    zero = float(min(starts, default=0.0))
    parts = (
        (channel, TRANSFER, loads, line.io_start, line.io_end),
        ("engine", "compute", works, line.compute_start, line.compute_end),
    )
    bars = [
        ActivityBar(
            lane, line.items[i].name[cut:], float(start[i]) - zero, float(end[i]) - zero, kind
        )
        for lane, kind, members, start, end in parts
        for i in members
    ]
    return lanes(bars, title, subtitle, order=[channel, "engine"], about=about)


def levels(found: PlacementResult) -> Figure:
    """Draw what lies in each memory (left) and the time of a run that it is read (right).

    Raises
    ------
    InputError
        Nothing fits.
    """
    if not found.feasible:
        raise InputError([str(v) for v in found.violations])
    names = [level.name for level in found.levels]
    held = {
        role: [
            sum(r.stored_bytes for r in found.rows if r.role == role and r.level == name)
            for name in names
        ]
        for role in ("weight", "kv")
    }
    cached = [found.cache_bytes.get(name, 0.0) for name in names]
    free = [
        max(0.0, level.capacity_bytes - sum(held[role][i] for role in held) - cached[i])
        for i, level in enumerate(found.levels)
    ]
    seconds = [found.level_s[name] for name in names]
    parts: list[tuple[str, list[float], str]] = [
        ("weights", held["weight"], BLUE), ("KV cache", held["kv"], ORANGE),
        ("cache of experts", cached, SKY), ("free", free, PALE),
    ]  # fmt: skip
    total = [sum(values[i] for _, values, _ in parts) or 1.0 for i in range(len(names))]
    traces: list[dict[str, Any]] = [
        {
            "type": "bar", "orientation": "h", "name": label, "y": names,
            "x": [100 * v / t for v, t in zip(values, total, strict=True)],
            "marker": {"color": color}, "hoverinfo": "text",
            "hovertext": [f"{label} in {n}: {show(v, 'bytes')}"
                          for n, v in zip(names, values, strict=True)],
            "text": [show(v, "bytes") if v > 0.12 * t else ""
                     for v, t in zip(values, total, strict=True)],
            "textposition": "inside", "insidetextanchor": "middle",
        }
        for label, values, color in parts if any(values)
    ]  # fmt: skip
    traces.append({
        "type": "bar", "orientation": "h", "name": "time of a run", "y": names, "x": seconds,
        "xaxis": "x2", "marker": {"color": VERMILION}, "showlegend": False,
        "text": [show(s, "time") for s in seconds], "textposition": "auto", "hoverinfo": "text",
        "hovertext": [f"{n} is read for {show(s, 'time')} a run"
                      for n, s in zip(names, seconds, strict=True)],
    })  # fmt: skip
    longest = 1.05 * max(*seconds, 1e-9)
    unit = "time" if found.objective == "latency_s" else "energy"
    proof = "the least" if found.proved else f"at most {100 * found.gap:.2g} % above the least"
    said = "; ".join(
        f"{n} holds {show(found.used_bytes[n], 'bytes')} and is read for {show(s, 'time')}"
        for n, s in zip(names, seconds, strict=True)
    )
    p = found.prediction
    return figure(
        traces, f"{p.workload.name} in the memories of {p.device}",
        f"{p.precision}; {show(found.value, unit)} a run, {proof}",
        f"Placement of {p.workload.name}: {said}.",
        barmode="stack", height=190 + 60 * max(len(names), 2),
        xaxis=axis("share of the capacity (%)", domain=[0.0, 0.58], range=[0, 100],
                   exponentformat="none"),
        xaxis2=axis("time of a run", domain=[0.66, 1.0], anchor="y", range=[0, longest],
                    **ticks(longest, "time", 5)),
        yaxis=axis("", type="category", categoryorder="array", categoryarray=names[::-1],
                   showgrid=False, ticksuffix=" "),
        legend={"orientation": "h", "x": 0.0, "y": 1.0, "yanchor": "bottom",
                "traceorder": "normal"},
        margin={"l": 110, "r": 30, "t": 96, "b": 60},
    )  # fmt: skip
