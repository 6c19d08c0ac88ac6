"""What engines and channels are busy with: a lane each, a bar for whatever runs, over time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from perfmodel.errors import Fault, InputError, input_error
from perfmodel.plots.page import page
from perfmodel.plots.style import GREY, SERIES, axis, figure, percent
from perfmodel.units import show

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.schedule.assign.report import DeviceAssignment

#: Kind of bar that moves data, drawn apart from what computes.
TRANSFER = "transfer"

#: Kinds whose colour never changes.
_COMMON = ("conv", "gemm", "depthwise", "elementwise", "attention", "norm")

#: Time units of the axis, largest first.
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))

#: Share of the axis above which a bar has its name written in it, for each character.
_PER_CHARACTER = 0.0135

#: Share of the axis above which a bar has a white edge.
_EDGED = 0.005


class ActivityBar(NamedTuple):
    """Something that keeps a lane busy.

    Attributes
    ----------
    lane
        Engine, channel or DMA queue.
    name
        What it is busy with.
    kind
        Decides the colour; ``transfer`` for what moves data.
    note
        What else is said of it where the mouse is.
    """

    lane: str
    name: str
    start_s: float
    end_s: float
    kind: str
    note: str = ""


def lanes(
    bars: Iterable[ActivityBar], title: str, subtitle: str = "", *, order: Sequence[str] = (),
    about: str = "Timeline", colors: Mapping[str, str] | None = None, in_steps: bool = False,
) -> Figure:  # fmt: skip
    """Draw bars on lanes over time.

    Parameters
    ----------
    bars
        What runs where and when.
    order
        Lanes from top to bottom, those that nothing uses too; by default as bars first name them.
    about
        First words of the text alternative.
    colors
        Kind -> colour, for kinds that have one of their own.
    in_steps
        Starts and ends are positions in an order instead of seconds.

    Raises
    ------
    InputError
        No bar, or one that ends before it starts.
    """
    found = list(bars)
    if not found:
        raise input_error("nothing runs", "bars", expected="one bar or more")
    wrong = [bar for bar in found if bar.end_s < bar.start_s]
    if wrong:
        raise InputError([Fault(f"'{bar.name}' ends before it starts", "bars") for bar in wrong])
    names = list(dict.fromkeys([*order, *(bar.lane for bar in found)]))
    begin, end = min(bar.start_s for bar in found), max(bar.end_s for bar in found)
    span = (end - begin) or 1.0
    scale, unit = next(((s, u) for s, u in _UNITS if span >= s), _UNITS[-1])
    if in_steps:
        scale = 1.0
    busy = {
        lane: sum(bar.end_s - bar.start_s for bar in found if bar.lane == lane) for lane in names
    }
    labels = {lane: lane if in_steps else f"{lane} ({percent(busy[lane], span)})" for lane in names}
    kinds = sorted({bar.kind for bar in found}, key=lambda k: (k == TRANSFER, -_spent(found, k)))
    chosen = _colors(kinds) | dict(colors or {})
    traces = [
        _trace([b for b in found if b.kind == kind], kind, chosen[kind], labels, span, scale,
               in_steps)
        for kind in kinds
    ]  # fmt: skip
    said = ", ".join(f"{lane} {percent(busy[lane], span)}" for lane in names)
    over = f"{span:g} steps" if in_steps else show(span, "time")
    alt = f"{about} of {len(found)} bars on {len(names)} lanes over {over}. "
    alt += ("" if in_steps else f"Busy: {said}. ") + f"Kinds: {', '.join(kinds)}."
    return figure(
        traces, title, subtitle, alt, barmode="overlay", bargap=0.3,
        height=190 + 74 * max(len(names), 3),
        xaxis=axis("step of the order" if in_steps else f"time ({unit})",
                   range=[begin / scale, (end + 0.01 * span) / scale], exponentformat="none"),
        yaxis=axis("", type="category", categoryorder="array",
                   categoryarray=[labels[lane] for lane in names][::-1],
                   range=[-0.5, len(names) - 0.5], showgrid=False, ticksuffix=" "),
        legend={"orientation": "h", "x": 0.0, "y": 1.0, "yanchor": "bottom"},
        margin={"l": 150, "r": 30, "t": 108, "b": 60},
    )  # fmt: skip


def _colors(kinds: Iterable[str]) -> dict[str, str]:
    """Return a colour a kind, the same in every plot for the common ones."""
    colors = dict(zip(_COMMON, SERIES, strict=False))
    others = [kind for kind in kinds if kind not in colors and kind != TRANSFER]
    free = [c for kind, c in colors.items() if kind not in kinds] or list(colors.values())
    colors |= {kind: free[i % len(free)] for i, kind in enumerate(others)}
    return colors | {TRANSFER: GREY}


def _spent(bars: Iterable[ActivityBar], kind: str) -> float:
    return sum(bar.end_s - bar.start_s for bar in bars if bar.kind == kind)


def _trace(
    bars: Sequence[ActivityBar], kind: str, color: str, labels: dict[str, str], span: float,
    scale: float, in_steps: bool,
) -> dict[str, Any]:  # fmt: skip
    # Narrow bars would be nothing but white edge: theirs has their own colour, so that they show.
    wide = [(bar.end_s - bar.start_s) / span > _EDGED for bar in bars]
    edges = {"color": ["white" if w else color for w in wide],
             "width": [0.5 if w else 0.8 for w in wide]}  # fmt: skip
    inside = [
        bar.name if (bar.end_s - bar.start_s) / span > _PER_CHARACTER * len(bar.name) else ""
        for bar in bars
    ]
    return {
        "type": "bar", "orientation": "h", "name": kind,
        "y": [labels[bar.lane] for bar in bars],
        "base": [bar.start_s / scale for bar in bars],
        "x": [(bar.end_s - bar.start_s) / scale for bar in bars],
        "marker": {"color": color, "line": edges},
        "text": inside, "textposition": "inside", "insidetextanchor": "middle", "textangle": 0,
        "constraintext": "none", "textfont": {"color": "white"},
        "hoverinfo": "text",
        "hovertext": [
            f"{bar.name} ({bar.kind})<br>{bar.lane}: {_when(bar, in_steps)}"
            + (f"<br>{bar.note}" if bar.note else "")
            for bar in bars
        ],
        "meta": {"kind": kind},
    }  # fmt: skip


def _when(bar: ActivityBar, in_steps: bool) -> str:
    if in_steps:
        return f"step {math.floor(bar.start_s)}"
    spent = show(bar.end_s - bar.start_s, "time")
    return f"{show(bar.start_s, 'time')} to {show(bar.end_s, 'time')}, {spent}"


class AssignmentPlots:
    """Plots of an assignment; each returns a plotly figure."""

    def __init__(self, found: DeviceAssignment) -> None:
        self._found = found

    def timeline(self) -> Figure:
        """Engines, memories and links over one run; see `perfmodel.plots.engines.timeline`."""
        return timeline(self._found)

    def page(self) -> str:
        """Return an HTML page of its own: the assignment and its timeline."""
        found = self._found
        drawn = [self.timeline()] if found.result.run is not None else []
        return page(found.network.workload.name, f"<pre>{escape(repr(found))}</pre>", drawn)

    def __repr__(self) -> str:
        return "plots: timeline"


def assignment_plots(found: DeviceAssignment) -> AssignmentPlots:
    """Return the plots of an assignment."""
    return AssignmentPlots(found)


def timeline(found: DeviceAssignment) -> Figure:
    """Draw one run of an assignment: a lane an engine, one a memory or link that tensors cross.

    Raises
    ------
    InputError
        There is no assignment.
    """
    run, network = found.result.run, found.network
    if run is None:
        raise input_error("there is no assignment", "assignment", expected="a feasible one")
    problem = network.problem
    kinds = network.kinds
    engines = list(problem.engines)
    bars = [
        ActivityBar(engines[int(run.engine[i])], problem.operators[i], float(run.start_s[i]),
            float(run.end_s[i]), kinds[i])
        for i in range(problem.count)
    ]  # fmt: skip
    alone = len({s.device for s in network.stations}) == 1
    ways: list[str] = []
    for t, e, f, sent, arrived in zip(
        run.tensor, run.source, run.target, run.sent_s, run.arrived_s, strict=True
    ):
        one, two = network.stations[int(e)], network.stations[int(f)]
        if one.device == two.device:
            memory = one.machine.main_memory
            lane = memory if alone else f"{one.device}.{memory}"
        else:
            lane = f"{network.joins[one.device, two.device].link} to {two.device}"
        ways.append(lane)
        flow = network.flows[int(t)]
        bars.append(ActivityBar(lane, flow.tensor, float(sent), float(arrived), TRANSFER))
    every = show(found.interval_s, "time")
    how = {
        "sequential": "one thing at a time", "parallel": "engines in parallel",
        "throughput": f"one run by itself; in a pipeline one every {every}",
    }[found.result.goal]  # fmt: skip
    devices = " and ".join(dict.fromkeys(s.device for s in network.stations))
    proof = "proved least" if found.proved else f"within {100 * found.gap:.2g} % of the least"
    return lanes(
        bars, f"{network.workload.name} on {devices}",
        f"{network.precision}, {how}; {proof}; {show(run.makespan_s, 'time')}",
        order=[*engines, *dict.fromkeys(ways)],
        about=f"Timeline of {network.workload.name} on the engines of {devices}",
    )  # fmt: skip
