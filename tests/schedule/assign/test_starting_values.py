"""A known assignment as a solution of the programme: it keeps every row, and is worth the same."""

import numpy as np
import pytest

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.assign.assignment_costs import interval_s, sequential_s
from perfmodel.schedule.assign.linear_programmes import AssignmentLpModel, solve_integral
from tests.draws import draws
from tests.schedule.assign import brute


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("goal", ["sequential", "throughput"])
def test_a_start_is_a_solution_of_the_same_value(alike: bool, goal: str) -> None:
    value = {"sequential": sequential_s, "throughput": interval_s}[goal]
    for seed in range(draws(8)):
        problem = brute.random_problem(seed, 5, 3, alike=alike, memory=seed % 2 == 0)
        model = AssignmentLpModel(problem, goal, contiguous=False)
        matrix = model.model.matrix()
        for engine in list(brute.assignments(problem))[::7]:
            start = model.values_of(np.array(engine))
            assert start is not None
            assert matrix.satisfied_by(start)
            assert matrix.cost @ start * model.scale == pytest.approx(
                value(problem, np.array(engine))
            )


def test_a_start_that_does_not_fit_is_left_aside() -> None:
    problem = brute.random_problem(3, 5, 3, tight=0.4)
    everything = np.zeros(5, dtype=np.intp)
    whole = solve_integral(problem, "throughput", Deadline(20), start=everything)
    least = min(brute.busiest(problem, a) for a in brute.assignments(problem))
    assert whole.proved
    assert whole.bound == pytest.approx(least, rel=2e-6)
