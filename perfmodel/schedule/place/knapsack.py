"""Items in levels as a knapsack problem: greedy by density, LP rounding, or exact.

A multiple-choice, multiple-capacity knapsack: each copy of an item is in one level, the contents of
each level fit, and the sum of the costs is minimal. Copies that are alike are one integer variable
per level, so that 80 equal layers cost no more than one (Martello and Toth, "Knapsack problems",
Wiley 1990, chapters 5 to 7).

The lower bound is the linear relaxation, and after the integer programme its bound
(`placement_milp.py`); the placement is proved when its cost exceeds the bound by at most `PROVED`.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from perfmodel.optimise.certified import Certified, nothing
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.place.placement_milp import fits, integer_counts, relaxed_counts

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Relative gap up to which a placement counts as proved.
PROVED: Final = 2e-9
#: Default time limit of a search in seconds.
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
    """Return the number of copies of each item in each level, ``(items, levels)``.

    Parameters
    ----------
    sizes
        Bytes of one copy, above 0, ``(n,)``.
    copies
        Copies of each item, ``(n,)``.
    costs
        Cost of one copy in each level, ``(n, levels)``; infinite if it is not allowed there.
    capacities
        Capacity of each level in bytes, ``(levels,)``; may be infinite.
    method
        ``greedy``: densest first into the best level with room; ``lp``: the linear relaxation,
        rounded; ``exact``: an integer programme, stopped at the deadline with its bound.
    deadline
        Time at which ``exact`` stops; by default in 10 s.
    """
    relaxed = relaxed_counts(sizes, copies, costs, capacities)
    bound = relaxed.bound
    if relaxed.solution is None:
        return nothing(method, math.inf)
    best = _certified(greedy_counts(sizes, copies, costs, capacities), costs, bound, "greedy")
    if method == "greedy" or best.proved:
        return best
    rounded = _round_down_and_fill(relaxed.solution, sizes, copies, costs, capacities)
    best = best.or_better(_certified(rounded, costs, bound, "lp"))
    if method == "lp" or best.proved:
        return best
    limit = deadline or Deadline(LIMIT)
    exact = integer_counts(sizes, copies, costs, capacities, limit, best.solution)
    best = best.or_better(_certified(exact.solution, costs, exact.bound, "exact"))
    return _certified(best.solution, costs, best.bound, "exact")


def _certified(counts: Ints | None, costs: Floats, bound: float, method: str) -> Certified[Ints]:
    """Return a placement with its cost, used as bound if the gap is within the tolerance."""
    if counts is None:
        return nothing(method, bound)
    cost = total_cost(counts, costs)
    return Certified(counts, cost, cost if cost <= bound * (1.0 + PROVED) else bound, method)


def total_cost(counts: Ints, costs: Floats) -> float:
    """Return the cost of a placement; an empty level costs nothing."""
    return float(np.sum(np.where(counts > 0, counts * np.where(counts > 0, costs, 0.0), 0.0)))


def greedy_counts(sizes: Floats, copies: Ints, costs: Floats, capacities: Floats) -> Ints | None:
    """Return copies in levels by density, ``(n, levels)``; None if an item does not fit.

    Items are ordered by the saving per byte of their best level over their worst; those restricted
    to one level go first, so that no other item takes their place.
    """
    n, levels = costs.shape
    allowed = np.isfinite(costs)
    worst = np.max(np.where(allowed, costs, -np.inf), axis=1)
    best = np.min(costs, axis=1)
    if not np.all(np.isfinite(best)):
        return None
    density = (worst - best) / sizes
    choices = allowed.sum(axis=1)
    space_left = capacities.copy()
    counts = np.zeros((n, levels), dtype=np.int64)
    # Restricted items first, then the densest; among equals the larger, while there is room for it.
    for i in np.lexsort((-sizes, -density, choices > 1)):
        copies_left = int(copies[i])
        for level in np.argsort(costs[i], kind="stable"):
            if not allowed[i, level] or copies_left == 0:
                continue
            room = space_left[level] / sizes[i]
            take = copies_left if room >= copies_left else max(0, math.floor(room * (1.0 + 1e-12)))
            counts[i, level] = take
            space_left[level] -= take * sizes[i]
            copies_left -= take
        if copies_left:
            return None
    return counts


def _round_down_and_fill(
    relaxed: Floats, sizes: Floats, copies: Ints, costs: Floats, capacities: Floats
) -> Ints | None:
    """Return integer copies: integers of the relaxation remain, others go where they fit.

    A basic solution splits no more items than there are levels.
    """
    counts = np.floor(relaxed + 1e-7).astype(np.int64)
    space_left = np.asarray(capacities - sizes @ counts)
    if np.any(space_left < -1e-9 * np.where(np.isfinite(capacities), capacities, 0.0) - 1e-9):
        counts = np.floor(relaxed).astype(np.int64)
        space_left = np.asarray(capacities - sizes @ counts)
    copies_left = copies - counts.sum(axis=1)
    unplaced = np.flatnonzero(copies_left)
    more = greedy_counts(
        sizes[unplaced], copies_left[unplaced], costs[unplaced], np.maximum(space_left, 0.0)
    )
    if more is None:
        return None
    counts[unplaced] += more
    return counts if fits(counts, sizes, capacities) else None
