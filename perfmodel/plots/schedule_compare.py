"""Two schedules side by side: their memories over the order, their bytes and seconds below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perfmodel.errors import input_error
from perfmodel.plots.schedule_memory import memory
from perfmodel.plots.schedule_stays import title_of
from perfmodel.plots.style import BLUE, GREY, ORANGE, SKY, VERMILION, axis, binary, figure, ticks
from perfmodel.units import show

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.schedule.result import Schedule

_LEFT, _RIGHT = [0.0, 0.46], [0.54, 1.0]
_ABOVE, _BELOW = [0.4, 1.0], [0.0, 0.2]


def compare(one: Schedule, two: Schedule, names: tuple[str, str] | None = None) -> Figure:
    """Draw two memory maps on one scale, and below them what both move and how long they take.

    Parameters
    ----------
    names
        What to call them; by default method and objective, or capacity, by which they differ.

    Raises
    ------
    InputError
        One of them is no schedule.
    """
    if any(s.outcome.script is None for s in (one, two)):
        raise input_error("there is no schedule", path="compare", expected="two that fit")
    both = (one, two)
    called = names or _names(one, two)
    used = max(max(s.peak_bytes, _height(s)) for s in both)
    # A capacity far above what is used is no part of the picture.
    rooms = [s.capacity_bytes for s in both if (s.capacity_bytes or 0) <= 4 * used]
    high = 1.03 * max(used, *(room or 0 for room in rooms), 1)
    traces: list[dict[str, Any]] = []
    shapes: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    shown: set[str] = set()
    for i, s in enumerate(both):
        number = "" if i == 0 else "2"
        drawn: Any = memory(s)
        for trace in drawn.data:
            made: dict[str, Any] = trace.to_plotly_json()
            made |= {"xaxis": f"x{number}", "yaxis": f"y{number}"}
            if made["type"] == "bar":
                made["text"] = [""] * len(made["x"])
            made["legendgroup"] = made["name"]
            made["showlegend"] = made["name"] not in shown
            shown.add(made["name"])
            traces.append(made)
        if s.capacity_bytes is not None and s.capacity_bytes <= high:
            shapes.append(
                {"type": "line", "xref": f"x{number} domain", "yref": f"y{number}", "x0": 0,
                 "x1": 1, "y0": s.capacity_bytes, "y1": s.capacity_bytes,
                 "line": {"color": VERMILION, "width": 1.6, "dash": "dash"}}
            )  # fmt: skip
        notes.append(
            {"xref": f"x{number} domain", "yref": f"y{number} domain", "x": 0, "y": 1.0,
             "text": f"<b>{called[i]}</b>", "showarrow": False, "xanchor": "left",
             "yanchor": "bottom", "font": {"size": 13}}
        )  # fmt: skip
    timed = one.latency_s is not None and two.latency_s is not None
    bars, bar_notes, wide = _bytes(both, called)
    traces += bars
    notes += bar_notes
    layout: dict[str, Any] = {}
    if timed:
        more, more_notes, seconds = _seconds(both, called)
        traces += more
        notes += more_notes
        layout = {
            "xaxis4": axis("latency", domain=_RIGHT, anchor="y4", range=[0, 1.3 * seconds],
                           **ticks(1.3 * seconds, "time", 4)),
            "yaxis4": axis("", domain=_BELOW, anchor="x4", autorange="reversed", showgrid=False,
                           showticklabels=False),
        }  # fmt: skip
    steps = [len(s.script.order) for s in both]
    return figure(
        traces, f"Two schedules of {title_of(one)}", _says(one, two, called),
        _alt(one, two, called), shapes=shapes, annotations=notes, barmode="overlay", height=680,
        margin={"l": 110, "r": 30, "t": 118, "b": 62},
        xaxis=axis("step of the order", domain=_LEFT, anchor="y", range=[0, steps[0]],
                   showgrid=False),
        yaxis=axis("on chip", domain=_ABOVE, anchor="x", range=[0, high],
                   **ticks(high, "bytes", 6)),
        xaxis2=axis("step of the order", domain=_RIGHT, anchor="y2", range=[0, steps[1]],
                    showgrid=False),
        yaxis2=axis("", domain=_ABOVE, anchor="x2", range=[0, high], matches="y",
                    **ticks(high, "bytes", 6) | {"showticklabels": False}),
        xaxis3=axis("spilled and reloaded", domain=_LEFT if timed else [0.0, 1.0], anchor="y3",
                    range=[0, 1.6 * wide if timed else 1.25 * wide],
                    **ticks(1.6 * wide, "bytes", 4 if timed else 9)),
        yaxis3=axis("", domain=_BELOW, anchor="x3", autorange="reversed", showgrid=False,
                    ticksuffix=" "),
        legend={"orientation": "h", "x": 1.0, "xanchor": "right", "y": 1.045, "yanchor": "bottom"},
        **layout,
    )  # fmt: skip


def _height(s: Schedule) -> int:
    return s.layout.height_bytes if s.layout is not None and s.layout.packed else 0


def _names(one: Schedule, two: Schedule) -> tuple[str, str]:
    """Return the first of what they differ in."""
    differ = ((a, b) for a, b in zip(_says_what(one), _says_what(two), strict=True) if a != b)
    return next(differ, ("first", "second"))


def _says_what(s: Schedule) -> tuple[str, ...]:
    room = "no limit" if s.capacity_bytes is None else binary(s.capacity_bytes)
    return (s.method, s.objective, room, f"{len(s.problem.steps)} steps", title_of(s))


def _bytes(
    both: tuple[Schedule, Schedule], called: tuple[str, str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], float]:
    """Return bars of spills, reloads and what tiles move, the sums beside them, and the longest."""
    parts = {
        "spill ": (VERMILION, [s.spill_bytes for s in both]),
        "reload ": (ORANGE, [s.reload_bytes for s in both]),
        "tiles": (SKY, [s.tile_bytes for s in both]),
    }
    traces: list[dict[str, Any]] = []
    base = [0, 0]
    for name, (color, sizes) in parts.items():
        if not any(sizes):
            continue
        traces.append(
            {"type": "bar", "orientation": "h", "xaxis": "x3", "yaxis": "y3", "y": list(called),
             "x": sizes, "base": list(base), "width": 0.6, "name": name, "showlegend": False,
             "marker": {"color": color}, "hoverinfo": "text",
             "hovertext": [f"{name.strip()}: {binary(v)}" for v in sizes],
             "meta": {"part": name.strip()}}
        )  # fmt: skip
        base = [b + v for b, v in zip(base, sizes, strict=True)]
    if not traces:
        traces.append(
            {"type": "bar", "orientation": "h", "xaxis": "x3", "yaxis": "y3", "y": list(called),
             "x": [0, 0], "showlegend": False, "hoverinfo": "skip", "name": "none"}
        )  # fmt: skip
    notes = [
        {"xref": "x3", "yref": "y3", "x": b, "y": name, "text": _parts(s), "showarrow": False,
         "xanchor": "left", "xshift": 5, "font": {"size": 12}}
        for b, name, s in zip(base, called, both, strict=True)
    ]  # fmt: skip
    return traces, notes, float(max(*base, 1))


def _parts(s: Schedule) -> str:
    if not s.trace.cost_bytes + s.tile_bytes:
        return "none"
    tiles = f" + {binary(s.tile_bytes)}" if s.tile_bytes else ""
    return f"{binary(s.spill_bytes)} + {binary(s.reload_bytes)}{tiles}"


def _seconds(
    both: tuple[Schedule, Schedule], called: tuple[str, str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], float]:
    """Return bars of latency: the engine's time, and what it waits."""
    lines = [s.timing.timeline for s in both if s.timing is not None]
    traces = [
        {"type": "bar", "orientation": "h", "xaxis": "x4", "yaxis": "y4", "y": list(called),
         "x": values, "base": base, "width": 0.6, "name": name, "showlegend": False,
         "marker": {"color": color}, "hoverinfo": "text",
         "hovertext": [f"{name}: {show(v, 'time')}" for v in values], "meta": {"part": name}}
        for name, color, values, base in (
            ("engine works", BLUE, [x.compute_s for x in lines], [0.0, 0.0]),
            ("engine waits", GREY, [x.exposed_s for x in lines], [x.compute_s for x in lines]),
        )
    ]  # fmt: skip
    notes = [
        {"xref": "x4", "yref": "y4", "x": x.makespan_s, "y": name,
         "text": show(x.makespan_s, "time"), "showarrow": False, "xanchor": "left", "xshift": 5,
         "font": {"size": 12}}
        for x, name in zip(lines, called, strict=True)
    ]  # fmt: skip
    return traces, notes, max(x.makespan_s for x in lines)


def _says(one: Schedule, two: Schedule, called: tuple[str, str]) -> str:
    moved = [s.trace.cost_bytes + s.tile_bytes for s in (one, two)]
    if moved[0] == moved[1]:
        said = "both spill and reload as many bytes"
    else:
        more, less = (0, 1) if moved[0] > moved[1] else (1, 0)
        saved = binary(moved[more] - moved[less])
        said = f"{called[less]} spills and reloads {saved} fewer"
    if one.latency_s is not None and two.latency_s is not None:
        said += "; latency: engine works (blue), waits (grey)"
    return said


def _alt(one: Schedule, two: Schedule, called: tuple[str, str]) -> str:
    parts = [f"Two schedules of {title_of(one)} side by side"]
    for s, name in zip((one, two), called, strict=True):
        said = f"{name}: {binary(s.spill_bytes)} spilled, {binary(s.reload_bytes)} reloaded, peak "
        said += binary(s.peak_bytes)
        if s.latency_s is not None:
            said += f", {show(s.latency_s, 'time')}"
        parts.append(said)
    return ". ".join(parts) + "."
