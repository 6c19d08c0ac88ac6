"""Linear and mixed-integer programmes, solved by HiGHS: the one file that knows a solver.

Two doors: `Model` is written in names through PuLP and read as mathematics (`write_lp`); `Matrix`
goes to HiGHS as arrays, for large problems (PuLP alone takes seconds for 60,000 variables). Both
end in the same run, which looks at HiGHS's own status and bound: PuLP calls a run that was stopped
"Optimal". (Huangfu and Hall, Parallelizing the dual revised simplex method, 2018.)
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike

from perfmodel.atomic import replacing
from perfmodel.schedule.deadline import Deadline
from perfmodel.schedule.programme import TOLERANCE, Floats, Matrix, Solution, Status
from perfmodel.schedule.silence import caught_output

__all__ = [
    "Linear",
    "Matrix",
    "Model",
    "Solution",
    "SolverError",
    "Status",
    "set_threads",
    "solve",
    "total",
    "write_lp",
]

Sense = Literal["<=", ">=", "=="]
Kind = Literal["Continuous", "Integer", "Binary"]
Key = TypeVar("Key", bound=Hashable)


#: How the lines of HiGHS's banner begin.
BANNER = (b"Running HiGHS", b"Includes third-party", b"Copyright")


class SolverError(RuntimeError):
    """The solver failed: neither an answer nor a limit."""


def solve(
    matrix: Matrix,
    deadline: Deadline | None = None,
    *,
    gap: float = 0.0,
    start: ArrayLike | None = None,
) -> Solution:
    """Solve a programme that is given as arrays.

    Parameters
    ----------
    deadline
        The run ends by then, with what it has.
    gap
        Distance of objective and bound, relative to the objective, at which to stop.
    start : array_like of shape (columns,), optional
        A known solution. It is what comes back where nothing better is found in time.

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
        return Solution(status, value, 0.0 if fits else math.inf, 0.0, "no columns")
    handle = _handle()
    _load(handle, matrix)
    return _run(handle, deadline or Deadline(), gap, known, bool(matrix.integer.any()))


def write_lp(matrix: Matrix, path: str | Path) -> None:
    """Write a programme as an LP file, whole or not at all; columns are ``c0``, rows ``r0`` ..."""
    handle = _handle()
    _load(handle, matrix)
    with replacing(_lp_path(path)) as temporary:
        _checked(handle.writeModel(str(temporary)), "writing the model")


# --- through PuLP ---------------------------------------------------------------------------------


class Linear(Protocol):
    """A variable, or a sum of variables with factors, of a `Model`."""

    def __add__(self, other: Linear | float, /) -> Linear: ...
    def __radd__(self, other: float, /) -> Linear: ...
    def __sub__(self, other: Linear | float, /) -> Linear: ...
    def __rsub__(self, other: float, /) -> Linear: ...
    def __mul__(self, other: float, /) -> Linear: ...
    def __rmul__(self, other: float, /) -> Linear: ...
    def __neg__(self) -> Linear: ...


