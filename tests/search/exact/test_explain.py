"""Why a problem has no choice, against trying everything."""

import itertools
from dataclasses import replace

import pytest

from perfmodel.search.exact import ChoiceProblem, Limit, Sum, Term, solve
from tests.draws import draws
from tests.search.exact.random_choices import channel_problem, everything, peak_problem


def some_choice(problem, names):
    kept = tuple(x for x in problem.limits if x.name in names)
    return bool(replace(problem, limits=kept).are_feasible(everything(problem)).any())


@pytest.mark.parametrize("seed", range(draws(40)))
def test_together_and_openings(seed):
    made = (peak_problem, channel_problem)[seed % 2](3000 + seed)
    tight = tuple(
        replace(x, bound=float(made.usages(everything(made))[:, i].min()) * f)
        for i, (x, f) in enumerate(zip(made.limits, (1.02, 0.98), strict=False))
    )
    if seed % 3 == 0:
        tight = (*tight, Limit("value", (made.objective,), -10.0))
    problem = replace(made, limits=tight)
    found = solve(problem)
    names = [x.name for x in problem.limits]
    if some_choice(problem, names):
        assert found.status == "optimal"
        assert found.infeasibility is None
        return
    why = found.infeasibility
    assert found.status == "infeasible"
    assert why.proved
    assert not some_choice(problem, why.together)
    for left in itertools.combinations(why.together, max(0, len(why.together) - 1)):
        assert some_choice(problem, left) or not why.together
    choices = everything(problem)
    usages = problem.usages(choices)
    for place, opening in enumerate(why.openings):
        others = replace(
            problem, limits=tuple(x for x in problem.limits if x.name != opening.limit)
        )
        allowed = others.are_feasible(choices)
        finite = allowed & (usages[:, place] < float("inf"))
        assert opening.proved
        if not finite.any():
            assert opening.least is None
            continue
        assert opening.least == pytest.approx(usages[finite, place].min(), rel=1e-8, abs=1e-12)
        assert some_choice(
            replace(
                problem,
                limits=tuple(
                    replace(x, bound=opening.least) if x.name == opening.limit else x
                    for x in problem.limits
                ),
            ),
            names,
        )


def test_forbidden_everywhere_names_no_limit():
    forbidden = Sum(0.0, (Term((0,), Sum.of([[float("inf")] * 2]).terms[0].values),))
    problem = ChoiceProblem((2,), forbidden, (Limit("size", (Sum.of([[1, 2]]),), 5.0),))
    why = solve(problem).infeasibility
    assert why.together == ()
    assert [x.least for x in why.openings] == [None]


def test_explanation_can_be_left_out():
    problem = ChoiceProblem((2,), Sum(), (Limit("size", (Sum.of([[1, 2]]),), 0.5),))
    assert solve(problem, explain=False).infeasibility is None
    assert solve(problem).infeasibility.together == ("size",)
    assert solve(problem).infeasibility.openings[0].least == 1.0
