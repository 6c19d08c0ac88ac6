"""Meeting in the middle: everything within reach is enumerated, and nothing else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.optimise.deadline import Deadline
from perfmodel.search.exact import ChoiceProblem, Limit, Sum, solve
from perfmodel.search.exact import meet_in_the_middle as module
from perfmodel.search.exact.choice_incumbent import ChoiceIncumbent
from perfmodel.search.exact.linear_relaxation import solve_relaxation
from perfmodel.search.exact.presolve import NoChoice, reduce_problem
from tests.draws import draws
from tests.search.exact.random_choices import brute_force


def knapsack(seed: int, *, decisions: int, rows: int, family: str, options: int = 3) -> Any:
    """A problem of `benchmarks/choices.py`, of any size."""
    rng = np.random.default_rng(seed)
    use = rng.uniform(0, 1, (decisions, options, rows))
    cost = 1 - use.mean(axis=2) + rng.uniform(-0.1, 0.1, (decisions, options))
    if family == "strong":
        use = rng.integers(1, 20, (decisions, options, rows)).astype(float)
        cost = -use.sum(axis=2) - 100
    low, high = use.min(axis=1).sum(axis=0), use.max(axis=1).sum(axis=0)
    bounds = low + 0.45 * (high - low)
    limits = tuple(
        Limit(f"limit {r}", (Sum.of(list(use[:, :, r])),), float(bounds[r])) for r in range(rows)
    )
    return ChoiceProblem((options,) * decisions, Sum.of(list(cost)), limits)


@settings(max_examples=draws(80))
@given(
    st.integers(0, 10**6),
    st.integers(2, 7),
    st.integers(1, 3),
    st.sampled_from(["weak", "strong"]),
)
def test_its_bound_and_choice_are_those_of_brute_force(
    seed: int, decisions: int, rows: int, family: str
) -> None:
    problem = knapsack(seed, decisions=decisions, rows=rows, family=family)
    best = brute_force(problem)
    incumbent = ChoiceIncumbent(problem, Deadline(None))
    try:
        reduced = reduce_problem(problem)
        at = solve_relaxation(reduced, Deadline(None))
    except NoChoice:
        assert best == math.inf
        return
    # Any choice will do to begin with: the one of least use.
    if not len(reduced.count):
        return
    incumbent.offer_all(reduced.choices(reduced.weights.sum(axis=2).argmin(axis=1)[None]))
    if incumbent.solution is None:
        return
    bound = module.meet_in_the_middle(reduced, at, incumbent)
    while incumbent.value > best + 1e-9 and bound < incumbent.cut():
        bound = module.meet_in_the_middle(reduced, at, incumbent)
    assert bound <= best + 1e-9 * abs(best)
    assert incumbent.value == pytest.approx(best, rel=1e-9)


def test_neighbourhoods_replace_a_search_of_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alike penalties: the whole numbers of the limits prove what neighbourhoods find."""
    problem = knapsack(3, decisions=60, rows=2, family="strong", options=5)
    found = solve(problem)
    assert found.proved
    assert found.method == "meet in the middle"
    room = [math.floor(limit.bound) for limit in problem.limits]
    assert found.value == -sum(room) - 60 * 100
    assert problem.feasible(found.solution)
    monkeypatch.setattr(module, "MAX_COMBINATIONS", 10)
    monkeypatch.setattr(module, "NEIGHBOURHOODS", ())
    weak = solve(knapsack(3, decisions=20, rows=2, family="weak"))
    assert weak.proved  # by branch and bound


@pytest.mark.parametrize("family", ["weak", "strong"])
def test_correlated_knapsacks_are_proved(family: str) -> None:
    problem = knapsack(1, decisions=120, rows=3, family=family, options=6)
    found = solve(problem)
    assert found.proved
    assert problem.feasible(found.solution)
    assert found.bound == pytest.approx(found.value, rel=1e-9)


def test_a_passed_deadline_proves_nothing() -> None:
    problem = knapsack(1, decisions=120, rows=3, family="weak", options=6)
    found = solve(problem, seconds=0.0)
    assert not found.proved
    assert found.bound < found.value
