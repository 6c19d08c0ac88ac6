"""Linear and mixed-integer programmes, solved by HiGHS: the one door to a solver.

Two doors: `SymbolicMilpModel` is written in names through PuLP and read as mathematics
(`write_lp`); `MilpMatrix` goes to HiGHS as arrays, for large problems (PuLP alone takes seconds for
60,000 variables). Both end in the same run, which looks at HiGHS's own status and bound: PuLP calls
a run that was stopped "Optimal". (Huangfu and Hall, Parallelizing the dual revised simplex method,
2018.)
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike

from perfmodel.atomic import replacing
from perfmodel.schedule.deadline import Deadline
from perfmodel.schedule.highs import (
    as_minimum,
    checked,
    held_matrix,
    load,
    new_handle,
    run_highs,
    wake,
)
from perfmodel.schedule.highs.programme import Floats, MilpMatrix, SolverResult, Status

Sense = Literal["<=", ">=", "=="]
Kind = Literal["Continuous", "Integer", "Binary"]
Key = TypeVar("Key", bound=Hashable)


def solve(
    matrix: MilpMatrix,
    deadline: Deadline | None = None,
    *,
    gap: float = 0.0,
    start: ArrayLike | None = None,
    restarts: bool = True,
) -> SolverResult:
    """Solve a programme that is given as arrays.

    Parameters
    ----------
    deadline
        The run ends by then, with what it has.
    gap
        Distance of objective and bound, relative to the objective, at which to stop.
    start : array_like of shape (columns,), optional
        A known solution. It is what comes back where nothing better is found in time.
    restarts
        Whether HiGHS may begin again from its root once columns are fixed there: it pays on large
        trees, not where cuts close the root.

    Raises
    ------
    ValueError
        The start is no solution.
    SolverError
        HiGHS failed.
    """
    known: Floats | None = None
    if start is not None:
        known = np.asarray(start, dtype=np.float64)
        if not matrix.keeps(known):
            raise ValueError("the start breaks a row, a bound or an integer column")
    if not len(matrix.cost):
        fits = bool(np.all(matrix.row_lower <= 0.0) and np.all(matrix.row_upper >= 0.0))
        status = Status.OPTIMAL if fits else Status.INFEASIBLE
        value = 0.0 if fits else math.nan
        return SolverResult(status, value, 0.0 if fits else math.inf, 0.0, "no columns")
    handle = new_handle()
    load(handle, matrix)
    if not restarts:
        handle.setOptionValue("mip_allow_restart", False)
    return run_highs(handle, deadline or Deadline(), gap, known, bool(matrix.integer.any()))


def write_lp(
    matrix: MilpMatrix,
    path: str | Path,
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
) -> None:
    """Write a programme as an LP file, whole or not at all.

    Parameters
    ----------
    columns, rows
        Names; by default ``c0``, ``c1`` ..., ``r0`` ... Anything but letters, digits, dots and
        underlines becomes an underline.
    """
    handle = new_handle()
    load(handle, matrix)
    for names, give in ((columns, handle.passColName), (rows, handle.passRowName)):
        for i, name in enumerate(names):
            checked(give(i, re.sub(r"[^A-Za-z0-9_.]", "_", name)), f"naming '{name}'")
    with replacing(_lp_path(path)) as temporary:
        checked(handle.writeModel(str(temporary)), "writing the model")


# --- through PuLP ---------------------------------------------------------------------------------


class Linear(Protocol):
    """A variable, or a sum of variables with factors, of a `SymbolicMilpModel`."""

    def __add__(self, other: Linear | float, /) -> Linear: ...
    def __radd__(self, other: float, /) -> Linear: ...
    def __sub__(self, other: Linear | float, /) -> Linear: ...
    def __rsub__(self, other: float, /) -> Linear: ...
    def __mul__(self, other: float, /) -> Linear: ...
    def __rmul__(self, other: float, /) -> Linear: ...
    def __neg__(self) -> Linear: ...


class SymbolicMilpModel:
    """A programme in names; small ones, and those that people read.

    Parameters
    ----------
    name
        Title of the LP file.
    maximise
        Whether the objective is to be large.

    Examples
    --------
    >>> model = Model("knapsack", maximise=True)
    >>> take = model.variables("take", ["a", "b", "c"], kind="Binary")
    >>> model.objective(10 * take["a"] + 6 * take["b"] + 7 * take["c"])
    >>> model.require(5 * take["a"] + 3 * take["b"] + 4 * take["c"], "<=", 8, "capacity")
    >>> model.solve().objective, model.value(take["b"])
    (16.0, 1.0)
    """

    def __init__(self, name: str = "model", *, maximise: bool = False) -> None:
        import pulp

        sense = pulp.LpMaximize if maximise else pulp.LpMinimize
        self._problem: Any = pulp.LpProblem(name.replace(" ", "_"), sense)
        self._maximise = maximise
        self._columns: list[Any] = []
        self._objective: Any = 0.0

    def variables(
        self,
        name: str,
        indices: Iterable[Key],
        *,
        low: float | None = 0.0,
        high: float | None = None,
        kind: Kind = "Continuous",
    ) -> dict[Key, Linear]:
        """Return a variable for each index, called ``name_index``; None is no bound."""
        made = cast(
            dict[Key, Any],
            self._problem.add_variable_dicts(name, list(indices), low, high, kind),
        )
        self._columns += made.values()
        return cast(dict[Key, Linear], made)

    def variable(
        self,
        name: str,
        *,
        low: float | None = 0.0,
        high: float | None = None,
        kind: Kind = "Continuous",
    ) -> Linear:
        """Return one variable; None is no bound."""
        made = self._problem.add_variable(name, low, high, kind)
        self._columns.append(made)
        return cast(Linear, made)

    def objective(self, expression: Linear | float) -> None:
        """Say what is to be small, or large."""
        self._objective = expression
        self._problem.setObjective(total([expression]))

    def require(
        self, left: Linear, sense: Sense, right: Linear | float = 0.0, name: str | None = None
    ) -> None:
        """Add a row: left and right may both have variables."""
        difference: Any = left - right
        if sense == "<=":
            row = difference <= 0
        elif sense == ">=":
            row = difference >= 0
        else:
            row = difference == 0
        self._problem.addConstraint(row, name)

    def solve(
        self,
        deadline: Deadline | None = None,
        *,
        gap: float = 0.0,
        start: Iterable[tuple[Linear, float]] | None = None,
    ) -> SolverResult:
        """Solve it with HiGHS through PuLP.

        Parameters
        ----------
        deadline, gap
            As in `solve`.
        start
            Variables and their values in a known solution, all of them; one that breaks a row is
            left aside.

        Returns
        -------
        Solution
            Values in the order in which the variables were made; see `value` too.
        """
        import pulp

        limit = deadline or Deadline()
        known = None if start is None else {str(v): float(x) for v, x in start}
        outcome: list[SolverResult] = []
        wake()

        def columns(lp: Any) -> list[Any]:
            return getattr(lp, "exported_variables", lp.variables)()

        class Solver(pulp.HiGHS):  # type: ignore[misc]
            """PuLP's HiGHS, without its run and its reading, which ignore what HiGHS says."""

            def callSolver(self, lp: Any) -> None:
                handle = lp.solverModel
                as_minimum(handle)
                values = None
                if known is not None:
                    order = columns(lp)
                    values = np.array([known.get(str(v), math.nan) for v in order])
                    if np.isnan(values).any() or not held_matrix(handle).keeps(values):
                        values = None
                outcome.append(run_highs(handle, limit, gap, values, bool(lp.isMIP())))

            def findSolutionValues(self, lp: Any) -> Any:
                for variable, value in zip(columns(lp), outcome[0].values, strict=False):
                    variable.varValue = float(value)
                # PuLP 4.1 has an enumeration in place of PuLP 3's two numbers; nobody reads them.
                states: Any = getattr(pulp.constants, "LpSolveStatus", None)
                return (0, 0) if states is None else (states.NotSolved, False)

        if not self._columns:
            return SolverResult(Status.OPTIMAL, self.value(self._objective), 0.0, 0.0, "no columns")
        for column in self._columns:
            # What a run before this one left would pass for an answer.
            with contextlib.suppress(AttributeError):
                column.varValue = None
        self._problem.solve(Solver(msg=False))
        raw = outcome[0]
        sign = -1.0 if self._maximise else 1.0
        constant = float(getattr(self._problem.objective, "constant", 0.0) or 0.0)
        values = np.zeros(0)
        if raw.found:
            for column in self._columns:
                column.varValue = _number(column)
            values = np.array([column.varValue for column in self._columns], dtype=np.float64)
        return SolverResult(
            raw.status,
            sign * raw.objective + constant,
            sign * raw.bound + constant,
            raw.seconds,
            raw.reason,
            values,
            sign * raw.prices,
            raw.nodes,
        )

    def value(self, expression: Linear | float) -> float:
        """Return what an expression is worth in the last solution."""
        import pulp

        worth: Any = cast(Any, pulp).value(expression)
        return float(worth or 0.0)

    def write_lp(self, path: str | Path) -> None:
        """Write the programme as an LP file, whole or not at all."""
        with replacing(_lp_path(path)) as temporary:
            self._problem.writeLP(str(temporary))


def total(terms: Iterable[Linear | float]) -> Linear:
    """Return the sum of many terms, in linear time (Python's own `sum` is quadratic here)."""
    import pulp

    return cast(Linear, cast(Any, pulp).lpSum(list(terms)))


def _number(variable: Any) -> float:
    value = variable.varValue
    low, high = variable.lowBound, variable.upBound
    if value is not None:
        return float(value)
    # In no row and not in the objective: PuLP leaves it out, any value within its bounds will do.
    return min(max(0.0, -math.inf if low is None else low), math.inf if high is None else high)


def _lp_path(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".lp":
        raise ValueError(f"'{path.name}' should end in .lp")
    return path
