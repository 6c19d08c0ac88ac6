"""Pictures of a schedule's memory: residency, moves, and the working set of each step.

`memory` draws the address and live range of each tensor on chip as a rectangle, with evictions and
reloads; `demand` draws the bytes that each step needs at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from perfmodel.charts import (
    BLUE,
    INK,
    ORANGE,
    PALE,
    SKY,
    VERMILION,
    Bars,
    Chart,
    ChartAxis,
    Lines,
    Note,
    Panel,
    Picture,
    Points,
    ReferenceLine,
    binary,
)
from perfmodel.charts.memory_map import Stay, beside, map_panel
from perfmodel.errors import input_error
from perfmodel.schedule.curve import Curve
from perfmodel.schedule.result import Schedule
from perfmodel.schedule.schedule_text import proof_text


@Picture
def memory(s: Schedule, steps: tuple[int, int] | None = None) -> Chart:
    """Draw the tensors on chip at each step of the order, by address, below the capacity.

    Spills and reloads are marked; a dotted line connects a tensor's eviction with its reload.
    Without addresses the tensors are stacked, the oldest at the bottom.

    Parameters
    ----------
    steps
        Half-open range of positions in the order; by default all.

    Raises
    ------
    InputError
        There is no schedule, or the range is invalid.
    """
    every = pieces(s)
    count = len(s.script.order)
    begin, end = steps or (0, count)
    if not 0 <= begin < end <= count:
        expected = f"a first and a later one within 0 and {count}"
        raise input_error(f"{steps} are not positions of the order", "steps", expected=expected)
    shown = [p for p in every if p.upper > begin and p.lower < end]
    packed = s.layout is not None and s.layout.packed
    # Clipped to the range, so that names are centred in the visible part.
    panel = map_panel(
        [Stay(p.name, max(p.lower, begin), min(p.upper, end), p.offset, p.size) for p in shown],
        s.capacity_bytes,
        {p.name: p.kind for p in shown},
        colors=COLORS,
        hover_text=lambda i: _hover_text(s, shown[i]),
        time="step of the order",
    )
    texts = [
        f"{binary(s.trace.spill_bytes)} spilled, {binary(s.trace.reload_bytes)} reloaded",
        f"peak {binary(s.peak_bytes)}",
    ]
    if s.layout is not None:
        height, gap = binary(s.layout.height_bytes), binary(s.layout.gap_bytes)
        texts.append(
            f"packed into {height}" if packed else f"no addresses: {gap} short of a packing"
        )
    return Chart(
        f"Memory of {title_of(s)} over the schedule",
        f"{s.scheduled.precision}, {s.method}: {'; '.join([*texts, proof_text(s)])}",
        _text_alternative(s, shown, packed=packed),
        [
            replace(
                panel,
                x=replace(panel.x, low=begin, high=end),
                y=replace(panel.y, title="address" if packed else "bytes on chip"),
                series=[*panel.series, *_moves(s, shown)],
            )
        ],
        legend="above",
    )


def _hover_text(s: Schedule, p: ResidencyRectangle) -> str:
    """Return the text shown for a tensor on chip."""
    order, steps = s.script.order, s.problem.steps
    first, last = int(p.lower), max(int(p.lower), int(p.upper - 0.25))
    lines = [
        f"<b>{p.name}</b>: {binary(p.size)} at {p.offset}",
        f"from step {first}, {steps[order[first]].name}",
        f"to step {last}, {steps[order[last]].name}",
    ]
    if p.stay >= 0:
        stay = s.trace.intervals[p.stay]
        lines += ["reloaded before it"] if stay.reloaded else []
        lines += ["spilled after it"] if stay.spilled else []
    return "<br>".join(lines)


def _middle(p: ResidencyRectangle) -> float:
    """Return the middle of a rectangle's addresses."""
    return p.offset + p.size / 2


