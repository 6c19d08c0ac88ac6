"""What a schedule holds on chip, as rectangles: where each tensor lies from step to step."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from perfmodel.charts import ORANGE, PALE, SKY
from perfmodel.errors import input_error

if TYPE_CHECKING:
    from perfmodel.schedule.result import Schedule

#: Kinds of rectangles.
KEPT, MOVED, SCRATCH = "kept", "spilled or reloaded", "scratch"

#: Their colours.
COLORS = {KEPT: SKY, MOVED: ORANGE, SCRATCH: PALE}


class ResidencyRectangle(NamedTuple):
    """A rectangle: bytes of one tensor, or of a step's scratch, at one place.

    Attributes
    ----------
    lower, upper
        Positions of the order, half-open. Where an output takes over the place of an input, both
        meet in the middle of the step.
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
    """Return what a schedule is of: network, and device where there is one."""
    on = f" on {s.where.device}" if s.where.device else ""
    return f"{s.problem.name}{on}"


def pieces(s: Schedule) -> list[ResidencyRectangle]:
    """Return the rectangles of a schedule.

    With addresses each stay on chip is one rectangle at its own; without, what is there lies
    stacked at each step, the oldest below, and a stay that sinks is cut.

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
        for block, offset in zip(layout.blocks, layout.offsets, strict=True)
        if not block.intervals
    ]
    return resident + scratch


def _spans(s: Schedule) -> list[ResidencyRectangle]:
    """Return every stay and every scratch, all at offset 0, in the order in which they begin."""
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
        buffer = problem.buffers[stay.buffer]
        kind = MOVED if stay.buffer in crossing else KEPT
        if buffer.size_bytes:
            spans.append(
                ResidencyRectangle(buffer.name, lower, upper, 0, buffer.size_bytes, kind, i)
            )
    for k, n in enumerate(order):
        step = problem.steps[n]
        if step.scratch_bytes:
            name = f"scratch of {step.name}"
            spans.append(ResidencyRectangle(name, k, k + 1, 0, step.scratch_bytes, SCRATCH, -1))
    return sorted(spans, key=lambda p: p.lower)


def _stacked(spans: list[ResidencyRectangle]) -> list[ResidencyRectangle]:
    """Return the stays on top of each other, cut where one sinks."""
    times = sorted({t for p in spans for t in (p.lower, p.upper)})
    begins: dict[float, list[ResidencyRectangle]] = {}
    for p in spans:
        begins.setdefault(p.lower, []).append(p)
    cut: list[ResidencyRectangle] = []
    #: What lies there, the oldest first, each cut off at the moment from which it lies so.
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
