"""The programme of a placement: its linear relaxation, and with whole copies."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from perfmodel.schedule.deadline import Deadline
from perfmodel.schedule.highs.programme import MilpMatrix, Status

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: A bound of the solver is taken to be this much lower, relative: its own tolerance.
SLACK: Final = 1e-9


def fits(counts: Ints, sizes: Floats, capacities: Floats) -> bool:
    """Tell whether every level holds what lies in it (to a part in 10**12: sums of floats)."""
    return bool(np.all(sizes @ counts <= capacities * (1.0 + 1e-12)))


class _PlacementMilp:
    """Copies of items in levels as the columns of a programme, all near 1 in size."""

    def __init__(self, sizes: Floats, copies: Ints, costs: Floats) -> None:
        self.n, self.levels = costs.shape
        where = np.nonzero(np.isfinite(costs))
        self.row: Ints = where[0].astype(np.int64)
        self.level: Ints = where[1].astype(np.int64)
        self.unit = float(sizes.max())
        price: Floats = costs[self.row, self.level]
        self.high = float(price.max()) or 1.0
        self.price: Floats = price / self.high
        self.size: Floats = sizes[self.row] / self.unit
        self.copies = copies

    def matrix(self, capacities: Floats, *, whole: bool) -> MilpMatrix:
        """Each item as often as it is, and no level fuller than it may be."""
        count = len(self.row)
        rows: Ints = np.concatenate([self.row, self.n + self.level])
        columns: Ints = np.tile(np.arange(count), 2)
        values: Floats = np.concatenate([np.ones(count), self.size])
        each: Floats = self.copies.astype(np.float64)
        low: Floats = np.concatenate([each, np.full(self.levels, -math.inf)])
        high: Floats = np.concatenate([each, capacities])
        return MilpMatrix.of(
            self.price, (rows, columns, values), low, high,
            upper=each[self.row], integer=whole,
        )  # fmt: skip

    def table(self, values: Floats) -> Floats:
        """Return the columns as ``(items, levels)``."""
        out = np.zeros((self.n, self.levels))
        out[self.row, self.level] = values
        return out


def relaxed_counts(
    sizes: Floats, copies: Ints, costs: Floats, capacities: Floats
) -> tuple[Floats | None, float]:
    """Return the linear relaxation, ``(items, levels)``, and its cost; infinite where none fits.

    Parameters
    ----------
    sizes, copies, costs, capacities
        As `perfmodel.schedule.place.solve.assign_items` takes them.
    """
    from perfmodel.schedule.solver import solve

    if not np.isfinite(costs).any(axis=1).all():
        return None, math.inf
    programme = _PlacementMilp(sizes, copies, costs)
    done = solve(programme.matrix(capacities / programme.unit, whole=False))
    if done.status is not Status.OPTIMAL:
        return None, math.inf
    return programme.table(done.values), done.objective * programme.high * (1.0 - SLACK)


def integer_counts(
    sizes: Floats, copies: Ints, costs: Floats, capacities: Floats, deadline: Deadline,
    known: Ints | None = None,
) -> tuple[Ints | None, float, bool]:  # fmt: skip
    """Return copies in levels, a bound on the cost, and whether the search ended.

    A solver holds rows to a tolerance; a placement that is over by it is searched again with the
    capacities that much smaller, and then nothing is called proved.

    Parameters
    ----------
    sizes, copies, costs, capacities
        As `perfmodel.schedule.place.solve.assign_items` takes them.
    deadline
        When to stop.
    known
        A placement that fits.
    """
    from perfmodel.schedule.solver import solve

    programme = _PlacementMilp(sizes, copies, costs)
    tight: Floats = capacities / programme.unit
    first = 0.0
    for attempt in range(3):
        matrix = programme.matrix(tight, whole=True)
        start: Floats | None = None
        if known is not None:
            start = known[programme.row, programme.level].astype(np.float64)
            start = start if matrix.keeps(start) else None
        done = solve(matrix, deadline, start=start)
        if attempt == 0:
            if done.status is Status.INFEASIBLE:
                return None, math.inf, True
            first = 0.0 if math.isinf(done.bound) else done.bound * programme.high * (1.0 - SLACK)
        if not done.found:
            return None, first, False
        counts: Ints = np.rint(programme.table(done.values)).astype(np.int64)
        if fits(counts, sizes, capacities):
            return counts, first, attempt == 0 and done.status is Status.OPTIMAL
        over: Floats = (sizes @ counts - capacities) / programme.unit
        tight = tight - np.where(over > 0.0, over, 0.0) * 1.01
    return None, first, False
