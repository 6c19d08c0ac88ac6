"""Exact search of one segment: an incumbent and a lower bound, improved until they meet.

The bound comes from a step that fills the memory (`full_operator.py`) and from best-first search
(`shortest_path.py`), the incumbent from beams (`beam_search.py`) and from the search. The segment
is proved when its lower bound reaches the cost of its incumbent. `fewest_spills.py` calls this for
every segment of a problem, `refinement.py` for relaxations of a long one.
"""

from __future__ import annotations

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact.beam_search import beam_search
from perfmodel.schedule.exact.bitmask_problem import BitmaskProblem
from perfmodel.schedule.exact.full_operator import full_operator_bound
from perfmodel.schedule.exact.segment_schedule import SegmentSchedule, schedule_of_path
from perfmodel.schedule.exact.shortest_path import cheapest_path
from perfmodel.schedule.exact.state_graph import StateGraph
from perfmodel.schedule.exact.states import Bound

#: Beam widths for a segment that a short search does not solve.
_WIDTHS = (20, 200)

#: Fractions of the incumbent's cost below which the search looks first: such a search stores few
#: states, and soon shows how good the incumbent is.
_FRACTIONS = (0.75, 0.9)

#: Maximum number of states of one search, about 500 bytes each.
_MOST_STATES = 3_000_000

#: Share of a segment's time for its bound and its beams.
_PREPARATION = 0.3


class SegmentSearch:
    """A segment with its incumbent and lower bound.

    Parameters
    ----------
    core
        The segment as bit masks.
    capacity
        Bytes of the memory.
    ceiling
        Only schedules that cost less than this are of interest.

    Attributes
    ----------
    schedule
        The incumbent; None if none is known.
    bound_bytes
        Lower bound on the cost of all schedules below the ceiling.
    expanded, stored
        States expanded and stored by all searches so far.
    """

    def __init__(self, core: BitmaskProblem, capacity: int, ceiling: int = 1 << 62) -> None:
        self.core, self.ceiling = core, ceiling
        self.graph = StateGraph(core, capacity)
        self.schedule: SegmentSchedule | None = None
        self.bound_bytes, self.expanded, self.stored = 0, 0, 0

    @property
    def limit(self) -> int:
        """Cost of the incumbent, or the ceiling if that is lower."""
        return min(self.schedule.cost, self.ceiling) if self.schedule else self.ceiling

    @property
    def proved(self) -> bool:
        """Whether no schedule costs less than the limit."""
        return self.bound_bytes >= self.limit

    def solve(self, deadline: Deadline) -> None:
        """Solve the segment in the time left: bound, then beams, then best-first search."""
        preparation = deadline.share(_PREPARATION)
        bound = full_operator_bound(self.graph, self.limit, preparation)
        for width in _WIDTHS:
            if not preparation.passed():
                self.improve_by_beam(width, preparation, bound)
        if bound:
            bound.solve(self.limit, preparation)
            self.bound_bytes = max(self.bound_bytes, bound(*self.graph.start()))
        for fraction in _FRACTIONS:
            limit = int(fraction * self.limit) + 1
            if self.bound_bytes < limit and not self.proved and not deadline.passed():
                if bound:
                    bound.restrict(limit)
                self.search_below(limit, deadline, bound)
        if bound:
            bound.restrict(self.limit)
        if not self.proved:
            self.search_below(self.limit, deadline, bound)

    def offer(self, schedule: SegmentSchedule | None) -> None:
        """Replace the incumbent by a cheaper schedule."""
        if schedule is not None and schedule.cost < self.limit:
            self.schedule = schedule

    def improve_by_beam(self, width: int, deadline: Deadline, bound: Bound | None = None) -> None:
        """Improve the incumbent by a beam search."""
        end = beam_search(self.graph, width, self.limit, deadline, bound)
        if end is not None:
            self.offer(schedule_of_path(self.graph, end))

    def search_below(
        self,
        limit: int,
        deadline: Deadline,
        bound: Bound | None = None,
        *,
        expansions: int = 1 << 62,
    ) -> None:
        """Search for schedules that cost less than a limit, and raise the lower bound."""
        answer = cheapest_path(
            self.graph, limit, deadline, bound=bound, expansions=expansions, states=_MOST_STATES
        )
        self.expanded += answer.work["expanded"]
        self.stored += answer.work["stored"]
        if answer.solution is not None:
            self.offer(schedule_of_path(self.graph, answer.solution))
        self.bound_bytes = max(self.bound_bytes, min(int(answer.bound), self.limit))
