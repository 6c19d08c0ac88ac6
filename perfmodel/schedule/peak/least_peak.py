"""Order with the least peak memory without evictions: decomposition, then exact search.

The problem is cut into regions at articulation steps and minimum cuts (`region.py`,
`minimum_cuts.py`), which are ordered one by one: trees by Liu's algorithm (`tree_order.py`), others
by bidirectional search (`bidirectional_search.py`). The lower bound is the largest of the working
sets and of the peaks that searches have ruled out; the order is optimal when its peak equals it.
"""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.greedy import orders
from perfmodel.schedule.peak.bidirectional_search import PeakSearch
from perfmodel.schedule.peak.minimum_cuts import least_bytes_sets
from perfmodel.schedule.peak.region import Region, RegionCutter, RegionOrder
from perfmodel.schedule.peak.tree_order import tree_order
from perfmodel.schedule.problem import Problem

#: Share of the remaining time for the proof of one region.
_SHARE = 0.6

#: Maximum number of executed sets of one search of `bisect_peak`.
_FEW_SETS = 50_000


def minimum_peak(problem: Problem, deadline: Deadline | None = None) -> Certified[tuple[int, ...]]:
    """Return the order of least peak memory, with a proof or a lower bound.

    Parameters
    ----------
    problem
        Steps and buffers; ``stored`` is ignored, since nothing is evicted.
    deadline
        Time at which to stop; None for no limit.

    Returns
    -------
    Certified
        An order, and its peak in bytes without evictions. If time or memory ran out, the best known
        order and a lower bound over all orders.

    Notes
    -----
    The general problem is NP-hard (Sethi 1975); on trees it is polynomial (Liu 1987), and on
    series-parallel graphs with a separate datum on each edge as well (Kayaaslan, Lambert, Marchal
    and Uçar 2018).
    """
    deadline = deadline or Deadline()
    bound = problem.largest_working_set_bytes
    sets = expansions = 0
    cutter = RegionCutter(problem)
    parts: list[Region] = []
    best: list[RegionOrder] = []
    for region in cutter.forced_regions():
        solved = tree_order(problem, region)
        if solved is not None:
            bound = max(bound, solved.peak)
            parts.append(region)
            best.append(solved)
            continue
        split = cutter.split(region, least_bytes_sets(region, 0, region.full))
        parts += split
        best += map(natural_order, split)
    # The hardest part first: its peak is a floor for the others, which then need less proof.
    for k in sorted(range(len(parts)), key=lambda k: -best[k].peak):
        if best[k].peak <= bound:
            continue
        search = PeakSearch(parts[k], bound)
        order = search.run(deadline.share(_SHARE))
        bound = max(bound, search.bound_bytes)
        sets += search.sets
        expansions += search.expansions
        if order is not None:
            best[k] = RegionOrder(order, search.bound_bytes)
        else:
            best[k], bound = bisect_peak(parts[k], best[k], bound, deadline)
    joined = [part.steps[s] for part, (order, _) in zip(parts, best, strict=True) for s in order]
    counts = {"parts": len(parts), "sets": sets, "expansions": expansions}
    candidates = [tuple(joined), *(o for _, o in orders(problem))]
    peak, order = min((peak_of(problem, o), o) for o in candidates)
    return Certified(order, peak, bound, "minimum peak", counts)


def peak_of(problem: Problem, order: Sequence[int]) -> int:
    """Return the peak of the bytes on chip while an order runs without evictions.

    Raises
    ------
    ValueError
        The order does not run every step once, each after the makers of its inputs.
    """
    problem.check_order(order)
    waiting = [len(r) for r in problem.readers]
    on_chip = peak = 0
    for s in order:
        step = problem.steps[s]
        peak = max(peak, on_chip + problem.growth_bytes[s])
        on_chip += sum(problem.buffers[t].size_bytes for t in step.writes if waiting[t])
        for t in dict.fromkeys(step.reads):
            waiting[t] -= 1
            if not waiting[t]:
                on_chip -= problem.buffers[t].size_bytes
    return peak


def bisect_peak(
    part: Region, best: RegionOrder, bound: int, deadline: Deadline
) -> tuple[RegionOrder, int]:
    """Improve the order of a region that was not solved, and its lower bound, by bisection.

    A search with the floor at the midpoint of bound and peak ends sooner, with an order below the
    midpoint or with the proof that there is none.

    Returns
    -------
    RegionOrder and int
        The best known order, and the lower bound on the peak.
    """
    low, high = bound, best.peak
    while low < high and not deadline.passed():
        middle = (low + high) // 2
        search = PeakSearch(part, middle, _FEW_SETS)
        order = search.run(deadline)
        if search.bound_bytes > middle:
            bound = low = max(bound, search.bound_bytes)
        if order is not None and search.bound_bytes < high:
            high = search.bound_bytes
            best = RegionOrder(order, high)
        elif order is None and search.bound_bytes <= middle:
            low = middle + 1  # abandoned, not proved
    return best, bound


def natural_order(part: Region) -> RegionOrder:
    """Return the steps of a region in their numbering order, with the peak of that order."""
    peak = executed = 0
    on_chip = part.bytes_of(0)
    for s, growth in enumerate(part.growth):
        peak = max(peak, on_chip + growth)
        executed |= 1 << s
        on_chip += part.gain[s] - sum(size for size, mask in part.reads[s] if not mask & ~executed)
    return RegionOrder(list(range(len(part.steps))), peak)
