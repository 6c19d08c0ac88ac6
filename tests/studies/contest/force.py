"""The least latency by trying everything: subgraphs, granularities, orders of tiles, retention.

Forwards in time, from what is stored and what is resident; no groups, no bounds, no layers.
"""

from __future__ import annotations

import heapq
import itertools

from perfmodel_studies.contest import Instance
from perfmodel_studies.contest.cost import ORDERS, tile_order
from perfmodel_studies.contest.structure import Structure, analyse

from tests.studies.contest.walk import walk

State = tuple[frozenset[int], frozenset[int]]


def least_latency(x: Instance, retained_at_most: int = 2) -> float:
    """Return the least latency, infinite where nothing fits."""
    count = len(x.operations)
    subgraphs = [
        s
        for n in range(1, count + 1)
        for chosen in itertools.combinations(range(count), n)
        if not isinstance(s := analyse(x, frozenset(chosen)), str)
    ]
    known: dict[tuple[int, frozenset[int], frozenset[int]], float] = {}
    start: State = (frozenset(), frozenset())
    best: dict[State, float] = {start: 0.0}
    heap: list[tuple[float, int, State]] = [(0.0, 0, start)]
    ties = itertools.count(1)
    while heap:
        cost, _, state = heapq.heappop(heap)
        stored, resident = state
        if stored >= set(x.graph_outputs):
            return cost
        if cost > best[state]:
            continue
        for number, s in enumerate(subgraphs):
            if any(x.producer[t] >= 0 and t not in stored | resident for t in s.inputs):
                continue
            made = [t for t in (*s.outputs, *s.interior) if x.consumers[t]]
            for n in range(min(retained_at_most, len(made)) + 1):
                for kept in itertools.combinations(made, n):
                    retained = frozenset(kept)
                    key = (number, resident, retained)
                    if key not in known:
                        known[key] = _best(x, s, resident, retained)
                    after: State = (stored | (set(s.outputs) - retained), retained)
                    new = cost + known[key]
                    if new < best.get(after, float("inf")):
                        best[after] = new
                        heapq.heappush(heap, (new, next(ties), after))
    return float("inf")


def _best(x: Instance, s: Structure, resident: frozenset[int], retained: frozenset[int]) -> float:
    found = float("inf")
    operations = list(s.operations)
    depths = range(1, s.most_depth + 1) if s.depths else [1]
    for w in range(s.least_width, x.native_width + 1):
        for h in range(s.least_height, x.native_height + 1):
            for k in depths:
                rows, columns = -(-s.height // h), -(-s.width // w)
                for order in ORDERS:
                    tiles = tile_order(rows, columns, order)
                    cost = walk(x, operations, (w, h, k), tiles, resident, retained)
                    if cost.working_set <= x.capacity:
                        found = min(found, cost.latency)
    return found
