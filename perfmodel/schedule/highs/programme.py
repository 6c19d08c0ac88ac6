"""Linear and mixed-integer programmes as arrays, and what comes out of a solver."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

#: How far a row may be off and still count as kept, beside its own size (HiGHS's own tolerance).
TOLERANCE = 1e-6


class Status(StrEnum):
    """What a run says.

    ``FEASIBLE`` has a solution and a bound that do not meet; ``NONE`` was stopped without either a
    solution or a proof that there is none.
    """

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"
    NONE = "none"


@dataclass(frozen=True)
class SolverResult:
    """What came out of a run.

    Attributes
    ----------
    status
        See `Status`. ``OPTIMAL`` only where bound and objective meet.
    objective
        Value of the solution; NaN without one.
    bound
        No solution is better: at most the objective where it is minimised, at least where
        maximised; infinite where nothing is known.
    values : ndarray of shape (columns,)
        The solution in the order of the columns; empty without one.
    prices : ndarray of shape (rows,)
        Change of the objective for a unit more on the right of each row; only of linear programmes
        solved to the end.
    seconds
        Wall clock of the run.
    reason
        The solver's own words.
    nodes
        Nodes of the tree that were looked at.
    """

    status: Status
    objective: float
    bound: float
    seconds: float
    reason: str
    values: Floats = field(default_factory=lambda: np.zeros(0))
    prices: Floats = field(default_factory=lambda: np.zeros(0))
    nodes: int = 0

    @property
    def found(self) -> bool:
        """Whether there is a solution."""
        return self.status in (Status.OPTIMAL, Status.FEASIBLE)

    @property
    def gap(self) -> float:
        """Distance of objective and bound, relative to the objective; infinite without both."""
        if not self.found or math.isinf(self.bound):
            return math.inf
        return abs(self.objective - self.bound) / max(abs(self.objective), 1e-9)

    def whole_bound(self, less: int = 0) -> int:
        """Return the bound of an objective of whole numbers less a constant, 0 at least.

        A bound a little above a whole number is that number and the solver's rounding, so it must
        not become the next one.
        """
        if not math.isfinite(self.bound):
            return 0
        return max(0, math.ceil(self.bound - less - 1e-4))


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

    def __post_init__(self) -> None:
        n, m = len(self.cost), len(self.row_lower)
        columns = {len(self.lower), len(self.upper), len(self.integer)}
        if columns != {n} or len(self.row_upper) != m or len(self.row_start) != m + 1:
            raise ValueError("the arrays of a programme do not have the same columns and rows")
        entries = int(self.row_start[-1])
        if entries != len(self.column) or entries != len(self.value):
            raise ValueError("the last entry of row_start is not the number of entries")
        if entries and not 0 <= int(self.column.min()) <= int(self.column.max()) < n:
            raise ValueError(f"an entry names a column outside 0..{n - 1}")

    @classmethod
    def of(
        cls,
        cost: ArrayLike,
        entries: tuple[ArrayLike, ArrayLike, ArrayLike] | Any,
        row_lower: ArrayLike,
        row_upper: ArrayLike,
        *,
        lower: ArrayLike = 0.0,
        upper: ArrayLike = math.inf,
        integer: ArrayLike = False,
    ) -> MilpMatrix:
        """Return a programme from triplets or a sparse matrix; scalars stand for every one.

        Parameters
        ----------
        entries
            ``(row, column, value)`` in any order, each place once; or a SciPy sparse matrix.
        row_lower, row_upper : array_like of shape (rows,)
            ``-inf`` and ``inf`` for no bound.
        """
        c: Floats = np.array(cost, dtype=np.float64, ndmin=1)
        low: Floats = np.array(row_lower, dtype=np.float64, ndmin=1)
        high: Floats = np.array(row_upper, dtype=np.float64, ndmin=1)
        m = max(len(low), len(high))
        if isinstance(entries, tuple):
            triplet = cast(tuple[ArrayLike, ArrayLike, ArrayLike], entries)
            row: NDArray[np.int64] = np.asarray(triplet[0], dtype=np.int64)
            by_row: NDArray[np.int64] = np.argsort(row, kind="stable").astype(np.int64)
            counts: NDArray[np.int64] = np.bincount(row, minlength=m).astype(np.int64)
            start: NDArray[np.int64] = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
            column: NDArray[np.int64] = np.asarray(triplet[1], dtype=np.int64)[by_row]
            value: Floats = np.asarray(triplet[2], dtype=np.float64)[by_row]
        else:
            rows: Any = entries.tocsr()
            start = np.asarray(rows.indptr, dtype=np.int64)
            column = np.asarray(rows.indices, dtype=np.int64)
            value = np.asarray(rows.data, dtype=np.float64)
        whole: NDArray[np.bool_] = np.asarray(integer, dtype=np.bool_)
        return cls(
            c,
            start.astype(np.int32),
            column.astype(np.int32),
            value,
            np.broadcast_to(low, (m,)).copy(),
            np.broadcast_to(high, (m,)).copy(),
            np.broadcast_to(np.asarray(lower, dtype=np.float64), c.shape).copy(),
            np.broadcast_to(np.asarray(upper, dtype=np.float64), c.shape).copy(),
            np.broadcast_to(whole, c.shape).copy(),
        )

    def keeps(self, values: Floats) -> bool:
        """Tell whether values keep every row, every bound and every integer column."""
        x: Floats = np.asarray(values, dtype=np.float64)
        if x.shape != self.cost.shape:
            return False
        terms: Floats = self.value * x[self.column]
        owner = np.repeat(np.arange(len(self.row_lower)), np.diff(self.row_start))
        sums: Floats = np.bincount(owner, terms, len(self.row_lower)).astype(np.float64)
        weight: Floats = np.bincount(owner, np.abs(terms), len(self.row_lower)).astype(np.float64)
        slack: Floats = TOLERANCE * np.maximum(1.0, weight)
        off: Floats = np.where(self.integer, np.abs(x - np.rint(x)), 0.0)
        return bool(
            np.all(sums >= self.row_lower - slack)
            and np.all(sums <= self.row_upper + slack)
            and np.all(x >= self.lower - TOLERANCE)
            and np.all(x <= self.upper + TOLERANCE)
            and np.all(off <= TOLERANCE)
        )
