"""Memory map over time: a rectangle for each buffer, from its offset up, over its live range.

The form is that of the allocation plots in Pisarchyk and Lee, "Efficient memory management for
deep neural net inference", 2020, and of MiniMalloc (Moffitt, ASPLOS 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from perfmodel.charts import (
    BLUE,
    INK,
    SERIES,
    VERMILION,
    Bars,
    Chart,
    ChartAxis,
    Lines,
    Note,
    Panel,
    Picture,
    ReferenceLine,
    Series,
    Shades,
    binary,
)
from perfmodel.errors import Fault, InputError, input_error
from perfmodel.schedule.allocate import Allocation

#: Buffers beyond the capacity are vermilion.
_COLORS = tuple(color for color in SERIES if color != VERMILION)
_PALE = "#D6E8F4"
#: Largest number of rectangles with names.
_NAMES = 80
#: Multiple of the height above which a capacity is not drawn to scale.
_FAR = 4


class Stay(NamedTuple):
    """A live range of a buffer in a memory.

    Attributes
    ----------
    name
        Name of the buffer, the same for all its stays.
    lower, upper
        Half-open live range: from `lower` until just before `upper`.
    offset, size
        Bytes.
    """

    name: str
    lower: float
    upper: float
    offset: int
    size: int


@Picture
def memory_map(
    rectangles: Iterable[tuple[str, float, float, int, int]],
    capacity_bytes: int | None = None,
    *,
    kinds: Mapping[str, str] | None = None,
    title: str = "Addresses over time",
    subtitle: str | None = None,
    time: str = "time",
) -> Chart:
    """Draw addresses over time, the bytes alive, and the capacity.

    Parameters
    ----------
    rectangles
        `Stay` of each buffer, or its five values.
    capacity_bytes
        Drawn as a line; rectangles beyond it are outlined. A capacity above four times the height
        is only named, so that the rectangles remain visible.
    kinds
        Name of a buffer -> kind, which sets its colour: weights, spilled, held. Without kinds,
        colour shows the length of the live range.
    subtitle
        By default the height and the largest load.
    time
        Title of the time axis.

    Raises
    ------
    InputError
        No rectangles, or a stay that ends before it starts.
    """
    buffers = [Stay(*stay) for stay in rectangles]
    if not buffers:
        raise input_error("nothing lies in the memory", path="rectangles", expected="one or more")
    wrong = [s for s in buffers if not s.lower < s.upper or s.offset < 0 or s.size < 0]
    if wrong:
        raise InputError(
            [
                Fault(
                    f"'{s.name}' takes {s.size} B at {s.offset} from {s.lower} until {s.upper}",
                    path="rectangles",
                    expected="a time after the first, and bytes from 0",
                )
                for s in wrong
            ]
        )
    panel = map_panel(buffers, capacity_bytes, kinds, time=time)
    _, loads = _bytes_alive(buffers)
    top = max(s.offset + s.size for s in buffers)
    height = f"height {binary(top)}, largest load {binary(max(loads))}"
    alt = f"Map of a memory: {len(buffers)} rectangles of buffers over {time} from "
    alt += f"{panel.x.low} to {panel.x.high}, {height}"
    if capacity_bytes is not None:
        over = sum(s.offset + s.size > capacity_bytes for s in buffers)
        alt += f", capacity {binary(capacity_bytes)}, {over} beyond it"
    return Chart(
        title,
        height if subtitle is None else subtitle,
        f"{alt}.",
        [panel],
        legend="above",
    )


def map_panel(
    buffers: Sequence[Stay],
    capacity: int | None,
    kinds: Mapping[str, str] | None,
    *,
    colors: Mapping[str, str] | None = None,
    hover_text: Callable[[int], str] | None = None,
    time: str = "time",
) -> Panel:
    """Return rectangles by kind, the bytes alive as a line, and the capacity.

    Parameters
    ----------
    kinds
        Name of a buffer -> its kind; without kinds, colour shows the length of the live range.
    colors
        Kind -> colour, for kinds with a specific one.
    words
        Index of a buffer -> hover text.
    """
    top = max(s.offset + s.size for s in buffers)
    far = (capacity or 0) > _FAR * top
    highest = max(top, 0 if far else capacity or 0, 1)
    begin, end = min(s.lower for s in buffers), max(s.upper for s in buffers)
    groups: dict[str, list[int]] = {}
    for i, s in enumerate(buffers):
        groups.setdefault("" if kinds is None else kinds.get(s.name, "other"), []).append(i)
    rectangles = [_buffer_bars(buffers, own, capacity, hover_text) for own in groups.values()]
    longest = max(s.upper - s.lower for s in buffers)
    shades = Shades("alive for", 0.0, longest, [(0, _PALE), (1, BLUE)], place="corner")
    colors = dict(zip(groups, _COLORS * len(groups), strict=False)) | dict(colors or {})
    series: list[Series] = [
        replace(bars, name=kind, color=colors[kind], meta={"kind": kind})
        if kind
        else replace(bars, color=bars.width, shades=shades)
        for kind, bars in zip(groups, rectangles, strict=True)
    ]
    times, loads = _bytes_alive(buffers)
    loads.append(loads[-1])
    hover = [f"{binary(load)} alive from {t}" for t, load in zip(times, loads, strict=True)]
    look: dict[str, Any] = {"color": INK, "width": 1.4, "step": "hv", "meta": {"load": max(loads)}}
    series.append(Lines("bytes alive", times, loads, hover, **look))
    notes: list[Note] = []
    if capacity is not None:
        text = f"capacity<br>{binary(capacity)}{',<br>far above' if far else ''}"
        notes.append(beside(text, highest if far else capacity))
    line = [] if far or capacity is None else [ReferenceLine(capacity, color=VERMILION, width=1.6)]
    return Panel(
        ChartAxis(time, begin, end, grid=False),
        ChartAxis("address", 0.0, 1.03 * highest, "address", most=9),
        series,
        limits=line,
        notes=notes,
    )


def _buffer_bars(
    buffers: Sequence[Stay],
    members: list[int],
    capacity: int | None,
    hover_text: Callable[[int], str] | None,
) -> Bars:
    """Return rectangles, outlined beyond the capacity, with names if there are few.

    Parameters
    ----------
    members
        Indices of the buffers.
    """
    own = [buffers[i] for i in members]
    over = [capacity is not None and s.offset + s.size > capacity for s in own]
    thin = 0.6 if len(buffers) <= 4 * _NAMES else 0.25
    return Bars(
        "",
        [(s.lower + s.upper) / 2 for s in own],
        [s.size for s in own],
        [
            hover_text(i) if hover_text else _hover_text(buffers[i], out)
            for i, out in zip(members, over, strict=True)
        ],
        width=[s.upper - s.lower for s in own],
        base=[s.offset for s in own],
        edge=[VERMILION if out else "white" for out in over],
        edge_width=[1.6 if out else thin for out in over],
        text=[s.name for s in own] if len(own) <= _NAMES else (),
        meta={"kind": ""},
    )


def beside(text: str, y: float, color: str = VERMILION) -> Note:
    """Return a text to the right of a panel, at a level."""
    return Note(text, 1.0, y, "y", anchor="left auto", shift=(6, 0), align="left", color=color)


def _hover_text(s: Stay, over: bool) -> str:
    """Return the text shown for a buffer: size, offset and live range."""
    text = f"{s.name}<br>{s.size} B at {s.offset}<br>from {s.lower} until {s.upper}"
    return text + ("<br>beyond the capacity" if over else "")


def _bytes_alive(buffers: Sequence[Stay]) -> tuple[list[float], list[int]]:
    """Return the times of changes, and the bytes alive from each except the last."""
    change: dict[float, int] = {}
    for stay in buffers:
        change[stay.lower] = change.get(stay.lower, 0) + stay.size
        change[stay.upper] = change.get(stay.upper, 0) - stay.size
    times = sorted(change)
    loads: list[int] = []
    alive = 0
    for time in times[:-1]:
        alive += change[time]
        loads.append(alive)
    return times, loads


@Picture
def allocation_map(allocation: Allocation) -> Chart:
    """Draw the buffers of an allocation over address and time.

    Raises
    ------
    InputError
        There are no buffers.
    """
    buffers = allocation.buffers
    if not buffers:
        raise input_error("there are no buffers", path="buffers", expected="one or more")
    proved = allocation.proved and allocation.packed
    bound = f"at least {binary(allocation.lower_bound_bytes)}"
    fixed = {b.id: "held" for b in buffers if b.offset is not None}
    kinds = {b.id: fixed.get(b.id, "free to move") for b in buffers} if fixed else None
    return memory_map.chart(
        allocation.rectangles,
        allocation.capacity_bytes,
        subtitle=f"height {binary(allocation.height_bytes)}, {allocation.status}; "
        f"{allocation.method}; {'no packing is lower' if proved else bound}",
        kinds=kinds,
        title=f"Addresses of {len(buffers)} buffers over time",
    )
