"""The solver against trying everything."""

import math

import pytest

from perfmodel.search.exact.solve import solve
from tests.draws import draws
from tests.offenders import each
from tests.search.exact.random_choices import (
    brute_force,
    channel_problem,
    conversion_problem,
    peak_problem,
)

CASES = (
    [(peak_problem, s) for s in range(draws(200))]
    + [(channel_problem, s) for s in range(draws(100))]
    + [(conversion_problem, s) for s in range(draws(100))]
)


@each("make, seed", CASES)
def test_brute_force_agrees(make, seed):
    problem = make(seed)
    found = solve(problem)
    best = brute_force(problem)
    assert found.proved
    if math.isinf(best):
        assert found.status == "infeasible"
        assert found.solution is None
        return
    assert found.status == "optimal"
    assert found.value == pytest.approx(best, rel=1e-9, abs=1e-12)
    assert found.bound <= found.value
    assert problem.feasible(found.solution)
    assert problem.value(found.solution) == found.value
