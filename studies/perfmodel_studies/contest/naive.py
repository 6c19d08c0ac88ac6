"""The naive schedule: every operation alone, nothing retained, raster order."""

from __future__ import annotations

import numpy as np

from perfmodel_studies.contest.cost import RASTER, SubgraphCosts
from perfmodel_studies.contest.instance import Instance
from perfmodel_studies.contest.solution import ContestSolution, SolutionSubgraph
from perfmodel_studies.contest.structure import Structure, analyse

__all__ = ["naive"]


def naive(instance: Instance) -> ContestSolution | None:
    """Return the naive schedule.

    Each operation takes the native granularity; while its working set does not fit, the depth, then
    the longer side of the tile are halved, in turn. None where an operation fits at no granularity.
    """
    parts: list[SolutionSubgraph] = []
    latencies: list[float] = []
    for op in instance.order:
        structure = analyse(instance, frozenset([op]))
        granularity = None if isinstance(structure, str) else _largest(instance, structure)
        if granularity is None:
            return None
        parts.append(SolutionSubgraph((op,), granularity[0]))
        latencies.append(granularity[1])
    return ContestSolution(tuple(parts), tuple(latencies))


def _largest(instance: Instance, s: Structure) -> tuple[tuple[int, int, int], float] | None:
    w, h = min(instance.native_width, s.width), min(instance.native_height, s.height)
    w, h = max(w, s.least_width), max(h, s.least_height)
    k = s.most_depth if s.depths else 1
    deep = True
    while True:
        cost = SubgraphCosts(instance, s, *np.array([[w], [h], [k]])).ordered(RASTER)[0]
        if cost.working_set[0] <= instance.capacity:
            return (w, h, k), float(cost.latency[0])
        narrow, low = w // 2 < s.least_width, h // 2 < s.least_height
        if k > 1 and (deep or (narrow and low)):
            k //= 2
        elif not narrow and (w >= h or low):
            w //= 2
        elif not low:
            h //= 2
        else:
            return None
        deep = not deep
