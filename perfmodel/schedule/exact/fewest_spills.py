"""Order and evictions that spill and reload the fewest bytes: exact search, and beam search.

Both cut the problem into independent segments. The exact search improves an incumbent and a lower
bound of each segment until they meet (`segment_search.py`), on long segments first for a few of
their steps (`refinement.py`); a schedule is proved when the bounds of all segments add up to its
cost. The beam search only improves the incumbents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import gcd

from perfmodel.optimise.certified import Certified, nothing
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact.bitmask_problem import bitmask_problem
from perfmodel.schedule.exact.late_outputs import produce_outputs_late
from perfmodel.schedule.exact.refinement import refine
from perfmodel.schedule.exact.segment_schedule import (
    SegmentSchedule,
    join_segments,
    split_script,
)
from perfmodel.schedule.exact.segment_search import SegmentSearch
from perfmodel.schedule.exact.segments import segments
from perfmodel.schedule.greedy import belady, orders
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script, replay

#: Expansions spent on every segment before any segment gets more.
_TRIAL_EXPANSIONS = 1500

#: Largest segment (in steps) that is searched with all its steps at first, and again soon. On
#: longer ones an expansion costs milliseconds, and a few of their steps suffice to show what is
#: spilled.
_SHORT = 150

#: Share of the time of a longer segment for bounds from a subset of its steps.
_REFINEMENT = 0.8


def search(
    problem: Problem, capacity_bytes: int, deadline: Deadline, incumbent: Script | None = None
) -> Certified[Script]:
    """Find the order and evictions that spill and reload the fewest bytes, and prove it.

    The problem is cut where every schedule passes through one state. Each segment is a
    shortest-path problem over (executed, resident, clean) sets, solved best-first with minimal
    eviction sets, dominance pruning, merging of interchangeable steps, and a lower bound from steps
    that fill the memory; beam schedules provide the incumbent.

    Parameters
    ----------
    incumbent
        A feasible script to start from.

    Returns
    -------
    Certified
        Proved, or with the bound reached at the deadline; without a script if a step does not fit
        even with nothing else resident.

    Notes
    -----
    The state space is that of red-blue pebble games (Hong and Kung 1981) with weights; the order
    is COSMA's problem (arXiv:2311.18246).
    """
    if problem.largest_working_set_bytes > capacity_bytes:
        return nothing("exact")
    parts = [SegmentSearch(core, capacity_bytes) for core in segments(bitmask_problem(problem))]
    fallback = _offer_greedy_schedules(problem, capacity_bytes, parts, incumbent)
    for part in parts:
        if part.limit and part.core.steps <= _SHORT:
            part.search_below(part.limit, deadline, expansions=_TRIAL_EXPANSIONS)
    unproved = [part for part in parts if not part.proved]
    for i, part in enumerate(unproved):
        allowed = deadline.share(1 / (len(unproved) - i))
        refinement = allowed.share(_REFINEMENT)
        evict = _belady_of_segment(problem, capacity_bytes, parts, part)
        refine(part, capacity_bytes, refinement, evict, quick=part.core.steps <= _SHORT)
        if not part.proved:
            part.solve(allowed)
    return _joined_answer(problem, capacity_bytes, parts, fallback, "exact")


def beam(
    problem: Problem, capacity_bytes: int, width: int, deadline: Deadline
) -> Certified[Script]:
    """Find a cheap schedule by keeping the best `width` states after each step.

    Returns
    -------
    Certified
        Never more expensive than the greedy orders; its bound is 0.
    """
    if problem.largest_working_set_bytes > capacity_bytes:
        return nothing("beam")
    parts = [SegmentSearch(core, capacity_bytes) for core in segments(bitmask_problem(problem))]
    fallback = _offer_greedy_schedules(problem, capacity_bytes, parts, None)
    for i, part in enumerate(parts):
        if part.limit and not deadline.passed():
            allowed = deadline.share(1 / (len(parts) - i))
            part.improve_by_beam(width, allowed)
    return _joined_answer(problem, capacity_bytes, parts, fallback, "beam")


def _offer_greedy_schedules(
    problem: Problem, capacity_bytes: int, parts: Sequence[SegmentSearch], incumbent: Script | None
) -> Script:
    """Offer the segments the schedules of fast orders; return the best complete one."""
    scripts = [incumbent] if incumbent else []
    for _, order in orders(problem):
        for variant in (order, produce_outputs_late(problem, order)):
            script = belady(problem, variant, capacity_bytes)
            if script is not None:
                scripts.append(script)
    cores = [part.core for part in parts]
    for script in scripts:
        for part, schedule in zip(parts, split_script(script, cores, capacity_bytes), strict=True):
            part.offer(schedule)
    return min(scripts, key=lambda s: replay(problem, s, capacity_bytes).cost_bytes)


def _belady_of_segment(
    problem: Problem, capacity_bytes: int, parts: Sequence[SegmentSearch], part: SegmentSearch
) -> Callable[[Sequence[int]], SegmentSchedule | None]:
    """Return a function from an order of a segment to its schedule under Belady's replacement."""

    def evict(order: Sequence[int]) -> SegmentSchedule | None:
        schedules = [
            (p.core, SegmentSchedule.without_evictions(order) if p is part else p.schedule)
            for p in parts
        ]
        known = [(core, schedule) for core, schedule in schedules if schedule is not None]
        if len(known) < len(parts):
            return None
        script = belady(problem, join_segments(problem, known).order, capacity_bytes)
        if script is None:
            return None
        return split_script(script, [p.core for p in parts], capacity_bytes)[parts.index(part)]

    return evict


def _joined_answer(
    problem: Problem,
    capacity_bytes: int,
    parts: Sequence[SegmentSearch],
    fallback: Script,
    method: str,
) -> Certified[Script]:
    """Return the schedules of all segments as one script, with the sum of their bounds."""
    schedules = [(part.core, part.schedule) for part in parts if part.schedule is not None]
    script = fallback
    cost = replay(problem, fallback, capacity_bytes).cost_bytes
    if len(schedules) == len(parts):
        joined = join_segments(problem, schedules)
        joined_cost = replay(problem, joined, capacity_bytes).cost_bytes
        if joined_cost <= cost:
            script, cost = joined, joined_cost
    # Every cost is a sum of sizes, and so a multiple of their greatest common divisor.
    unit = gcd(*(b.size_bytes for b in problem.buffers)) or 1
    bound = -(-sum(part.bound_bytes for part in parts) // unit) * unit
    counts = {
        "segments": len(parts),
        "expanded": sum(part.expanded for part in parts),
        "states": sum(part.stored for part in parts),
        "interchangeable": sum(
            len(copies.steps) for part in parts for copies in part.graph.copies.types
        ),
    }
    return Certified(script, cost, bound, method, counts)
