"""Shortest path through the state graph: the schedule of a segment with the fewest spilled bytes.

A state is (executed steps, resident buffers, clean buffers); an edge evicts some buffers and runs
one step, and its length is the bytes that this stores and loads again. `cheapest_path` is called by
the search of a segment, by its relaxation, and for the bounds of large operators.

Best-first branch and bound (`perfmodel.optimise.best_first`): states are expanded in order of their
cost plus a lower bound on the remaining cost (A*, Hart, Nilsson and Raphael, "A formal basis for
the heuristic determination of minimum cost paths", 1968; Dijkstra's algorithm without a bound). A
state is dropped if a cheaper path to it is known, or if an expanded state dominates it. The first
final state is optimal; if the search stops before, the least value on the frontier is a lower
bound.
"""

from __future__ import annotations

from typing import TypeAlias

from perfmodel.optimise.best_first import BestFirst, Incumbent
from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact.state_graph import StateGraph
from perfmodel.schedule.exact.states import Bound, ExecutedSet, Successor, start_state

#: Maximum number of expanded states with the same executed steps that a later state is compared
#: with.
_MAX_DOMINATORS = 64


class PathNode:
    """A state on a path, with its predecessor and the step that led to it.

    Attributes
    ----------
    executed
        Set of the executed steps.
    resident, clean
        Masks of the buffers on chip, and of those that are also stored off chip, so that their
        eviction stores nothing.
    cost
        Bytes spilled and reloaded up to the state.
    step
        The step that led to the state; -1 at the start.
    evicted, consumed_copies
        Masks of the buffers evicted before that step, and of the interchangeable copies that it
        consumed.
    origin
        The state before; None at the start.
    """

    __slots__ = (
        "clean",
        "consumed_copies",
        "cost",
        "evicted",
        "executed",
        "origin",
        "resident",
        "step",
    )

    def __init__(self, successor: Successor, origin: PathNode | None) -> None:
        (
            self.executed,
            self.resident,
            self.clean,
            self.cost,
            self.step,
            self.evicted,
            self.consumed_copies,
            _remaining,
        ) = successor
        self.origin = origin

    def path(self) -> list[PathNode]:
        """Return the states of the path, the first one first."""
        path: list[PathNode] = []
        at: PathNode | None = self
        while at is not None:
            path.append(at)
            at = at.origin
        return path[::-1]


#: Node of the search: the state before, and a state with the step that led to it.
_SearchNode: TypeAlias = tuple[PathNode | None, Successor]


def cheapest_path(
    graph: StateGraph,
    limit: int,
    deadline: Deadline,
    *,
    bound: Bound | None = None,
    start: tuple[ExecutedSet, int, int] | None = None,
    first: int = -1,
    expansions: int = 1 << 62,
    states: int = 1 << 62,
) -> Certified[PathNode]:
    """Find the cheapest path from a state to the end.

    Parameters
    ----------
    start
        Executed set, resident and clean buffers of the first state; None for that of the graph.
    limit
        Only schedules that cost less than this are of interest.
    bound
        Lower bound on the cost from a state to the end; None for 0.
    first
        The step that must come first, or -1.
    expansions, states
        Maximum expansions and stored states; beyond them the search stops with its bound.

    Returns
    -------
    Certified
        The last state of the cheapest schedule, if one is below the limit. The bound holds for all
        schedules: it is the limit if none is below it, unless some eviction sets were not tried.
        The work has the numbers of states ``expanded`` and ``stored``.
    """
    search = _StateSearch(graph, limit, deadline, bound, first, expansions, states)
    return search.from_state(*(start or graph.start()))


