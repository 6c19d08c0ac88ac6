"""Topological order of nodes that stays closest to the order of a file."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from graphlib import TopologicalSorter


def topological_order(predecessors: Sequence[Iterable[int]]) -> list[int]:
    """Return the file's order if it is topological, else the nearest topological order.

    Kahn's algorithm (CACM 5(11), 1962) with a heap: of all nodes whose predecessors are done, the
    one that the file lists first comes next.

    Parameters
    ----------
    predecessors
        For each node, the positions of the nodes that must precede it.

    Raises
    ------
    graphlib.CycleError
        The nodes form a cycle, which is the second argument of the exception.
    """
    sorter = TopologicalSorter(dict(enumerate(predecessors)))
    sorter.prepare()
    ready = sorted(sorter.get_ready())
    order: list[int] = []
    while ready:
        order.append(heapq.heappop(ready))
        sorter.done(order[-1])
        for node in sorter.get_ready():
            heapq.heappush(ready, node)
    return order
