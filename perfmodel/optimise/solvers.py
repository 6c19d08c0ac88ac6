"""Other solvers through PuLP: whichever of them are installed.

No solver that PuLP drives reports its bound, and PuLP calls a stopped run "Optimal". Therefore the
bound is the value itself if the optimum was reached, and trivial otherwise: in that case only the
package's own bounds prove anything.
"""

from __future__ import annotations

import contextlib
import math
import re
import warnings
from collections.abc import Callable, Generator
from contextvars import ContextVar
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from perfmodel.errors import Fault, nearest, one_of
from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.highs import SolverError
from perfmodel.optimise.milp_matrix import Floats, MilpMatrix, Solved
from perfmodel.settings import gathered, with_faults

if TYPE_CHECKING:
    from perfmodel.optimise.milp_model import MilpModel

P = ParamSpec("P")
R = TypeVar("R")

#: Affixes of PuLP's solver names: CBC is ``PULP_CBC_CMD`` there.
_AFFIXES = re.compile(r"^pulp_|_(cmd|py|dll)$")

#: Other names of solvers.
_ALIASES = {"coin": "cbc"}

#: Relative gap at which solvers stop; some replace 0 by their default.
_GAP = 1e-12

_SELECTED: ContextVar[str] = ContextVar("SOLVER", default="highs")


def _library() -> Any:
    """Return PuLP, imported when it is first needed."""
    import pulp

    return pulp


def installed_solvers() -> dict[str, str]:
    """Return the names in PuLP of the installed solvers, by solver."""
    pulp = _library()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about the CBC inside PuLP 3
        names = pulp.listSolvers(onlyAvailable=True)
    words = [_AFFIXES.sub("", name.lower()) for name in names]
    # A separately installed CBC takes precedence over the one in PuLP 3.
    installed = {_ALIASES.get(word, word): name for word, name in zip(words, names, strict=True)}
    return {"highs": "HiGHS"} | installed


def solver_faults(solver: str) -> list[Fault]:
    """Return the fault of a solver that is not installed, if any."""
    if solver == "highs":
        return []
    names = installed_solvers()
    if solver in names:
        return []
    expected = one_of(names)
    message = f"no solver '{solver}' is installed"
    return [Fault(message, "solver", expected=expected, suggestion=nearest(solver, names))]


def selected_solver() -> str:
    """Return the solver selected for the current call."""
    return _SELECTED.get()


@contextlib.contextmanager
def using(solver: str) -> Generator[None]:
    """Select the solver of every programme solved within the context."""
    token = _SELECTED.set(solver)
    try:
        yield
    finally:
        _SELECTED.reset(token)


