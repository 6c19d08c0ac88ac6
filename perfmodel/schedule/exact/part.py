"""A segment of a problem, and what is known of it: its best schedule and a bound."""

from __future__ import annotations

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact.beam import widest
from perfmodel.schedule.exact.core import BitmaskProblem
from perfmodel.schedule.exact.full_operator import full_operator_bound
from perfmodel.schedule.exact.lattice import StateLattice
from perfmodel.schedule.exact.nodes import Bound
from perfmodel.schedule.exact.scripts import Walk, walked
from perfmodel.schedule.exact.search import cheapest

#: Widths of the beams of a segment that the trial leaves open.
_WIDTHS = (20, 200)

#: Parts of the best known cost that are tried, or shown to be out of reach, first.
_PARTS = (0.75, 0.9)

#: States of one search, at most: some 500 bytes each.
_STATES = 3_000_000

#: Share of a segment's time for its bound and its beams.
_SHARE = 0.3


class SegmentSearch:
    """A segment with the best that is known of it.

    Parameters
    ----------
    ceiling
        Only schedules that cost less are of interest.
    """

    def __init__(self, core: BitmaskProblem, capacity: int, ceiling: int = 1 << 62) -> None:
        self.core, self.ceiling = core, ceiling
        self.lattice = StateLattice(core, capacity)
        self.walk: Walk | None = None
        self.bound_bytes, self.expanded, self.stored = 0, 0, 0

    @property
    def limit(self) -> int:
        """Cost of the best schedule known, or the ceiling if that is less."""
        return min(self.walk.cost, self.ceiling) if self.walk else self.ceiling

    @property
    def proved(self) -> bool:
        """Whether nothing costs less than the limit."""
        return self.bound_bytes >= self.limit

    def offer(self, walk: Walk | None) -> None:
        """Take a schedule that is better."""
        if walk is not None and walk.cost < self.limit:
            self.walk = walk

    def widen(self, width: int, deadline: Deadline, bound: Bound | None = None) -> None:
        """Look with a beam."""
        end = widest(self.lattice, width, self.limit, deadline, bound)
        if end is not None:
            self.offer(walked(self.lattice, end))

    def look(
        self,
        deadline: Deadline,
        bound: Bound | None = None,
        *,
        expansions: int = 1 << 62,
        limit: int | None = None,
    ) -> None:
        """Search for what costs less than `limit`, by default than the best known."""
        limit = self.limit if limit is None else limit
        found = cheapest(
            self.lattice, limit, deadline, bound=bound, expansions=expansions, states=_STATES
        )
        self.expanded += found.work["expanded"]
        self.stored += found.work["stored"]
        if found.solution is not None:
            self.offer(walked(self.lattice, found.solution))
        self.bound_bytes = max(self.bound_bytes, min(int(found.bound), self.limit))

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