class _StateSearch(BestFirst[_SearchNode, PathNode]):
    """Best-first search over states with dominance, limits on effort and a cost ceiling."""

    def __init__(
        self,
        graph: StateGraph,
        limit: int,
        deadline: Deadline,
        bound: Bound | None,
        first: int,
        expansions: int,
        states: int,
    ) -> None:
        super().__init__(Incumbent(limit), deadline, expansions)
        self.graph, self.limit, self.bound, self.first = graph, limit, bound, first
        self.all_steps, self.bytes_of = graph.core.full, graph.core.bytes_of
        self.max_stored, self.stored = states, 1
        #: Lower bound on the cost of paths that were not tried.
        self.ceiling = 1 << 62
        #: Least cost at which each state was reached.
        self.least_cost: dict[ExecutedSet, dict[tuple[int, int], int]] = {}
        #: (resident, clean, cost) of the states expanded with each executed set.
        self.expanded: dict[ExecutedSet, list[tuple[int, int, int]]] = {}

    def from_state(self, executed: ExecutedSet, resident: int, clean: int) -> Certified[PathNode]:
        """Search from a state, with cost counted from there."""
        floor = self.bound(executed, resident, clean) if self.bound else 0
        self.least_cost[executed] = {(resident, clean): 0}
        answer = self.run((None, start_state(executed, resident, clean)), floor)
        work = {"expanded": self.nodes, "stored": self.stored if floor < self.limit else 0}
        return Certified(
            answer.solution, answer.value, min(answer.bound, self.ceiling), "exact", work
        )

    def settled(self, node: _SearchNode) -> bool:
        """Return whether a state is final, superseded by a cheaper path to it, or dominated."""
        origin, successor = node
        executed, resident, clean, cost, _step, _evicted, _copies, _remaining = successor
        if self.least_cost[executed][resident, clean] != cost:
            return True
        if executed.done == self.all_steps:
            return self.incumbent.offer(PathNode(successor, origin), cost)
        before = self.expanded.setdefault(executed, [])
        if before and self._dominated(before, resident, clean, cost):
            return True
        if len(before) < _MAX_DOMINATORS:
            before.append((resident, clean, cost))
        return False

    def stopped(self) -> bool:
        """Return whether to stop with the bound reached."""
        return self.stored >= self.max_stored or super().stopped()

    def expand(self, node: _SearchNode, bound: float) -> list[tuple[float, _SearchNode]]:
        """Return the successor states that are new, or cheaper than before."""
        origin, successor = node
        state, limit, graph = PathNode(successor, origin), self.limit, self.graph
        graph.truncated = False
        successors = graph.successors(
            state.executed, state.resident, state.clean, state.cost, limit, self.bound
        )
        if graph.truncated:
            self.ceiling = min(self.ceiling, int(bound))
        must_be_first = self.first if origin is None else -1
        children: list[tuple[float, _SearchNode]] = []
        for successor in successors:
            child, after, clean_after, cost, step, _evicted, _copies, remaining = successor
            if must_be_first >= 0 and step != must_be_first:
                continue
            known = self.least_cost.get(child)
            if known is None:
                known = self.least_cost[child] = {}
            key = (after, clean_after)
            if known.get(key, limit) <= cost:
                continue
            known[key] = cost
            children.append((max(bound, cost + remaining), (state, successor)))
        self.stored += len(children)
        return children

    def _dominated(
        self, before: list[tuple[int, int, int]], resident: int, clean: int, cost: int
    ) -> bool:
        """Return whether an expanded state can turn into this one at no more than its cost.

        The other state has to evict the buffers that are resident only there: ``bytes`` to reload
        each later, and as many to store it unless it is clean. It has to store the buffers
        resident in both that are clean in this state only.
        """
        bytes_of = self.bytes_of
        for other_resident, other_clean, other_cost in before:
            left = cost - other_cost
            extra = other_resident & ~resident
            if extra:
                left -= bytes_of(extra) + bytes_of(extra & ~other_clean)
                if left < 0:
                    continue
            to_store = other_resident & resident & clean & ~other_clean
            if to_store:
                left -= bytes_of(to_store)
            if left >= 0:
                return True
        return False
