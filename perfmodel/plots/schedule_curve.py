"""Bytes spilled and reloaded against capacity: what was found, what is proved, what fits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from perfmodel.errors import input_error
from perfmodel.plots.schedule_stays import title_of
from perfmodel.plots.style import BLUE, GREEN, GREY, PALE, VERMILION, axis, binary, figure, ticks
from perfmodel.units import show

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.schedule.curve import Curve
    from perfmodel.schedule.result import Schedule

_STEP = {"shape": "hv"}


def curve(found: Curve) -> Figure:
    """Draw bytes spilled and reloaded over capacity, and latency below where it is known.

    The line is what is known to be possible: a schedule fits wherever what it holds does, also
    below the capacity that it was made for. The shade is proved: a bound at a capacity holds for
    all smaller ones, and no schedule lies in it. Left of the largest working set nothing fits.

    Raises
    ------
    InputError
        There is no schedule at all.
    """
    fitting = [s for s in found.schedules if s.outcome.script is not None]
    if not fitting:
        raise input_error(
            "nothing fits at any capacity",
            path="capacity",
            expected=f"{binary(found.schedules[0].working_set_bytes)} or more",
        )
    first = fitting[0]
    least = first.working_set_bytes
    sizes = [s.capacity_bytes or 0 for s in found.schedules]
    low, high = min(*sizes, least), max(sizes)
    low, high = low / 1.12, high * 1.12
    moved = [s.trace.cost_bytes for s in fitting]
    top = 1.14 * max(*moved, 1)
    free = _free(fitting)
    timed = all(s.latency_s is not None for s in fitting)
    shapes, notes = _marks(least, low, free)
    bound = [_bound(fitting, least)] if any(s.lower_bound_bytes for s in fitting) else []
    traces = [*bound, *_found(fitting, high)]
    failed = [s for s in found.schedules if s.outcome.script is None]
    if failed:
        traces.append(
            {"type": "scatter", "mode": "markers", "name": "does not fit",
             "x": [s.capacity_bytes for s in failed], "y": [0.0] * len(failed),
             "marker": {"symbol": "x", "size": 10, "color": VERMILION}, "cliponaxis": False,
             "hoverinfo": "text", "meta": {"what": "failed"},
             "hovertext": [f"{binary(s.capacity_bytes or 0)}: does not fit" for s in failed]}
        )  # fmt: skip
    across = axis(
        "capacity", type="log", range=[math.log10(low), math.log10(high)], **_sizes(low, high)
    )
    layout: dict[str, Any] = {"xaxis": across | {"anchor": "y"}}
    above = [0.0, 1.0]
    if timed:
        above = [0.42, 1.0]
        traces.append(_latency(fitting, high))
        longest = 1.14 * max(s.latency_s or 0.0 for s in fitting)
        layout = {
            "xaxis": across | {"anchor": "y", "title": {"text": ""}, "showticklabels": False},
            "xaxis2": across | {"anchor": "y2", "matches": "x"},
            "yaxis2": axis("latency", domain=[0.0, 0.34], anchor="x2", range=[0, longest],
                           **ticks(longest, "time", 4)),
        }  # fmt: skip
    return figure(
        traces, f"What more memory saves {title_of(first)}",
        f"{first.scheduled.precision}, {first.method}; beside it "
        f"{binary(first.compulsory_bytes)} cross at any capacity",
        _alt(found, fitting, least, free), shapes=shapes, annotations=notes,
        margin={"l": 110, "r": 30, "t": 100, "b": 66},
        yaxis=axis("spilled and reloaded", domain=above, range=[0, top], anchor="x",
                   **_bytes_ticks(moved, top)),
        legend={"orientation": "h", "x": 1.0, "xanchor": "right", "y": 1.0, "yanchor": "bottom"},
        **layout,
    )  # fmt: skip


def _bytes_ticks(moved: list[int], top: float) -> dict[str, Any]:
    if any(moved):
        return ticks(top, "bytes", 7)
    return {"tickmode": "array", "tickvals": [0], "ticktext": ["0"]}


def _free(fitting: list[Schedule]) -> int | None:
    """Return a capacity in which a schedule that was found runs without any spill."""
    for s in fitting:
        if not s.trace.cost_bytes:
            return _needs(s)
    return None


def _needs(s: Schedule) -> int:
    """Return the least capacity that a schedule runs in as it is."""
    packed = s.layout is not None and s.layout.packed
    return s.layout.height_bytes if s.layout is not None and packed else s.peak_bytes


def _bound(fitting: list[Schedule], least: int) -> dict[str, Any]:
    """Return the shade under the bounds: that of a capacity holds down to the next smaller."""
    x: list[float] = [float(least)]
    y: list[float] = []
    for s in fitting:
        assert s.capacity_bytes is not None
        x.append(float(s.capacity_bytes))
        y.append(float(s.lower_bound_bytes))
    return {
        "type": "scatter", "mode": "lines", "name": "proved: none is below", "x": x,
        "y": [y[0], *y], "line": {"color": GREY, "width": 0, "shape": "vh"}, "fill": "tozeroy",
        "fillcolor": PALE, "hoverinfo": "skip", "meta": {"what": "bound"},
    }  # fmt: skip


def _found(fitting: list[Schedule], high: float) -> list[dict[str, Any]]:
    """Return the line of what was found, with full marks where it is proved and empty ones else."""
    x = [float(s.capacity_bytes or 0) for s in fitting]
    y = [float(s.trace.cost_bytes) for s in fitting]
    hover = [
        f"<b>{binary(s.capacity_bytes or 0)}</b><br>{binary(s.spill_bytes)} spilled, "
        f"{binary(s.reload_bytes)} reloaded<br>at least {binary(s.lower_bound_bytes)}"
        + ("" if s.feasible else "<br>its addresses do not fit")
        for s in fitting
    ]
    # From where each schedule fits, the least of those that do.
    stairs: list[tuple[float, float]] = []
    for room, cost in sorted((float(_needs(s)), float(s.trace.cost_bytes)) for s in fitting):
        if not stairs or cost < stairs[-1][1]:
            stairs.append((room, cost))
    line: dict[str, Any] = {
        "type": "scatter", "mode": "lines", "name": "found",
        "x": [*(room for room, _ in stairs), high], "y": [*(c for _, c in stairs), stairs[-1][1]],
        "line": {"color": BLUE, "width": 2, **_STEP}, "hoverinfo": "skip", "showlegend": False,
        "meta": {"what": "line"},
    }  # fmt: skip
    out = [line]
    for name, want, symbol in (
        ("found, proved best", True, "circle"), ("found, not proved", False, "circle-open"),
    ):  # fmt: skip
        mine = [i for i, s in enumerate(fitting) if (s.outcome.proved) == want]
        if mine:
            out.append(
                {"type": "scatter", "mode": "markers", "name": name, "x": [x[i] for i in mine],
                 "y": [y[i] for i in mine], "hoverinfo": "text", "cliponaxis": False,
                 "hovertext": [hover[i] for i in mine], "meta": {"what": "points"},
                 "marker": {"symbol": symbol, "size": 10, "color": BLUE,
                            "line": {"width": 2, "color": BLUE}}}
            )  # fmt: skip
    return out


def _latency(fitting: list[Schedule], high: float) -> dict[str, Any]:
    seconds = [s.latency_s or 0.0 for s in fitting]
    sizes = [float(s.capacity_bytes or 0) for s in fitting]
    return {
        "type": "scatter", "mode": "lines+markers", "xaxis": "x2", "yaxis": "y2",
        "x": [*sizes, high], "y": [*seconds, seconds[-1]], "showlegend": False,
        "line": {"color": GREEN, "width": 2, **_STEP}, "hoverinfo": "text",
        "marker": {"size": [8.0] * len(sizes) + [0.0], "color": GREEN, "opacity": 1.0},
        "name": "latency",
        "hovertext": [f"<b>{binary(c)}</b><br>{show(t, 'time')}"
                      for c, t in zip(sizes, seconds, strict=True)] + [""],
        "meta": {"what": "latency"},
    }  # fmt: skip


def _marks(
    least: int, low: float, free: int | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return where nothing fits, and from where on nothing is spilled."""
    shapes: list[dict[str, Any]] = [
        {"type": "rect", "x0": low, "x1": least, "y0": 0, "y1": 1, "yref": "y domain",
         "fillcolor": "rgba(213,94,0,0.10)", "line": {"width": 0}, "layer": "below"}
    ]  # fmt: skip
    notes: list[dict[str, Any]] = [
        {"x": math.log10(least), "y": 0.5, "yref": "y domain", "textangle": -90,
         "text": f"nothing fits below {binary(least)}", "showarrow": False, "xanchor": "right",
         "font": {"size": 12, "color": VERMILION}, "xshift": -2}
    ]  # fmt: skip
    if free is not None and free > least:
        shapes.append(
            {"type": "line", "x0": free, "x1": free, "y0": 0, "y1": 1, "yref": "y domain",
             "line": {"color": GREEN, "width": 1.4, "dash": "dash"}}
        )  # fmt: skip
    if free is not None:
        notes.append(
            {"x": math.log10(free), "y": 0.97, "yref": "y domain", "showarrow": False,
             "text": f"no spill<br>from {binary(free)}", "align": "left", "yanchor": "top",
             "xanchor": "left", "xshift": 5, "font": {"size": 12, "color": "#007A59"}}
        )  # fmt: skip
    return shapes, notes


def _sizes(low: float, high: float) -> dict[str, Any]:
    """Return ticks at powers of two, or between them where there are few."""
    powers = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
    steps = (1.0,) if len(powers) >= 4 else (1.0, 1.25, 1.5, 1.75)
    start = math.floor(math.log2(low))
    values = [
        m * 2.0**p for p in range(start, start + len(powers) + 2) for m in steps
        if low <= m * 2.0**p <= high
    ]  # fmt: skip
    return {"tickmode": "array", "tickvals": values, "ticktext": [binary(v) for v in values]}


def _alt(found: Curve, fitting: list[Schedule], least: int, free: int | None) -> str:
    points = ", ".join(
        f"{binary(s.capacity_bytes or 0)}: {binary(s.trace.cost_bytes)}" for s in fitting
    )
    proved = sum(s.outcome.proved for s in fitting)
    where = f"{title_of(fitting[0])} at {len(found.schedules)} capacities"
    parts = [
        f"Bytes spilled and reloaded by {where}: {points}",
        f"{proved} of {len(fitting)} are proved to be the fewest",
        f"Nothing fits below {binary(least)}",
    ]
    if free is not None:
        parts.append(f"Nothing is spilled from {binary(free)} on")
    return ". ".join(parts) + "."
