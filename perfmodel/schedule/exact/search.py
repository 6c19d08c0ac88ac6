"""Uniform-cost search over states, pruned by dominance and lower bounds."""

from __future__ import annotations

from typing import TypeAlias

from perfmodel.optimise.best_first import BestFirst, Incumbent
from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact.lattice import StateLattice
from perfmodel.schedule.exact.nodes import Bound, ExecutedSet, Successor

#: Expanded states of a node that a later state is compared with.
_DOMINATORS = 64


class Visit:
    """A state on a path, with its predecessor and the step that led to it."""

    __slots__ = ("clean", "cost", "gone", "node", "origin", "resident", "step", "taken")

    def __init__(self, way: Successor, origin: Visit | None) -> None:
        self.node, self.resident, self.clean, self.cost, self.step, self.gone, self.taken, _ = way
        self.origin = origin

    def path(self) -> list[Visit]:
        """Return the states of the path, the first one first."""
        path: list[Visit] = []
        at: Visit | None = self
        while at is not None:
            path.append(at)
            at = at.origin
        return path[::-1]


_Node: TypeAlias = tuple[Visit | None, Successor]


def cheapest(
    lattice: StateLattice,
    limit: int,
    deadline: Deadline,
    *,
    bound: Bound | None = None,
    start: tuple[ExecutedSet, int, int] | None = None,
    first: int = -1,
    expansions: int = 1 << 62,
    states: int = 1 << 62,
) -> Certified[Visit]:
    """Find the cheapest path from a state to the end.

    Parameters
    ----------
    limit
        Only schedules that cost less than this are of interest.
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
    node, resident, clean = start or lattice.start()
    search = _StateSearch(lattice, limit, deadline, bound, first, expansions, states)
    return search.from_state(node, resident, clean)


class _StateSearch(BestFirst[_Node, Visit]):
    """Best-first search over states with dominance, limits on effort and a cost ceiling."""

    def __init__(
        self,
        lattice: StateLattice,
        limit: int,
        deadline: Deadline,
        bound: Bound | None,
        first: int,
        expansions: int,
        states: int,
    ) -> None:
        super().__init__(Incumbent(limit), deadline, expansions)
        self.lattice, self.limit, self.bound, self.first = lattice, limit, bound, first
        self.full, self.bytes_of = lattice.core.full, lattice.core.bytes_of
        self.states, self.stored = states, 1
        #: Lower bound on the cost of paths that were not tried.
        self.ceiling = 1 << 62
        #: Least cost of each state reached; and states that were expanded, with their cost.
        self.known: dict[ExecutedSet, dict[tuple[int, int], int]] = {}
        self.expanded: dict[ExecutedSet, list[tuple[int, int, int]]] = {}

    def from_state(self, node: ExecutedSet, resident: int, clean: int) -> Certified[Visit]:
        """Search from a state, with cost counted from there."""
        floor = self.bound(node, resident, clean) if self.bound else 0
        self.known[node] = {(resident, clean): 0}
        answer = self.run((None, (node, resident, clean, 0, -1, 0, 0, 0)), floor)
        work = {"expanded": self.nodes, "stored": self.stored if floor < self.limit else 0}
        return Certified(
            answer.solution, answer.value, min(answer.bound, self.ceiling), "exact", work
        )

    def settled(self, node: _Node) -> bool:
        """Return whether a state is final, superseded by a cheaper visit, or dominated."""
        origin, way = node
        at, resident, clean, cost, _, _, _, _ = way
        if self.known[at][resident, clean] != cost:
            return True
        if at.done == self.full:
            return self.incumbent.offer(Visit(way, origin), cost)
        before = self.expanded.setdefault(at, [])
        if before and self._dominated(before, resident, clean, cost):
            return True
        if len(before) < _DOMINATORS:
            before.append((resident, clean, cost))
        return False

    def stopped(self) -> bool:
        """Return whether to stop with the bound reached."""
        return self.stored >= self.states or super().stopped()

    def expand(self, node: _Node, bound: float) -> list[tuple[float, _Node]]:
        """Return the successor states that are new, or cheaper than before."""
        origin, way = node
        visit, limit, lattice = Visit(way, origin), self.limit, self.lattice
        lattice.truncated = False
        ways = lattice.successors(
            visit.node, visit.resident, visit.clean, visit.cost, limit, self.bound
        )
        if lattice.truncated:
            self.ceiling = min(self.ceiling, int(bound))
        if self.first >= 0 and origin is None:
            ways = [w for w in ways if w[4] == self.first]
        children: list[tuple[float, _Node]] = []
        for way in ways:
            child, after, clean_after, paid, _, _, _, least = way
            known = self.known.get(child)
            if known is None:
                known = self.known[child] = {}
            key = (after, clean_after)
            if known.get(key, limit) <= paid:
                continue
            known[key] = paid
            children.append((max(bound, paid + least), (visit, way)))
        self.stored += len(children)
        return children

    def _dominated(
        self, before: list[tuple[int, int, int]], resident: int, clean: int, cost: int
    ) -> bool:
        """Return whether an expanded state can turn into this one at no more than its cost.

        It evicts the buffers resident in it but not in this state, and stores those clean in this
        state but not in it.
        """
        bytes_of = self.bytes_of
        for other, other_clean, paid in before:
            left = cost - paid
            extra = other & ~resident
            if extra:
                left -= bytes_of(extra) + bytes_of(extra & ~other_clean)
                if left < 0:
                    continue
            to_store = other & resident & clean & ~other_clean
            if to_store:
                left -= bytes_of(to_store)
            if left >= 0:
                return True
        return False
