"""What holds of any search: easing never hurts, more options never hurt, order says nothing."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import perfmodel as pm
from perfmodel.search.loss_tables import configuration_of
from tests.draws import draws
from tests.search.random_searches import RATES, Losses, Search, search_of, text

SEEDS = st.integers(0, 10_000)
EXAMPLES = settings(max_examples=draws(6))


def _value(search: Search, **changed: Any) -> float:
    options: dict[str, Any] = {
        "constraints": search.constraints,
        "objective": search.objective,
        "accuracy": search.losses,
        **changed,
    }
    space = options.pop("space", search.space)
    found = pm.search(space, search.device, **options)
    assert found.proved
    return np.inf if found.best is None else found.best.value


@given(SEEDS, st.floats(0.0, 0.5))
@EXAMPLES
def test_easing_a_limit_never_worsens_the_objective(seed: int, share: float) -> None:
    search = search_of(seed)
    before = _value(search)
    for i, (metric, bound) in enumerate(search.bounds):
        eased = [*search.constraints]
        eased[i] = text(metric, bound * (1 - share) if metric in RATES else bound * (1 + share))
        assert _value(search, constraints=eased) <= before + 1e-9 * abs(before)
    assert _value(search, constraints=search.constraints[1:]) <= before + 1e-9 * abs(before)


@given(SEEDS, st.data())
@EXAMPLES
def test_one_option_less_never_improves_the_objective(seed: int, data: st.DataObject) -> None:
    search = search_of(seed)
    whole = _value(search)
    decisions = search.space.decisions
    several = [i for i, d in enumerate(decisions) if len(d.options) > 1]
    i = data.draw(st.sampled_from(several))
    at = data.draw(st.integers(0, len(decisions[i].options) - 1))
    options = tuple(o for k, o in enumerate(decisions[i].options) if k != at)
    fewer = (*decisions[:i], replace(decisions[i], options=options), *decisions[i + 1 :])
    less = _value(search, space=replace(search.space, decisions=fewer))
    assert whole <= less + 1e-9 * abs(less)


@given(SEEDS, st.randoms(use_true_random=False))
@EXAMPLES
def test_the_order_of_decisions_and_options_says_nothing(seed: int, random: Any) -> None:
    search = search_of(seed)
    decisions = [*search.space.decisions]
    random.shuffle(decisions)
    turned = tuple(
        replace(d, options=tuple(random.sample(d.options, len(d.options)))) for d in decisions
    )
    other = replace(search.space, decisions=turned)
    assert _value(search, space=other) == pytest.approx(_value(search), rel=1e-9)
    # A configuration costs the same, however its options are numbered.
    metrics = search.metrics()
    rows = search.space.sample(5, seed=seed)
    named = [search.space.decode(c) for c in rows.tolist()]
    here = pm.Oracle(search.device, search.space, metrics).batch(rows)
    there = pm.Oracle(search.device, other, metrics).batch([other.encode(n) for n in named])
    for name, values in here.items():
        np.testing.assert_allclose(there[name], values, rtol=1e-12)


@given(SEEDS)
@settings(max_examples=3)
def test_the_same_search_answers_the_same(seed: int) -> None:
    search = search_of(seed)
    first, again = search.run(), search_of(seed).run()
    assert first.to_dict() == again.to_dict()


def test_without_limits_each_decision_takes_its_least_loss() -> None:
    losses = Losses(3)
    space = pm.space(pm.workload("tiny_cnn"), {"weight_bits": [2, 4, 8]}, precision="w8a8")
    found = pm.search(space, "a100", objective="sensitivity", accuracy=losses)
    assert found.best is not None
    for i, decision in enumerate(space.decisions):
        taken = list(found.best.choice)
        for option in range(len(decision.options)):
            taken[i] = option
            assert losses.loss(configuration_of(space, taken)) >= found.best.value - 1e-12
        taken[i] = found.best.choice[i]
