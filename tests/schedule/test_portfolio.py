"""The four methods beside each other: none worse than the one before it, bounds that hold."""

from __future__ import annotations

import random

import pytest

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.portfolio import METHODS, fewest_bytes
from perfmodel.schedule.script import replay
from tests.draws import draws
from tests.schedule.random_graphs import random_problem


@pytest.mark.parametrize("seed", range(draws(40)))
def test_exact_ilp_beam_greedy_in_that_order(seed: int) -> None:
    rng = random.Random(seed)
    problem = random_problem(rng, rng.randint(5, 11))
    least = problem.largest_working_set_bytes
    before = None
    for capacity in (least, least + 2, least + 5):
        costs = []
        for method in METHODS:
            found = fewest_bytes(problem, capacity, method)
            assert found.solution is not None
            assert replay(problem, found.solution, capacity).cost_bytes == found.value
            assert found.bound <= found.value
            assert found.method == method
            costs.append(found.value)
        assert costs == sorted(costs, reverse=True)
        assert found.proved
        # What is proved bounds every method; more capacity never costs more.
        assert all(cost >= found.bound for cost in costs)
        assert before is None or found.value <= before
        before = found.value


def test_a_capacity_below_the_largest_working_set_has_no_schedule() -> None:
    problem = random_problem(random.Random(1), 8)
    for method in METHODS:
        none = fewest_bytes(problem, problem.largest_working_set_bytes - 1, method)
        assert none.solution is None
        assert not none.proved


def test_stopped_at_once_there_is_a_schedule_and_a_bound_that_holds() -> None:
    for seed in range(draws(6)):
        problem = random_problem(random.Random(seed), 40)
        capacity = problem.largest_working_set_bytes
        best = fewest_bytes(problem, capacity, "exact", Deadline(1.0))
        for method in METHODS:
            found = fewest_bytes(problem, capacity, method, Deadline(1e-6))
            assert found.solution is not None
            replay(problem, found.solution, capacity)
            assert found.bound <= best.value


def test_an_incumbent_is_never_lost() -> None:
    for seed in range(draws(10)):
        problem = random_problem(random.Random(seed), 12)
        capacity = problem.largest_working_set_bytes
        best = fewest_bytes(problem, capacity, "exact")
        again = fewest_bytes(problem, capacity + 1, "greedy", incumbent=best.solution)
        assert again.value <= best.value
