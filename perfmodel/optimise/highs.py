"""Interface to HiGHS: loading a programme, running within a time limit, reading the result.

Status and bound are those of HiGHS itself, since some interfaces report a stopped run as "Optimal".
(Huangfu and Hall, Parallelizing the dual revised simplex method, 2018.)
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.milp_matrix import TOLERANCE, Floats, MilpMatrix, Solved
from perfmodel.optimise.stdout_filter import filtered_stdout

#: First words of the lines of HiGHS's banner.
_BANNER = (b"Running HiGHS", b"Includes third-party", b"Copyright")

_lock = threading.Lock()
_is_initialised = False


class SolverError(RuntimeError):
    """The solver failed without reaching an answer or a limit."""


def new_handle() -> Any:
    """Return a silent HiGHS instance without a model; its banner, once per process, is suppressed.

    HiGHS does not run with a number of threads other than it was started with: it is always one.
    """
    global _is_initialised
    import highspy

    with _lock:
        if not _is_initialised:
            with filtered_stdout(_BANNER):
                highspy.Highs()
            _is_initialised = True
    handle: Any = highspy.Highs()
    handle.setOptionValue("output_flag", False)
    handle.setOptionValue("threads", 1)
    return handle


def run(
    matrix: MilpMatrix,
    deadline: Deadline,
    gap: float = 0.0,
    start: Floats | None = None,
    *,
    restarts: bool = True,
) -> Solved:
    """Solve a programme; parameters are those of `perfmodel.optimise.milp_model.MilpModel.solve`.

    Raises
    ------
    SolverError
        HiGHS failed, or the objective is unbounded.
    """
    handle = new_handle()
    _load(handle, matrix)
    handle.setOptionValue("mip_allow_restart", restarts)
    # A gap that was not requested would count as a proof.
    handle.setOptionValue("mip_rel_gap", gap)
    known = math.nan
    if start is not None:
        import highspy

        known = float(np.dot(matrix.cost, start))
        solution = highspy.HighsSolution()
        solution.col_value = start.tolist()
        handle.setSolution(solution)
    attempt = _HighsRun(handle, start is not None, deadline)
    if attempt.finish():
        return _read(handle, attempt, matrix, start, known)
    # After a timeout these are the values of the last improving solution.
    values = attempt.values if attempt.values.size else None
    objective = attempt.objective
    if start is not None and not objective <= known:
        objective, values = known, start
    return Solved(values, objective, attempt.bound, "Time limit reached", {"nodes": attempt.nodes})


def _load(handle: Any, matrix: MilpMatrix) -> None:
    """Pass a programme to HiGHS."""
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
    if status == highspy.HighsStatus.kError:
        raise SolverError("HiGHS failed at loading the model")


class _HighsRun:
    """A run of HiGHS in a separate thread, monitored by callbacks.

    HiGHS checks its time limit only between some of its steps, which may last seconds. Therefore it
    is abandoned when the time is over: it stops at its next check, and its incumbent at that time
    is the answer. The thread also lets Ctrl-C through, and starts HiGHS's scheduler afresh.
    """

    def __init__(self, handle: Any, has_start: bool, deadline: Deadline) -> None:
        self.handle, self.has_start, self.deadline = handle, has_start, deadline
        self.status: Any = None
        self.failed = self.stop = False
        self.error: BaseException | None = None
        self.ended = threading.Event()
        self.values: Floats = np.zeros(0)
        self.objective, self.bound, self.nodes = math.inf, -math.inf, 0

    def finish(self) -> bool:
        """Run until HiGHS ends or the time is over; return whether it ended."""
        thread = threading.Thread(target=self._work, name="highs")
        left = self.deadline.left()
        thread.start()
        try:
            # A small grace period beyond the limit lets HiGHS end by itself. (After an interrupt in
            # `join`, Python 3.11 would consider the thread ended.)
            ended = self.ended.wait(None if left == math.inf else 1.03 * left + 0.005)
        finally:
            self.stop = True
        if not ended:
            return False
        thread.join()
        if self.error is not None:
            raise self.error
        return True

    def _work(self) -> None:
        """Solve, and again where HiGHS needs it; the body of the thread."""
        import highspy

        handle = self.handle
        try:
            handle.setCallback(self._callback, None)
            kinds = highspy.cb.HighsCallbackType
            for kind in (
                kinds.kCallbackMipInterrupt,
                kinds.kCallbackMipImprovingSolution,
                kinds.kCallbackSimplexInterrupt,
            ):
                handle.startCallback(kind)
            self._solve()
            if self.failed and handle.getModelStatus() == highspy.HighsModelStatus.kNotset:
                # HiGHS does not run if it was started here before with another number of threads.
                highspy.Highs.resetGlobalScheduler(True)
                self._solve()
            if self.has_start and not _solution_agrees(handle):
                handle.clearSolver()
                self._solve()
            self.status = handle.getModelStatus()
            if self.status == highspy.HighsModelStatus.kUnboundedOrInfeasible:
                self.status = _unbounded_or_infeasible(handle)
        except BaseException as error:
            self.error = error
        finally:
            self.ended.set()

    def _solve(self) -> None:
        """Run HiGHS once, in the time left."""
        import highspy

        left = self.deadline.left()
        if left < math.inf:
            self.handle.setOptionValue("time_limit", left)
        self.failed = self.handle.run() == highspy.HighsStatus.kError

    def _callback(self, kind: Any, message: str, out: Any, control: Any, data: object) -> None:
        """Record bound, nodes and incumbent of a callback, and interrupt HiGHS if time is over."""
        import highspy

        kinds = highspy.cb.HighsCallbackType
        if control is not None:
            control.user_interrupt = self.stop
        if kind == kinds.kCallbackSimplexInterrupt:
            return
        self.bound = max(self.bound, float(out.mip_dual_bound))
        self.nodes = int(out.mip_node_count)
        if kind == kinds.kCallbackMipImprovingSolution:
            self.objective = float(out.objective_function_value)
            self.values = np.array(out.mip_solution, dtype=np.float64)


def _solution_agrees(handle: Any) -> bool:
    """Return whether the values of the solution reproduce the objective.

    With a starting point HiGHS 1.16 may report a better objective but return the starting point.
    """
    costs: Floats = np.asarray(handle.getLp().col_cost_, dtype=np.float64)
    values: Floats = np.asarray(handle.getSolution().col_value, dtype=np.float64)
    objective = float(handle.getInfo().objective_function_value)
    if values.shape != costs.shape or math.isinf(objective):
        return True
    size = float(np.dot(np.abs(costs), np.abs(values)))
    return abs(float(np.dot(costs, values)) - objective) <= TOLERANCE * max(1.0, size)


def _unbounded_or_infeasible(handle: Any) -> Any:
    """Distinguish unbounded from infeasible: without an objective only the latter remains."""
    import highspy

    count = handle.getNumCol()
    handle.changeColsCost(count, np.arange(count, dtype=np.int32), np.zeros(count))
    handle.run()
    statuses, status = highspy.HighsModelStatus, handle.getModelStatus()
    return statuses.kUnbounded if status == statuses.kOptimal else status


def _read(
    handle: Any, attempt: _HighsRun, matrix: MilpMatrix, start: Floats | None, known: float
) -> Solved:
    """Return the result of a run that ended."""
    import highspy

    kinds = highspy.HighsModelStatus
    reason = str(handle.modelStatusToString(attempt.status))
    info = handle.getInfo()
    work = {"nodes": max(0, int(info.mip_node_count))}
    if attempt.status == kinds.kInfeasible:
        return Solved(None, math.inf, math.inf, reason, work)
    ends = (kinds.kOptimal, kinds.kTimeLimit, kinds.kInterrupt, kinds.kIterationLimit)
    done = attempt.status == kinds.kOptimal
    if attempt.status not in ends or (attempt.failed and not done):
        raise SolverError(f"HiGHS: {reason}")
    is_feasible = int(info.primal_solution_status) == int(
        highspy.SolutionStatus.kSolutionStatusFeasible
    )
    objective = float(info.objective_function_value) if is_feasible else math.inf
    solution = handle.getSolution()
    values = np.array(solution.col_value, dtype=np.float64) if is_feasible else None
    if start is not None and not objective <= known:
        objective, values = known, start
    has_integers = bool(matrix.integer.any())
    bound = float(info.mip_dual_bound) if has_integers else objective if done else -math.inf
    prices = (
        np.zeros(0) if has_integers or not done else np.array(solution.row_dual, dtype=np.float64)
    )
    met = done and objective - bound <= max(TOLERANCE, 1e-9 * abs(objective))
    return Solved(values, objective, bound, reason, work, prices=prices, met=met)
