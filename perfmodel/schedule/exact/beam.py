"""A beam through the states: step after step the most promising few are kept."""

from __future__ import annotations

from heapq import nsmallest

from perfmodel.schedule.deadline import Deadline
from perfmodel.schedule.exact.lattice import Lattice
from perfmodel.schedule.exact.search import Bound, Visit

__all__ = ["widest"]


def widest(
    lattice: Lattice, width: int, limit: int, deadline: Deadline, bound: Bound | None = None
) -> Visit | None:
    """Return the end of the cheapest schedule below `limit` that a beam of a width finds.

    States with the same number of executed steps compete; a bound guides them where there is one.
    None where there is none below the limit, or no time.
    """
    node, resident, clean = lattice.start()
    layer = [Visit(node, resident, clean, 0)]
    bytes_of = lattice.core.bytes_of
    for _ in range(lattice.core.steps):
        following: dict[tuple[int, int, int], Visit] = {}
        for k, visit in enumerate(layer):
            if not k % 32 and deadline.passed():
                return None
            for child, after, pure, paid, step, gone, taken in lattice.successors(
                visit.node, visit.resident, visit.clean, visit.cost, limit
            ):
                key = (child.done, after, pure)
                known = following.get(key)
                if known is None or known.cost > paid:
                    following[key] = Visit(child, after, pure, paid, visit, step, gone, taken)
        rated: list[tuple[int, int, int, Visit]] = []
        for k, visit in enumerate(following.values()):
            rating = visit.cost
            if bound:
                rating += bound(visit.node, visit.resident, visit.clean)
                if rating >= limit:
                    continue
            rated.append((rating, bytes_of(visit.resident), k, visit))
        layer = [visit for *_, visit in nsmallest(width, rated)]
    return min(layer, key=lambda visit: visit.cost, default=None)
