"""A memory over time: a rectangle for each buffer, from its offset up, while it is alive.

The form is that of the allocation plots in Pisarchyk and Lee, "Efficient memory management for
deep neural net inference", 2020, and of MiniMalloc (Moffitt, ASPLOS 2023).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from perfmodel.errors import Fault, InputError, input_error
from perfmodel.plots.labels import text_size
from perfmodel.plots.page import page
from perfmodel.plots.style import BLUE, HEIGHT, INK, SERIES, VERMILION, WIDTH, axis, figure
from perfmodel.units import binary, show

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.schedule.allocate import Allocation

_MARGIN = {"l": 95, "r": 110, "t": 84, "b": 66}
#: What lies beyond the capacity is vermilion.
_COLORS = tuple(color for color in SERIES if color != VERMILION)
_PALE = "#D6E8F4"
_LABEL = 11.0
#: Names are written into rectangles only where there are no more than that.
_NAMES = 80
_TICKS = 8
#: A capacity so many times the height is not drawn.
_FAR = 4


class Stay(NamedTuple):
    """A buffer in a memory.

    Attributes
    ----------
    name
        Of the buffer; the same for each of several stays.
    lower, upper
        Half-open: it is there from `lower` until just before `upper`.
    offset, size
        Bytes.
    """

    name: str
    lower: float
    upper: float
    offset: int
    size: int


def memory_map(
    stays: Iterable[tuple[str, float, float, int, int]],
    capacity_bytes: int | None = None,
    *,
    kinds: Mapping[str, str] | None = None,
    title: str = "Addresses over time",
    subtitle: str | None = None,
    time: str = "time",
) -> Figure:
    """Draw what lies where and when, the bytes that are alive, and the capacity.

    Parameters
    ----------
    stays
        `Stay` of each buffer, or its five values.
    capacity_bytes
        A line at it; what lies beyond is outlined. One more than four times as high as all that
        lies there is only named, so that this stays visible.
    kinds
        Name of a buffer -> what it is, which decides its colour: weights, spilled, held. Without
        them colour tells how long a buffer is alive.
    subtitle
        By default the height and the largest load.
    time
        Title of the axis of time.

    Raises
    ------
    InputError
        Nothing to draw, or a stay that ends before it starts.
    """
    found = [Stay(*stay) for stay in stays]
    if not found:
        raise input_error("nothing lies in the memory", path="stays", expected="one or more")
    wrong = [s for s in found if not s.lower < s.upper or s.offset < 0 or s.size < 0]
    if wrong:
        raise InputError([
            Fault(f"'{s.name}' takes {s.size} B at {s.offset} from {s.lower} until {s.upper}",
                  path="stays", expected="a time after the first, and bytes from 0")
            for s in wrong
        ])  # fmt: skip
    steps, loads = _loads(found)
    top = max(s.offset + s.size for s in found)
    far = (capacity_bytes or 0) > _FAR * top
    highest = max(top, 0 if far else capacity_bytes or 0, 1)
    beyond = [s for s in found if capacity_bytes is not None and s.offset + s.size > capacity_bytes]
    says = f"height {show(float(top), 'bytes')}, largest load {show(float(max(loads)), 'bytes')}"
    begin, end = min(s.lower for s in found), max(s.upper for s in found)
    shapes: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    if capacity_bytes is not None:
        text = f"capacity<br>{show(float(capacity_bytes), 'bytes')}"
        notes.append(
            {"xref": "paper", "x": 1.0, "y": highest if far else capacity_bytes,
             "text": f"{text},<br>far above" if far else text, "showarrow": False,
             "xanchor": "left", "xshift": 6, "align": "left",
             "font": {"size": 12, "color": VERMILION}}
        )  # fmt: skip
    if capacity_bytes is not None and not far:
        shapes.append(
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": capacity_bytes,
             "y1": capacity_bytes, "line": {"color": VERMILION, "width": 1.6, "dash": "dash"}}
        )  # fmt: skip
    alt = (
        f"Map of a memory: {len(found)} rectangles of buffers over {time} from {begin} to {end}, "
        f"{says}"
    )
    if capacity_bytes is not None:
        alt += f", capacity {show(float(capacity_bytes), 'bytes')}, {len(beyond)} beyond it"
    load = {
        "type": "scatter", "mode": "lines", "x": steps, "y": [*loads, loads[-1]],
        "line": {"shape": "hv", "color": INK, "width": 1.4}, "name": "bytes alive",
        "hovertemplate": "%{y:.4s}B alive from %{x}<extra></extra>", "meta": {"load": max(loads)},
    }  # fmt: skip
    return figure(
        [*_rectangles(found, kinds, highest, end - begin, capacity_bytes), load],
        title, says if subtitle is None else subtitle, f"{alt}.",
        barmode="overlay", margin=_MARGIN, shapes=shapes, annotations=notes,
        xaxis=axis(time, range=[begin, end], showgrid=False, automargin=False),
        yaxis=axis("address", range=[0, 1.03 * highest], automargin=False, **_ticks(highest)),
        legend={"orientation": "h", "x": 1.0, "xanchor": "right", "y": 1.0, "yanchor": "bottom"},
    )  # fmt: skip


def _loads(stays: Sequence[Stay]) -> tuple[list[float], list[int]]:
    """Return times at which something changes, and the bytes alive from each but the last."""
    change: dict[float, int] = {}
    for stay in stays:
        change[stay.lower] = change.get(stay.lower, 0) + stay.size
        change[stay.upper] = change.get(stay.upper, 0) - stay.size
    times = sorted(change)
    loads: list[int] = []
    alive = 0
    for time in times[:-1]:
        alive += change[time]
        loads.append(alive)
    return times, loads


def _ticks(highest: int) -> dict[str, Any]:
    """Return ticks at round binary addresses."""
    step = 1
    while highest / step > _TICKS:
        step *= 2
    values = list(range(0, highest + 1, step))
    return {"tickmode": "array", "tickvals": values, "ticktext": [_address(v) for v in values]}


def _address(value: int) -> str:
    return binary(value, digits=5) if value else "0"


def _rectangles(
    stays: Sequence[Stay], kinds: Mapping[str, str] | None, highest: int, span: float,
    capacity: int | None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return a trace a kind, or one where there are none."""
    if kinds is None:
        lives = [s.upper - s.lower for s in stays]
        marker = {
            "color": lives, "colorscale": [[0, _PALE], [1, BLUE]], "cmin": 0, "cmax": max(lives),
            "colorbar": {"title": {"text": "alive for", "font": {"size": 12}}, "thickness": 10,
                         "len": 0.45, "y": 0.0, "yanchor": "bottom", "x": 1.01, "nticks": 4},
        }  # fmt: skip
        return [_trace(stays, "", marker, highest, span, capacity)]
    names = list(dict.fromkeys(kinds.get(s.name, "other") for s in stays))
    return [
        _trace([s for s in stays if kinds.get(s.name, "other") == name], name,
               {"color": _COLORS[i % len(_COLORS)]}, highest, span, capacity)
        for i, name in enumerate(names)
    ]  # fmt: skip


