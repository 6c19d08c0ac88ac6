"""Items to levels: greedy by density, LP rounding, exact.

A multiple-choice, multiple-capacity knapsack: each copy of an item lies in one level, what lies in
a level fits in it, and the sum of the costs is least. Copies that are alike are one integer
variable a level, so that 80 equal layers cost no more than one (Martello and Toth, "Knapsack
problems", Wiley 1990, chapters 5 to 7).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from perfmodel.optimise.certified import Certified, nothing
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.place.integer import fits, integer_counts, relaxed_counts

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Largest difference from the bound, relative, at which a placement counts as proved.
PROVED: Final = 2e-9
#: Seconds of a search where nobody says.
LIMIT: Final = 10.0


def assign_items(
    sizes: Floats,
    copies: Ints,
    costs: Floats,
    capacities: Floats,
    *,
    method: str = "exact",
    deadline: Deadline | None = None,
) -> Certified[Ints]:
    """Return where the copies of each item lie: how many in each level, ``(items, levels)``.

    Parameters
    ----------
    sizes
        Bytes of one copy, above 0, ``(n,)``.
    copies
        Copies of each item, ``(n,)``.
    costs
        Of one copy in each level, ``(n, levels)``; infinite where it may not lie.
    capacities
        Bytes of each level, ``(levels,)``; may be infinite.
    method
        ``greedy``: densest first into the best level with room; ``lp``: the linear relaxation
        rounded; ``exact``: an integer programme, stopped at the deadline with its bound.
    deadline
        When ``exact`` stops; 10 s from now where left out.
    """
    relaxed = relaxed_counts(sizes, copies, costs, capacities)
    bound = relaxed.bound
    if relaxed.solution is None:
        return nothing(method, math.inf)
    best = _certified(greedy_counts(sizes, copies, costs, capacities), costs, bound, "greedy")
    if method == "greedy" or best.proved:
        return best
    rounded = _rounded(relaxed.solution, sizes, copies, costs, capacities)
    best = best.or_better(_certified(rounded, costs, bound, "lp"))
    if method == "lp" or best.proved:
        return best
    limit = deadline or Deadline(LIMIT)
    exact = integer_counts(sizes, copies, costs, capacities, limit, best.solution)
    best = best.or_better(_certified(exact.solution, costs, exact.bound, "exact"))
    return _certified(best.solution, costs, best.bound, "exact")


def _certified(counts: Ints | None, costs: Floats, bound: float, method: str) -> Certified[Ints]:
    """Return a placement with its cost, which is the bound where the two all but meet."""
    if counts is None:
        return nothing(method, bound)
    cost = total_cost(counts, costs)
    return Certified(counts, cost, cost if cost <= bound * (1.0 + PROVED) else bound, method)


def total_cost(counts: Ints, costs: Floats) -> float:
    """Return the cost of a placement; a level that holds nothing costs nothing."""
    return float(np.sum(np.where(counts > 0, counts * np.where(counts > 0, costs, 0.0), 0.0)))


def greedy_counts(sizes: Floats, copies: Ints, costs: Floats, capacities: Floats) -> Ints | None:
    """Return copies in levels by density, ``(n, levels)``; None where something finds no room.

    Items go in the order of what their best level saves over their worst, a byte; those that may
    lie in one level only go first, so that nothing takes their place.
    """
    n, levels = costs.shape
    allowed = np.isfinite(costs)
    worst = np.max(np.where(allowed, costs, -np.inf), axis=1)
    best = np.min(costs, axis=1)
    if not np.all(np.isfinite(best)):
        return None
    density = (worst - best) / sizes
    choices = allowed.sum(axis=1)
    left = capacities.copy()
    counts = np.zeros((n, levels), dtype=np.int64)
    # Forced first, then the densest; of equals the larger, while there is room for it.
    for i in np.lexsort((-sizes, -density, choices > 1)):
        remaining = int(copies[i])
        for level in np.argsort(costs[i], kind="stable"):
            if not allowed[i, level] or remaining == 0:
                continue
            room = left[level] / sizes[i]
            take = remaining if room >= remaining else max(0, math.floor(room * (1.0 + 1e-12)))
            counts[i, level] = take
            left[level] -= take * sizes[i]
            remaining -= take
        if remaining:
            return None
    return counts


def _rounded(
    relaxed: Floats, sizes: Floats, copies: Ints, costs: Floats, capacities: Floats
) -> Ints | None:
    """Return whole copies: what the relaxation has whole stays, the rest goes where there is room.

    A basic solution splits no more items than there are levels.
    """
    counts = np.floor(relaxed + 1e-7).astype(np.int64)
    left = np.asarray(capacities - sizes @ counts)
    if np.any(left < -1e-9 * np.where(np.isfinite(capacities), capacities, 0.0) - 1e-9):
        counts = np.floor(relaxed).astype(np.int64)
        left = np.asarray(capacities - sizes @ counts)
    remaining = copies - counts.sum(axis=1)
    loose = np.flatnonzero(remaining)
    more = greedy_counts(sizes[loose], remaining[loose], costs[loose], np.maximum(left, 0.0))
    if more is None:
        return None
    counts[loose] += more
    return counts if fits(counts, sizes, capacities) else None
