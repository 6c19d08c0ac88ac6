"""Rows of what lies between two operators: bounds that hold for every schedule, and are met."""

import numpy as np
import pytest

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.assign import AssignmentProblem, solve
from perfmodel.schedule.assign.heuristics import round_shares
from perfmodel.schedule.assign.linear_programmes import solve_integral, solve_relaxed
from perfmodel.schedule.assign.list_scheduling import list_schedule
from perfmodel.schedule.assign.precedence_cuts import PrecedenceCuts
from tests.draws import draws, of_draws
from tests.schedule.assign import brute

NEVER = Deadline()


@pytest.mark.parametrize("alike", [True, False])
def test_no_schedule_is_below_the_bound(alike: bool) -> None:
    added = 0
    for seed in range(draws(30)):
        random = np.random.default_rng(seed)
        n, m = int(random.integers(3, 6)), int(random.integers(1, 4))
        problem = brute.random_problem(seed, n, m, alike=alike, reach=4, missing=0.2)
        least = min(brute.makespan(problem, a) for a in brute.assignments(problem))
        programme = PrecedenceCuts(problem)
        linear, whole = programme.solve_relaxed(NEVER), programme.solve_integral(NEVER)
        added += len(programme.rows)
        assert linear.bound <= whole.bound * (1 + 1e-6)
        assert whole.bound <= least * (1 + 1e-9)
    assert added > of_draws(5)


def diamonds(count: int) -> AssignmentProblem:
    """Diamonds in a row on two engines: each has two operators side by side, of 4 s or 6 s."""
    costs, edges = [[1.0, np.inf]], list[tuple[int, int]]()
    for k in range(count):
        costs += [[4.0, 6.0], [4.0, 6.0], [1.0, np.inf]]
        edges += [
            (3 * k, 3 * k + 1),
            (3 * k, 3 * k + 2),
            (3 * k + 1, 3 * k + 3),
            (3 * k + 2, 3 * k + 3),
        ]
    return AssignmentProblem.of(costs, edges)


@pytest.mark.parametrize("count", [1, 4, 9])
def test_diamonds_in_a_row_are_met_exactly(count: int) -> None:
    # One of each pair on either engine: 6 s, where both on the fast one take 8.
    problem, exact = diamonds(count), 7.0 * count + 1
    programme = PrecedenceCuts(problem)
    linear, whole = programme.solve_relaxed(NEVER), programme.solve_integral(NEVER)
    # With shares, 4 x on the one engine is 6 (2 - x) on the other: 4.8 s for each pair.
    assert linear.bound == pytest.approx(5.8 * count + 1, rel=1e-6)
    assert whole.bound == pytest.approx(exact, rel=1e-6)
    assert solve_relaxed(problem, "parallel", NEVER).bound <= linear.bound * (1 + 1e-9)
    if count > 1:
        assert solve_integral(problem, "parallel", NEVER).bound < 0.95 * exact
    found = solve(problem, "parallel", looks=100)
    assert found.proved
    assert found.value == pytest.approx(exact)


@pytest.mark.parametrize("channel", [True, False])
def test_rows_only_add_to_a_bound(channel: bool) -> None:
    higher = 0
    for seed in range(draws(8)):
        problem = brute.random_problem(
            seed,
            25,
            3,
            alike=seed % 2 == 0,
            channel=channel,
            memory=seed % 3 == 0,
            whole=False,
            missing=0.3,
        )
        before = solve_relaxed(problem, "parallel", NEVER)
        programme = PrecedenceCuts(problem)
        after = programme.solve_relaxed(NEVER)
        assert before.proved
        assert after.proved
        assert after.bound >= before.bound * (1 - 1e-6)
        higher += after.bound > before.bound * (1 + 1e-4)
        run = list_schedule(problem, round_shares(problem, np.asarray(after.solution)))
        assert after.bound <= run.makespan_s * (1 + 1e-9)
    assert higher > 0
