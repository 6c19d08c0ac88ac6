"""A programme as the arrays that a solver takes, and what a solver says of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from perfmodel.optimise.certified import Certified

Floats = NDArray[np.float64]

#: How far a row may be off and still count as satisfied, beside its own size (HiGHS's tolerance).
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Solved(Certified[Floats]):
    """The columns of a programme, in their order, as `Certified`.

    Attributes
    ----------
    prices : ndarray of shape (rows,)
        Change of the objective for a unit more on the right of each row; only of linear programmes
        solved to the end.
    met
        The solver's own bound and objective meet within its tolerance.
    """

    prices: Floats = field(default_factory=lambda: np.zeros(0))
    met: bool = False

    @property
    def proved(self) -> bool:
        """Whether the solver reached the optimum, or proved that there is no solution."""
        return self.met if self.feasible else super().proved

    def integral_bound(self, less: int = 0) -> int:
        """Return the bound of an objective of whole numbers less a constant, 0 at least.

        A bound a little above a whole number is that number and the solver's rounding, so it must
        not become the next one.
        """
        return max(0, math.ceil(self.bound - less - 1e-4)) if math.isfinite(self.bound) else 0


@dataclass(frozen=True)
class MilpMatrix:
    """Minimise ``cost @ x`` where ``row_lower <= A @ x <= row_upper`` and ``lower <= x <= upper``.

    Attributes
    ----------
    cost, lower, upper : ndarray of shape (columns,)
    row_start : ndarray of shape (rows + 1,)
        Row i of ``A`` has the entries ``row_start[i]:row_start[i + 1]`` (compressed sparse rows).
    column, value : ndarray of shape (entries,)
    row_lower, row_upper : ndarray of shape (rows,)
    integer : ndarray of bool of shape (columns,)
    """

    cost: Floats
    row_start: NDArray[np.int32]
    column: NDArray[np.int32]
    value: Floats
    row_lower: Floats
    row_upper: Floats
    lower: Floats
    upper: Floats
    integer: NDArray[np.bool_]

    def satisfied_by(self, values: Floats) -> bool:
        """Tell whether values satisfy every row, every bound and every integer column."""
        terms: Floats = self.value * values[self.column]
        owner = np.repeat(np.arange(len(self.row_lower)), np.diff(self.row_start))
        sums: Floats = np.bincount(owner, terms, len(self.row_lower)).astype(np.float64)
        weight: Floats = np.bincount(owner, np.abs(terms), len(self.row_lower)).astype(np.float64)
        slack: Floats = TOLERANCE * np.maximum(1.0, weight)
        off: Floats = np.where(self.integer, np.abs(values - np.rint(values)), 0.0)
        return bool(
            np.all(sums >= self.row_lower - slack)
            and np.all(sums <= self.row_upper + slack)
            and np.all(values >= self.lower - TOLERANCE)
            and np.all(values <= self.upper + TOLERANCE)
            and np.all(off <= TOLERANCE)
        )
