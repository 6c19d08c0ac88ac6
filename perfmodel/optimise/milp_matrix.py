"""Array form of a mixed-integer programme, and the result of a solver.

Constraints are rows of a sparse matrix (compressed sparse rows), the form in which HiGHS takes
them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from perfmodel.optimise.certified import Certified

Floats = NDArray[np.float64]

#: Violation up to which a row counts as satisfied, plus the same part of its size (as in HiGHS).
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Solved(Certified[Floats]):
    """Values of the columns of a programme, as `Certified`.

    Attributes
    ----------
    prices : ndarray of shape (rows,)
        Dual values: change of the objective per unit of the right-hand side of each row; only for
        linear programmes solved to optimality.
    met
        Whether the solver's own bound and objective agree within its tolerance.
    """

    prices: Floats = field(default_factory=lambda: np.zeros(0))
    met: bool = False

    @property
    def proved(self) -> bool:
        """Whether the solver reached the optimum, or proved that there is no solution."""
        return self.met if self.feasible else super().proved

    def integral_bound(self, less: int = 0) -> int:
        """Return the lower bound of an integer objective minus a constant, at least 0.

        A bound slightly above an integer is that integer plus the solver's round-off, so it must
        not be rounded up.
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
        """Return whether values satisfy every row, bound and integrality requirement."""
        terms: Floats = self.value * values[self.column]
        owner = np.repeat(np.arange(len(self.row_lower)), np.diff(self.row_start))
        sums: Floats = np.bincount(owner, terms, len(self.row_lower)).astype(np.float64)
        weight: Floats = np.bincount(owner, np.abs(terms), len(self.row_lower)).astype(np.float64)
        slack: Floats = TOLERANCE * np.maximum(1.0, weight)
        fraction: Floats = np.where(self.integer, np.abs(values - np.rint(values)), 0.0)
        return bool(
            np.all(sums >= self.row_lower - slack)
            and np.all(sums <= self.row_upper + slack)
            and np.all(values >= self.lower - TOLERANCE)
            and np.all(values <= self.upper + TOLERANCE)
            and np.all(fraction <= TOLERANCE)
        )
