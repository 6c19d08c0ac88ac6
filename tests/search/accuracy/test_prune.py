"""Pruning: what stays is the largest, and more sparsity never has less error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from perfmodel.formats import Sparsity, format_named, parse_sparsity
from perfmodel.search.accuracy import LayerOption, compress, prune, prune_channels
from perfmodel.search.accuracy.weight_compression import squared_error

WEIGHTS = arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.integers(1, 9)),
    elements=st.floats(-9, 9, width=32),
)


def test_two_of_four_keeps_the_two_largest_of_each_four() -> None:
    row = np.array([[0.1, -0.9, 0.5, 0.2, 3.0, 2.0, -1.0, 4.0, 0.3]])
    made = prune(row, parse_sparsity("2:4"), axis=0)
    np.testing.assert_array_equal(made, [[0, -0.9, 0.5, 0, 3.0, 0, 0, 4.0, 0.3]])


def test_groups_of_a_convolution_run_along_its_input_channels() -> None:
    weights = np.random.default_rng(0).normal(size=(5, 8, 3, 3))
    made = prune(weights, parse_sparsity("2:4"), axis=0)
    kept = (made != 0).reshape(5, 2, 4, 3, 3).sum(axis=2)
    np.testing.assert_array_equal(kept, 2)
    # Weights of a product stand as (inputs, outputs): the groups run down the columns.
    product = np.random.default_rng(1).normal(size=(8, 5))
    np.testing.assert_array_equal(
        prune(product, parse_sparsity("2:4"), axis=1), prune(product.T, parse_sparsity("2:4"), 0).T
    )


@given(WEIGHTS, st.lists(st.floats(0, 1), min_size=2, max_size=4))
def test_more_sparsity_never_has_less_error(weights: np.ndarray, zeros: list[float]) -> None:
    options = [LayerOption(sparsity=Sparsity("unstructured", 1 - z)) for z in sorted(zeros)]
    errors = [squared_error(weights, option, 0) for option in options]
    assert errors == sorted(errors)


@given(WEIGHTS, st.sampled_from([1, 2]))
def test_fewer_channels_never_have_less_error(weights: np.ndarray, norm: int) -> None:
    errors = [
        squared_error(weights, LayerOption(channels=kept), 0, norm=norm)
        for kept in (1.0, 0.7, 0.4, 0.1)
    ]
    assert errors == sorted(errors)


@given(WEIGHTS, st.floats(0, 1))
def test_unstructured_pruning_removes_the_least_energy(weights: np.ndarray, zeros: float) -> None:
    made = prune(weights, Sparsity("unstructured", 1 - zeros))
    keep = round((1 - zeros) * weights.size)
    least = np.sort(np.square(weights), axis=None)[: weights.size - keep].sum()
    assert np.sum((made - weights) ** 2) == pytest.approx(least, abs=1e-9)


def test_channels_of_the_least_norm_go_and_the_norm_matters() -> None:
    weights = np.array([[3.0, 0, 0, 0], [1.0, 1, 1, 1], [0.1, 0, 0, 0]])
    by_one = prune_channels(weights, 1 / 3, norm=1)
    by_two = prune_channels(weights, 1 / 3, norm=2)
    np.testing.assert_array_equal(np.flatnonzero(by_one.any(axis=1)), [1])  # 4 beats 3
    np.testing.assert_array_equal(np.flatnonzero(by_two.any(axis=1)), [0])  # 3 beats 2
    assert prune_channels(weights, 0.01).any()  # one channel always stays


def test_an_option_prunes_then_quantises_what_is_left_in_one_figure() -> None:
    weights = np.random.default_rng(2).normal(size=(8, 64))
    option = LayerOption(format_named("int4"), sparsity=parse_sparsity("2:4"), channels=0.5)
    made = compress(weights, option, 0)
    stays = np.flatnonzero(made.any(axis=1))
    norms = np.linalg.norm(weights, axis=1)
    np.testing.assert_array_equal(stays, np.sort(np.argsort(-norms)[:4]))
    assert np.all((made[stays].reshape(-1, 4) != 0).sum(axis=1) <= 2)
    # What is removed and what is rounded are disjoint, so their squares add.
    removed = squared_error(weights, option._replace(weights=None), 0)
    rounded = np.sum((made - prune_all(weights, option)) ** 2)
    assert squared_error(weights, option, 0) == pytest.approx(removed + rounded, rel=1e-12)


def prune_all(weights: np.ndarray, option: LayerOption) -> np.ndarray:
    return compress(weights, option._replace(weights=None), 0)


def test_one_bit_among_zeros_has_the_mean_of_what_stays() -> None:
    weights = np.array([[4.0, -2.0, 0.1, 0.1]])
    option = LayerOption(format_named("int1"), sparsity=parse_sparsity("2:4"))
    np.testing.assert_allclose(compress(weights, option), [[3.0, -3.0, 0, 0]])
