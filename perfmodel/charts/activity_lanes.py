"""Timelines: one lane for each engine, memory or link, one bar for each piece of work.

`lanes` draws any list of `ActivityBar`; `timeline` draws one run of an assignment of operators.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from perfmodel.charts import GREY, SERIES, Bars, Chart, ChartAxis, Panel, Picture, percent
from perfmodel.errors import Fault, InputError, input_error
from perfmodel.schedule.assign.device_assignment import DeviceAssignment
from perfmodel.units import show

#: Kind of bar for data movement, coloured differently from computation.
TRANSFER = "transfer"

#: Kinds with a fixed colour in every picture.
_COMMON = ("conv", "gemm", "depthwise", "elementwise", "attention", "norm")
#: Time units of the axis, largest first.
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
#: Share of the axis above which a bar has a white edge, and its name if that fits.
_EDGED = 0.005


class ActivityBar(NamedTuple):
    """A busy interval of a lane.

    Attributes
    ----------
    lane
        Engine, channel or DMA queue.
    name
        Name of the work.
    kind
        Determines the colour; ``transfer`` for data movement.
    note
        Further hover text.
    """

    lane: str
    name: str
    start_s: float
    end_s: float
    kind: str
    note: str = ""

    @property
    def length_s(self) -> float:
        """Duration."""
        return self.end_s - self.start_s


@Picture
def lanes(
    bars: Iterable[ActivityBar],
    title: str,
    subtitle: str = "",
    *,
    order: Sequence[str] = (),
    about: str = "Timeline",
    colors: Mapping[str, str] | None = None,
    in_steps: bool = False,
) -> Chart:
    """Draw bars on lanes over time.

    Parameters
    ----------
    bars
        Pieces of work with their lanes and times.
    order
        Lanes from top to bottom, including unused ones; by default in order of first use.
    about
        Opening words of the text alternative.
    colors
        Kind -> colour, for kinds with a specific one.
    in_steps
        Starts and ends are positions in an order instead of seconds.

    Raises
    ------
    InputError
        No bar, or one that ends before it starts.
    """
    bars = list(bars)
    if not bars:
        raise input_error("nothing runs", "bars", expected="one bar or more")
    wrong = [bar for bar in bars if bar.end_s < bar.start_s]
    if wrong:
        raise InputError([Fault(f"'{bar.name}' ends before it starts", "bars") for bar in wrong])
    names = list(dict.fromkeys([*order, *(bar.lane for bar in bars)]))
    span = _start_and_length(bars)[1]
    busy: dict[str, float] = defaultdict(float)
    spent: dict[str, float] = defaultdict(float)
    for bar in bars:
        busy[bar.lane] += bar.length_s
        spent[bar.kind] += bar.length_s
    shares = {lane: percent(busy[lane], span) for lane in names}
    kinds = sorted(spent, key=lambda kind: (kind == TRANSFER, -spent[kind]))
    own = _colors(kinds) | dict(colors or {})
    over = f"{span:g} steps" if in_steps else show(span, "time")
    texts = ", ".join(f"{lane} {share}" for lane, share in shares.items())
    alt = f"{about} of {len(bars)} bars on {len(names)} lanes over {over}. "
    alt += ("" if in_steps else f"Busy: {texts}. ") + f"Kinds: {', '.join(kinds)}."
    panel = lane_panel(
        bars,
        {lane: lane if in_steps else f"{lane} ({share})" for lane, share in shares.items()},
        {kind: own[kind] for kind in kinds},
        in_steps=in_steps,
    )
    height = 190 + 74 * max(len(names), 3)
    return Chart(title, subtitle, alt, [panel], "above", height=height, gap=0.3)


def lane_panel(
    bars: Sequence[ActivityBar],
    labels: Mapping[str, str],
    colors: Mapping[str, str],
    *,
    hover_text: Mapping[str, str] | None = None,
    outlined: Collection[str] = (),
    in_steps: bool = False,
) -> Panel:
    """Return a panel of bars on lanes, in a unit of time that suits their extent.

    Parameters
    ----------
    labels
        Lane -> label, from top to bottom.
    colors
        Kind -> colour, in the order of the legend.
    words
        Kind -> name in the legend, if different.
    outlined
        Kinds so short that an outline in their colour keeps them visible.
    in_steps
        Starts and ends are positions in an order instead of seconds.
    """
    begin, span = _start_and_length(bars)
    scale, unit = next(((s, u) for s, u in _UNITS if span >= s), _UNITS[-1])
    title = "step of the order" if in_steps else f"time ({unit})"
    scale = 1.0 if in_steps else scale
    series: list[Bars] = []
    for kind, color in colors.items():
        own = [bar for bar in bars if bar.kind == kind]
        # A narrow bar would consist of white edge only: its edge has the bar's colour.
        wide = [bar.length_s / span > _EDGED for bar in own]
        if own:
            series.append(
                Bars(
                    (hover_text or {}).get(kind, kind),
                    [bar.length_s / scale for bar in own],
                    [labels[bar.lane] for bar in own],
                    [_hover_text(bar, in_steps) for bar in own],
                    across=True,
                    base=[bar.start_s / scale for bar in own],
                    color=color,
                    edge=color if kind in outlined else ["white" if w else color for w in wide],
                    edge_width=1.6 if kind in outlined else [0.5 if w else 0.8 for w in wide],
                    text=[bar.name if w else "" for bar, w in zip(own, wide, strict=True)],
                    text_color="white",
                    meta={"kind": kind},
                )
            )
    return Panel(
        ChartAxis(title, begin / scale, (begin + 1.01 * span) / scale),
        ChartAxis(names=list(labels.values()), grid=False),
        series,
    )


def _start_and_length(bars: Sequence[ActivityBar]) -> tuple[float, float]:
    """Return the start of the first bar, and the time to the end of the last."""
    begin = min(bar.start_s for bar in bars)
    return begin, (max(bar.end_s for bar in bars) - begin) or 1.0


def _colors(kinds: Iterable[str]) -> dict[str, str]:
    """Return kind -> colour, the same in every picture for common kinds."""
    colors = dict(zip(_COMMON, SERIES, strict=False))
    others = [kind for kind in kinds if kind not in colors and kind != TRANSFER]
    free = [c for kind, c in colors.items() if kind not in kinds] or list(colors.values())
    colors |= {kind: free[i % len(free)] for i, kind in enumerate(others)}
    return colors | {TRANSFER: GREY}


def _hover_text(bar: ActivityBar, in_steps: bool) -> str:
    """Return the text shown for a bar: its name, kind, lane and time."""
    start, end, length = (show(s, "time") for s in (bar.start_s, bar.end_s, bar.length_s))
    when = f"step {math.floor(bar.start_s)}" if in_steps else f"{start} to {end}, {length}"
    text = f"{bar.name} ({bar.kind})<br>{bar.lane}: {when}"
    return f"{text}<br>{bar.note}" if bar.note else text


@Picture
def timeline(assignment: DeviceAssignment) -> Chart:
    """Draw one run of an assignment: a lane per engine, memory and link that carries tensors.

    Raises
    ------
    InputError
        There is no assignment.
    """
    run, network = assignment.result.solution, assignment.network
    if run is None:
        raise input_error("there is no assignment", "assignment", expected="a feasible one")
    problem, device_engines = network.problem, network.device_engines
    engines = list(problem.engines)
    columns = run.engine, problem.operators, run.start_s, run.end_s, network.kinds
    bars = [
        ActivityBar(engines[int(engine)], name, float(start), float(end), kind)
        for engine, name, start, end, kind in zip(*columns, strict=True)
    ]
    devices = list(dict.fromkeys(s.device for s in device_engines))
    for tensor, source, target, start, end in zip(
        run.tensor, run.source, run.target, run.sent_s, run.arrived_s, strict=True
    ):
        one, two = device_engines[int(source)], device_engines[int(target)]
        if one.device != two.device:
            lane = f"{network.links[one.device, two.device].link} to {two.device}"
        else:
            lane = (f"{one.device}." if len(devices) > 1 else "") + one.machine.main_memory
        name = network.flows[int(tensor)].tensor
        bars.append(ActivityBar(lane, name, float(start), float(end), TRANSFER))
    every = show(assignment.interval_s, "time")
    how = {
        "sequential": "one thing at a time",
        "parallel": "engines in parallel",
        "throughput": f"one run by itself; in a pipeline one every {every}",
    }[assignment.result.goal]
    within = f"within {100 * assignment.gap:.2g} % of the least"
    proof = "proved least" if assignment.proved else within
    name, both = network.workload.name, " and ".join(devices)
    return lanes.chart(
        bars,
        f"{name} on {both}",
        f"{network.precision}, {how}; {proof}; {show(run.makespan_s, 'time')}",
        order=engines,
        about=f"Timeline of {name} on the engines of {both}",
    )
