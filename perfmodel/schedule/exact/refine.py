"""Bounds of a segment from a few of its steps, more of them where too little was counted.

A search of hundreds of steps stores what happens everywhere; bytes are spilled in a few places. The
steps at which the best schedule evicts, and those that write and read what is evicted, are a small
problem that bounds the whole (`perfmodel.schedule.exact.relaxed`) and mostly falls apart. Its best
order, completed, is a schedule of all steps: a better one, or one that shows where bytes move that
the small problem left out. Their steps join it. (The loop is that of counterexample-guided
abstraction refinement: Clarke, Grumberg, Jha, Lu and Veith 2000.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact.core import BitmaskProblem
from perfmodel.schedule.exact.part import SegmentSearch
from perfmodel.schedule.exact.relaxed import completed, relaxed, replaced
from perfmodel.schedule.exact.scripts import Walk
from perfmodel.schedule.exact.segments import segments
from perfmodel.schedule.masks import bits

#: Bound and schedule of cores seen before, by what these depend on.
_Known: TypeAlias = dict[tuple[object, ...], tuple[int, Walk | None]]

#: Expansions with which every segment of a small problem is tried before any gets more.
_TRIAL = 1500

#: Share of the time left that one small problem may take.
_SHARE = 0.25

#: Expansions for the best evictions of one order.
_REPLACED = 3000

#: Steps that join at once, at least, if there are so many.
_FEWEST = 4


def refine(
    part: SegmentSearch,
    capacity: int,
    deadline: Deadline,
    played: Callable[[Sequence[int]], Walk | None],
    *,
    quick: bool = False,
) -> None:
    """Raise the bound of a segment, and better its schedule, until they meet or time is up.

    Parameters
    ----------
    part
        A segment with a schedule.
    played
        Returns a schedule of the segment with its steps in a given order.
    quick
        Stop at the first small problem that a short search leaves open.
    """
    core = part.core
    if part.walk is None:
        return
    keep, refused, floor, share, many = 0, 0, 0, _SHARE, True
    best, known = part.walk, _Known()
    while not part.proved and not deadline.passed():
        groups = _groups(core, best) if many else _steps_of(core, best)
        joining = _together(groups, keep | refused, core.steps if many else _FEWEST)
        if not joining:
            if not refused or share == 1.0:
                return
            # What was too much for a share of the time gets all of it.
            joining, refused, share = refused, 0, 1.0
        small, allowed = relaxed(core, keep | joining), deadline.within(share * deadline.left())
        found = _solved(part, small, capacity, allowed, floor, known, quick=quick)
        if found.order is not None and not part.proved:
            walks = _played(part, found.order, capacity, deadline, played)
            best = min(walks, key=lambda walk: walk.cost, default=best)
        if found.complete:
            keep, floor = keep | joining, found.bound
        elif quick:
            return
        elif not many:
            # Too much for the time: other steps instead. If it was the first, fewer.
            refused |= joining
        many = False


def _played(
    part: SegmentSearch,
    some: Sequence[int],
    capacity: int,
    deadline: Deadline,
    played: Callable[[Sequence[int]], Walk | None],
) -> list[Walk]:
    """Return schedules of a segment, offered to it, with some of its steps in a given order."""
    walks = list[Walk]()
    assert part.walk is not None
    for rest in (part.walk.steps, range(part.core.steps)):
        order = completed(part.core, some, rest)
        walk = played(order)
        limit = part.limit if walk is None else walk.cost
        least = replaced(part.core, order, capacity, limit, deadline, _REPLACED)
        walks += [w for w in (walk, least) if w is not None]
    for walk in walks:
        part.offer(walk)
    return walks


@dataclass(frozen=True, slots=True)
class _SubproblemResult:
    """What a small problem ended with: an order of its steps, and whether it is the best."""

    order: list[int] | None
    bound: int
    complete: bool


def _solved(
    part: SegmentSearch,
    core: BitmaskProblem,
    capacity: int,
    deadline: Deadline,
    floor: int,
    known: _Known,
    *,
    quick: bool,
) -> _SubproblemResult:
    """Bound a segment by a core of some of its steps, of which no schedule costs below `floor`."""
    small = [SegmentSearch(c, capacity, part.limit) for c in segments(core)]
    for s in small:
        # Cells of one kind, and what was there before others joined, are solved once.
        s.bound_bytes, s.walk = known.get(_shape(s.core), (0, None))
        if not s.proved:
            s.look(deadline, expansions=_TRIAL)
    left = [] if quick else [s for s in small if not s.proved]
    for i, s in enumerate(left):
        others = [o for o in small if o is not s]
        s.ceiling = part.limit - sum(o.bound_bytes for o in others)
        if all(o.walk for o in others):
            s.bound_bytes = max(s.bound_bytes, floor - sum(o.walk.cost for o in others if o.walk))
        if not s.proved:
            s.settle(deadline.within(deadline.left() / (len(left) - i)))
    known.update({_shape(s.core): (s.bound_bytes, s.walk) for s in small})
    part.expanded += sum(s.expanded for s in small)
    part.stored += sum(s.stored for s in small)
    bound = max(floor, sum(s.bound_bytes for s in small))
    part.bound_bytes = max(part.bound_bytes, min(part.limit, bound))
    order: list[int] | None = []
    for s in small:
        if s.walk is None:
            order = None
            break
        order += [s.core.names[k][0] for k in s.walk.steps]
    return _SubproblemResult(order, bound, all(s.proved for s in small))


def _shape(core: BitmaskProblem) -> tuple[object, ...]:
    """Return what schedules of a core depend on: all but what steps and buffers are called."""
    return (
        core.reads,
        core.writes,
        core.growth,
        core.sizes,
        core.stored,
        core.inputs,
        core.held,
    )


def _groups(core: BitmaskProblem, walk: Walk, *, beside: bool = False) -> list[int]:
    """Return the steps at which each buffer leaves, that write it and that read it, dearest first.

    Parameters
    ----------
    beside
        The same for what is live when something leaves, and stays.
    """
    steps: dict[int, int] = {}
    cost: dict[int, int] = {}
    done = 0
    for s, gone in zip(walk.steps, walk.gone, strict=True):
        for t in bits(core.live(done) & ~gone if beside and gone else 0 if beside else gone):
            maker = core.maker[t]
            own = core.readers[t] | (1 << maker if maker >= 0 else 0)
            steps[t] = steps.get(t, own) | 1 << s
            cost[t] = cost.get(t, 0) + core.sizes[t]
        done |= 1 << s
    return [steps[t] for t in sorted(steps, key=lambda t: (-cost[t], t))]


def _steps_of(core: BitmaskProblem, walk: Walk) -> list[int]:
    """Return the steps of buffers that leave, and then of those that stay beside them."""
    return [*_groups(core, walk), *_groups(core, walk, beside=True)]


def _together(groups: Sequence[int], known: int, fewest: int) -> int:
    """Return the steps of the first groups that are not known, `fewest` or more if there are."""
    joining = 0
    for group in groups:
        joining |= group & ~known
        if joining.bit_count() >= fewest:
            break
    return joining
