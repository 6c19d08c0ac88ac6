"""The solver layer against enumeration and textbook cases, and what it says when it is stopped."""

import itertools
import math
import subprocess
import sys
import threading
from pathlib import Path

import highspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from perfmodel.schedule.deadline import Deadline
from perfmodel.schedule.highs import SolverError, set_threads
from perfmodel.schedule.highs import solve as highs
from perfmodel.schedule.solver import (
    MilpMatrix,
    SolverResult,
    Status,
    SymbolicMilpModel,
    solve,
    total,
    write_lp,
)
from tests.draws import draws


def knapsacks(columns: int, rows: int, seed: int) -> MilpMatrix:
    """Many knapsacks at once (hard already for 100 columns): values and weights unrelated."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(10, 1000, (rows, columns))
    row, column = np.nonzero(weights)
    return MilpMatrix.of(
        -rng.integers(10, 1000, columns),
        (row, column, weights[row, column]),
        np.full(rows, -np.inf),
        weights.sum(1) // 2,
        upper=1.0,
        integer=True,
    )


def enumerated(matrix: MilpMatrix) -> float:
    """The best of all 0-1 vectors, by trying each; infinity where none keeps the rows."""
    best = math.inf
    dense = np.zeros((len(matrix.row_lower), len(matrix.cost)))
    for i in range(len(matrix.row_lower)):
        for e in range(matrix.row_start[i], matrix.row_start[i + 1]):
            dense[i, matrix.column[e]] += matrix.value[e]
    for bits in itertools.product((0.0, 1.0), repeat=len(matrix.cost)):
        x = np.array(bits)
        sums = dense @ x
        if np.all(sums >= matrix.row_lower - 1e-9) and np.all(sums <= matrix.row_upper + 1e-9):
            best = min(best, float(matrix.cost @ x))
    return best


@st.composite
def binaries(draw: st.DrawFn) -> MilpMatrix:
    n, m = draw(st.integers(1, 7)), draw(st.integers(1, 4))
    number = st.integers(-9, 9)
    entries = draw(
        st.dictionaries(st.tuples(st.integers(0, m - 1), st.integers(0, n - 1)), number, min_size=1)
    )
    places = np.array(list(entries), dtype=np.int64)
    low = np.array(draw(st.lists(number, min_size=m, max_size=m)), dtype=float)
    width = np.array(draw(st.lists(st.integers(0, 9), min_size=m, max_size=m)), dtype=float)
    cost = draw(st.lists(number, min_size=n, max_size=n))
    values = list(entries.values())
    return MilpMatrix.of(
        cost, (places[:, 0], places[:, 1], values), low, low + width, upper=1.0, integer=True
    )


@settings(max_examples=draws(60))
@given(binaries())
def test_a_programme_of_bits_agrees_with_trying_them_all(matrix: MilpMatrix) -> None:
    best = enumerated(matrix)
    found = solve(matrix)
    if math.isinf(best):
        assert found.status is Status.INFEASIBLE
        assert not found.found
        assert found.bound == math.inf
    else:
        assert found.status is Status.OPTIMAL
        assert found.objective == pytest.approx(best)
        assert found.bound == pytest.approx(best)
        assert matrix.keeps(found.values)
        assert float(matrix.cost @ found.values) == pytest.approx(best)


@settings(max_examples=draws(30))
@given(binaries(), st.randoms(use_true_random=False))
def test_a_start_changes_the_way_and_not_the_answer(matrix: MilpMatrix, rng: object) -> None:
    best = enumerated(matrix)
    if math.isinf(best):
        return
    starts = [
        x for bits in itertools.product((0.0, 1.0), repeat=len(matrix.cost))
        if matrix.keeps(x := np.array(bits))
    ]  # fmt: skip
    start = rng.choice(starts)  # type: ignore[attr-defined]
    found = solve(matrix, start=start)
    assert found.status is Status.OPTIMAL
    # The values are those of the objective: HiGHS 1.16 may hand the start back with it.
    assert float(matrix.cost @ found.values) == pytest.approx(best)
    assert found.objective == pytest.approx(best)


def test_a_poor_start_of_a_larger_programme_is_not_handed_back() -> None:
    for seed in range(draws(6)):
        matrix = knapsacks(25, 4, seed)
        alone, started = solve(matrix), solve(matrix, start=np.zeros(25))
        assert started.objective == pytest.approx(alone.objective)
        assert float(matrix.cost @ started.values) == pytest.approx(started.objective)


def test_a_linear_programme_and_its_prices_agree_with_scipy() -> None:
    rng = np.random.default_rng(5)
    dense = rng.integers(1, 10, (6, 9)).astype(float)
    cost, right = rng.integers(1, 20, 9).astype(float), rng.integers(5, 30, 6).astype(float)
    row, column = np.nonzero(dense)
    matrix = MilpMatrix.of(cost, (row, column, dense[row, column]), right, np.full(6, np.inf))
    found = solve(matrix)
    theirs = linprog(cost, -dense, -right, method="highs-ipm")
    assert found.status is Status.OPTIMAL
    assert found.objective == pytest.approx(theirs.fun)
    assert found.prices == pytest.approx(-theirs.ineqlin.marginals, abs=1e-7)
    # By duality the prices of the rows are worth as much as the columns.
    assert float(found.prices @ right) == pytest.approx(found.objective)


def test_sparse_matrices_and_triplets_are_the_same() -> None:
    from scipy.sparse import random_array

    dense = random_array((5, 8), density=0.6, rng=np.random.default_rng(1), format="coo")
    low = np.asarray(dense.sum(1)).ravel() * 0.3
    a = MilpMatrix.of(np.ones(8), dense, low, np.full(5, np.inf))
    row, column = dense.coords
    shuffled = np.random.default_rng(2).permutation(len(row))
    triplets = (row[shuffled], column[shuffled], dense.data[shuffled])
    b = MilpMatrix.of(np.ones(8), triplets, low, np.inf)
    assert solve(a).objective == pytest.approx(solve(b).objective)


# --- statuses -------------------------------------------------------------------------------------


@pytest.mark.parametrize("integer", [False, True])
def test_unbounded_is_not_infeasible(integer: bool) -> None:
    away = MilpMatrix.of([-1, -1], ([0, 0], [0, 1], [1, -1]), [0], [0], integer=integer)
    never = MilpMatrix.of([-1, -1], ([0, 0], [0, 1], [1, 1]), [3], [9], upper=1, integer=integer)
    assert solve(away).status is Status.UNBOUNDED
    assert solve(away).bound == -math.inf
    assert solve(never).status is Status.INFEASIBLE


def test_without_columns_or_rows() -> None:
    none = np.zeros(0)
    nothing = MilpMatrix.of(none, (none, none, none), [0.0], [1.0])
    assert solve(nothing).status is Status.OPTIMAL
    assert solve(MilpMatrix.of(none, (none, none, none), [1.0], [1.0])).status is Status.INFEASIBLE
    free = MilpMatrix.of([1.0, -2.0], (none, none, none), none, none, upper=3.0)
    assert solve(free).objective == -6.0


def test_stopped_at_once_there_is_no_answer_and_it_does_not_say_optimal() -> None:
    found = solve(knapsacks(60, 20, 0), Deadline(0.0))
    assert found.status is Status.NONE
    assert not found.found
    assert math.isnan(found.objective)
    assert found.bound == -math.inf
    assert not found.values.size


def test_stopped_at_once_a_start_comes_back_as_feasible() -> None:
    matrix = knapsacks(60, 20, 0)
    start = np.zeros(60)
    start[3] = 1.0
    found = solve(matrix, Deadline(0.0), start=start)
    assert found.status is Status.FEASIBLE
    assert found.objective == matrix.cost[3]
    assert found.gap == math.inf
    assert np.array_equal(found.values, start)


def test_stopped_on_the_way_there_is_a_solution_a_bound_and_a_gap() -> None:
    # 200 columns in 40 knapsacks are out of reach for hours.
    matrix = knapsacks(200, 40, 1)
    found = solve(matrix, Deadline(0.7), start=np.zeros(200))
    assert found.status is Status.FEASIBLE
    assert matrix.keeps(found.values)
    assert float(matrix.cost @ found.values) == pytest.approx(found.objective)
    assert found.bound < found.objective
    assert found.gap > 0


def test_a_gap_that_was_asked_for_is_not_a_proof() -> None:
    matrix = knapsacks(40, 10, 3)
    loose, exact = solve(matrix, gap=0.5), solve(matrix)
    assert loose.status is Status.FEASIBLE
    assert loose.bound <= exact.objective <= loose.objective
    assert 0 < loose.gap <= 0.5
    assert exact.status is Status.OPTIMAL


def test_a_start_that_breaks_a_row_is_refused() -> None:
    matrix = MilpMatrix.of([1, 1], ([0, 0], [0, 1], [1, 1]), [1], [1], upper=1, integer=True)
    for start in ([1.0, 1.0], [0.5, 0.5], [0.0], [2.0, -1.0]):
        with pytest.raises(ValueError, match="start breaks"):
            solve(matrix, start=start)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lower": np.zeros(3)}, "same columns"),
        ({"row_start": np.array([0, 1], dtype=np.int32)}, "row_start"),
        ({"column": np.array([0, 7], dtype=np.int32)}, "outside 0..1"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(
    change: dict[str, np.ndarray], said: str
) -> None:
    good = MilpMatrix.of([1, 1], ([0, 0], [0, 1], [1, 1]), [1], [1])
    fields = {name: getattr(good, name) for name in good.__dataclass_fields__}
    with pytest.raises(ValueError, match=said):
        MilpMatrix(**(fields | change))


# --- through PuLP ---------------------------------------------------------------------------------


@settings(max_examples=draws(25))
@given(binaries(), st.booleans())
def test_both_doors_lead_to_the_same_answer(matrix: MilpMatrix, maximise: bool) -> None:
    model = SymbolicMilpModel("same", maximise=maximise)
    x = model.variables("x", range(len(matrix.cost)), kind="Binary")
    sign = -1.0 if maximise else 1.0
    model.objective(total(sign * float(c) * x[j] for j, c in enumerate(matrix.cost)) + 3.0)
    for i in range(len(matrix.row_lower)):
        places = range(matrix.row_start[i], matrix.row_start[i + 1])
        row = total(float(matrix.value[e]) * x[int(matrix.column[e])] for e in places)
        model.require(row + 0.0 * x[0], ">=", float(matrix.row_lower[i]))
        model.require(row + 0.0 * x[0], "<=", float(matrix.row_upper[i]))
    one, two = solve(matrix), model.solve()
    assert one.status is two.status
    if one.found:
        assert two.objective == pytest.approx(sign * one.objective + 3.0)
        assert two.bound == pytest.approx(two.objective)
        assert matrix.keeps(two.values)
        assert [model.value(v) for v in x.values()] == pytest.approx(list(two.values))


def test_a_model_that_is_stopped_says_so() -> None:
    matrix = knapsacks(60, 20, 0)
    model = SymbolicMilpModel("stopped")
    x = model.variables("x", range(60), kind="Binary")
    model.objective(total(float(c) * x[j] for j, c in enumerate(matrix.cost)))
    for i in range(20):
        places = range(matrix.row_start[i], matrix.row_start[i + 1])
        row = total(float(matrix.value[e]) * x[int(matrix.column[e])] for e in places)
        model.require(row, "<=", float(matrix.row_upper[i]))
    assert model.solve(Deadline(0.0)).status is Status.NONE
    start = [(v, float(j == 3)) for j, v in x.items()]
    found = model.solve(Deadline(0.0), start=start)
    assert found.status is Status.FEASIBLE
    assert found.objective == matrix.cost[3]
    assert model.value(x[3]) == 1.0
    everything = [(v, 1.0) for v in x.values()]  # breaks every row: left aside
    assert model.solve(Deadline(0.0), start=everything).status is Status.NONE


def test_the_example_of_the_class() -> None:
    model = SymbolicMilpModel("knapsack", maximise=True)
    take = model.variables("take", ["a", "b", "c"], kind="Binary")
    spare = model.variable("spare", low=2.0, high=5.0)
    model.objective(10 * take["a"] + 6 * take["b"] + 7 * take["c"])
    model.require(5 * take["a"] + 3 * take["b"] + 4 * take["c"], "<=", 8, "capacity")
    model.require(take["c"], "==", take["a"] - 1 + take["b"], "c_needs_both")
    found = model.solve()
    assert found.objective == pytest.approx(10.0)
    assert model.value(take["b"]) == pytest.approx(0.0)
    assert 2.0 <= model.value(spare) <= 5.0
    model.require(take["a"], "<=", 0.0)
    assert model.solve().objective == pytest.approx(6.0)
    model.require(take["a"], ">=", 1.0)
    assert model.solve().status is Status.INFEASIBLE


def test_lp_files_are_read_back_by_another_program(tmp_path: Path) -> None:
    model = SymbolicMilpModel("two words")
    x = model.variables("x", ["a", "b"], high=4.0, kind="Integer")
    model.objective(2 * x["a"] + 3 * x["b"])
    model.require(2 * x["a"] + x["b"], ">=", 5.5, "enough")
    model.write_lp(tmp_path / "model.lp")
    write_lp(
        MilpMatrix.of([2, 3], ([0, 0], [0, 1], [2, 1]), [5.5], [np.inf], upper=4, integer=True),
        tmp_path / "matrix.lp",
    )
    assert "enough:" in (tmp_path / "model.lp").read_text()
    for name in ("model.lp", "matrix.lp"):
        handle = highs.new_handle()
        assert handle.readModel(str(tmp_path / name)) == highspy.HighsStatus.kOk
        handle.run()
        assert handle.getInfo().objective_function_value == pytest.approx(model.solve().objective)
    with pytest.raises(ValueError, match=r"should end in \.lp"):
        model.write_lp(tmp_path / "model.txt")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["matrix.lp", "model.lp"]


# --- threads, limits, output ----------------------------------------------------------------------


def test_another_number_of_threads_is_not_an_answer_of_zero() -> None:
    """HiGHS that was started with n threads refuses to run with m, with objective 0."""
    matrix = knapsacks(20, 4, 0)
    right = solve(matrix).objective
    handle = highs.new_handle()
    highs.load(handle, matrix)
    handle.setOptionValue("threads", 2)
    handle.run()
    try:
        assert solve(matrix).objective == right
        set_threads(2)
        assert solve(matrix).objective == right
    finally:
        set_threads(1)
        highspy.Highs.resetGlobalScheduler(True)
    assert solve(matrix).objective == right
    with pytest.raises(ValueError, match="at least one"):
        set_threads(0)


def test_the_number_of_threads_cannot_change_while_a_run_is_under_way() -> None:
    started = threading.Event()
    outcome: list[SolverResult] = []

    class Watched(Deadline):
        def left(self) -> float:
            started.set()
            return super().left()

    def work() -> None:
        outcome.append(solve(knapsacks(200, 40, 1), Watched(1.0)))

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(60)
    while not highs.running() and thread.is_alive():
        pass
    try:
        with pytest.raises(SolverError, match="under way"):
            set_threads(2)
    finally:
        thread.join()
        set_threads(1)
    assert outcome[0].status is not Status.OPTIMAL


def test_runs_beside_each_other_do_not_mix() -> None:
    matrices = [knapsacks(25, 4, seed) for seed in range(6)]
    alone = [solve(m).objective for m in matrices]
    beside: dict[int, float] = {}
    threads = [
        threading.Thread(target=lambda i=i, m=m: beside.update({i: solve(m).objective}))
        for i, m in enumerate(matrices)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [beside[i] for i in range(6)] == alone


def test_a_run_that_does_not_look_at_its_limit_is_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in long stretches of presolve: the answer is what was reached by then."""
    matrix = knapsacks(30, 5, 2)
    release = threading.Event()
    once = highs._HighsRun._once

    def hang(self: highs._HighsRun) -> None:
        once(self)
        release.wait(60)

    monkeypatch.setattr(highs._HighsRun, "_once", hang)
    found = solve(matrix, Deadline(0.5), start=np.zeros(30))
    release.set()
    assert found.status is Status.FEASIBLE
    assert matrix.keeps(found.values)
    assert float(matrix.cost @ found.values) == pytest.approx(found.objective)
    assert found.objective < 0.0  # what it had found, not the start
    assert found.bound <= found.objective
    empty = solve(matrix, Deadline(0.0))
    assert empty.status is Status.NONE


