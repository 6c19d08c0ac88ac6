"""Beam search over states: the most promising few are kept after each step."""

from __future__ import annotations

from heapq import nsmallest

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact.lattice import StateLattice
from perfmodel.schedule.exact.nodes import Bound, Successor
from perfmodel.schedule.exact.search import Visit

#: Successors generated between two checks of the clock.
_LOOK = 500


def widest(
    lattice: StateLattice, width: int, limit: int, deadline: Deadline, bound: Bound | None = None
) -> Visit | None:
    """Return the end of the cheapest schedule below `limit` found by a beam of the given width.

    States with the same number of executed steps compete; a bound, if given, guides their ranking.
    None if no schedule below the limit is found in time.
    """
    node, resident, clean = lattice.start()
    layer = [Visit((node, resident, clean, 0, -1, 0, 0, 0), None)]
    bytes_of, work = lattice.core.bytes_of, _LOOK
    for _ in range(lattice.core.steps):
        following: dict[tuple[int, int, int], tuple[Successor, Visit]] = {}
        for visit in layer:
            if work >= _LOOK:
                work = 0
                if deadline.passed():
                    return None
            ways = lattice.successors(
                visit.node, visit.resident, visit.clean, visit.cost, limit, bound
            )
            work += 1 + len(ways)
            for way in ways:
                key = (way[0].done, way[1], way[2])
                known = following.get(key)
                if known is None or known[0][3] > way[3]:
                    following[key] = (way, visit)
        rated = [
            (way[3] + way[7], bytes_of(way[1]), k, way, origin)
            for k, (way, origin) in enumerate(following.values())
        ]
        layer = [Visit(way, origin) for *_, way, origin in nsmallest(width, rated)]
    return min(layer, key=lambda visit: visit.cost, default=None)