def _moves(s: Schedule, shown: list[ResidencyRectangle]) -> list[Points]:
    """Return marks of evictions and reloads, and lines that connect them."""
    intervals = s.trace.intervals
    # A stay may be cut into several rectangles: the first and last of each.
    order = sorted((p for p in shown if p.stay >= 0), key=lambda p: (p.lower, p.upper))
    last = {p.stay: p for p in order}
    first = {p.stay: p for p in reversed(order)}
    x: list[float | None] = []
    y: list[float | None] = []
    before: dict[int, int] = {}
    for i in sorted(range(len(intervals)), key=lambda i: intervals[i].first):
        origin = last.get(before.get(intervals[i].buffer, -1))
        if intervals[i].reloaded and i in first and origin is not None:
            x += [origin.upper, first[i].lower, None]
            y += [_middle(origin), _middle(first[i]), None]
        before[intervals[i].buffer] = i
    spilled = [(p.upper, p) for i, p in last.items() if intervals[i].spilled]
    reloaded = [(p.lower, p) for i, p in first.items() if intervals[i].reloaded]
    series: list[Points] = []
    if x:
        series.append(Lines("off chip", x, y, color=VERMILION, width=1, dash="dot"))
    series += [
        Points(
            name,
            [at for at, _ in moves],
            [_middle(p) for _, p in moves],
            [f"{name} of {p.name}: {binary(p.size)}" for _, p in moves],
            symbol=symbol,
            color=color,
            size=11 if len(intervals) <= 150 else 7,
            edge_width=0.8,
            meta={"move": name},
        )
        for name, moves, symbol, color in (
            ("spill", spilled, "triangle-up", VERMILION),
            ("reload", reloaded, "triangle-down", INK),
        )
        if moves
    ]
    return series


def _text_alternative(s: Schedule, shown: list[ResidencyRectangle], *, packed: bool) -> str:
    """Return the picture as text."""
    how = "at their addresses" if packed else "stacked, without addresses"
    count = len({p.stay for p in shown} - {-1})
    text = f"Memory of {title_of(s)} over {len(s.script.order)} steps: {count} stays of tensors "
    text += f"{how}, at most {binary(s.peak_bytes)}"
    if s.capacity_bytes is not None:
        text += f" of {binary(s.capacity_bytes)}"
    spilled = [(s.problem.buffers[i.buffer], i.last) for i in s.trace.intervals if i.spilled]
    names = [f"{b.name} ({binary(b.size_bytes)}) after step {last}" for b, last in spilled[:3]]
    if names:
        more = f" and {len(spilled) - 3} more" if len(spilled) > 3 else ""
        text += f". Spilled: {', '.join(names)}{more}"
    crossing = f"{binary(s.spill_bytes)} are spilled, {binary(s.reload_bytes)} reloaded"
    return f"{text}. {crossing if s.trace.cost_bytes else 'Nothing is spilled'}."


@Picture
def demand(s: Schedule) -> Chart:
    """Draw the working set of each step, in the network's own order.

    The inputs, outputs and scratch of a step are on chip together while it runs: a capacity below
    the largest of these sums has no schedule, whatever the order and the spills.
    """
    sets, steps, room = s.problem.working_set_bytes, s.problem.steps, s.capacity_bytes
    limit = float("inf") if room is None else float(room)
    over = [need > limit for need in sets]
    worst = int(np.argmax(sets))
    largest = binary(sets[worst])
    # Loads of inputs are not executed steps.
    runs = [out for out, step in zip(over, steps, strict=True) if not step.load]
    if room is None:
        text = f"the largest working set is {largest}"
    elif any(runs):
        text = f"{sum(runs)} of {len(runs)} steps need more than {binary(room)}"
    else:
        text = f"every step by itself fits; the largest needs {largest}"

    def hover_text(i: int) -> str:
        excess = f", {binary(sets[i] - limit)} too much" if over[i] else ""
        return f"<b>{steps[i].name}</b><br>{binary(sets[i])}{excess}"

    series: list[Bars] = []
    for out, name, color in ((False, "fits", BLUE), (True, "needs too much", VERMILION)):
        own = [i for i, over_it in enumerate(over) if over_it == out]
        if own:
            series.append(
                Bars(
                    name,
                    own,
                    [sets[i] for i in own],
                    [hover_text(i) for i in own],
                    color=color,
                    edge_width=0.5 if len(sets) <= 300 else 0.0,
                    width=1.0,
                    meta={"over": out},
                )
            )
    anchor = f"{'left' if worst < len(sets) / 2 else 'right'} bottom"
    notes = [Note(f"{steps[worst].name}: {largest}", worst, sets[worst], anchor=anchor)]
    limits: list[ReferenceLine] = []
    if room is not None:
        limits = [ReferenceLine(room)]
        notes.append(beside(f"capacity<br>{binary(room)}", room, INK))
    return Chart(
        f"What each step of {title_of(s)} needs on chip",
        f"{s.scheduled.precision}: what it reads, writes and its scratch; {text}",
        f"Working sets of {title_of(s)}: {text}. The largest is {largest} at step {worst}, "
        f"{steps[worst].name}.",
        [
            Panel(
                ChartAxis("step, in the order of the network", -0.5, len(sets) - 0.5, grid=False),
                ChartAxis("working set", 0.0, 1.16 * max(*sets, room or 0, 1), "bytes", most=7),
                series,
                limits=limits,
                notes=notes,
            )
        ],
        legend="above",
        gap=0.0,
    )


