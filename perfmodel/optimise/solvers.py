"""Whatever solver a laboratory owns, through PuLP.

No solver that PuLP drives tells its bound, and PuLP calls a run that was stopped "Optimal". So a
bound is the value itself where the optimum was really reached, and nothing otherwise: what is
proved then is what our own bounds prove.
"""

from __future__ import annotations

import contextlib
import math
import re
import warnings
from collections.abc import Callable, Generator
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from perfmodel.errors import Fault, nearest, one_of
from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.highs import SolverError
from perfmodel.optimise.matrix import Floats, MilpMatrix, Solved
from perfmodel.settings import gathered, with_faults

if TYPE_CHECKING:
    from perfmodel.optimise.programme import MilpModel

P = ParamSpec("P")
R = TypeVar("R")

#: What PuLP's names have around that of the solver: CBC is ``PULP_CBC_CMD`` there.
_AROUND = re.compile(r"^pulp_|_(cmd|py|dll)$")

#: Solvers that go by another name.
_CALLED = {"coin": "cbc"}

_CHOSEN: ContextVar[str] = ContextVar("SOLVER", default="highs")


def _library() -> Any:
    import pulp

    return pulp


def present() -> dict[str, str]:
    """Return solver -> its name in PuLP, of those that are installed."""
    pulp = _library()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the CBC inside PuLP 3
        names = pulp.listSolvers(onlyAvailable=True)
    words = [_AROUND.sub("", name.lower()) for name in names]
    # CBC on its own goes before the one that PuLP 3 ships.
    installed = {_CALLED.get(word, word): name for word, name in zip(words, names, strict=True)}
    return {"highs": "HiGHS"} | installed


def solver_faults(solver: str) -> list[Fault]:
    """Return the fault of a solver that is not installed."""
    if solver == "highs":
        return []
    names = present()
    if solver in names:
        return []
    expected = one_of(names)
    said = f"no solver '{solver}' is installed"
    return [Fault(said, "solver", expected=expected, suggestion=nearest(solver, names))]


def chosen_solver() -> str:
    """Return the solver of the question that is being answered."""
    return _CHOSEN.get()


@contextlib.contextmanager
def using(solver: str) -> Generator[None]:
    """Let a solver solve every programme that is solved inside."""
    token = _CHOSEN.set(solver)
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def with_solver(function: Callable[P, R]) -> Callable[P, R]:
    """Let the parameter `solver` of a question solve every programme that the question poses.

    One that is not installed is a fault, which the question raises with its own.
    """

    @wraps(function)
    def answer(*args: P.args, **kwargs: P.kwargs) -> R:
        solver = str(kwargs.get("solver", "highs"))
        with using(solver), with_faults((*gathered(), *solver_faults(solver))):
            return function(*args, **kwargs)

    return answer


def as_pulp(model: MilpModel, matrix: MilpMatrix) -> tuple[Any, list[Any], list[str]]:
    """Return a programme as PuLP has it, its variables and the names of its rows, one per bound.

    Letters, digits, dots and underscores of the names remain.
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
    """Solve a programme by the chosen solver; a known solution comes back where it does no better.

    Raises
    ------
    SolverError
        The solver failed, or the objective has no least.
    """
    pulp = _library()
    nothing = Solved(None, math.inf, -math.inf, "stopped")
    if start is not None:
        nothing = Solved(start, float(matrix.cost @ start), -math.inf, "stopped")
    left = deadline.left()
    if left <= 0.0:
        return nothing
    problem, columns, rows = as_pulp(model, matrix)
    word = chosen_solver()
    name = present()[word]
    settings: dict[str, Any] = {"timeLimit": left} if left < math.inf else {}
    if word == "cbc":  # else it calls optimal what is within 1e-4 of the objective
        settings["options"] = ["increment 0"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            answer = problem.solve(pulp.getSolver(name, msg=False, **settings))
    except pulp.PulpSolverError as error:
        raise SolverError(f"{word}: {error}") from None
    status = _status(problem, answer)
    done = status == "Optimal" and not deadline.passed()
    if status == "Unbounded":
        raise SolverError(f"{word}: the objective has no least")
    if status == "Infeasible" and start is None and not deadline.passed():
        return Solved(None, math.inf, math.inf, word)
    values = np.array([_value(v) for v in columns], dtype=np.float64)
    if not matrix.satisfied_by(values):
        return nothing
    value = float(matrix.cost @ values)
    if value > nothing.value:
        return nothing
    duals = [] if matrix.integer.any() or not done else [_price(problem, row) for row in rows]
    prices = np.zeros(0) if None in duals else np.array(duals, dtype=np.float64)
    return Solved(values, value, value if done else -math.inf, word, prices=prices, met=done)


def _status(problem: Any, answer: Any) -> str:
    """Return how a run ended: ``Optimal``, ``Unbounded``, ``Infeasible``, or something less.

    PuLP 4 answers with statistics; PuLP 3 has numbers at the problem, of which that of the solution
    alone tells an optimum from the best of a run that was stopped.
    """
    if not isinstance(answer, int):
        return str(answer.status.name)
    pulp = _library()
    if answer == pulp.LpStatusOptimal and problem.sol_status != pulp.LpSolutionOptimal:
        return "stopped"
    return str(pulp.LpStatus[answer])


def _price(problem: Any, row: str) -> float | None:
    if callable(problem.constraints):  # PuLP 4
        return problem.get_constraint_by_name(row).pi
    return problem.constraints[row].pi


def _value(variable: Any) -> float:
    if variable.varValue is not None:
        return float(variable.varValue)
    # In no row and not in the objective: PuLP leaves it out, any value within its bounds will do.
    low = -math.inf if variable.lowBound is None else variable.lowBound
    high = math.inf if variable.upBound is None else variable.upBound
    return min(max(0.0, low), high)
