"""Lower bounds of a long segment from a few of its steps, refined where they miss costs.

A search over hundreds of steps stores states for all of them, while spills occur in few places. The
steps at which the best schedule evicts, and those that write and read the evicted buffers, form a
small relaxed problem (`relaxation.py`) that bounds the full one and mostly decomposes. Its best
order, completed, is a schedule of all steps: either a better one, or one that shows the bytes moved
that the relaxation missed. The steps involved join the relaxed problem. This loop is
counterexample-guided abstraction refinement (Clarke, Grumberg, Jha, Lu and Veith 2000); it ends
with a proof when the bound of a relaxed problem reaches the cost of the best schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from perfmodel.optimise.certified import Certified, nothing
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact.bitmask_problem import BitmaskProblem
from perfmodel.schedule.exact.relaxation import (
    cheapest_evictions,
    complete_order,
    relax_to_steps,
)
from perfmodel.schedule.exact.segment_schedule import SegmentSchedule
from perfmodel.schedule.exact.segment_search import SegmentSearch
from perfmodel.schedule.exact.segments import segments
from perfmodel.schedule.masks import bits

#: Function from an order of a segment's steps to a schedule of it.
_Evict: TypeAlias = Callable[[Sequence[int]], SegmentSchedule | None]

#: Bound and schedule of the cores solved so far, by everything that these depend on.
_SolvedCores: TypeAlias = dict[tuple[object, ...], tuple[int, SegmentSchedule | None]]

#: Expansions spent on every segment of a relaxed problem before any gets more.
_TRIAL_EXPANSIONS = 1500

#: Share of the remaining time for one relaxed problem.
_SHARE = 0.25

#: Expansions of the search for the best evictions of one order.
_EVICTION_EXPANSIONS = 3000

#: Minimum number of steps that join at once, if there are as many.
_FEWEST = 4


def refine(
    part: SegmentSearch,
    capacity: int,
    deadline: Deadline,
    evict: _Evict,
    *,
    quick: bool = False,
) -> None:
    """Raise the lower bound of a segment and improve its schedule until they meet or time is up.

    Parameters
    ----------
    part
        A segment with a schedule.
    evict
        Function from an order of the segment's steps to a schedule.
    quick
        Stop at the first relaxed problem that a short search does not solve.
    """
    core = part.core
    if part.schedule is None:
        return
    included, refused, floor, share, is_first = 0, 0, 0, _SHARE, True
    best, solved_cores = part.schedule, _SolvedCores()
    while not part.proved and not deadline.passed():
        groups = _steps_of_evicted(core, best)
        if not is_first:
            groups += _steps_of_residents(core, best)
        joining = _first_unknown(groups, included | refused, core.steps if is_first else _FEWEST)
        if not joining:
            if not refused or share == 1.0:
                return
            # A relaxation that was too large for a share of the time gets all of it.
            joining, refused, share = refused, 0, 1.0
        allowed = deadline.share(share)
        relaxed = relax_to_steps(core, included | joining)
        solved = _solve_relaxation(
            part, relaxed, capacity, allowed, floor, solved_cores, quick=quick
        )
        if solved.solution is not None and not part.proved:
            schedules = _offer_completions(part, solved.solution, capacity, deadline, evict)
            best = min(schedules, key=lambda schedule: schedule.cost, default=best)
        if solved.proved:
            included, floor = included | joining, int(solved.bound)
        elif quick:
            return
        elif not is_first:
            # Too large for the time: try other steps. If it was the first, fewer of them.
            refused |= joining
        is_first = False


def _solve_relaxation(
    part: SegmentSearch,
    core: BitmaskProblem,
    capacity: int,
    deadline: Deadline,
    floor: int,
    solved_cores: _SolvedCores,
    *,
    quick: bool,
) -> Certified[list[int]]:
    """Bound a segment by a core of a subset of its steps, whose cost is at least `floor`.

    Returns
    -------
    Certified
        The best known order of these steps.
    """
    relaxed_parts = [SegmentSearch(c, capacity, part.limit) for c in segments(core)]
    for s in relaxed_parts:
        # Repeated cells, and parts that the joining steps do not touch, are solved once.
        s.bound_bytes, s.schedule = solved_cores.get(_content(s.core), (0, None))
        if not s.proved:
            s.search_below(s.limit, deadline, expansions=_TRIAL_EXPANSIONS)
    unproved = [] if quick else [s for s in relaxed_parts if not s.proved]
    for i, s in enumerate(unproved):
        others = [o for o in relaxed_parts if o is not s]
        s.ceiling = part.limit - sum(o.bound_bytes for o in others)
        costs = [o.schedule.cost for o in others if o.schedule]
        if len(costs) == len(others):
            s.bound_bytes = max(s.bound_bytes, floor - sum(costs))
        if not s.proved:
            s.solve(deadline.share(1 / (len(unproved) - i)))
    solved_cores.update({_content(s.core): (s.bound_bytes, s.schedule) for s in relaxed_parts})
    part.expanded += sum(s.expanded for s in relaxed_parts)
    part.stored += sum(s.stored for s in relaxed_parts)
    bound = max(floor, sum(s.bound_bytes for s in relaxed_parts))
    part.bound_bytes = max(part.bound_bytes, min(part.limit, bound))
    schedules = [(s.core, s.schedule) for s in relaxed_parts if s.schedule is not None]
    if len(schedules) < len(relaxed_parts):
        return nothing(bound=bound)
    order = [c.names[k][0] for c, schedule in schedules for k in schedule.steps]
    return Certified(order, sum(schedule.cost for _, schedule in schedules), bound)


def _content(core: BitmaskProblem) -> tuple[object, ...]:
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


def _offer_completions(
    part: SegmentSearch,
    partial_order: Sequence[int],
    capacity: int,
    deadline: Deadline,
    evict: _Evict,
) -> list[SegmentSchedule]:
    """Offer a segment the schedules with some steps in a given order, and return them."""
    schedules = list[SegmentSchedule]()
    assert part.schedule is not None
    for background in (part.schedule.steps, range(part.core.steps)):
        order = complete_order(part.core, partial_order, background)
        first = evict(order)
        limit = part.limit if first is None else first.cost
        least = cheapest_evictions(
            part.core, order, capacity, limit, deadline, _EVICTION_EXPANSIONS
        )
        schedules += [schedule for schedule in (first, least) if schedule is not None]
    for schedule in schedules:
        part.offer(schedule)
    return schedules


def _steps_of_evicted(core: BitmaskProblem, schedule: SegmentSchedule) -> list[int]:
    """Return, for each evicted buffer, the steps that evict, write and read it, costliest first."""
    return _steps_by_buffer(core, zip(schedule.steps, schedule.evicted, strict=True))


def _steps_of_residents(core: BitmaskProblem, schedule: SegmentSchedule) -> list[int]:
    """Return the same for the buffers that are live at an eviction and remain resident."""
    residents: list[tuple[int, int]] = []
    done = 0
    for s, evicted in zip(schedule.steps, schedule.evicted, strict=True):
        if evicted:
            residents.append((s, core.live(done) & ~evicted))
        done |= 1 << s
    return _steps_by_buffer(core, residents)


def _steps_by_buffer(core: BitmaskProblem, events: Iterable[tuple[int, int]]) -> list[int]:
    """Return for each buffer the mask of the steps involved in it, costliest buffer first.

    Parameters
    ----------
    events
        Steps, each with the mask of the buffers that matter when it runs.
    """
    steps: dict[int, int] = {}
    cost: dict[int, int] = {}
    for s, buffers in events:
        for t in bits(buffers):
            maker = core.maker[t]
            writer_and_readers = core.readers[t] | (1 << maker if maker >= 0 else 0)
            steps[t] = steps.get(t, writer_and_readers) | 1 << s
            cost[t] = cost.get(t, 0) + core.sizes[t]
    return [steps[t] for t in sorted(steps, key=lambda t: (-cost[t], t))]


def _first_unknown(groups: Sequence[int], known: int, fewest: int) -> int:
    """Return the unknown steps of the first groups, at least `fewest` if there are as many."""
    joining = 0
    for group in groups:
        joining |= group & ~known
        if joining.bit_count() >= fewest:
            break
    return joining
