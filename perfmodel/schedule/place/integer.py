"""The programme of a placement: its linear relaxation, and with whole copies."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from perfmodel.optimise.certified import Certified, nothing
from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.matrix import Solved
from perfmodel.optimise.programme import MilpModel

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: A bound of the solver is taken to be this much lower, relative: its own tolerance.
SLACK: Final = 1e-9


def fits(counts: Ints, sizes: Floats, capacities: Floats) -> bool:
    """Tell whether every level holds what lies in it (to a part in 10**12: sums of floats)."""
    return bool(np.all(sizes @ counts <= capacities * (1.0 + 1e-12)))


class _PlacementMilp:
    """Copies of items in levels as the variables of a programme, all near 1 in size."""

    def __init__(self, sizes: Floats, copies: Ints, costs: Floats) -> None:
        self.copies, self.shape = copies, costs.shape
        self.at = np.nonzero(np.isfinite(costs))
        price: Floats = costs[self.at]
        self.unit, self.high = float(sizes.max()), float(price.max()) or 1.0
        self.price, self.size = price / self.high, sizes[self.at[0]] / self.unit

    def model(self, capacities: Floats) -> MilpModel:
        """Place each item as often as it is there, and fill no level beyond its capacity.

        ``sum over l of copies[i, l] = copies[i]`` and ``sum over i of size[i] copies[i, l] <=
        capacity[l]``.
        """
        (item, level), many = self.at, self.copies[self.at[0]]
        model = MilpModel("placement")
        x = model.variables("copies", many.shape, cost=self.price, high=many, integer=True)
        model.require_all("placed", (x, 1.0, item), low=self.copies, high=self.copies)
        model.require_all("fits", (x, self.size, level), high=capacities)
        return model

    def certified(self, solved: Solved) -> Certified[Floats]:
        """Return copies, ``(items, levels)``, in the units of the question."""
        if solved.solution is None:
            return nothing(bound=self.lowered(solved.bound))
        table = np.zeros(self.shape)
        table[self.at] = solved.solution
        return Certified(table, solved.value * self.high, self.lowered(solved.bound))

    def lowered(self, bound: float) -> float:
        """Return a bound of the solver without its tolerance; 0 where it has none."""
        return 0.0 if bound == -math.inf else bound * self.high * (1.0 - SLACK)


def relaxed_counts(
    sizes: Floats, copies: Ints, costs: Floats, capacities: Floats
) -> Certified[Floats]:
    """Return the linear relaxation, ``(items, levels)``; an infinite bound where nothing fits.

    Parameters
    ----------
    sizes, copies, costs, capacities
        As `perfmodel.schedule.place.solve.assign_items` takes them.
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
    """Return copies in levels with a bound; the bound is the cost where the search ended.

    A solver satisfies rows to a tolerance; a placement that is over by it is searched again with
    the capacities that much smaller, and then nothing is called proved.

    Parameters
    ----------
    sizes, copies, costs, capacities
        As `perfmodel.schedule.place.solve.assign_items` takes them.
    deadline
        When to stop.
    known
        A placement that fits.
    """
    programme = _PlacementMilp(sizes, copies, costs)
    tight: Floats = capacities / programme.unit
    start = None if known is None else known[programme.at]
    first = nothing(bound=math.inf)
    for attempt in range(3):
        solved = programme.model(tight).solve(deadline, start=start)
        answer = programme.certified(solved)
        if not attempt:
            first = answer
        if answer.solution is None:
            break
        counts: Ints = np.rint(answer.solution).astype(np.int64)
        if fits(counts, sizes, capacities):
            ended = not attempt and solved.proved
            return Certified(counts, answer.value, answer.value if ended else first.bound)
        over: Floats = (sizes @ counts - capacities) / programme.unit
        tight = tight - np.where(over > 0.0, over, 0.0) * 1.01
    return nothing(bound=first.bound)
