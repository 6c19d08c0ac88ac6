"""Whole fronts against trying everything."""

import math
from dataclasses import replace

import numpy as np
import pytest
from perfmodel_studies.hawq import hawq_example

from perfmodel.errors import InputError
from perfmodel.pareto import front as pareto
from perfmodel.search.exact import Sum, front
from tests.draws import draws
from tests.search.exact.random_choices import (
    channel_problem,
    conversion_problem,
    everything,
    peak_problem,
)


def true_front(problem, place):
    """Distinct (usage, value) of all choices that keep the limits and that none dominates."""
    choices = everything(problem)
    choices = choices[problem.feasibles(choices)]
    points = np.column_stack((problem.usages(choices)[:, place], problem.values(choices)))
    if not len(points):
        return points
    points = np.unique(points.round(10), axis=0)
    return points[pareto(points)]


@pytest.mark.parametrize("seed", range(draws(25)))
@pytest.mark.parametrize("make", [peak_problem, channel_problem])
def test_fronts_of_problems_with_limits(make, seed):
    problem = make(1000 + seed)
    place = seed % len(problem.limits)
    found = front(problem, problem.limits[place].name)
    assert found.complete
    got = np.array([(p.usage, p.value) for p in found.points]).reshape(-1, 2)
    np.testing.assert_allclose(got, true_front(problem, place), rtol=1e-8, atol=1e-9)
    for point in found.points:
        assert problem.feasible(point.choice)
        assert point.proved
        assert point.gap <= 1e-9


@pytest.mark.parametrize("seed", range(draws(30)))
def test_lists_and_points_agree(seed):
    made = peak_problem(2000 + seed)
    problem = replace(made, limits=(replace(made.limits[0], bound=math.inf),))
    found = front(problem, "latency")
    assert found.method == "lists"
    got = np.array([(p.usage, p.value) for p in found.points]).reshape(-1, 2)
    np.testing.assert_allclose(got, true_front(problem, 0), rtol=1e-8, atol=1e-9)


def test_second_sum_and_few_points():
    problem = conversion_problem(4)
    second = Sum.of([np.arange(k, dtype=float) for k in problem.options])
    whole = front(problem, second)
    few = front(problem, second, points=3)
    assert whole.complete
    assert not few.complete
    assert 1 <= len(few.points) <= 3
    every = {(round(p.usage, 9), round(p.value, 9)) for p in whole.points}
    assert {(round(p.usage, 9), round(p.value, 9)) for p in few.points if p.proved} <= every


def test_no_time_is_not_complete():
    found = front(hawq_example(), "size", seconds=0.0)
    assert not found.complete


def test_unknown_limit():
    with pytest.raises(InputError, match="did you mean 'latency'"):
        front(hawq_example(), "latncy")
    with pytest.raises(InputError, match="0 points"):
        front(hawq_example(), "latency", points=0)
