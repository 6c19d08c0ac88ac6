"""Assignments against every assignment there is, bounds against optima, physics as properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.assign import AssignmentProblem, solve
from perfmodel.schedule.assign.assignment_costs import interval_s, loads_s, sequential_s
from perfmodel.schedule.assign.contiguous import fixed_order, is_exact
from perfmodel.schedule.assign.heuristics import (
    interval_score,
    load_moves,
    local_search,
    round_shares,
)
from perfmodel.schedule.assign.linear_programmes import solve_integral, solve_relaxed
from perfmodel.schedule.assign.list_scheduling import list_schedule
from perfmodel.schedule.assign.longest_paths import critical_path_s
from perfmodel.schedule.assign.serial_optimum import least_serial_assignment
from tests.draws import draws
from tests.schedule.assign import brute

SIZES = [(int(n), int(m)) for n, m in np.random.default_rng(4).integers([1, 1], [7, 4], (60, 2))]


@pytest.mark.parametrize("alike", [True, False])
def test_in_turn_agrees_with_every_assignment(alike: bool) -> None:
    for seed, (n, m) in enumerate(SIZES):
        problem = brute.random_problem(seed, n, m, alike=alike)
        least = min(brute.in_turn(problem, a) for a in brute.assignments(problem))
        found = solve(problem, "sequential")
        assert found.proved
        assert found.method in ("variable elimination", "nothing to run")
        assert found.value == pytest.approx(least, rel=1e-12)
        brute.replay(found)


@pytest.mark.parametrize("goal", ["sequential", "throughput"])
@pytest.mark.parametrize("order", ["fixed", "any"])
@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("memory", [True, False])
def test_contiguous_agrees_with_every_split(
    goal: str, order: str, alike: bool, memory: bool
) -> None:
    closed = 0
    cost = brute.in_turn if goal == "sequential" else brute.busiest
    for seed, (n, m) in enumerate(SIZES):
        problem = brute.random_problem(seed, n, m, alike=alike, memory=memory)
        splits = [
            a for a in brute.assignments(problem) if brute.contiguous(a, fixed=order == "fixed")
        ]
        found = solve(problem, goal, contiguous=order)
        if not splits:
            assert not found.feasible
            assert found.proved
            continue
        least = min(cost(problem, a) for a in splits)
        engine = tuple(int(e) for e in found.engine)
        assert brute.contiguous(engine, fixed=order == "fixed")
        brute.replay(found)
        assert found.bound <= least * (1 + 1e-9)
        assert found.value >= least * (1 - 1e-9)
        plain = goal == "sequential" or not memory
        if order == "fixed" or (plain and is_exact(problem, forward=False)):
            assert found.proved
        if found.proved:
            closed += 1
            assert found.value == pytest.approx(least, rel=2e-6)
    assert closed > 20


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("memory", [True, False])
def test_throughput_agrees_with_every_assignment(alike: bool, memory: bool) -> None:
    for seed, (n, m) in enumerate(SIZES[:40]):
        problem = brute.random_problem(seed, n, m, alike=alike, memory=memory)
        least = min(brute.busiest(problem, a) for a in brute.assignments(problem))
        found = solve(problem, "throughput", looks=300)
        assert found.proved
        assert found.value == pytest.approx(least, rel=2e-6)
        brute.replay(found)


@pytest.mark.parametrize("alike", [True, False])
def test_parallel_agrees_with_every_schedule(alike: bool) -> None:
    for seed in range(draws(25)):
        random = np.random.default_rng(seed)
        n, m = int(random.integers(1, 6)), int(random.integers(1, 4))
        problem = brute.random_problem(seed, n, m, alike=alike)
        least = min(brute.makespan(problem, a) for a in brute.assignments(problem))
        found = solve(problem, "parallel", looks=50)
        assert found.proved
        assert found.value == pytest.approx(least, rel=2e-6)
        brute.replay(found)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("goal", "contiguous"),
    [
        ("sequential", False),
        ("sequential", True),
        ("throughput", False),
        ("throughput", True),
        ("parallel", False),
    ],
)
def test_memories_hold_what_is_assigned(together: bool, goal: str, contiguous: bool) -> None:
    cost = {"sequential": brute.in_turn, "throughput": brute.busiest, "parallel": brute.makespan}
    seen = {True: 0, False: 0}
    for seed in range(30 if goal != "parallel" else 12):
        random = np.random.default_rng(seed)
        n, m = int(random.integers(2, 6)), int(random.integers(1, 4))
        tight = 1.05 if together and seed % 2 else float(random.uniform(0.3, 1.0))
        problem = brute.random_problem(seed, n, m, tight=tight, together=together)
        options = [
            a
            for a in brute.assignments(problem)
            if not contiguous or brute.contiguous(a, fixed=True)
        ]
        found = solve(problem, goal, contiguous=contiguous, looks=200)
        seen[bool(options)] += 1
        assert found.feasible == bool(options)
        if not options:
            assert found.proved
            continue
        least = min(cost[goal](problem, a) for a in options)
        brute.replay(found)
        assert tuple(found.engine.tolist()) in options
        assert found.bound <= least * (1 + 1e-9)
        if goal == "parallel":
            # Schedules of a bound assignment are not enumerated: the bound need not close.
            assert found.value >= least * (1 - 1e-9)
            continue
        assert found.proved
        assert found.value == pytest.approx(least, rel=2e-6)
    assert min(seen.values()) > 2


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize(("channel", "memory"), [(True, True), (True, False), (False, False)])
def test_programmes_never_exceed_an_optimum(alike: bool, channel: bool, memory: bool) -> None:
    for seed in range(draws(10)):
        problem = brute.random_problem(seed, 5, 3, alike=alike, channel=channel, memory=memory)
        every = list(brute.assignments(problem))
        deadline = Deadline(30)
        for goal, cost in (("sequential", brute.in_turn), ("throughput", brute.busiest)):
            least = min(cost(problem, a) for a in every)
            linear = solve_relaxed(problem, goal, deadline)
            whole = solve_integral(problem, goal, deadline)
            assert 0 < linear.bound <= whole.bound * (1 + 1e-6)
            assert whole.proved
            assert whole.bound == pytest.approx(least, rel=2e-6)
        # Schedules without a channel are no later than those with one.
        runs = [list_schedule(problem, np.array(a)) for a in every]
        for run in runs:
            brute.check_timeline(problem, run)
        least = min(
            max(run.makespan_s, brute.together(problem, a))
            for run, a in zip(runs, every, strict=True)
        )
        for bound in (
            solve_relaxed(problem, "parallel", deadline).bound,
            solve_integral(problem, "parallel", deadline).bound,
            critical_path_s(problem),
        ):
            assert 0 < bound <= least * (1 + 1e-9)


@pytest.mark.parametrize(("n", "m"), [(100, 3), (300, 4)])
@pytest.mark.parametrize("goal", ["sequential", "throughput"])
def test_rounding_and_search_come_near_the_bound(n: int, m: int, goal: str) -> None:
    random = np.random.default_rng(n)
    edges = [(int(i), j) for j in range(1, n) for i in set(random.integers(0, j, 2))]
    problem = AssignmentProblem.of(random.uniform(1, 100, (n, m)), edges, latency_s=5.0)
    never = Deadline()
    linear = solve_relaxed(problem, goal, never)
    assert linear.solution is not None
    engine = round_shares(problem, linear.solution)
    assert np.isfinite(problem.costs[np.arange(n), engine]).all()
    if goal == "throughput":
        score = interval_score(problem)
        engine = local_search(problem, engine, score, load_moves, never, bound_s=linear.bound)
    value = {"sequential": sequential_s, "throughput": interval_s}[goal](problem, engine)
    assert linear.bound <= value < linear.bound * (1.02 if n < 300 else 1.01)


def test_a_chain_is_viterbi() -> None:
    random = np.random.default_rng(3)
    n, m = 400, 4
    costs, delays = random.uniform(1, 9, (n, m)), random.uniform(0, 4, (n - 1, m, m))
    problem = AssignmentProblem.with_tensors(
        costs, range(n - 1), [(i + 1,) for i in range(n - 1)], delays
    )
    best = costs[0]
    for i in range(1, n):
        best = (best[:, None] + problem.delays[i - 1]).min(axis=0) + costs[i]
    engine = least_serial_assignment(problem)
    assert engine is not None
    assert sequential_s(problem, engine) == pytest.approx(best.min(), rel=1e-12)


def test_a_graph_too_wide_to_eliminate_falls_back_to_a_programme() -> None:
    problem = brute.random_problem(5, 14, 3, shared=4, reach=8, whole=False)
    assert least_serial_assignment(problem, largest=100) is None
    known = solve(problem, "sequential")
    assert known.method == "variable elimination"
    whole = solve_integral(problem, "sequential", Deadline(30))
    assert whole.bound == pytest.approx(known.value, rel=2e-6)


def test_many_readers_are_sent_a_tensor_once() -> None:
    costs = np.array([[1.0, 50.0], *[[9.0, 1.0]] * 6])
    problem = AssignmentProblem.with_tensors(costs, [0], [range(1, 7)], np.full((1, 2, 2), 10.0))
    found = solve(problem, "sequential")
    assert found.value == 1 + 6 + 10
    assert found.engine.tolist() == [0, 1, 1, 1, 1, 1, 1]
    assert loads_s(problem, found.engine).tolist() == [1.0, 16.0]


def test_a_shared_channel_sends_one_thing_at_a_time() -> None:
    costs = np.array([[1.0, np.inf], [np.inf, 1.0], [np.inf, 1.0]])
    for channels, end in ((None, 6.0 + 1.0 + 1.0), (np.zeros((2, 2), dtype=int), 11.0 + 1.0)):
        problem = AssignmentProblem.with_tensors(
            costs, [0, 0], [(1,), (2,)], np.full((2, 2, 2), 5.0), channels=channels
        )
        found = solve(problem, "parallel")
        assert found.value == pytest.approx(end)
        brute.replay(found)


GOALS = st.sampled_from(["sequential", "throughput", "parallel"])


@settings(max_examples=draws(40))
@given(seed=st.integers(0, 10_000), goal=GOALS, alike=st.booleans())
def test_an_engine_more_never_hurts(seed: int, goal: str, alike: bool) -> None:
    problem = brute.random_problem(seed, 5, 3, alike=alike)
    few = brute.only(problem, [0, 1])
    more, less = solve(problem, goal, looks=50), solve(few, goal, looks=50)
    assert more.proved
    assert less.proved
    assert more.value <= less.value * (1 + 2e-6)
    if goal != "parallel":
        split = solve(problem, goal, contiguous="any")
        assert more.value <= split.value * (1 + 2e-6)


@settings(max_examples=draws(40))
@given(seed=st.integers(0, 10_000), goal=GOALS, factor=st.floats(0, 1))
def test_a_faster_link_is_never_slower(seed: int, goal: str, factor: float) -> None:
    problem = brute.random_problem(seed, 5, 3, alike=False)
    faster = AssignmentProblem.with_tensors(
        problem.costs, problem.maker.tolist(), problem.readers, problem.delays * factor
    )
    one, two = solve(problem, goal, looks=50), solve(faster, goal, looks=50)
    assert one.proved
    assert two.proved
    assert two.value <= one.value * (1 + 2e-6)


@settings(max_examples=draws(30))
@given(seed=st.integers(0, 10_000))
def test_goals_are_ordered(seed: int) -> None:
    problem = brute.random_problem(seed, 6, 3, missing=0.0)
    in_turn = solve(problem, "sequential")
    at_once = solve(problem, "parallel", looks=50)
    piped = solve(problem, "throughput", looks=50)
    split = solve(problem, "sequential", contiguous=True)
    alone = min(problem.costs.sum(axis=0))
    assert at_once.value <= in_turn.value * (1 + 2e-6)
    assert in_turn.value <= split.value * (1 + 1e-9)
    assert split.value <= alone * (1 + 1e-9)
    assert piped.value <= alone * (1 + 2e-6)


@pytest.mark.parametrize("goal", ["sequential", "throughput", "parallel"])
def test_what_cannot_be_sent_stays_on_one_engine(goal: str) -> None:
    random = np.random.default_rng(1)
    problem = AssignmentProblem.of(
        random.uniform(1, 9, (8, 3)), [(i, i + 1) for i in range(7)], latency_s=np.inf
    )
    found = solve(problem, goal)
    assert len(set(found.engine.tolist())) == 1
    assert found.value == pytest.approx(problem.costs.sum(axis=0).min())


@pytest.mark.parametrize("goal", ["sequential", "throughput", "parallel"])
def test_without_a_way_there_is_no_assignment(goal: str) -> None:
    inf = np.inf
    apart = AssignmentProblem.of([[1, inf], [inf, 1]], [(0, 1)], latency_s=inf)
    found = solve(apart, goal)
    assert not found.feasible
    assert found.proved
    assert found.unsupported == ()
    missing = AssignmentProblem.of([[1, 1], [inf, inf]], [(0, 1)])
    found = solve(missing, goal)
    assert not found.feasible
    assert found.unsupported == ("operator 1",)
    assert found.engine.tolist() == [-1, -1]


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="readers after the maker"):
        AssignmentProblem.of(np.ones((2, 2)), [(1, 0)])
    with pytest.raises(InputError, match="negative or undefined"):
        AssignmentProblem.of([[-1.0]])
    with pytest.raises(InputError, match="negative or undefined"):
        AssignmentProblem.of(np.ones((2, 2)), [(0, 1)], latency_s=np.nan)
    with pytest.raises(InputError, match="no goal"):
        solve(AssignmentProblem.of([[1.0]]), "latency")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="run one after the other"):
        solve(AssignmentProblem.of([[1.0]]), "parallel", contiguous=True)


def test_nothing_and_one_engine() -> None:
    assert solve(AssignmentProblem.of(np.zeros((0, 2)))).value == 0.0
    alone = AssignmentProblem.of([[1.0], [2.0]], [(0, 1)], 8.0, latency_s=3.0)
    for goal in ("sequential", "parallel", "throughput"):
        found = solve(alone, goal)
        assert found.value == 3.0
        assert found.proved


def test_the_programme_over_stretches_is_quick_to_grow() -> None:
    random = np.random.default_rng(0)
    n, m = 1000, 4
    edges = [(i, i + 1) for i in range(n - 1)]
    problem = AssignmentProblem.of(random.uniform(1, 100, (n, m)), edges, latency_s=5.0)
    split = fixed_order(problem, bottleneck=True)
    assert split.solution is not None
    assert interval_s(problem, split.solution) == pytest.approx(split.value, rel=1e-9)
    # Moving any boundary by one does not help.
    for at in np.flatnonzero(np.diff(split.solution)):
        for where, value in ((at, split.solution[at + 1]), (at + 1, split.solution[at])):
            moved = split.solution.copy()
            moved[where] = value
            assert interval_s(problem, moved) >= split.value * (1 - 1e-12)
