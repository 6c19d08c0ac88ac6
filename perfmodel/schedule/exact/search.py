"""Uniform-cost search over states, with what dominance and bounds let it leave out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact.lattice import StateLattice
from perfmodel.schedule.exact.nodes import Bound, ExecutedSet, Successor

#: Expanded states of a node that a later one is held against.
_DOMINATORS = 64

#: Successors between two looks at the clock.
_LOOK = 500


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


@dataclass(frozen=True, slots=True)
class ExactSearchResult:
    """What a search ended with.

    Attributes
    ----------
    end
        The last state of the cheapest schedule, where one below the limit was found.
    bound
        No schedule costs less: the cost of `end`, or the limit, but where too much might leave to
        try it all.
    complete
        The search ended by itself.
    """

    end: Visit | None
    bound: int
    complete: bool
    expanded: int
    stored: int


def cheapest(
    lattice: StateLattice, limit: int, deadline: Deadline, *, bound: Bound | None = None,
    start: tuple[ExecutedSet, int, int] | None = None, first: int = -1,
    expansions: int = 1 << 62, states: int = 1 << 62,
) -> ExactSearchResult:  # fmt: skip
    """Find the cheapest way from a state to the end.

    Parameters
    ----------
    limit
        Only schedules that cost less are of interest.
    first
        The step that must come first, or -1.
    expansions, states
        Where to stop with the bound reached.
    """
    node, resident, clean = start or lattice.start()
    tick = count()
    floor = bound(node, resident, clean) if bound else 0
    if floor >= limit:
        return ExactSearchResult(None, limit, True, 0, 0)
    heap: list[tuple[int, int, int, Visit | None, Successor]] = []
    heappush(heap, (floor, 0, next(tick), None, (node, resident, clean, 0, -1, 0, 0, 0)))
    seen: dict[ExecutedSet, dict[tuple[int, int], int]] = {node: {(resident, clean): 0}}
    old: dict[ExecutedSet, list[tuple[int, int, int]]] = {}
    full, bytes_of = lattice.core.full, lattice.core.bytes_of
    expanded, stored, price, work, ceiling = 0, 1, floor, _LOOK, 1 << 62
    while heap:
        price, depth, _, origin, way = heappop(heap)
        node, resident, clean, cost, _, _, _, _ = way
        if seen[node][resident, clean] != cost:
            continue
        if node.done == full:
            return ExactSearchResult(
                Visit(way, origin), min(price, ceiling), True, expanded, stored
            )
        before = old.get(node)
        if before is None:
            before = old[node] = []
        if before and _dominated(before, resident, clean, cost, bytes_of):
            continue
        if len(before) < _DOMINATORS:
            before.append((resident, clean, cost))
        if work >= _LOOK:
            work = 0
            if deadline.passed():
                expansions = 0
        if expanded >= expansions or stored >= states:
            return ExactSearchResult(None, min(price, ceiling), False, expanded, stored)
        expanded += 1
        depth -= 1
        visit = Visit(way, origin)
        lattice.truncated = False
        ways = lattice.successors(node, resident, clean, cost, limit, bound)
        work += 1 + len(ways)
        if lattice.truncated:
            # What was not tried costs as much as this state at least.
            ceiling = min(ceiling, price)
        if first >= 0 and origin is None:
            ways = [w for w in ways if w[4] == first]
        for way in ways:
            child, after, pure, paid, _, _, _, least = way
            known = seen.get(child)
            if known is None:
                known = seen[child] = {}
            key = (after, pure)
            if known.get(key, limit) <= paid:
                continue
            known[key] = paid
            stored += 1
            heappush(heap, (max(price, paid + least), depth, next(tick), visit, way))
    return ExactSearchResult(None, min(limit, ceiling), True, expanded, stored)


def _dominated(
    before: list[tuple[int, int, int]], resident: int, clean: int, cost: int,
    bytes_of: Callable[[int], int],
) -> bool:  # fmt: skip
    """Tell whether an expanded state can turn into this one for no more than its cost.

    It evicts what it has and this one has not, and stores what is clean here and not there.
    """
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