class Model:
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
    ) -> Solution:
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
        outcome: list[Solution] = []
        _wake()

        class Solver(pulp.HiGHS):  # type: ignore[misc]
            """PuLP's HiGHS with the run, which ignores what HiGHS says, replaced."""

            def callSolver(self, lp: Any) -> None:
                handle = lp.solverModel
                values = None
                if known is not None:
                    order = getattr(lp, "exported_variables", lp.variables)()
                    values = np.array([known.get(str(v), math.nan) for v in order])
                    if np.isnan(values).any() or not _matrix(handle).keeps(values):
                        values = None
                outcome.append(_run(handle, limit, gap, values, bool(lp.isMIP())))

        if not self._columns:
            return Solution(Status.OPTIMAL, self.value(self._objective), 0.0, 0.0, "no columns")
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
            values = np.array([_number(c) for c in self._columns])
        return Solution(
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


# --- HiGHS itself ---------------------------------------------------------------------------------

_lock = threading.Lock()
_awake = False
_threads = 1
_running = 0


def set_threads(threads: int) -> None:
    """Set how many threads every run of this process takes, 1 to begin with.

    Raises
    ------
    ValueError
        Less than one.
    SolverError
        A run is under way in another thread.
    """
    global _threads
    if threads < 1:
        raise ValueError("a run needs at least one thread")
    with _lock:
        if _running and threads != _threads:
            raise SolverError("the number of threads cannot change while a run is under way")
        _threads = threads


def _wake() -> None:
    """Let HiGHS print its banner, once a process, where nobody reads it."""
    global _awake
    import highspy

    with _lock:
        if not _awake:
            with caught_output(BANNER):
                highspy.Highs()
            _awake = True


def _handle() -> Any:
    _wake()
    import highspy

    handle: Any = highspy.Highs()
    handle.setOptionValue("output_flag", False)
    return handle


def _checked(status: Any, what: str) -> None:
    import highspy

    if status == highspy.HighsStatus.kError:
        raise SolverError(f"HiGHS failed at {what}")


def _load(handle: Any, matrix: Matrix) -> None:
    import highspy

    status = handle.passModel(
        len(matrix.cost),
        len(matrix.row_lower),
        len(matrix.value),
        int(highspy.MatrixFormat.kRowwise),
        int(highspy.ObjSense.kMinimize),
        0.0,
        matrix.cost,
        matrix.lower,
        matrix.upper,
        matrix.row_lower,
        matrix.row_upper,
        matrix.row_start,
        matrix.column,
        matrix.value,
        matrix.integer.astype(np.int32),
    )
    _checked(status, "loading the model")


def _matrix(handle: Any) -> Matrix:
    """Return what a handle holds."""
    import highspy

    handle.ensureRowwise()
    lp = handle.getLp()
    kinds = list(lp.integrality_)
    whole = highspy.HighsVarType.kInteger
    return Matrix(
        np.array(lp.col_cost_, dtype=np.float64),
        np.array(lp.a_matrix_.start_, dtype=np.int32),
        np.array(lp.a_matrix_.index_, dtype=np.int32),
        np.array(lp.a_matrix_.value_, dtype=np.float64),
        np.array(lp.row_lower_, dtype=np.float64),
        np.array(lp.row_upper_, dtype=np.float64),
        np.array(lp.col_lower_, dtype=np.float64),
        np.array(lp.col_upper_, dtype=np.float64),
        np.array([k == whole for k in kinds] or [False] * lp.num_col_, dtype=np.bool_),
    )


def _run(
    handle: Any, deadline: Deadline, gap: float, start: Floats | None, integers: bool
) -> Solution:
    """Run HiGHS and read its own status and bound (of a minimisation)."""
    global _running
    import highspy

    begin = time.perf_counter()
    known = math.nan
    if start is not None:
        known = float(np.dot(np.asarray(handle.getLp().col_cost_, dtype=np.float64), start))
        solution = highspy.HighsSolution()
        solution.col_value = start.tolist()
        handle.setSolution(solution)
    with _lock:
        _running += 1
        threads = _threads
    try:
        handle.setOptionValue("threads", threads)
        # A gap that is not asked for would pass for a proof.
        handle.setOptionValue("mip_rel_gap", gap)
        left = deadline.left()
        if left < math.inf:
            handle.setOptionValue("time_limit", left)
        failed = handle.run() == highspy.HighsStatus.kError
        if failed and handle.getModelStatus() == highspy.HighsModelStatus.kNotset:
            # Another number of threads started HiGHS here before; it then runs nothing at all.
            highspy.Highs.resetGlobalScheduler(True)
            failed = handle.run() == highspy.HighsStatus.kError
        model_status = handle.getModelStatus()
        if model_status == highspy.HighsModelStatus.kUnboundedOrInfeasible:
            model_status = _which(handle)
    finally:
        with _lock:
            _running -= 1
    return _read(handle, model_status, failed, start, known, integers, time.perf_counter() - begin)


def _which(handle: Any) -> Any:
    """Tell unbounded from infeasible: without an objective only the latter is left."""
    import highspy

    count = handle.getNumCol()
    handle.changeColsCost(count, np.arange(count, dtype=np.int32), np.zeros(count))
    handle.run()
    statuses = highspy.HighsModelStatus
    found = handle.getModelStatus()
    return statuses.kUnbounded if found == statuses.kOptimal else found


def _read(
    handle: Any,
    model_status: Any,
    failed: bool,
    start: Floats | None,
    known: float,
    integers: bool,
    seconds: float,
) -> Solution:
    import highspy

    kinds = highspy.HighsModelStatus
    reason = str(handle.modelStatusToString(model_status))
    info = handle.getInfo()
    nodes = max(0, int(info.mip_node_count))
    if model_status == kinds.kInfeasible:
        return Solution(Status.INFEASIBLE, math.nan, math.inf, seconds, reason, nodes=nodes)
    if model_status == kinds.kUnbounded:
        return Solution(Status.UNBOUNDED, math.nan, -math.inf, seconds, reason, nodes=nodes)
    broken = (kinds.kNotset, kinds.kLoadError, kinds.kModelError, kinds.kPresolveError)
    if model_status in (*broken, kinds.kSolveError, kinds.kPostsolveError):
        raise SolverError(f"HiGHS: {reason}")
    done = model_status == kinds.kOptimal
    if failed and not done:
        raise SolverError(f"HiGHS: {reason}")
    has = int(info.primal_solution_status) == int(highspy.SolutionStatus.kSolutionStatusFeasible)
    objective = float(info.objective_function_value) if has else math.nan
    values: Floats = np.zeros(0)
    if has:
        values = np.array(handle.getSolution().col_value, dtype=np.float64)
    if start is not None and not (has and objective <= known):
        has, objective, values = True, known, start
    bound = float(info.mip_dual_bound) if integers else objective if done else -math.inf
    if not has:
        return Solution(Status.NONE, math.nan, bound, seconds, reason, nodes=nodes)
    met = done and objective - bound <= TOLERANCE * max(1.0, abs(objective))
    bound = min(bound, objective)
    prices: Floats = np.zeros(0)
    if done and not integers:
        prices = np.array(handle.getSolution().row_dual, dtype=np.float64)
    status = Status.OPTIMAL if met else Status.FEASIBLE
    return Solution(status, objective, bound, seconds, reason, values, prices, nodes)


def _lp_path(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".lp":
        raise ValueError(f"'{path.name}' should end in .lp")
    return path