def test_nothing_comes_out_on_standard_output() -> None:
    """HiGHS 1.16 prints a banner past `sys.stdout`, whatever it is told."""
    script = (
        "import os, perfmodel.schedule.solver as s\n"
        "print('before')\n"
        "m = s.SymbolicMilpModel('m'); x = m.variable('x', high=3.0, kind='Integer')\n"
        "m.objective(-1 * x); m.require(2 * x, '<=', 5)\n"
        "assert m.solve().objective == -2\n"
        "assert s.solve(s.MilpMatrix.of([1], ([0], [0], [1]), [2], [5])).objective == 2\n"
        "os.write(1, b'after\\n')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["before", "after"] or done.stdout.split() == ["after", "before"]
    assert done.stderr == ""


def test_what_others_print_meanwhile_is_handed_on(capfd: pytest.CaptureFixture[str]) -> None:
    from perfmodel.schedule.highs.silence import caught_output

    with caught_output((b"unwanted",)):
        subprocess.run(["printf", "unwanted line\\nwanted\\n"], check=True)
    assert capfd.readouterr().out == "wanted\n"


def test_ctrl_c_ends_a_run_and_the_process_ends_cleanly() -> None:
    script = (
        "import signal, threading, numpy as np\n"
        # A job in the background inherits that SIGINT is ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import perfmodel.schedule.highs.solve as highs, perfmodel.schedule.solver as s\n"
        "rng = np.random.default_rng(1)\n"
        "w = rng.integers(10, 1000, (40, 200)); r, c = np.nonzero(w)\n"
        "m = s.MilpMatrix.of(-rng.integers(10, 1000, 200), (r, c, w[r, c]), np.full(40, -np.inf),\n"
        "                w.sum(1) // 2, upper=1.0, integer=True)\n"
        "look = highs._HighsRun._look\n"
        "def once(self, *about):\n"
        "    if not self.nodes and about[2].mip_dual_bound > -np.inf and not fired:\n"
        "        fired.append(1); signal.pthread_kill(main, signal.SIGINT)\n"
        "    look(self, *about)\n"
        "fired = []; main = threading.main_thread().ident; highs._HighsRun._look = once\n"
        "try:\n"
        "    s.solve(m)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\n", "")
