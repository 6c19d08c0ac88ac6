"""Integer programme of a placement, and its linear relaxation.

With ``x[i, l]`` copies of item i in level l, minimise ``sum of cost[i, l] x[i, l]`` subject to

``sum over l of x[i, l] = copies[i]`` (family ``placed``) and

``sum over i of size[i] x[i, l] <= capacity[l]`` (family ``fits``).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from perfmodel.optimise.certified import Certified, nothing
from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.milp_matrix import Solved
from perfmodel.optimise.milp_model import MilpModel

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Relative amount subtracted from a bound of the solver: its own tolerance.
_TOLERANCE: Final = 1e-9


def fits(counts: Ints, sizes: Floats, capacities: Floats) -> bool:
    """Return whether every level holds its contents (to a part in 10**12: sums of floats)."""
    return bool(np.all(sizes @ counts <= capacities * (1.0 + 1e-12)))


class _PlacementMilp:
    """Programme over the copies of items in levels, with variables scaled to about 1."""

    def __init__(self, sizes: Floats, copies: Ints, costs: Floats) -> None:
        self.copies, self.shape = copies, costs.shape
        self.allowed = np.nonzero(np.isfinite(costs))
        price: Floats = costs[self.allowed]
        self.unit, self.high = float(sizes.max()), float(price.max()) or 1.0
        self.price, self.size = price / self.high, sizes[self.allowed[0]] / self.unit

    def model(self, capacities: Floats) -> MilpModel:
        """Return the programme: each copy of an item has a level, and no level overflows."""
        (item, level), most = self.allowed, self.copies[self.allowed[0]]
        model = MilpModel("placement")
        counts = model.variables("copies", most.shape, cost=self.price, high=most, integer=True)
        model.require_all("placed", (counts, 1.0, item), low=self.copies, high=self.copies)
        model.require_all("fits", (counts, self.size, level), high=capacities)
        return model

    def certified(self, solved: Solved) -> Certified[Floats]:
        """Return copies, ``(items, levels)``, in unscaled units."""
        if solved.solution is None:
            return nothing(bound=self.bound_within_tolerance(solved.bound))
        table = np.zeros(self.shape)
        table[self.allowed] = solved.solution
        return Certified(table, solved.value * self.high, self.bound_within_tolerance(solved.bound))

    def bound_within_tolerance(self, bound: float) -> float:
        """Return a bound of the solver minus its tolerance; 0 without a bound."""
        return 0.0 if bound == -math.inf else bound * self.high * (1.0 - _TOLERANCE)


def relaxed_counts(
    sizes: Floats, copies: Ints, costs: Floats, capacities: Floats
) -> Certified[Floats]:
    """Return the linear relaxation, ``(items, levels)``; an infinite bound if infeasible.

    Parameters
    ----------
    sizes, copies, costs, capacities
        As for `perfmodel.schedule.place.knapsack.assign_items`.
    """
    if not np.isfinite(costs).any(axis=1).all():
        return nothing(bound=math.inf)
    programme = _PlacementMilp(sizes, copies, costs)
    return programme.certified(programme.model(capacities / programme.unit).solve(relaxed=True))


def integer_counts(
    sizes: Floats,
    copies: Ints,
    costs: Floats,
    capacities: Floats,
    deadline: Deadline,
    known: Ints | None = None,
) -> Certified[Ints]:
    """Return integer copies in levels with a bound, equal to the cost if the search completed.

    A solver satisfies constraints to a tolerance. If a placement exceeds a capacity by it, the
    search is repeated with correspondingly smaller capacities, and its result does not count as
    proved.

    Parameters
    ----------
    sizes, copies, costs, capacities
        As for `perfmodel.schedule.place.knapsack.assign_items`.
    deadline
        Time at which to stop.
    known
        A feasible placement.
    """
    programme = _PlacementMilp(sizes, copies, costs)
    capacity: Floats = capacities / programme.unit
    start = None if known is None else known[programme.allowed]
    first = nothing(bound=math.inf)
    for attempt in range(3):
        solved = programme.model(capacity).solve(deadline, start=start)
        answer = programme.certified(solved)
        if not attempt:
            first = answer
        if answer.solution is None:
            break
        counts: Ints = np.rint(answer.solution).astype(np.int64)
        if fits(counts, sizes, capacities):
            is_proved = not attempt and solved.proved
            return Certified(counts, answer.value, answer.value if is_proved else first.bound)
        excess: Floats = (sizes @ counts - capacities) / programme.unit
        capacity = capacity - np.maximum(excess, 0.0) * 1.01
    return nothing(bound=first.bound)
