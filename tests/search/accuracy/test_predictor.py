"""The fitted predictor, the monotone map, callables and additivity."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator
from scipy.optimize import isotonic_regression

from perfmodel.errors import InputError
from perfmodel.formats import format_named
from perfmodel.search import accuracy
from perfmodel.search.accuracy import Configuration, LayerOption, describe
from perfmodel.search.accuracy.monotone_calibration import isotonic, monotone_map

NAMES = ("int8", "int4", "int2")
OPTIONS = [LayerOption(format_named(n)) for n in NAMES]
LAYERS = ["a", "b", "c"]
PLANTED = {"a": (0, 1.0, 4.0), "b": (0, 0.5, 3.0), "c": (0, 0.25, 0.5)}


def _planted(configuration: Configuration) -> float:
    found = {layer: OPTIONS.index(option) for layer, option in configuration.items()}
    return 75.0 - sum(PLANTED[layer][i] for layer, i in found.items())


def _drawn(count: int, seed: int = 0) -> list[dict[str, LayerOption]]:
    draw = np.random.default_rng(seed).integers(0, 3, size=(count, 3))
    return [{layer: OPTIONS[i] for layer, i in zip(LAYERS, row, strict=True)} for row in draw]


def test_the_predictor_recovers_a_planted_linear_model() -> None:
    known = _drawn(30)
    model = accuracy.fitted(known, [_planted(c) for c in known], ridge=1e-9)
    made = model.table(LAYERS, [OPTIONS] * 3)
    for layer, losses in zip(LAYERS, made.unary, strict=True):
        np.testing.assert_allclose(losses - losses[0], PLANTED[layer], atol=1e-6)
    choice = [2, 1, 0]
    assert model.predicted(made.loss(choice)) == pytest.approx(75 - 4 - 0.5, abs=1e-6)
    assert model.measured_error < 1e-6
    assert model.unit == "points of top-1"


def test_without_a_penalty_the_weights_are_those_of_least_norm() -> None:
    """The columns of a layer add up to one, so that only differences are determined."""
    known = _drawn(30)
    model = accuracy.fitted(known, [_planted(c) for c in known], ridge=0.0)
    for layer, effects in model.effects.items():
        losses = np.array([effects[describe(option)] for option in OPTIONS])
        np.testing.assert_allclose(losses, PLANTED[layer] - np.mean(PLANTED[layer]), atol=1e-9)
    assert model.measured_error < 1e-9


@pytest.mark.parametrize("pairs", [(), (("a", "c"),)])
def test_leave_one_out_is_what_refits_without_each_give(pairs: tuple[tuple[str, str], ...]) -> None:
    known = _drawn(25, seed=3)
    values = np.array([_planted(c) for c in known]) + np.random.default_rng(4).normal(size=25)
    model = accuracy.fitted(known, values, pairs=pairs, ridge=0.7)
    # Refits by the normal equations, with all one-hot columns that the whole set has.
    keys = [(layer, describe(option)) for layer in LAYERS for option in OPTIONS]
    design = np.array([[describe(c[layer]) == text for layer, text in keys] for c in known], float)
    for one, other in pairs:
        seen = {(describe(c[one]), describe(c[other])) for c in known}
        extra = [
            [describe(c[one]) == a and describe(c[other]) == b for a, b in seen] for c in known
        ]
        design = np.hstack([design, np.array(extra, float)])
    misses = []
    for i in range(25):
        rest = np.arange(25) != i
        centre, mean = design[rest].mean(axis=0), values[rest].mean()
        x = design[rest] - centre
        beta = np.linalg.solve(x.T @ x + 0.7 * np.eye(x.shape[1]), x.T @ (values[rest] - mean))
        misses.append(values[i] - mean - (design[i] - centre) @ beta)
    np.testing.assert_allclose(model.residuals, misses, rtol=1e-7, atol=1e-9)
    assert model.measured_error == pytest.approx(np.sqrt(np.mean(np.square(misses))), rel=1e-7)
    assert "leave-one-out over 25" in model.error_note


def test_pair_features_hold_what_single_ones_cannot() -> None:
    known = [
        {"a": OPTIONS[i], "b": OPTIONS[j], "c": OPTIONS[k]}
        for i in range(3)
        for j in range(3)
        for k in range(3)
    ]
    values = [_planted(c) - 2.0 * (c["a"] == c["b"] == OPTIONS[2]) for c in known]
    single = accuracy.fitted(known, values)
    paired = accuracy.fitted(known, values, pairs=[("b", "a")])
    assert paired.measured_error < 0.3 * single.measured_error
    made = paired.table(["a", "b", "c"], [OPTIONS] * 3)
    worst = dict.fromkeys(LAYERS, OPTIONS[2])
    exact = _planted(worst) - 2.0
    assert paired.predicted(made.loss([2, 2, 2])) == pytest.approx(exact, abs=0.2)


def test_a_predictor_says_what_it_has_not_seen() -> None:
    known = _drawn(10)
    model = accuracy.fitted(known, np.arange(10.0), better="lower", unit="perplexity")
    np.testing.assert_array_equal(model.predicted(np.array([2.0])), [2.0])
    with pytest.raises(InputError, match=r"layer 'c' of predictor.* is left out"):
        model.table(["a", "b"], [OPTIONS] * 2)
    odd = [LayerOption(format_named("int6"))]
    with pytest.raises(InputError, match="no configuration had 'w=int6' for layer 'b'"):
        model.table(LAYERS, [OPTIONS, odd, OPTIONS])
    with pytest.raises(InputError) as caught:
        accuracy.fitted([*known, {"a": "int8"}], np.full(11, np.nan), pairs=[("a", "z")])
    assert len(caught.value.faults) == 3
    with pytest.raises(InputError, match="three configurations or more"):
        accuracy.fitted(known[:2], [1, 2])


FLOATS = st.floats(-100, 100, width=32)


@given(st.lists(FLOATS, min_size=1, max_size=20))
def test_pooling_is_the_nearest_monotone_sequence(values: list[float]) -> None:
    for falling in (False, True):
        exact = isotonic_regression(values, increasing=not falling).x
        np.testing.assert_allclose(isotonic(values, falling=falling), exact, rtol=1e-9, atol=1e-9)


@given(st.lists(st.tuples(st.floats(1e-6, 10), FLOATS), min_size=1, max_size=15))
def test_the_map_is_monotone_whatever_the_points(points: list[tuple[float, float]]) -> None:
    losses, values = (np.array(part) for part in zip(*points, strict=True))
    curve = monotone_map(losses, values, falling=True)
    made = curve(np.linspace(0, 11, 400))
    assert np.all(np.diff(made) <= 1e-9 * (1 + np.abs(values).max()))
    assert made.min() >= values.min() - 1e-9
    assert made.max() <= values.max() + 1e-9


def test_the_map_meets_monotone_points_and_is_scipys_curve_between() -> None:
    x, y = np.array([-1.0, 0.5, 2.0, 3.0, 7.0]), np.array([9.0, 8.5, 4.0, 4.0, 1.0])
    curve = monotone_map(x, y, falling=True)
    np.testing.assert_allclose(curve(x), y, rtol=1e-12)
    at = np.linspace(-1, 7, 101)
    np.testing.assert_allclose(curve(at), PchipInterpolator(x, y)(at), rtol=1e-12)
    np.testing.assert_array_equal(curve([-5.0, 50.0]), [9.0, 1.0])  # flat beyond the ends
    decades = np.logspace(-4, 1, 6)
    np.testing.assert_allclose(monotone_map(decades, -decades, falling=True)(decades), -decades)


def test_calibration_learns_the_map_and_its_own_error() -> None:
    base = accuracy.table(
        {layer: dict(zip(NAMES, (0.01, 0.1, 1.0), strict=True)) for layer in LAYERS}
    )
    made = base.table(LAYERS, [OPTIONS] * 3)
    asked: list[float] = []

    def evaluate(configuration: Configuration) -> float:
        loss = float(made.loss([OPTIONS.index(configuration[layer]) for layer in LAYERS]))
        asked.append(loss)
        return 75.0 / (1.0 + loss)

    model = accuracy.calibrated(base, evaluate, 8, layers=LAYERS, options=[OPTIONS] * 3)
    assert len(asked) == len(set(asked)) == 8
    assert min(asked) == pytest.approx(0.03)
    assert max(asked) == pytest.approx(3.0)
    np.testing.assert_allclose(model.predicted(np.array(asked)), 75 / (1 + np.array(asked)))
    between = np.linspace(0.05, 2.9, 50)
    np.testing.assert_allclose(model.predicted(between), 75 / (1 + between), rtol=0.05)
    misses = []
    for i, loss in enumerate(asked):
        rest = [x for j, x in enumerate(asked) if j != i]
        misses.append(
            monotone_map(rest, 75 / (1 + np.array(rest)), falling=True)(loss) - 75 / (1 + loss)
        )
    assert model.measured_error == pytest.approx(float(np.sqrt(np.mean(np.square(misses)))))
    assert model.name == "table, calibrated with 8 evaluations"
    with pytest.raises(InputError, match="evaluation 1 of"):
        accuracy.calibrated(base, lambda _: float("nan"), layers=LAYERS, options=[OPTIONS] * 3)


def test_a_callable_is_not_separable_and_says_so() -> None:
    model = accuracy.user(_planted, unit="points of top-1")
    assert not model.separable
    loss = model.loss(_drawn(1)[0])
    assert model.predicted(np.array(loss)) == _planted(_drawn(1)[0])
    with pytest.raises(InputError, match="user callable _planted is not separable"):
        model.table(LAYERS, [OPTIONS] * 3)


def test_additivity_is_perfect_where_changes_add() -> None:
    report = accuracy.additivity(_planted, LAYERS, [OPTIONS] * 3, joints=12)
    assert report.correlation == pytest.approx(1)
    assert report.relative_error == pytest.approx(0, abs=1e-12)
    assert report.base == 75
    assert report.model_rank_correlation is None
    assert "12 joint changes" in str(report)


def test_additivity_measures_what_is_lost_where_changes_multiply() -> None:
    factors = (1.0, 1.1, 1.5)

    def product(configuration: Configuration) -> float:
        found = (OPTIONS.index(option) for option in configuration.values())
        return float(np.prod([factors[i] for i in found]))

    report = accuracy.additivity(product, LAYERS, [OPTIONS] * 3, pairs=[("a", "b")] * 6)
    # (1 + x)(1 + y) - 1 = x + y + x y
    changed = report.choices[:, :2]
    x, y = (np.array(factors)[changed[:, i]] - 1 for i in (0, 1))
    np.testing.assert_allclose(report.measured - report.summed, x * y, atol=1e-12)
    assert report.worst_relative_error == pytest.approx(float((x * y / report.measured).max()))
    model = accuracy.table({layer: dict(zip(NAMES, factors, strict=True)) for layer in LAYERS})
    ranked = accuracy.additivity(model, LAYERS, [OPTIONS] * 3, product)
    assert ranked.model_rank_correlation is not None
    assert ranked.model_rank_correlation > 0.95
    with pytest.raises(InputError, match="nothing to measure with"):
        accuracy.additivity(model, LAYERS, [OPTIONS] * 3)
    with pytest.raises(InputError, match="fewer than two layers"):
        accuracy.additivity(product, LAYERS, [OPTIONS, OPTIONS[:1], OPTIONS[:1]])
