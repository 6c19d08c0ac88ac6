"""Mixed-integer programmes with named variables and constraints, independent of the solver.

A programme is declared once: variables, and families of constraints. HiGHS receives it as arrays,
since PuLP needs seconds for 60,000 variables; every other installed solver receives it through
PuLP (`perfmodel.optimise.solvers`), which also writes the LP file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from perfmodel.atomic import replacing
from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.milp_matrix import Floats, MilpMatrix, Solved

Index = NDArray[np.intp]


class LinearSum:
    """A linear expression: a sum of variables with factors, and a constant.

    Attributes
    ----------
    terms
        Factor of each column of the programme.
    """

    __slots__ = ("constant", "terms")

    def __init__(self, terms: dict[int, float], constant: float = 0.0) -> None:
        self.terms, self.constant = terms, constant

    def __add__(self, other: LinearSum | float) -> LinearSum:
        return total((self, other))

    __radd__ = __add__

    def __sub__(self, other: LinearSum | float) -> LinearSum:
        return total((self, -1.0 * other))

    def __rsub__(self, other: float) -> LinearSum:
        return total((other, -1.0 * self))

    def __mul__(self, factor: float) -> LinearSum:
        return LinearSum({c: factor * f for c, f in self.terms.items()}, factor * self.constant)

    __rmul__ = __mul__

    def at(self, values: Floats) -> float:
        """Return the value of the expression at given values of the variables."""
        return self.constant + sum(f * float(values[c]) for c, f in self.terms.items())


def total(parts: Iterable[LinearSum | float]) -> LinearSum:
    """Return the sum of many parts in linear time (Python's own `sum` is quadratic here)."""
    terms: dict[int, float] = {}
    constant = 0.0
    for part in parts:
        if isinstance(part, LinearSum):
            constant += part.constant
            for column, factor in part.terms.items():
                terms[column] = terms.get(column, 0.0) + factor
        else:
            constant += part
    return LinearSum(terms, constant)


class MilpModel:
    """A mixed-integer programme to be minimised.

    Attributes
    ----------
    size
        Number of variables declared.
    rows
        Names of the constraints, each consisting of its family and a number.

    Examples
    --------
    >>> programme = MilpModel("knapsack")
    >>> take = [programme.variable(n, cost=-v) for n, v in (("a", 10), ("b", 6), ("c", 7))]
    >>> programme.require("capacity", 5 * take[0] + 3 * take[1] + 4 * take[2], high=8)
    >>> found = programme.solve()
    >>> found.value, found.proved, [x.at(found.solution) for x in take]
    (-16.0, True, [1.0, 1.0, 0.0])
    """

    def __init__(self, name: str = "programme") -> None:
        self.name, self.size = name, 0
        self.rows: list[str] = []
        self._blocks: list[tuple[str, tuple[int, ...]]] = []
        #: Cost, lower bound, upper bound and integrality of each variable.
        self._columns: tuple[list[float], ...] = ([], [], [], [])
        self._low: list[float] = []
        self._high: list[float] = []
        self._entries: tuple[list[int], list[int], list[float]] = ([], [], [])

    def variables(
        self,
        name: str,
        shape: tuple[int, ...],
        *,
        cost: ArrayLike = 0.0,
        low: ArrayLike = 0.0,
        high: ArrayLike = 1.0,
        integer: bool = False,
    ) -> Index:
        """Declare an array of variables and return their columns, with the given shape.

        Parameters
        ----------
        cost, low, high
            Cost and bounds of each variable, or of all.
        """
        count = math.prod(shape)
        for column, value in zip(self._columns, (cost, low, high, integer), strict=True):
            column += np.full(shape, value, dtype=np.float64).ravel().tolist()
        self._blocks.append((name, shape))
        first, self.size = self.size, self.size + count
        return np.arange(first, self.size, dtype=np.intp).reshape(shape)

    def variable(
        self,
        name: str,
        *,
        cost: float = 0.0,
        low: float = 0.0,
        high: float = 1.0,
        integer: bool = True,
    ) -> LinearSum:
        """Declare one variable, by default binary."""
        for column, value in zip(self._columns, (cost, low, high, integer), strict=True):
            column.append(value)
        self._blocks.append((name, ()))
        self.size += 1
        return LinearSum({self.size - 1: 1.0})

    def require(
        self, family: str, sum_: LinearSum, *, low: float = -math.inf, high: float = math.inf
    ) -> None:
        """Add the constraint ``low <= sum_ <= high``, unless it is constant and satisfied."""
        terms = {column: factor for column, factor in sum_.terms.items() if factor}
        if terms or not low <= sum_.constant <= high:
            row, column, value = self._entries
            row += [len(self.rows)] * len(terms)
            column += terms
            value += terms.values()
            self.rows.append(f"{family}_{len(self.rows)}")
            self._low.append(low - sum_.constant)
            self._high.append(high - sum_.constant)

    def require_all(
        self,
        family: str,
        *terms: tuple[ArrayLike, ...],
        low: ArrayLike = -math.inf,
        high: ArrayLike = math.inf,
    ) -> None:
        """Add a family of constraints.

        Parameters
        ----------
        *terms
            Terms to sum, as (columns, factors), columns of shape ``(rows,)`` or ``(rows, k)`` and
            factors that broadcast to it from ``()``, ``(rows,)`` or ``(rows, k)``; or (columns,
            factors, rows), with the row of each entry, counted from 0.
        low, high
            Bounds of each constraint, or of all.
        """
        first, count = len(self.rows), np.broadcast(low, high).size
        for columns, factors, *owner in terms:
            at, each = np.asarray(columns), np.asarray(factors, dtype=np.float64)
            if owner:
                row = np.asarray(owner[0])
            else:
                count = len(at)
                row = np.arange(count).reshape(-1, *(1,) * (at.ndim - 1))
                each = each.reshape(row.shape) if each.ndim == 1 else each
            for entries, more in zip(self._entries, (row + first, at, each), strict=True):
                filled = np.empty(at.shape, dtype=more.dtype)
                filled[...] = more
                entries += filled.ravel().tolist()
        self.rows += [f"{family}_{i}" for i in range(first, first + count)]
        for bounds, value in ((self._low, low), (self._high, high)):
            bounds += np.full(count, value, dtype=np.float64).tolist()

    @property
    def names(self) -> list[str]:
        """Names of the variables: name of the block, and index in it."""
        return [
            "_".join([name, *map(str, at)])
            for name, shape in self._blocks
            for at in np.ndindex(*shape)
        ]

    def point(self, ones: Iterable[LinearSum]) -> Floats:
        """Return values of all variables: 1 for the given ones, 0 for the others."""
        values = np.zeros(self.size)
        values[[column for one in ones for column in one.terms]] = 1.0
        return values

    def matrix(self, *, relaxed: bool = False) -> MilpMatrix:
        """Return the programme as arrays, without integrality if `relaxed`."""
        cost, lower, upper, integer = (np.array(each, dtype=np.float64) for each in self._columns)
        row = np.array(self._entries[0], dtype=np.intp)
        order = np.argsort(row, kind="stable")
        counts = np.bincount(row, minlength=len(self.rows))
        return MilpMatrix(
            cost,
            np.concatenate(([0], np.cumsum(counts))).astype(np.int32),
            np.array(self._entries[1], dtype=np.int32)[order],
            np.array(self._entries[2], dtype=np.float64)[order],
            np.array(self._low, dtype=np.float64),
            np.array(self._high, dtype=np.float64),
            lower,
            upper,
            (integer > 0) & (not relaxed),
        )

    def solve(
        self,
        deadline: Deadline | None = None,
        *,
        gap: float = 0.0,
        start: ArrayLike | None = None,
        restarts: bool = True,
        relaxed: bool = False,
    ) -> Solved:
        """Solve the programme with the selected solver (`perfmodel.optimise.solvers.using`).

        Parameters
        ----------
        deadline
            Time at which the run ends with its best solution.
        gap
            Relative gap between objective and bound at which to stop.
        start
            A known value of every variable. It is returned if nothing better is found in time; it
            is ignored if it violates a constraint.
        restarts
            Whether HiGHS may restart from its root after columns are fixed there: useful on large
            trees, not if cuts close the gap at the root.
        relaxed
            Drop the integrality requirements.

        Raises
        ------
        SolverError
            The solver failed, or the objective is unbounded.
        """
        from perfmodel.optimise import highs, solvers

        matrix = self.matrix(relaxed=relaxed)
        known = None if start is None else np.asarray(start, dtype=np.float64)
        if known is not None and not matrix.satisfied_by(known):
            known = None
        limit = deadline or Deadline()
        if not self.size:
            fits = all(low <= 0.0 for low in self._low) and all(high >= 0.0 for high in self._high)
            value = 0.0 if fits else math.inf
            return Solved(np.zeros(0) if fits else None, value, value, "no columns", met=True)
        if solvers.selected_solver() != "highs":
            return solvers.through_pulp(self, matrix, limit, known)
        return highs.run(matrix, limit, gap, known, restarts=restarts)

    def write_lp(self, path: str | Path) -> None:
        """Write the programme as an LP file, atomically.

        Raises
        ------
        ValueError
            The path does not end in ``.lp``.
        """
        from perfmodel.optimise.solvers import as_pulp

        if Path(path).suffix != ".lp":
            raise ValueError(f"'{Path(path).name}' should end in .lp")
        problem = as_pulp(self, self.matrix())[0]
        with replacing(path) as temporary:
            problem.writeLP(str(temporary))
