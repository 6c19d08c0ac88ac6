"""Entry points of the two methods: beam search, and exact search with proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import gcd

from perfmodel.optimise.certified import Certified, nothing
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact.core import compiled
from perfmodel.schedule.exact.part import SegmentSearch
from perfmodel.schedule.exact.refine import refine
from perfmodel.schedule.exact.scripts import Walk, joined, split
from perfmodel.schedule.exact.segments import segments
from perfmodel.schedule.exact.sink import sunk
from perfmodel.schedule.greedy import belady, orders
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script, replay

#: Expansions spent on every segment before any segment gets more.
_TRIAL = 1500

#: Largest segment of which all steps are searched at first, and again soon. On longer ones an
#: expansion costs milliseconds, and a few of their steps suffice to show what is spilled.
_SHORT = 150

#: Share of the time of a longer segment for bounds from a subset of its steps.
_SOME = 0.8


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
    parts = [SegmentSearch(core, capacity_bytes) for core in segments(compiled(problem))]
    fallback = _seeds(problem, capacity_bytes, parts, incumbent)
    for part in parts:
        if part.limit and part.core.steps <= _SHORT:
            part.look(deadline, expansions=_TRIAL)
    left = [part for part in parts if not part.proved]
    for i, part in enumerate(left):
        allowed = deadline.within(deadline.left() / (len(left) - i))
        some = allowed.within(_SOME * allowed.left())
        player = _player(problem, capacity_bytes, parts, part)
        refine(part, capacity_bytes, some, player, quick=part.core.steps <= _SHORT)
        if not part.proved:
            part.settle(allowed)
    return _outcome(problem, capacity_bytes, parts, fallback, "exact")


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
    parts = [SegmentSearch(core, capacity_bytes) for core in segments(compiled(problem))]
    fallback = _seeds(problem, capacity_bytes, parts, None)
    for i, part in enumerate(parts):
        if part.limit and not deadline.passed():
            part.widen(width, deadline.within(deadline.left() / (len(parts) - i)))
    return _outcome(problem, capacity_bytes, parts, fallback, "beam")


def _seeds(
    problem: Problem, capacity_bytes: int, parts: Sequence[SegmentSearch], incumbent: Script | None
) -> Script:
    """Seed the segments with schedules of fast orders; return the best complete one."""
    scripts = [incumbent] if incumbent else []
    for _, order in orders(problem):
        for way in (order, sunk(problem, order)):
            script = belady(problem, way, capacity_bytes)
            if script is not None:
                scripts.append(script)
    cores = [part.core for part in parts]
    for script in scripts:
        for part, walk in zip(parts, split(script, cores, capacity_bytes), strict=True):
            part.offer(walk)
    return min(scripts, key=lambda s: replay(problem, s, capacity_bytes).cost_bytes)


def _player(
    problem: Problem, capacity_bytes: int, parts: Sequence[SegmentSearch], part: SegmentSearch
) -> Callable[[Sequence[int]], Walk | None]:
    """Return a function from an order of a segment to its schedule under Belady's replacement."""

    def played(order: Sequence[int]) -> Walk | None:
        walks = [
            (p.core, Walk(0, tuple(order), (0,) * len(order)) if p is part else p.walk)
            for p in parts
        ]
        known = [(core, walk) for core, walk in walks if walk is not None]
        if len(known) < len(parts):
            return None
        script = belady(problem, joined(problem, known).order, capacity_bytes)
        if script is None:
            return None
        return split(script, [p.core for p in parts], capacity_bytes)[parts.index(part)]

    return played


def _outcome(
    problem: Problem,
    capacity_bytes: int,
    parts: Sequence[SegmentSearch],
    fallback: Script,
    method: str,
) -> Certified[Script]:
    walks = [(part.core, part.walk) for part in parts if part.walk is not None]
    script = fallback
    cost = replay(problem, fallback, capacity_bytes).cost_bytes
    if len(walks) == len(parts):
        ours = joined(problem, walks)
        paid = replay(problem, ours, capacity_bytes).cost_bytes
        if paid <= cost:
            script, cost = ours, paid
    # Every cost is a sum of sizes.
    unit = gcd(*(b.size_bytes for b in problem.buffers)) or 1
    bound = -(-sum(part.bound_bytes for part in parts) // unit) * unit
    counts = {
        "segments": len(parts),
        "expanded": sum(part.expanded for part in parts),
        "states": sum(part.stored for part in parts),
        "interchangeable": sum(
            len(kind.steps) for part in parts for kind in part.lattice.tokens.types
        ),
    }
    return Certified(script, cost, bound, method, counts)
