"""HiGHS itself: loading, running within a limit, and reading what it says."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import numpy as np

from perfmodel.schedule.deadline import Deadline
from perfmodel.schedule.highs.programme import TOLERANCE, Floats, MilpMatrix, SolverResult, Status
from perfmodel.schedule.highs.silence import caught_output

#: How the lines of HiGHS's banner begin.
BANNER = (b"Running HiGHS", b"Includes third-party", b"Copyright")


class SolverError(RuntimeError):
    """The solver failed: neither an answer nor a limit."""


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


def running() -> int:
    """Return how many runs are under way."""
    return _running


def wake() -> None:
    """Let HiGHS print its banner, once a process, where nobody reads it."""
    global _awake
    import highspy

    with _lock:
        if not _awake:
            with caught_output(BANNER):
                highspy.Highs()
            _awake = True


def new_handle() -> Any:
    """Return a silent HiGHS without a model."""
    wake()
    import highspy

    handle: Any = highspy.Highs()
    handle.setOptionValue("output_flag", False)
    return handle


def checked(status: Any, what: str) -> None:
    """Raise `SolverError` where HiGHS says that something failed."""
    import highspy

    if status == highspy.HighsStatus.kError:
        raise SolverError(f"HiGHS failed at {what}")


def load(handle: Any, matrix: MilpMatrix) -> None:
    """Give a handle its model."""
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
    checked(status, "loading the model")


def as_minimum(handle: Any) -> None:
    """Turn the programme that a handle holds into a minimum without a constant.

    PuLP 3 hands it over so; PuLP 4.1 leaves sense and constant to HiGHS.
    """
    import highspy

    held = handle.getLp()
    if held.sense_ == highspy.ObjSense.kMaximize:
        for j, cost in enumerate(list(held.col_cost_)):
            handle.changeColCost(j, -cost)
        handle.changeObjectiveSense(highspy.ObjSense.kMinimize)
    if held.offset_:
        handle.changeObjectiveOffset(0.0)


def held_matrix(handle: Any) -> MilpMatrix:
    """Return what a handle holds."""
    import highspy

    handle.ensureRowwise()
    lp = handle.getLp()
    kinds = list(lp.integrality_)
    whole = highspy.HighsVarType.kInteger
    return MilpMatrix(
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


class _HighsRun:
    """A run of HiGHS in a thread of its own, watched as it goes.

    HiGHS looks at its time limit only between some of its steps, which may last seconds. So it is
    left behind when the time is over: it ends by itself at its next look, and what it had reached
    by then is the answer. The thread also lets Ctrl-C through, and starts HiGHS's scheduler afresh.
    """

    def __init__(self, handle: Any, start: Floats | None, gap: float, deadline: Deadline) -> None:
        self.handle = handle
        self.start = start
        self.gap = gap
        self.deadline = deadline
        self.status: Any = None
        self.failed = False
        self.error: BaseException | None = None
        self.ended = threading.Event()
        self.stop = False
        self.values: Floats = np.zeros(0)
        self.objective = math.inf
        self.bound = -math.inf
        self.nodes = 0

    def finish(self) -> bool:
        """Run until HiGHS ends or the time is over; tell which."""
        thread = threading.Thread(target=self._work, name="highs")
        left = self.deadline.left()
        thread.start()
        try:
            # Of what lies beyond the limit HiGHS itself gets a part, for its last steps. (To be
            # interrupted in `join` would have Python 3.11 take the thread for ended.)
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
        global _running
        import highspy

        with _lock:
            _running += 1
            threads = _threads
        handle = self.handle
        try:
            handle.setOptionValue("threads", threads)
            # A gap that is not asked for would pass for a proof.
            handle.setOptionValue("mip_rel_gap", self.gap)
            handle.setCallback(self._look, None)
            kinds = highspy.cb.HighsCallbackType
            for kind in (
                kinds.kCallbackMipInterrupt,
                kinds.kCallbackMipImprovingSolution,
                kinds.kCallbackSimplexInterrupt,
            ):
                handle.startCallback(kind)
            self._once()
            if self.failed and handle.getModelStatus() == highspy.HighsModelStatus.kNotset:
                # Another number of threads started HiGHS here before; it then runs nothing at all.
                highspy.Highs.resetGlobalScheduler(True)
                self._once()
            if self.start is not None and not _agrees(handle):
                handle.clearSolver()
                self._once()
            self.status = handle.getModelStatus()
            if self.status == highspy.HighsModelStatus.kUnboundedOrInfeasible:
                self.status = _which(handle)
        except BaseException as error:
            self.error = error
        finally:
            with _lock:
                _running -= 1
            self.ended.set()

    def _once(self) -> None:
        import highspy

        left = self.deadline.left()
        if left < math.inf:
            self.handle.setOptionValue("time_limit", left)
        self.failed = self.handle.run() == highspy.HighsStatus.kError

    def _look(self, kind: Any, message: str, out: Any, into: Any, data: object) -> None:
        import highspy

        kinds = highspy.cb.HighsCallbackType
        if into is not None:
            into.user_interrupt = self.stop
        if kind == kinds.kCallbackSimplexInterrupt:
            return
        self.bound = max(self.bound, float(out.mip_dual_bound))
        self.nodes = int(out.mip_node_count)
        if kind == kinds.kCallbackMipImprovingSolution:
            self.objective = float(out.objective_function_value)
            self.values = np.array(out.mip_solution, dtype=np.float64)


def run_highs(
    handle: Any, deadline: Deadline, gap: float, start: Floats | None, integers: bool
) -> SolverResult:
    """Run HiGHS and read its own status and bound (of a minimisation)."""
    import highspy

    begin = time.perf_counter()
    known = math.nan
    if start is not None:
        costs: Floats = np.asarray(handle.getLp().col_cost_, dtype=np.float64)
        known = float(np.dot(costs, start))
        solution = highspy.HighsSolution()
        solution.col_value = start.tolist()
        handle.setSolution(solution)
    run = _HighsRun(handle, start, gap, deadline)
    if not run.finish():
        return _left_behind(run, start, known, time.perf_counter() - begin)
    seconds = time.perf_counter() - begin
    return _read(handle, run.status, run.failed, start, known, integers, seconds)


def _left_behind(
    run: _HighsRun, start: Floats | None, known: float, seconds: float
) -> SolverResult:
    """Return what a run had reached when the time was over."""
    objective, values, bound = run.objective, run.values, run.bound
    if start is not None and not objective <= known:
        objective, values = known, start
    status = Status.FEASIBLE if values.size else Status.NONE
    if status is Status.NONE:
        objective = math.nan
    return SolverResult(
        status, objective, min(bound, objective) if values.size else bound, seconds,
        "Time limit reached", values, nodes=run.nodes,
    )  # fmt: skip


def _agrees(handle: Any) -> bool:
    """Tell whether the values are those of the objective.

    HiGHS 1.16 given a start may find better, say so, and hand the start back.
    """
    costs: Floats = np.asarray(handle.getLp().col_cost_, dtype=np.float64)
    values: Floats = np.asarray(handle.getSolution().col_value, dtype=np.float64)
    objective = float(handle.getInfo().objective_function_value)
    if values.shape != costs.shape or math.isinf(objective):
        return True
    size = float(np.dot(np.abs(costs), np.abs(values)))
    return abs(float(np.dot(costs, values)) - objective) <= TOLERANCE * max(1.0, size)


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
) -> SolverResult:
    import highspy

    kinds = highspy.HighsModelStatus
    reason = str(handle.modelStatusToString(model_status))
    info = handle.getInfo()
    nodes = max(0, int(info.mip_node_count))
    if model_status == kinds.kInfeasible:
        return SolverResult(Status.INFEASIBLE, math.nan, math.inf, seconds, reason, nodes=nodes)
    if model_status == kinds.kUnbounded:
        return SolverResult(Status.UNBOUNDED, math.nan, -math.inf, seconds, reason, nodes=nodes)
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
        return SolverResult(Status.NONE, math.nan, bound, seconds, reason, nodes=nodes)
    met = done and objective - bound <= max(TOLERANCE, 1e-9 * abs(objective))
    bound = min(bound, objective)
    prices: Floats = np.zeros(0)
    if done and not integers:
        prices = np.array(handle.getSolution().row_dual, dtype=np.float64)
    status = Status.OPTIMAL if met else Status.FEASIBLE
    return SolverResult(status, objective, bound, seconds, reason, values, prices, nodes)
