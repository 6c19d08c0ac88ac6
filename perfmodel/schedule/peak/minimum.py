"""The least memory that any order of a problem needs, exactly."""

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

# Of the time left, for the proof of a region; and the executed sets of a search for an order only.
SHARE = 0.6
FEW_SETS = 50_000


def peak_of(problem: Problem, order: Sequence[int]) -> int:
    """Return the most bytes on chip while an order runs without evictions.

    Raises
    ------
    ValueError
        The order does not run every step once, each after what it reads.
    """
    if not problem.is_order(order):
        raise ValueError("the order does not run every step once, each after what it reads")
    waiting = [len(r) for r in problem.readers]
    held = peak = 0
    for s in order:
        step = problem.steps[s]
        peak = max(peak, held + problem.growth_bytes[s])
        held += sum(problem.buffers[t].size_bytes for t in step.writes if waiting[t])
        for t in dict.fromkeys(step.reads):
            waiting[t] -= 1
            if not waiting[t]:
                held -= problem.buffers[t].size_bytes
    return peak


def minimum_peak(problem: Problem, deadline: Deadline | None = None) -> Certified[tuple[int, ...]]:
    """Return the order that needs the least memory, with a proof or a bound.

    Parameters
    ----------
    problem
        Steps and buffers; ``stored`` plays no part, for nothing is evicted.
    deadline
        When to stop; None for never.

    Returns
    -------
    Certified
        An order, and the most bytes on chip while it runs, nothing being evicted. Where time or
        memory ran out, the best order known and what no order can go below.

    Notes
    -----
    The problem is cut at articulation steps and at minimum cuts (`perfmodel.schedule.peak.valley`).
    A piece that is a tree is solved by hills and valleys (`perfmodel.schedule.peak.tree`); others
    are searched best-first over executed sets from both ends (`perfmodel.schedule.peak.search`). In
    general the problem is NP-hard (Sethi 1975); on series-parallel graphs whose edges carry data of
    their own it is polynomial (Kayaaslan, Lambert, Marchal and Uçar 2018).
    """
    deadline = deadline or Deadline()
    bound = problem.largest_working_set_bytes
    sets = expansions = 0
    cutter = Cutter(problem)
    parts: list[Region] = []
    found: list[tuple[list[int], int]] = []
    for whole in cutter.forced():
        solved = tree_order(problem, whole)
        if solved is not None:
            bound = max(bound, solved[1])
            parts.append(whole)
            found.append(solved)
            continue
        split = cutter.split(whole, valleys(whole, 0, whole.full))
        parts += split
        found += map(natural, split)
    # The hardest first: what another part needs anyway need not be avoided in this one.
    for k in sorted(range(len(parts)), key=lambda k: -found[k][1]):
        if found[k][1] <= bound:
            continue
        search = PeakSearch(parts[k], bound)
        order = search.run(deadline.within(SHARE * deadline.left()))
        bound = max(bound, search.bound_bytes)
        sets += search.sets
        expansions += search.expansions
        if order is not None:
            found[k] = order, search.bound_bytes
        else:
            bound = halved(parts[k], found, k, bound, deadline)
    joined = [part.steps[s] for part, (order, _) in zip(parts, found, strict=True) for s in order]
    counts = {"parts": len(parts), "sets": sets, "expansions": expansions}
    candidates = [tuple(joined), *(o for _, o in orders(problem))]
    peak, best = min((peak_of(problem, o), o) for o in candidates)
    return Certified(best, peak, bound, "minimum peak", counts)


def halved(
    part: Region, found: list[tuple[list[int], int]], k: int, bound: int, deadline: Deadline
) -> int:
    """Better the order of a region that was not solved, and return its bound.

    A search that need not avoid what lies below half way ends sooner, with an order below it or
    with the proof that there is none.
    """
    low, high = bound, found[k][1]
    while low < high and not deadline.passed():
        middle = (low + high) // 2
        search = PeakSearch(part, middle, FEW_SETS)
        order = search.run(deadline)
        if search.bound_bytes > middle:
            bound = low = max(bound, search.bound_bytes)
        if order is not None and search.bound_bytes < high:
            found[k] = order, search.bound_bytes
            high = search.bound_bytes
        elif order is None and search.bound_bytes <= middle:
            low = middle + 1  # not proved: only given up
    return bound


def natural(part: Region) -> tuple[list[int], int]:
    """Return the steps of a region as they are numbered, and the peak of that order."""
    peak = executed = 0
    held = part.bytes_of(0)
    for s, growth in enumerate(part.growth):
        peak = max(peak, held + growth)
        executed |= 1 << s
        held += part.gain[s] - sum(size for size, mask in part.reads[s] if not mask & ~executed)
    return list(range(len(part.steps))), peak
