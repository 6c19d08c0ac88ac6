"""Bars along a time axis, one line a part of the machine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from perfmodel.plots.style import INK, axis
from perfmodel.units import show

#: Width of the outline of bars that may be narrower than a pixel.
_OUTLINE = 1.6


class TimelineBar(NamedTuple):
    """A span of a line of the plot, in seconds.

    Attributes
    ----------
    lane
        Line that it lies on.
    what
        What it is: a key of the plot's colours.
    start, seconds
        Where it begins, and how long it is.
    number
        Which of its sort it is, for its label; none where left out.
    """

    lane: str
    what: str
    start: float
    seconds: float
    number: int | None = None


def timeline_traces(
    bars: Sequence[TimelineBar], colors: Mapping[str, str], scale: float,
    *, words: Mapping[str, str] | None = None, outlined: Collection[str] = (),
) -> list[dict[str, Any]]:  # fmt: skip
    """Return a trace for each sort of bar that there is, in the order of the colours.

    Parameters
    ----------
    colors
        What a bar is -> its colour.
    scale
        Units of the time axis a second.
    words
        What a bar is -> how the legend calls it, where other than that.
    outlined
        What is so short that an outline of its own colour keeps it visible.
    """
    traces: list[dict[str, Any]] = []
    for what, color in colors.items():
        mine = [bar for bar in bars if bar.what == what]
        if not mine:
            continue
        name = (words or {}).get(what, what)
        outline = {"color": color, "width": _OUTLINE}
        traces.append(
            {"type": "bar", "orientation": "h", "name": name,
             "y": [bar.lane for bar in mine],
             "base": [bar.start * scale for bar in mine],
             "x": [bar.seconds * scale for bar in mine],
             "marker": {"color": color,
                        "line": outline if what in outlined else {"color": "white", "width": 0.5}},
             "hoverinfo": "text", "hovertext": [_label(bar, name) for bar in mine],
             "textfont": {"color": INK}, "meta": {"what": what}}
        )  # fmt: skip
    return traces


def _label(bar: TimelineBar, name: str) -> str:
    which = "" if bar.number is None else f", number {bar.number + 1}"
    until = bar.start + bar.seconds
    return f"{name}{which}<br>{bar.lane}: {show(bar.start, 'time')} to {show(until, 'time')}"


def timeline_layout(lanes: Sequence[str], end: float, unit: str) -> dict[str, Any]:
    """Return axes, legend and margins: lanes from the top, time up to `end` in `unit`."""
    return {
        "barmode": "overlay", "bargap": 0.25,
        "xaxis": axis(f"time ({unit})", range=[0, end]),
        "yaxis": axis("", type="category", categoryorder="array", categoryarray=lanes[::-1],
                      showgrid=False, ticksuffix=" "),
        "legend": {"orientation": "h", "x": 0.0, "y": -0.13, "yanchor": "top"},
        "margin": {"l": 150, "r": 30, "t": 84, "b": 110},
    }  # fmt: skip
