"""Lower bounds of a segment from a subset of its steps, refined where costs were missed.

A search over hundreds of steps stores states for all of them, while spills occur in few places. The
steps at which the best schedule evicts, and those that write and read the evicted buffers, form a
small relaxed problem that bounds the full one (`perfmodel.schedule.exact.relaxed`) and mostly
decomposes. Its best order, completed, is a schedule of all steps: either a better one, or one that
shows the bytes moved that the relaxation missed. The steps involved join it. (The loop is that of
counterexample-guided abstraction refinement: Clarke, Grumberg, Jha, Lu and Veith 2000.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from perfmodel.optimise.certified import Certified, nothing
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact.core import BitmaskProblem
from perfmodel.schedule.exact.part import SegmentSearch
from perfmodel.schedule.exact.relaxed import completed, relaxed, replaced
from perfmodel.schedule.exact.scripts import Walk
from perfmodel.schedule.exact.segments import segments
from perfmodel.schedule.masks import bits

#: Bound and schedule of cores solved before, keyed by their shape.
_Known: TypeAlias = dict[tuple[object, ...], tuple[int, Walk | None]]

#: Expansions spent on every segment of a relaxed problem before any gets more.
_TRIAL = 1500

#: Share of the remaining time for one relaxed problem.
_SHARE = 0.25

#: Expansions for the best evictions of one order.
_REPLACED = 3000

#: Minimum number of steps that join at once, if there are as many.
_FEWEST = 4


def refine(
    part: SegmentSearch,
    capacity: int,
    deadline: Deadline,
    played: Callable[[Sequence[int]], Walk | None],
    *,
    quick: bool = False,
) -> None:
    """Raise the lower bound of a segment and improve its schedule until they meet or time is up.

    Parameters
    ----------
    part
        A segment with a schedule.
    played
        Function from an order of the segment's steps to a schedule.
    quick
        Stop at the first relaxed problem that a short search does not solve.
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
            # A relaxation that was too large for a share of the time gets all of it.
            joining, refused, share = refused, 0, 1.0
        small, allowed = relaxed(core, keep | joining), deadline.within(share * deadline.left())
        solved = _solved(part, small, capacity, allowed, floor, known, quick=quick)
        if solved.solution is not None and not part.proved:
            walks = _played(part, solved.solution, capacity, deadline, played)
            best = min(walks, key=lambda walk: walk.cost, default=best)
        if solved.proved:
            keep, floor = keep | joining, int(solved.bound)
        elif quick:
            return
        elif not many:
            # Too large for the time: try other steps. If it was the first, fewer of them.
            refused |= joining
        many = False


def _played(
    part: SegmentSearch,
    some: Sequence[int],
    capacity: int,
    deadline: Deadline,
    played: Callable[[Sequence[int]], Walk | None],
) -> list[Walk]:
    """Offer a segment the schedules with some steps in a given order, and return them."""
    walks = list[Walk]()
    assert part.walk is not None
    for background in (part.walk.steps, range(part.core.steps)):
        order = completed(part.core, some, background)
        walk = played(order)
        limit = part.limit if walk is None else walk.cost
        least = replaced(part.core, order, capacity, limit, deadline, _REPLACED)
        walks += [w for w in (walk, least) if w is not None]
    for walk in walks:
        part.offer(walk)
    return walks


def _solved(
    part: SegmentSearch,
    core: BitmaskProblem,
    capacity: int,
    deadline: Deadline,
    floor: int,
    known: _Known,
    *,
    quick: bool,
) -> Certified[list[int]]:
    """Bound a segment by a core of a subset of its steps, whose cost is at least `floor`.

    Returns
    -------
    Certified
        The best known order of these steps.
    """
    small = [SegmentSearch(c, capacity, part.limit) for c in segments(core)]
    for s in small:
        # Repeated cells, and parts that the joining steps do not touch, are solved once.
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
    walks = [(s.core, s.walk) for s in small if s.walk is not None]
    if len(walks) < len(small):
        return nothing(bound=bound)
    order = [core.names[k][0] for core, walk in walks for k in walk.steps]
    return Certified(order, sum(walk.cost for _, walk in walks), bound)


def _shape(core: BitmaskProblem) -> tuple[object, ...]:
    """Return the part of a core that its schedules depend on: everything except names."""
    return (
        core.reads,
        core.writes,
        core.growth,
        core.sizes,
        core.stored,
        core.inputs,
        core.resident,
    )


def _groups(core: BitmaskProblem, walk: Walk, *, beside: bool = False) -> list[int]:
    """Return, for each evicted buffer, the steps that evict, write and read it, costliest first.

    Parameters
    ----------
    beside
        Return the same for buffers that are live at an eviction and remain resident.
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
    """Return the steps of evicted buffers, then those of the buffers that remain resident."""
    return [*_groups(core, walk), *_groups(core, walk, beside=True)]


def _together(groups: Sequence[int], known: int, fewest: int) -> int:
    """Return the unknown steps of the first groups, at least `fewest` if there are as many."""
    joining = 0
    for group in groups:
        joining |= group & ~known
        if joining.bit_count() >= fewest:
            break
    return joining
