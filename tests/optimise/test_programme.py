"""The solver layer against enumeration and textbook cases, and what it says when it is stopped."""

import itertools
import math
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import highspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from perfmodel.optimise import highs, solvers
from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.milp_model import LinearSum, MilpModel, total
from tests.draws import draws


def knapsacks(columns: int, rows: int, seed: int) -> MilpModel:
    """Many knapsacks at once (hard already for 100 columns): values and weights unrelated."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(10, 1000, (rows, columns))
    model = MilpModel("knapsacks")
    x = model.variables("x", (columns,), cost=-rng.integers(10, 1000, columns), integer=True)
    model.require_all("room", (np.tile(x, (rows, 1)), weights), high=weights.sum(1) // 2)
    return model


def enumerated(model: MilpModel) -> float:
    """The best of all 0-1 vectors, by trying each; infinity where none keeps the rows."""
    best, matrix = math.inf, model.matrix()
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
def binaries(draw: st.DrawFn) -> MilpModel:
    n, m = draw(st.integers(1, 7)), draw(st.integers(1, 4))
    number = st.integers(-9, 9)
    entries = draw(
        st.dictionaries(st.tuples(st.integers(0, m - 1), st.integers(0, n - 1)), number, min_size=1)
    )
    low = np.array(draw(st.lists(number, min_size=m, max_size=m)), dtype=float)
    width = np.array(draw(st.lists(st.integers(0, 9), min_size=m, max_size=m)), dtype=float)
    model = MilpModel("bits")
    x = [model.variable(f"x[{j}]", cost=draw(number)) for j in range(n)]
    for i in range(m):
        row = total(value * x[j] for (k, j), value in entries.items() if k == i)
        model.require(f"row {i}", row, low=low[i], high=low[i] + width[i])
    return model


def pairs(**about: object) -> MilpModel:
    """One row ``low <= x + y <= high`` over two variables."""
    model = MilpModel("pair")
    bounds = {name: about.pop(name) for name in ("low", "high") if name in about}
    x = model.variables("x", (2,), **about)  # type: ignore[arg-type]
    model.require_all("row", (x[None], 1.0), **bounds)  # type: ignore[arg-type]
    return model


@settings(max_examples=draws(60))
@given(binaries())
def test_a_programme_of_bits_agrees_with_trying_them_all(model: MilpModel) -> None:
    best = enumerated(model)
    found = model.solve()
    if math.isinf(best):
        assert found.status == "infeasible"
        assert not found.feasible
        assert found.bound == math.inf
    else:
        assert found.status == "optimal"
        assert found.value == pytest.approx(best)
        assert found.bound == pytest.approx(best)
        assert model.matrix().satisfied_by(found.solution)
        assert float(model.matrix().cost @ found.solution) == pytest.approx(best)


@settings(max_examples=draws(30))
@given(binaries(), st.randoms(use_true_random=False))
def test_a_start_changes_the_way_and_not_the_answer(model: MilpModel, rng: object) -> None:
    best, matrix = enumerated(model), model.matrix()
    if math.isinf(best):
        return
    starts = [
        x
        for bits in itertools.product((0.0, 1.0), repeat=len(matrix.cost))
        if matrix.satisfied_by(x := np.array(bits))
    ]
    start = rng.choice(starts)  # type: ignore[attr-defined]
    found = model.solve(start=start)
    assert found.status == "optimal"
    # The values are those of the objective: HiGHS 1.16 may hand the start back with it.
    assert float(matrix.cost @ found.solution) == pytest.approx(best)
    assert found.value == pytest.approx(best)


def test_a_poor_start_of_a_larger_programme_is_not_handed_back() -> None:
    for seed in range(draws(6)):
        model = knapsacks(25, 4, seed)
        alone, started = model.solve(), model.solve(start=np.zeros(25))
        assert started.value == pytest.approx(alone.value)
        assert float(model.matrix().cost @ started.solution) == pytest.approx(started.value)


def test_a_linear_programme_and_its_prices_agree_with_scipy() -> None:
    rng = np.random.default_rng(5)
    dense = rng.integers(1, 10, (6, 9)).astype(float)
    cost, right = rng.integers(1, 20, 9).astype(float), rng.integers(5, 30, 6).astype(float)
    model = MilpModel()
    x = model.variables("x", (9,), cost=cost, high=np.inf)
    model.require_all("row", (np.tile(x, (6, 1)), dense), low=right)
    theirs = linprog(cost, -dense, -right, method="highs-ipm")
    for solver in ("highs", "cbc"):
        with solvers.using(solver):
            found = model.solve()
        assert found.status == "optimal"
        assert found.value == pytest.approx(theirs.fun)
        assert found.prices == pytest.approx(-theirs.ineqlin.marginals, abs=1e-7)
        # By duality the prices of the rows are worth as much as the columns.
        assert float(found.prices @ right) == pytest.approx(found.value)


def test_rows_by_their_owner_and_rows_as_tables_are_the_same() -> None:
    rng = np.random.default_rng(1)
    dense = rng.integers(0, 4, (5, 8)).astype(float)
    row, column = np.nonzero(dense)
    some = rng.permutation(len(row))
    models = [MilpModel(), MilpModel(), MilpModel()]
    for model in models:
        x = model.variables("x", (8,), cost=1.0, high=np.inf)
        low = dense.sum(1) * 0.3
        if model is models[0]:
            model.require_all("row", (np.tile(x, (5, 1)), dense), low=low)
        elif model is models[1]:
            owner = row[some], column[some]
            model.require_all("row", (x[owner[1]], dense[owner], owner[0]), low=low)
        else:
            for i in range(5):
                terms = (dense[i, j] * LinearSum({j: 1.0}) for j in range(8))
                model.require("row", total(terms) - low[i], low=0.0)
    one, two, three = (model.solve().value for model in models)
    assert one == pytest.approx(two)
    assert one == pytest.approx(three)


# --- what is known --------------------------------------------------------------------------------


@pytest.mark.parametrize("integer", [False, True])
def test_unbounded_is_not_infeasible(integer: bool) -> None:
    away = MilpModel("away")
    x = away.variables("x", (2,), cost=-1.0, high=np.inf, integer=integer)
    away.require_all("row", (x[None], [[1.0, -1.0]]), low=0.0)
    with pytest.raises(highs.SolverError, match="Unbounded"):
        away.solve()
    assert pairs(cost=-1.0, low=3, high=9, integer=integer).solve().status == "infeasible"


def test_without_columns_or_rows() -> None:
    nothing = MilpModel()
    assert nothing.solve().status == "optimal"
    nothing.require("never", total([1.0]), high=0.0)
    assert nothing.solve().status == "infeasible"
    free = MilpModel()
    free.variables("x", (2,), cost=[1.0, -2.0], high=3.0)
    assert free.solve().value == -6.0


@pytest.mark.parametrize("solver", ["highs", "cbc"])
def test_stopped_at_once_there_is_no_answer_and_it_does_not_say_optimal(solver: str) -> None:
    with solvers.using(solver):
        found = knapsacks(60, 20, 0).solve(Deadline(0.0))
    assert found.status == "unknown"
    assert found.solution is None
    assert found.value == math.inf
    assert found.bound == -math.inf


@pytest.mark.parametrize("solver", ["highs", "cbc"])
def test_stopped_at_once_a_start_comes_back_as_feasible(solver: str) -> None:
    model = knapsacks(60, 20, 0)
    start = np.zeros(60)
    start[3] = 1.0
    with solvers.using(solver):
        found = model.solve(Deadline(0.0), start=start)
    assert found.status == "feasible"
    assert found.value == model.matrix().cost[3]
    assert found.gap == math.inf
    assert np.array_equal(found.solution, start)


def test_stopped_on_the_way_there_is_a_solution_a_bound_and_a_gap() -> None:
    # 200 columns in 40 knapsacks are out of reach for hours.
    model = knapsacks(200, 40, 1)
    found = model.solve(Deadline(0.7), start=np.zeros(200))
    assert found.status == "feasible"
    assert model.matrix().satisfied_by(found.solution)
    assert float(model.matrix().cost @ found.solution) == pytest.approx(found.value)
    assert found.bound < found.value
    assert found.gap > 0


def test_a_gap_that_was_asked_for_is_not_a_proof() -> None:
    model = knapsacks(40, 10, 3)
    loose, exact = model.solve(gap=0.5), model.solve()
    assert loose.status == "feasible"
    assert loose.bound <= exact.value <= loose.value
    assert 0 < loose.gap <= 0.5
    assert exact.status == "optimal"


def test_a_start_that_breaks_a_row_is_left_aside() -> None:
    model = pairs(cost=1.0, low=1, high=1, integer=True)
    for start in ([1.0, 1.0], [0.5, 0.5], [2.0, -1.0]):
        assert not model.matrix().satisfied_by(np.array(start))
        assert model.solve(start=start).value == 1.0


# --- other solvers --------------------------------------------------------------------------------


@settings(max_examples=draws(12), deadline=None)
@given(binaries())
def test_every_solver_reaches_the_optimum_of_highs(model: MilpModel) -> None:
    ours = model.solve()
    for solver in solvers.installed_solvers():
        with solvers.using(solver):
            theirs = model.solve()
        assert theirs.status == ours.status
        if ours.feasible:
            assert theirs.value == pytest.approx(ours.value)
            assert theirs.bound == theirs.value


@settings(max_examples=draws(12), deadline=None)
@given(binaries())
def test_what_pulp_has_is_what_highs_has(model: MilpModel) -> None:
    """The same declaration on both ways: HiGHS driven by PuLP, and given the arrays."""
    import pulp

    ours, matrix = model.solve(), model.matrix()
    problem, columns, _ = solvers.as_pulp(model, matrix)
    problem.solve(pulp.HiGHS(msg=False))
    highspy.Highs.resetGlobalScheduler(True)  # it took another number of threads
    if ours.feasible:
        values = np.array([solvers._value(column) for column in columns])
        assert matrix.satisfied_by(values)
        assert float(matrix.cost @ values) == pytest.approx(ours.value)


def test_a_stopped_cbc_claims_nothing() -> None:
    model = knapsacks(200, 40, 1)
    with solvers.using("cbc"):
        found = model.solve(Deadline(0.7), start=np.zeros(200))
    assert found.status == "feasible"
    assert found.value <= 0.0
    assert found.bound == -math.inf
    assert not found.proved


def test_an_unknown_solver_is_answered_with_those_that_are_there() -> None:
    (fault,) = solvers.solver_faults("hihgs")
    assert "highs" in fault.expected
    assert fault.suggestion == "highs"
    assert not solvers.solver_faults("highs")
    assert not solvers.solver_faults("cbc")


def test_lp_files_are_read_back_by_another_program(tmp_path: Path) -> None:
    model = MilpModel("two words")
    x = model.variables("x", (2,), cost=[2, 3], high=4.0, integer=True)
    model.require_all("enough", (x[None], [[2.0, 1.0]]), low=5.5)
    model.write_lp(tmp_path / "model.lp")
    assert "enough_0:" in (tmp_path / "model.lp").read_text()
    handle = highs.new_handle()
    assert handle.readModel(str(tmp_path / "model.lp")) == highspy.HighsStatus.kOk
    handle.run()
    assert handle.getInfo().objective_function_value == pytest.approx(model.solve().value)
    with pytest.raises(ValueError, match=r"should end in \.lp"):
        model.write_lp(tmp_path / "model.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["model.lp"]


# --- threads, limits, output ----------------------------------------------------------------------


def test_another_number_of_threads_is_not_an_answer_of_zero() -> None:
    """HiGHS that was started with n threads refuses to run with m, with objective 0."""
    model = knapsacks(20, 4, 0)
    right = model.solve().value
    handle = highs.new_handle()
    highs._load(handle, model.matrix())
    handle.setOptionValue("threads", 2)
    handle.run()
    assert model.solve().value == right


def test_runs_beside_each_other_do_not_mix() -> None:
    models = [knapsacks(25, 4, seed) for seed in range(6)]
    alone = [m.solve().value for m in models]
    beside: dict[int, float] = {}
    threads = [
        threading.Thread(target=lambda i=i, m=m: beside.update({i: m.solve().value}))
        for i, m in enumerate(models)
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
    model = knapsacks(30, 5, 2)
    matrix = model.matrix()
    release = threading.Event()
    once = highs._HighsRun._solve

    def hang(self: highs._HighsRun) -> None:
        once(self)
        release.wait(60)

    monkeypatch.setattr(highs._HighsRun, "_solve", hang)
    found = model.solve(Deadline(0.5), start=np.zeros(30))
    release.set()
    assert found.status == "feasible"
    assert matrix.satisfied_by(found.solution)
    assert float(matrix.cost @ found.solution) == pytest.approx(found.value)
    assert found.value < 0.0  # what it had found, not the start
    assert found.bound <= found.value
    empty = model.solve(Deadline(0.0))
    assert empty.status == "unknown"


def test_nothing_comes_out_on_standard_output() -> None:
    """HiGHS 1.16 prints a banner past `sys.stdout`, whatever it is told."""
    script = (
        "import os, perfmodel.optimise.milp_model as p, perfmodel.optimise.solvers as s\n"
        "print('before')\n"
        "m = p.MilpModel('m'); x = m.variable('x', high=3.0, cost=-1.0)\n"
        "m.require('row', 2 * x, high=5)\n"
        "assert m.solve().value == -2\n"
        "with s.using('cbc'): assert m.solve().value == -2\n"
        "os.write(1, b'after\\n')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["before", "after"] or done.stdout.split() == ["after", "before"]
    assert done.stderr == ""


def test_what_others_print_meanwhile_is_handed_on(capfd: pytest.CaptureFixture[str]) -> None:
    from perfmodel.optimise.stdout_filter import filtered_stdout

    with filtered_stdout((b"unwanted",)):
        subprocess.run(["printf", "unwanted line\\nwanted\\n"], check=True)
    assert capfd.readouterr().out == "wanted\n"


def test_ctrl_c_ends_a_run_and_the_process_ends_cleanly() -> None:
    script = (
        "import signal, threading, numpy as np\n"
        # A job in the background inherits that SIGINT is ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import perfmodel.optimise.highs as highs, perfmodel.optimise.milp_model as p\n"
        "rng = np.random.default_rng(1)\n"
        "w = rng.integers(10, 1000, (40, 200)); m = p.MilpModel('m')\n"
        "x = m.variables('x', (200,), cost=-rng.integers(10, 1000, 200), integer=True)\n"
        "m.require_all('row', (np.tile(x, (40, 1)), w), high=w.sum(1) // 2)\n"
        "look = highs._HighsRun._callback\n"
        "def once(self, *about):\n"
        "    if not self.nodes and about[2].mip_dual_bound > -np.inf and not fired:\n"
        "        fired.append(1); signal.pthread_kill(main, signal.SIGINT)\n"
        "    look(self, *about)\n"
        "fired = []; main = threading.main_thread().ident; highs._HighsRun._callback = once\n"
        "try:\n"
        "    m.solve()\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\n", "")


def test_every_solver_that_knows_a_gap_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gurobi:
        name = "GUROBI"

        def __init__(self, msg: bool = True, timeLimit: float = 0, gapRel: float = 1e-4) -> None:
            self.gap = gapRel

    class Mosek:
        name = "MOSEK"

        def __init__(self, msg: bool = True, timeLimit: float = 0) -> None: ...

    kinds = {"GUROBI": Gurobi, "MOSEK": Mosek}
    library = SimpleNamespace(getSolver=lambda name, **settings: kinds[name](**settings))
    monkeypatch.setattr(solvers, "_library", lambda: library)
    assert solvers._settings("gurobi", "GUROBI", 5.0) == {"timeLimit": 5.0, "gapRel": 1e-12}
    assert solvers._settings("mosek", "MOSEK", math.inf) == {}
