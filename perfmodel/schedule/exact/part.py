"""A segment of a problem with its best known schedule and lower bound."""

from __future__ import annotations

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact.beam import widest
from perfmodel.schedule.exact.core import BitmaskProblem
from perfmodel.schedule.exact.full_operator import full_operator_bound
from perfmodel.schedule.exact.lattice import StateLattice
from perfmodel.schedule.exact.nodes import Bound
from perfmodel.schedule.exact.scripts import Walk, walked
from perfmodel.schedule.exact.search import cheapest

#: Beam widths for a segment that the trial does not solve.
_WIDTHS = (20, 200)

#: Fractions of the best known cost searched first, to find or rule out cheaper schedules.
_PARTS = (0.75, 0.9)

#: Maximum number of states of one search, about 500 bytes each.
_STATES = 3_000_000

#: Share of a segment's time for its bound and its beams.
_SHARE = 0.3


class SegmentSearch:
    """A segment with its incumbent and lower bound.

    Parameters
    ----------
    ceiling
        Only schedules that cost less than this are of interest.
    """

    def __init__(self, core: BitmaskProblem, capacity: int, ceiling: int = 1 << 62) -> None:
        self.core, self.ceiling = core, ceiling
        self.lattice = StateLattice(core, capacity)
        self.walk: Walk | None = None
        self.bound_bytes, self.expanded, self.stored = 0, 0, 0

    @property
    def limit(self) -> int:
        """Cost of the incumbent, or the ceiling if that is lower."""
        return min(self.walk.cost, self.ceiling) if self.walk else self.ceiling

    @property
    def proved(self) -> bool:
        """Whether no schedule costs less than the limit."""
        return self.bound_bytes >= self.limit

    def offer(self, walk: Walk | None) -> None:
        """Replace the incumbent by a cheaper schedule."""
        if walk is not None and walk.cost < self.limit:
            self.walk = walk

    def widen(self, width: int, deadline: Deadline, bound: Bound | None = None) -> None:
        """Improve the incumbent by a beam search."""
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
        """Search for schedules cheaper than `limit`, by default cheaper than the incumbent."""
        limit = self.limit if limit is None else limit
        answer = cheapest(
            self.lattice, limit, deadline, bound=bound, expansions=expansions, states=_STATES
        )
        self.expanded += answer.work["expanded"]
        self.stored += answer.work["stored"]
        if answer.solution is not None:
            self.offer(walked(self.lattice, answer.solution))
        self.bound_bytes = max(self.bound_bytes, min(int(answer.bound), self.limit))

    def settle(self, deadline: Deadline) -> None:
        """Solve the segment in the time left: bound, then beams, then exact search."""
        early = deadline.within(_SHARE * deadline.left())
        bound = full_operator_bound(self.lattice, self.limit, early)
        for width in _WIDTHS:
            if not early.passed():
                self.widen(width, early, bound)
        if bound:
            bound.solve(self.limit, early)
            self.bound_bytes = max(self.bound_bytes, bound(*self.lattice.start()))
        # A search below a fraction of the incumbent stores few states, and soon shows the quality
        # of the incumbent.
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
