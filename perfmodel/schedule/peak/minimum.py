"""Exact minimum peak memory over all orders of a problem."""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.greedy import orders
from perfmodel.schedule.peak.region import Cutter, Region
from perfmodel.schedule.peak.search import PeakSearch
from perfmodel.schedule.peak.tree import tree_order
from perfmodel.schedule.peak.valley import valleys
from perfmodel.schedule.problem import Problem

# Share of the remaining time for the proof of one region; maximum number of executed sets of a
# search for an order only.
SHARE = 0.6
FEW_SETS = 50_000


def peak_of(problem: Problem, order: Sequence[int]) -> int:
    """Return the peak of the bytes on chip while an order runs without evictions.

    Raises
    ------
    ValueError
        The order does not run every step once, each after the makers of its inputs.
    """
    if not problem.is_order(order):
        raise ValueError("the order does not run every step once, each after what it reads")
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
    The problem is cut at articulation steps and at minimum cuts (`perfmodel.schedule.peak.valley`).
    A piece that is a tree is solved by hills and valleys (`perfmodel.schedule.peak.tree`); others
    by bidirectional best-first search over executed sets (`perfmodel.schedule.peak.search`). The
    general problem is NP-hard (Sethi 1975); on series-parallel graphs with a separate datum on each
    edge it is polynomial (Kayaaslan, Lambert, Marchal and Uçar 2018).
    """
    deadline = deadline or Deadline()
    bound = problem.largest_working_set_bytes
    sets = expansions = 0
    cutter = Cutter(problem)
    parts: list[Region] = []
    best: list[tuple[list[int], int]] = []
    for region in cutter.forced():
        solved = tree_order(problem, region)
        if solved is not None:
            bound = max(bound, solved[1])
            parts.append(region)
            best.append(solved)
            continue
        split = cutter.split(region, valleys(region, 0, region.full))
        parts += split
        best += map(natural, split)
    # The hardest part first: its peak is a floor for the others, which then need less proof.
    for k in sorted(range(len(parts)), key=lambda k: -best[k][1]):
        if best[k][1] <= bound:
            continue
        search = PeakSearch(parts[k], bound)
        order = search.run(deadline.within(SHARE * deadline.left()))
        bound = max(bound, search.bound_bytes)
        sets += search.sets
        expansions += search.expansions
        if order is not None:
            best[k] = order, search.bound_bytes
        else:
            bound = halved(parts[k], best, k, bound, deadline)
    joined = [part.steps[s] for part, (order, _) in zip(parts, best, strict=True) for s in order]
    counts = {"parts": len(parts), "sets": sets, "expansions": expansions}
    candidates = [tuple(joined), *(o for _, o in orders(problem))]
    peak, order = min((peak_of(problem, o), o) for o in candidates)
    return Certified(order, peak, bound, "minimum peak", counts)


def halved(
    part: Region, best: list[tuple[list[int], int]], k: int, bound: int, deadline: Deadline
) -> int:
    """Improve the order of a region that was not solved, and return its lower bound.

    A search with the floor at the midpoint of bound and peak ends sooner, with an order below the
    midpoint or with the proof that there is none.
    """
    low, high = bound, best[k][1]
    while low < high and not deadline.passed():
        middle = (low + high) // 2
        search = PeakSearch(part, middle, FEW_SETS)
        order = search.run(deadline)
        if search.bound_bytes > middle:
            bound = low = max(bound, search.bound_bytes)
        if order is not None and search.bound_bytes < high:
            best[k] = order, search.bound_bytes
            high = search.bound_bytes
        elif order is None and search.bound_bytes <= middle:
            low = middle + 1  # abandoned, not proved
    return bound


def natural(part: Region) -> tuple[list[int], int]:
    """Return the steps of a region in their numbering order, and the peak of that order."""
    peak = executed = 0
    on_chip = part.bytes_of(0)
    for s, growth in enumerate(part.growth):
        peak = max(peak, on_chip + growth)
        executed |= 1 << s
        on_chip += part.gain[s] - sum(size for size, mask in part.reads[s] if not mask & ~executed)
    return list(range(len(part.steps))), peak
