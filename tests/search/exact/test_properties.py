"""What holds of every answer, and the corners."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.search.exact import ChoiceProblem, Limit, Sum, Term, solve
from tests.draws import draws
from tests.search.exact.random_choices import (
    between,
    brute_force,
    channel_problem,
    conversion_problem,
    peak_problem,
    tables,
)

made = st.tuples(
    st.sampled_from([peak_problem, channel_problem, conversion_problem]), st.integers(0, 10**6)
).map(lambda pair: pair[0](pair[1]))


@settings(max_examples=draws(60))
@given(made, st.floats(1.0, 2.0))
def test_relaxing_a_limit_never_makes_it_worse(problem, factor):
    before = solve(problem, explain=False)
    wider = tuple(replace(x, bound=x.bound + (factor - 1) * abs(x.bound)) for x in problem.limits)
    after = solve(replace(problem, limits=wider), explain=False)
    assert after.value <= before.value + 1e-9 * max(1.0, abs(before.value))


@settings(max_examples=draws(60))
@given(made, st.integers(0, 10**6))
def test_no_random_choice_is_better(problem, seed):
    found = solve(problem, explain=False)
    rng = np.random.default_rng(seed)
    choices = np.column_stack([rng.integers(0, k, 200) for k in problem.options])
    kept = choices[problem.are_feasible(choices)]
    assert found.bound <= found.value
    if len(kept):
        assert found.value <= problem.values(kept).min() + 1e-9
    if found.solution is not None:
        assert problem.feasible(found.solution)
        assert found.usage == problem.usage(found.solution)


@settings(max_examples=draws(40))
@given(made, st.randoms())
def test_order_of_decisions_does_not_matter(problem, random):
    n = len(problem.options)
    order = list(range(n))
    random.shuffle(order)
    place = {old: new for new, old in enumerate(order)}

    def moved(whole):
        terms = []
        for decisions, values in whole.terms:
            new = [place[i] for i in decisions]
            axes = np.argsort(new)
            terms.append(Term(tuple(sorted(new)), np.transpose(values, axes)))
        return Sum(whole.constant, tuple(terms))

    other = ChoiceProblem(
        tuple(problem.options[i] for i in order),
        moved(problem.objective),
        tuple(Limit(x.name, tuple(map(moved, x.sums)), x.bound) for x in problem.limits),
    )
    first, second = solve(problem, explain=False), solve(other, explain=False)
    assert first.status == second.status
    assert first.value == pytest.approx(second.value, rel=1e-9, abs=1e-12)
    if first.solution is not None:
        back = [0] * n
        for new, old in enumerate(order):
            back[old] = second.solution[new]
        assert problem.value(back) == pytest.approx(first.value, rel=1e-9, abs=1e-12)


def test_same_seed_same_answer():
    problem = channel_problem(5)
    assert solve(problem, seed=3) == solve(problem, seed=3)


def test_larger_problems_beside_highs():
    """Too large to try everything: branch and bound and HiGHS are two opinions."""
    for seed in range(draws(6)):
        rng = np.random.default_rng(seed)
        options = (4,) * 25
        sums = [Sum(0.0, tuple(tables(rng, options))) for _ in range(3)]
        limits = tuple(
            Limit(str(i), (s,), between(rng, [s], options, 0.3, 0.6)) for i, s in enumerate(sums)
        )
        problem = ChoiceProblem(options, Sum(0.0, tuple(tables(rng, options))), limits)
        ours, theirs = solve(problem), solve(problem, method="milp")
        assert ours.status == theirs.status == "optimal"
        assert ours.value == pytest.approx(theirs.value, rel=1e-8)


def test_price_is_the_slope_of_the_relaxed_objective():
    """One limit, many equal decisions: the relaxation falls by 1 for 2 more, all the way."""
    problem = ChoiceProblem(
        (2,) * 40, Sum.of([[1.0, 0.0]] * 40), (Limit("use", (Sum.of([[0.0, 2.0]] * 40),), 41.0),)
    )
    found = solve(problem)
    assert found.value == 20.0
    assert found.prices == pytest.approx((0.5,))


def test_empty_and_single():
    empty = solve(ChoiceProblem((), Sum(3.0), (Limit("a", (Sum(1.0),), 1.0),)))
    assert (empty.solution, empty.value, empty.status) == ((), 3.0, "optimal")
    none = solve(ChoiceProblem((), Sum(3.0), (Limit("a", (Sum(2.0),), 1.0),)))
    assert none.status == "infeasible"
    one = solve(ChoiceProblem((1, 1), Sum.of([[2.0], [3.0]])))
    assert (one.solution, one.value) == ((0, 0), 5.0)
    free = solve(ChoiceProblem((3, 2), Sum.of([[2.0, 1.0, 4.0], [0.0, -1.0]])))
    assert (free.solution, free.value) == ((1, 1), 0.0)


def test_ties_and_exact_bounds():
    """Whole numbers that meet the bound exactly are feasible."""
    use = Sum.of([[0.1, 0.2, 0.3]] * 10)
    problem = ChoiceProblem((3,) * 10, Sum.of([[3.0, 2.0, 1.0]] * 10), (Limit("u", (use,), 3.0),))
    assert solve(problem).value == 10.0
    half = replace(problem, limits=(Limit("u", (use,), 2.0),))
    assert solve(half).value == 20.0
    assert brute_force(ChoiceProblem((3,) * 5, Sum.of([[3.0, 2.0, 1.0]] * 5))) == 5.0


def test_infinite_bound_still_forbids():
    table = Sum.of([[math.inf, 1.0]])
    problem = ChoiceProblem((2,), Sum.of([[0.0, 5.0]]), (Limit("u", (table,), math.inf),))
    assert solve(problem).solution == (1,)
    assert not problem.feasible((0,))


def test_stopped_says_so():
    rng = np.random.default_rng(1)
    options = (6,) * 120
    sums = [Sum(0.0, tuple(tables(rng, options))) for _ in range(4)]
    limits = tuple(
        Limit(str(i), (s,), between(rng, [s], options, 0.35, 0.36)) for i, s in enumerate(sums)
    )
    problem = ChoiceProblem(options, Sum(0.0, tuple(tables(rng, options))), limits)
    found = solve(problem, seconds=0.0)
    assert found.status in ("feasible", "unknown")
    assert not found.proved
    assert found.bound <= found.value


def test_faults_come_together():
    with pytest.raises(InputError) as caught:
        ChoiceProblem(
            (2, 0),
            Sum(math.nan, (Term((1, 0), np.zeros((2, 2))), Term((0,), np.array([1.0])))),
            (Limit("a", (), 1.0), Limit("a", (Sum.of([[1.0, math.nan]]),), math.nan)),
            ("only one",),
        )
    text = str(caught.value)
    for part in (
        "0 options",
        "1 names",
        "not finite",
        "ascending",
        "shape (1,)",
        "no sum",
        "same name",
        "not a number",
        "NaN",
    ):
        assert part in text
    with pytest.raises(InputError, match="did you mean 'auto'"):
        solve(ChoiceProblem((), Sum()), method="atuo")
    with pytest.raises(InputError, match="does not have"):
        ChoiceProblem((2,), Sum()).value((2,))


def test_two_thousand_decisions_within_their_bound():
    """The bound is checked too: at least that of prices, added up here decision by decision."""
    rng = np.random.default_rng(7)
    n, k, rows = 2000, 6, 3
    cost, use = rng.uniform(0, 1, (n, k)), rng.uniform(0, 1, (n, k, rows))
    bounds = 0.35 * n * np.ones(rows)
    limits = tuple(
        Limit(str(r), (Sum.of(list(use[:, :, r])),), float(bounds[r])) for r in range(rows)
    )
    found = solve(ChoiceProblem((k,) * n, Sum.of(list(cost)), limits), gap=1e-4)
    prices = np.array(found.prices)
    lagrangian = (cost + use @ prices).min(axis=1).sum() - prices @ bounds
    assert found.gap <= 1e-4
    assert lagrangian * (1 - 1e-6) <= found.bound <= found.value


def test_wide_problems_go_to_highs(monkeypatch):
    from perfmodel.search.exact import elimination_search

    monkeypatch.setattr(elimination_search, "MAX_TABLE_ENTRIES", 0)
    for seed in range(draws(12)):
        problem = conversion_problem(seed)
        found = solve(problem, explain=False)
        best = brute_force(problem)
        assert found.status == ("infeasible" if math.isinf(best) else "optimal")
        assert found.value == pytest.approx(best, rel=1e-7)


def test_chain_without_limits_is_dynamic_programming():
    rng = np.random.default_rng(3)
    n, k = 60, 5
    own, steps = rng.uniform(0, 1, (n, k)), rng.uniform(0, 1, (n - 1, k, k))
    best = own[0]
    for i in range(1, n):
        best = (best[:, None] + steps[i - 1]).min(axis=0) + own[i]
    terms = tuple(Term((i, i + 1), steps[i]) for i in range(n - 1))
    found = solve(ChoiceProblem((k,) * n, Sum(0.0, Sum.of(list(own)).terms + terms)))
    assert found.status == "optimal"
    assert found.value == pytest.approx(best.min(), rel=1e-12)
