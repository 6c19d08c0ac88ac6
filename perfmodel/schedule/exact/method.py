"""The two methods: a beam, and a search that proves."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

from perfmodel.schedule.deadline import Deadline
from perfmodel.schedule.exact.beam import widest
from perfmodel.schedule.exact.core import Core, compiled
from perfmodel.schedule.exact.full_operator import full_operator_bound
from perfmodel.schedule.exact.lattice import Lattice
from perfmodel.schedule.exact.nodes import Bound
from perfmodel.schedule.exact.scripts import Walk, joined, split, walked
from perfmodel.schedule.exact.search import cheapest
from perfmodel.schedule.exact.segments import segments
from perfmodel.schedule.exact.sink import sunk
from perfmodel.schedule.greedy import belady, orders
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Outcome, Script, replay

__all__ = ["beam", "search"]

#: Expansions with which every segment is tried before any gets more.
_TRIAL = 1500

#: Widths of the beams of a segment that the trial leaves open.
_WIDTHS = (20, 200)

#: Parts of the best known cost that are tried, or shown to be out of reach, first.
_PARTS = (0.75, 0.9)

#: States of one search, at most: some 500 bytes each.
_STATES = 3_000_000

#: Share of a segment's time for its bound and its beams.
_SHARE = 0.3


class _Part:
    """A segment with the best that is known of it."""

    def __init__(self, core: Core, capacity: int) -> None:
        self.core = core
        self.lattice = Lattice(core, capacity)
        self.walk: Walk | None = None
        self.bound_bytes, self.expanded, self.stored = 0, 0, 0

    @property
    def limit(self) -> int:
        return self.walk.cost if self.walk else 1 << 62

    @property
    def proved(self) -> bool:
        return self.walk is not None and self.bound_bytes >= self.walk.cost

    def offer(self, walk: Walk | None) -> None:
        if walk is not None and walk.cost < self.limit:
            self.walk = walk

    def widen(self, width: int, deadline: Deadline, bound: Bound | None = None) -> None:
        end = widest(self.lattice, width, self.limit, deadline, bound)
        if end is not None:
            self.offer(walked(self.lattice, end))

    def look(
        self, deadline: Deadline, bound: Bound | None = None, *, expansions: int = 1 << 62,
        limit: int | None = None,
    ) -> None:  # fmt: skip
        limit = self.limit if limit is None else limit
        found = cheapest(
            self.lattice, limit, deadline, bound=bound, expansions=expansions, states=_STATES
        )
        self.expanded += found.expanded
        self.stored += found.stored
        if found.end is not None:
            self.offer(walked(self.lattice, found.end))
        self.bound_bytes = max(self.bound_bytes, min(found.bound, self.limit))

    def settle(self, deadline: Deadline) -> None:
        """Bound, beams, search."""
        early = deadline.within(_SHARE * deadline.left())
        bound = full_operator_bound(self.lattice, self.limit, early)
        for width in _WIDTHS:
            if not early.passed():
                self.widen(width, early, bound)
        if bound:
            bound.solve(self.limit, early)
            self.bound_bytes = max(self.bound_bytes, bound(*self.lattice.start()))
        # A search for what costs less than a part of the best known keeps few states, and says soon
        # how good that is.
        for part in _PARTS:
            limit = int(part * self.limit) + 1
            if self.bound_bytes < limit and not self.proved and not deadline.passed():
                if bound:
                    bound.restrict(limit)
                self.look(deadline, bound, limit=limit)
        if bound:
            bound.restrict(self.limit)
        if not self.proved:
            self.look(deadline, bound)


def search(
    problem: Problem, capacity_bytes: int, deadline: Deadline, incumbent: Script | None = None
) -> Outcome:
    """Find the order and the evictions that spill and reload the fewest bytes, and prove it.

    The problem is cut where every schedule passes through one state. Each segment is a shortest
    path over (executed, resident, clean) sets: best first, with smallest sets of evictions,
    states that another can turn into left out, interchangeable steps merged, and a bound from
    steps that fill the memory; schedules of beams say what is too dear.

    Parameters
    ----------
    incumbent
        A script that fits, to be bettered.

    Returns
    -------
    Outcome
        Proved, or with the bound reached at the deadline; without a script where a step does not
        fit by itself.

    Notes
    -----
    The state space is that of red-blue pebble games (Hong and Kung 1981) with weights; the order
    is COSMA's problem (arXiv:2311.18246).
    """
    if problem.largest_working_set_bytes > capacity_bytes:
        return Outcome(None, 0, 0, False, "exact")
    parts = [_Part(core, capacity_bytes) for core in segments(compiled(problem))]
    fallback = _seeds(problem, capacity_bytes, parts, incumbent)
    for part in parts:
        if part.limit:
            part.look(deadline, expansions=_TRIAL)
    left = [part for part in parts if not part.proved]
    for i, part in enumerate(left):
        part.settle(deadline.within(deadline.left() / (len(left) - i)))
    return _outcome(problem, capacity_bytes, parts, fallback, "exact")


def beam(problem: Problem, capacity_bytes: int, width: int, deadline: Deadline) -> Outcome:
    """Find a cheap schedule by keeping the best `width` states after each step.

    Returns
    -------
    Outcome
        Never dearer than the greedy orders; its bound is 0.
    """
    if problem.largest_working_set_bytes > capacity_bytes:
        return Outcome(None, 0, 0, False, "beam")
    parts = [_Part(core, capacity_bytes) for core in segments(compiled(problem))]
    fallback = _seeds(problem, capacity_bytes, parts, None)
    for i, part in enumerate(parts):
        if part.limit and not deadline.passed():
            part.widen(width, deadline.within(deadline.left() / (len(parts) - i)))
    return _outcome(problem, capacity_bytes, parts, fallback, "beam")


def _seeds(
    problem: Problem, capacity_bytes: int, parts: Sequence[_Part], incumbent: Script | None
) -> Script:
    """Give the segments the schedules of quick orders; return the best of them as it is."""
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


def _outcome(
    problem: Problem, capacity_bytes: int, parts: Sequence[_Part], fallback: Script, method: str
) -> Outcome:
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
    return Outcome(script, cost, min(bound, cost), bound >= cost, method, counts)