def _trace(
    stays: Sequence[Stay], kind: str, marker: Mapping[str, Any], highest: int, span: float,
    capacity: int | None,
) -> dict[str, Any]:  # fmt: skip
    outside = [capacity is not None and s.offset + s.size > capacity for s in stays]
    thin = 0.6 if len(stays) <= 4 * _NAMES else 0.25
    line = {"color": [VERMILION if out else "white" for out in outside],
            "width": [1.6 if out else thin for out in outside]}  # fmt: skip
    written = len(stays) <= _NAMES
    text = [s.name if written and _holds(s, highest, span) else "" for s in stays]
    return {
        "type": "bar", "name": kind, "showlegend": bool(kind),
        "x": [(s.lower + s.upper) / 2 for s in stays], "width": [s.upper - s.lower for s in stays],
        "base": [s.offset for s in stays], "y": [s.size for s in stays],
        "marker": {**marker, "line": line}, "text": text, "textposition": "inside",
        "insidetextanchor": "middle", "textangle": 0, "textfont": {"size": _LABEL},
        "constraintext": "none", "hoverinfo": "text",
        "hovertext": [
            f"{s.name}<br>{s.size} B at {s.offset}<br>from {s.lower} until {s.upper}"
            + ("<br>beyond the capacity" if out else "")
            for s, out in zip(stays, outside, strict=True)
        ],
        "meta": {"kind": kind},
    }  # fmt: skip


def _holds(stay: Stay, highest: int, span: float) -> bool:
    """Tell whether a name has room in its rectangle."""
    wide, high = text_size(stay.name, _LABEL)
    across = (WIDTH - _MARGIN["l"] - _MARGIN["r"]) * (stay.upper - stay.lower) / span
    up = (HEIGHT - _MARGIN["t"] - _MARGIN["b"]) * stay.size / (1.03 * highest)
    return wide <= across and high <= up


class AllocationPlots:
    """Plots of an allocation."""

    def __init__(self, allocation: Allocation) -> None:
        self._allocation = allocation

    def memory_map(self) -> Figure:
        """Draw where each buffer lies; see `perfmodel.plots.memory_map.memory_map`."""
        found = self._allocation
        if not found.buffers:
            raise input_error("there are no buffers", path="buffers", expected="one or more")
        bound = show(float(found.lower_bound_bytes), "bytes")
        says = (
            f"height {show(float(found.height_bytes), 'bytes')}, {found.status}; {found.method}; "
        )
        says += "no packing is lower" if found.proved and found.packed else f"at least {bound}"
        held = {b.id: "held" for b in found.buffers if b.offset is not None}
        kinds = {b.id: held.get(b.id, "free to move") for b in found.buffers} if held else None
        return memory_map(
            found.rectangles, found.capacity_bytes, subtitle=says, kinds=kinds,
            title=f"Addresses of {len(found.buffers)} buffers over time",
        )  # fmt: skip

    def page(self) -> str:
        """Return an HTML page of its own: the allocation and its map."""
        found = self._allocation
        head = f"<pre>{escape(repr(found))}</pre>"
        return page(f"{len(found.buffers)} buffers", head, [self.memory_map()])

    def __repr__(self) -> str:
        return "plots: memory_map"


def allocation_plots(allocation: Allocation) -> AllocationPlots:
    """Return the plots of an allocation."""
    return AllocationPlots(allocation)
