"""Parallel runs made anew in stretches: schedules by replay, values against every schedule."""

import itertools

import numpy as np
import pytest

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.assign import AssignmentProblem, solve
from perfmodel.schedule.assign.assignment_costs import excess
from perfmodel.schedule.assign.large_neighbourhood import reschedule_stretches
from perfmodel.schedule.assign.list_scheduling import list_schedule
from perfmodel.schedule.assign.longest_paths import critical_path_s
from tests.draws import draws, of_draws
from tests.schedule.assign import brute

NEVER = Deadline()


def planted(each: int, m: int, seed: int) -> tuple[AssignmentProblem, float]:
    """A problem with a schedule that leaves no engine a gap, and when that ends.

    Every operator is fastest on its engine of that schedule, so that nothing ends sooner: all
    engines together have that much to do. It reads what has arrived there by then.
    """
    random, delay, end = np.random.default_rng(seed), 5.0, 50.0 * each
    pieces: list[tuple[float, float, int]] = []
    for e in range(m):
        cuts = np.concatenate([[0.0], np.sort(random.uniform(0, end, each - 1)), [end]])
        pieces += [(float(a), float(b), e) for a, b in itertools.pairwise(cuts)]
    pieces.sort()
    costs = np.empty((len(pieces), m))
    edges: list[tuple[int, int]] = []
    for j, (start, stop, e) in enumerate(pieces):
        costs[j] = (stop - start) * random.uniform(1, 4, m)
        costs[j, e] = stop - start
        there = [
            i
            for i in range(max(0, j - 12), j)
            if pieces[i][1] + (delay if pieces[i][2] != e else 0.0) <= start
        ]
        edges += [(i, j) for i in there[-int(random.integers(1, 4)) :]]
    return AssignmentProblem.of(costs, edges, latency_s=delay), end


def least_cost(problem: AssignmentProblem) -> np.ndarray:
    """The engine that runs each operator fastest."""
    return np.argmin(problem.costs, axis=1)


@pytest.mark.parametrize("alike", [True, False])
def test_a_stretch_of_everything_finds_the_best_schedule(alike: bool) -> None:
    met = 0
    for seed in range(draws(25)):
        random = np.random.default_rng(seed)
        n, m = int(random.integers(2, 6)), int(random.integers(2, 4))
        problem = brute.random_problem(seed, n, m, alike=alike)
        least = min(brute.makespan(problem, a) for a in brute.assignments(problem))
        run = reschedule_stretches(
            problem, list_schedule(problem, least_cost(problem)), NEVER, stretches=60
        )
        brute.check_timeline(problem, run)
        assert run.makespan_s >= least * (1 - 1e-12)
        met += run.makespan_s <= least * (1 + 1e-12)
    assert met == draws(25)


@pytest.mark.parametrize("alike", [True, False])
def test_what_it_returns_is_a_schedule_and_no_longer(alike: bool) -> None:
    shorter = 0
    for seed in range(draws(20)):
        problem = brute.random_problem(seed, 40, 3, alike=alike, whole=seed % 2 == 0)
        start = list_schedule(problem, least_cost(problem))
        run = reschedule_stretches(problem, start, NEVER, stretches=40, seed=seed)
        brute.check_timeline(problem, run)
        assert critical_path_s(problem) <= run.makespan_s * (1 + 1e-12)
        assert run.makespan_s <= start.makespan_s
        shorter += run.makespan_s < start.makespan_s
    assert shorter > of_draws(15)


def test_memories_stay_within_their_limits() -> None:
    shorter = 0
    for seed in range(draws(15)):
        problem = brute.random_problem(seed, 20, 3, tight=0.45, missing=0.0)
        engine = np.argsort(np.random.default_rng(seed).permutation(20)) % 3
        start = list_schedule(problem, engine)
        run = reschedule_stretches(problem, start, NEVER, stretches=60)
        if excess(problem, engine) > 0:
            assert run is start
            continue
        assert excess(problem, run.engine) == 0
        brute.check_timeline(problem, run)
        shorter += run.makespan_s < start.makespan_s
    assert shorter > of_draws(5)


def test_zero_seconds_and_what_cannot_be_sent() -> None:
    nothing = AssignmentProblem.of(np.zeros((6, 2)), [(i, i + 1) for i in range(5)])
    start = list_schedule(nothing, np.arange(6) % 2)
    assert reschedule_stretches(nothing, start, NEVER).makespan_s == 0
    apart = AssignmentProblem.of(
        np.random.default_rng(0).uniform(1, 9, (20, 3)),
        [(i, i + 1) for i in range(19)],
        latency_s=np.inf,
    )
    least = apart.costs.sum(axis=0)
    worst = int(np.argmax(least))
    run = reschedule_stretches(
        apart, list_schedule(apart, np.full(20, worst)), NEVER, stretches=200
    )
    # All of it moves to another engine at once or not at all; one stretch may be all of it.
    assert run.makespan_s == pytest.approx(least.min())
    forever = list_schedule(apart, np.arange(20) % 3)
    assert reschedule_stretches(apart, forever, NEVER, stretches=5) is forever


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_schedule_without_gaps_is_nearly_found_again(seed: int) -> None:
    problem, end = planted(20, 3, seed)
    engine = np.random.default_rng(seed).integers(0, 3, problem.count)
    start = list_schedule(problem, engine)
    assert start.makespan_s > 2.5 * end
    run = reschedule_stretches(problem, start, NEVER, bound_s=end, stretches=1200)
    brute.check_timeline(problem, run)
    assert end * (1 - 1e-12) <= run.makespan_s <= end * 1.03


@pytest.mark.parametrize("channel", [True, False])
@pytest.mark.parametrize("memory", [True, False])
def test_solve_says_what_the_replay_says(channel: bool, memory: bool) -> None:
    anew = 0
    for seed in range(4):
        problem = brute.random_problem(
            seed,
            30,
            3,
            alike=False,
            channel=channel,
            memory=memory,
            whole=False,
            tight=0.6 if seed % 2 else 0.0,
        )
        found = solve(problem, "parallel", looks=40)
        brute.replay(found)
        anew += "stretches made anew" in found.method
    assert anew > 0 or memory  # where the shared memory is busiest, no order helps