def with_solver(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that its parameter `solver` selects the solver of its programmes.

    A solver that is not installed is a fault, raised together with the function's own.
    """

    @wraps(function)
    def answer(*args: P.args, **kwargs: P.kwargs) -> R:
        solver = str(kwargs.get("solver", "highs"))
        with using(solver), with_faults((*gathered(), *solver_faults(solver))):
            return function(*args, **kwargs)

    return answer


def as_pulp(model: MilpModel, matrix: MilpMatrix) -> tuple[Any, list[Any], list[str]]:
    """Return a programme in PuLP's form, its variables and the names of its rows, one per bound.

    Characters of names other than letters, digits, dots and underscores become underscores.
    """
    pulp = _library()

    def plain(name: str) -> str:
        return re.sub(r"[^A-Za-z0-9_.]", "_", name)

    def bound(value: float) -> float | None:
        return float(value) if math.isfinite(value) else None

    problem: Any = pulp.LpProblem(plain(model.name), pulp.LpMinimize)
    columns = [
        problem.add_variable(plain(name), bound(low), bound(high), kind)
        for name, low, high, kind in zip(
            model.names,
            matrix.lower,
            matrix.upper,
            np.where(matrix.integer, "Integer", "Continuous").tolist(),
            strict=True,
        )
    ]
    problem.setObjective(pulp.lpDot(matrix.cost.tolist(), columns))
    rows: list[str] = []
    for i, name in enumerate(map(plain, model.rows)):
        some = slice(matrix.row_start[i], matrix.row_start[i + 1])
        row = pulp.lpDot(matrix.value[some].tolist(), [columns[c] for c in matrix.column[some]])
        low, high = float(matrix.row_lower[i]), float(matrix.row_upper[i])
        sides = [row == low] if low == high else []
        if low < high < math.inf:
            sides.append(row <= high)
        if high > low > -math.inf:
            sides.append(row >= low)
        for side, constraint in enumerate(sides):
            problem.addConstraint(constraint, f"{name}_at_least" if side else name)
        rows += [name] if sides else []
    return problem, columns, rows


def through_pulp(
    model: MilpModel, matrix: MilpMatrix, deadline: Deadline, start: Floats | None
) -> Solved:
    """Solve a programme with the selected solver; return the start if it finds nothing better.

    Raises
    ------
    SolverError
        The solver failed, or the objective is unbounded.
    """
    pulp = _library()
    nothing = Solved(None, math.inf, -math.inf, "stopped")
    if start is not None:
        nothing = Solved(start, float(matrix.cost @ start), -math.inf, "stopped")
    left = deadline.left()
    if left <= 0.0:
        return nothing
    problem, columns, rows = as_pulp(model, matrix)
    solver_name = selected_solver()
    name = installed_solvers()[solver_name]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            solver = pulp.getSolver(name, msg=False, **_settings(solver_name, name, left))
            answer = problem.solve(solver)
    except pulp.PulpSolverError as error:
        raise SolverError(f"{solver_name}: {error}") from None
    status = _status(problem, answer)
    done = status == "Optimal" and not deadline.passed()
    if status == "Unbounded":
        raise SolverError(f"{solver_name}: the objective is unbounded")
    if status == "Infeasible" and start is None and not deadline.passed():
        return Solved(None, math.inf, math.inf, solver_name)
    values = np.array([_value(v) for v in columns], dtype=np.float64)
    if not matrix.satisfied_by(values):
        return nothing
    value = float(matrix.cost @ values)
    if value > nothing.value:
        return nothing
    duals = [] if matrix.integer.any() or not done else [_dual_value(problem, row) for row in rows]
    prices = np.zeros(0) if None in duals else np.array(duals, dtype=np.float64)
    return Solved(values, value, value if done else -math.inf, solver_name, prices=prices, met=done)


def _settings(solver_name: str, name: str, seconds: float) -> dict[str, Any]:
    """Return options with which the solver's "optimal" is the true optimum, and its time limit.

    By default Gurobi, CPLEX and others stop at a gap of 1e-4.
    """
    settings: dict[str, Any] = {} if seconds == math.inf else {"timeLimit": seconds}
    solver: Any = _library().getSolver(name, msg=False)
    if "gapRel" in signature(solver.__class__).parameters:
        settings["gapRel"] = _GAP
    if solver_name == "cbc":  # otherwise it prunes nodes within 1e-4 of the objective
        settings["options"] = ["increment 0"]
    return settings


def _status(problem: Any, answer: Any) -> str:
    """Return the status of a run: ``Optimal``, ``Unbounded``, ``Infeasible``, or a weaker one.

    PuLP 4 returns statistics; PuLP 3 stores status numbers in the problem, of which only that of
    the solution distinguishes an optimum from the incumbent of a stopped run.
    """
    if not isinstance(answer, int):
        return str(answer.status.name)
    pulp = _library()
    if answer == pulp.LpStatusOptimal and problem.sol_status != pulp.LpSolutionOptimal:
        return "stopped"
    return str(pulp.LpStatus[answer])


def _dual_value(problem: Any, row: str) -> float | None:
    """Return the dual value of a row; None if the solver reports none."""
    if callable(problem.constraints):  # PuLP 4
        return problem.get_constraint_by_name(row).pi
    return problem.constraints[row].pi


def _value(variable: Any) -> float:
    """Return the value of a variable in the solution."""
    if variable.varValue is not None:
        return float(variable.varValue)
    # PuLP omits variables in no row and not in the objective: any value within the bounds is valid.
    low = -math.inf if variable.lowBound is None else variable.lowBound
    high = math.inf if variable.upBound is None else variable.upBound
    return min(max(0.0, low), high)
