"""Uniform-cost search over states, with what dominance and bounds let it leave out."""

from __future__ import annotations

from typing import TypeAlias

from perfmodel.optimise.best_first import BestFirst, Incumbent
from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact.lattice import StateLattice
from perfmodel.schedule.exact.nodes import Bound, ExecutedSet, Successor

#: Expanded states of a node that a later one is held against.
_DOMINATORS = 64


class Visit:
    """A state on the way: where it came from and by what."""

    __slots__ = ("clean", "cost", "gone", "node", "origin", "resident", "step", "taken")

    def __init__(self, way: Successor, origin: Visit | None) -> None:
        self.node, self.resident, self.clean, self.cost, self.step, self.gone, self.taken, _ = way
        self.origin = origin

    def path(self) -> list[Visit]:
        """Return the states from the first to this one."""
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
    """Find the cheapest way from a state to the end.

    Parameters
    ----------
    limit
        Only schedules that cost less are of interest.
    first
        The step that must come first, or -1.
    expansions, states
        Where to stop with the bound reached.

    Returns
    -------
    Certified
        The last state of the cheapest schedule, where there is one below the limit. The bound is
        of all schedules: the limit where there is none, but where too much might leave to try it
        all. Its work has the states that were ``expanded`` and ``stored``.
    """
    node, resident, clean = start or lattice.start()
    search = _StateSearch(lattice, limit, deadline, bound, first, expansions, states)
    return search.from_state(node, resident, clean)


class _StateSearch(BestFirst[_Node, Visit]):
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
        #: What was not tried costs as much at least.
        self.ceiling = 1 << 62
        #: Least cost of each state met; and states that were expanded, with their cost.
        self.known: dict[ExecutedSet, dict[tuple[int, int], int]] = {}
        self.expanded: dict[ExecutedSet, list[tuple[int, int, int]]] = {}

    def from_state(self, node: ExecutedSet, resident: int, clean: int) -> Certified[Visit]:
        """Search from a state that costs nothing."""
        floor = self.bound(node, resident, clean) if self.bound else 0
        self.known[node] = {(resident, clean): 0}
        answer = self.run((None, (node, resident, clean, 0, -1, 0, 0, 0)), floor)
        work = {"expanded": self.nodes, "stored": self.stored if floor < self.limit else 0}
        return Certified(
            answer.solution, answer.value, min(answer.bound, self.ceiling), "exact", work
        )

    def settled(self, node: _Node) -> bool:
        """Tell whether a state is the end, was reached for less, or another can turn into it."""
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
        """Tell whether to stop with the bound reached."""
        return self.stored >= self.states or super().stopped()

    def expand(self, node: _Node, bound: float) -> list[tuple[float, _Node]]:
        """Return the states after a step that are new, or cheaper than before."""
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
            child, after, pure, paid, _, _, _, least = way
            known = self.known.get(child)
            if known is None:
                known = self.known[child] = {}
            key = (after, pure)
            if known.get(key, limit) <= paid:
                continue
            known[key] = paid
            children.append((max(bound, paid + least), (visit, way)))
        self.stored += len(children)
        return children

    def _dominated(
        self, before: list[tuple[int, int, int]], resident: int, clean: int, cost: int
    ) -> bool:
        """Tell whether an expanded state can turn into this one for no more than its cost.

        It evicts what it has and this one has not, and stores what is clean here and not there.
        """
        bytes_of = self.bytes_of
        for other, pure, paid in before:
            left = cost - paid
            extra = other & ~resident
            if extra:
                left -= bytes_of(extra) + bytes_of(extra & ~pure)
                if left < 0:
                    continue
            spoilt = other & resident & clean & ~pure
            if spoilt:
                left -= bytes_of(spoilt)
            if left >= 0:
                return True
        return False