@Picture
def tightest(curve: Curve) -> Chart:
    """Draw the memory of the tightest feasible schedule, or the working sets if none fits."""
    for s in curve.schedules:
        if s.outcome.solution is not None:
            return memory.chart(s)
    return demand.chart(curve.schedules[-1])


#: Kinds of rectangles.
KEPT, MOVED, SCRATCH = "kept", "spilled or reloaded", "scratch"

#: Their colours.
COLORS = {KEPT: SKY, MOVED: ORANGE, SCRATCH: PALE}


class ResidencyRectangle(NamedTuple):
    """Bytes of one tensor, or of a step's scratch, at one address.

    Attributes
    ----------
    lower, upper
        Half-open positions in the order. Where an output reuses the place of an input in place,
        both meet in the middle of the step.
    stay
        Index into `Trace.intervals`; -1 for scratch.
    """

    name: str
    lower: float
    upper: float
    offset: int
    size: int
    kind: str
    stay: int


def title_of(s: Schedule) -> str:
    """Return the subject of a schedule: network, and device if there is one."""
    on = f" on {s.where.device}" if s.where.device else ""
    return f"{s.problem.name}{on}"


def pieces(s: Schedule) -> list[ResidencyRectangle]:
    """Return the rectangles of a schedule.

    With addresses, each stay on chip is one rectangle at its address; without, the resident tensors
    are stacked at each step, the oldest at the bottom, and a stay that moves down is cut.

    Raises
    ------
    InputError
        There is no schedule.
    """
    if s.outcome.solution is None:
        raise input_error("there is no schedule", path="schedule", expected="one that fits")
    spans = _spans(s)
    layout = s.layout
    if layout is None or not layout.packed:
        return _stacked(spans)
    at = layout.of_intervals()
    resident = [p._replace(offset=at.get(p.stay, 0)) for p in spans if p.stay >= 0]
    scratch = [
        ResidencyRectangle(
            block.name, block.first, block.last + 1, offset, block.size_bytes, SCRATCH, -1
        )
        for block, offset in zip(layout.blocks, layout.offsets.values(), strict=True)
        if not block.intervals
    ]
    return resident + scratch


def _spans(s: Schedule) -> list[ResidencyRectangle]:
    """Return every stay and every scratch, all at offset 0, in order of their start."""
    problem, order, intervals = s.problem, s.script.order, s.trace.intervals
    crossing = {i.buffer for i in intervals if i.spilled or i.reloaded}
    over = {k: problem.steps[n] for k, n in enumerate(order) if problem.steps[n].takes_over >= 0}
    spans: list[ResidencyRectangle] = []
    for i, stay in enumerate(intervals):
        lower, upper = float(stay.first), float(stay.last + 1)
        ending, making = over.get(stay.last), over.get(stay.first)
        if ending is not None and ending.takes_over == stay.buffer:
            upper -= 0.5
        if making is not None and making.writes[0] == stay.buffer and not stay.reloaded:
            lower += 0.5
        name, size = problem.buffers[stay.buffer].name, problem.buffers[stay.buffer].size_bytes
        kind = MOVED if stay.buffer in crossing else KEPT
        spans.append(ResidencyRectangle(name, lower, upper, 0, size, kind, i))
    for k, n in enumerate(order):
        name, size = f"scratch of {problem.steps[n].name}", problem.steps[n].scratch_bytes
        spans.append(ResidencyRectangle(name, k, k + 1, 0, size, SCRATCH, -1))
    return sorted((p for p in spans if p.size), key=lambda p: p.lower)


def _stacked(spans: list[ResidencyRectangle]) -> list[ResidencyRectangle]:
    """Return the stays stacked, cut where one moves down."""
    times = sorted({t for p in spans for t in (p.lower, p.upper)})
    begins: dict[float, list[ResidencyRectangle]] = {}
    for p in spans:
        begins.setdefault(p.lower, []).append(p)
    cut: list[ResidencyRectangle] = []
    #: Current stack, the oldest first, each with the time since which it is at its offset.
    pile: list[ResidencyRectangle] = []
    for now in times:
        high = 0
        after: list[ResidencyRectangle] = []
        for p in pile:
            if p.upper <= now:
                cut.append(p)
                continue
            if p.offset != high:
                cut.append(p._replace(upper=now))
                p = p._replace(lower=now, offset=high)
            after.append(p)
            high += p.size
        for p in begins.get(now, ()):
            after.append(p._replace(offset=high))
            high += p.size
        pile = after
    return cut
