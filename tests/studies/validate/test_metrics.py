"""Errors against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.evaluate.result import errors, kendall, spearman

numbers = st.floats(1e-6, 1e6)
pairs = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=40)


@given(pairs)
def test_errors_are_those_of_their_definitions(rows: list[tuple[float, float]]) -> None:
    predicted, measured = (np.array(column) for column in zip(*rows, strict=True))
    found = errors(predicted, measured)
    off = (predicted - measured) / measured
    assert found["mape"] == pytest.approx(np.mean(np.abs(off)), rel=1e-9, abs=1e-12)
    assert found["median_ape"] == pytest.approx(np.median(np.abs(off)), rel=1e-9, abs=1e-12)
    assert found["bias"] == pytest.approx(np.mean(off), rel=1e-9, abs=1e-9)
    assert found["within_10"] == np.mean(np.abs(predicted / measured - 1) <= 0.1)


def ranks(values: list[float]) -> list[float]:
    """Ranks from 1, ties sharing their mean rank, by counting."""
    return [sum(o < v for o in values) + (values.count(v) + 1) / 2 for v in values]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=30))
def test_rank_correlation_is_that_of_the_ranks(rows: list[tuple[int, int]]) -> None:
    a, b = ([float(v) for v in column] for column in zip(*rows, strict=True))
    found = spearman(a, b)
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(np.corrcoef(ranks(a), ranks(b))[0, 1], abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=2, max_size=60))
def test_kendall_counts_pairs(rows: list[tuple[int, int]]) -> None:
    a, b = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    found = kendall(a, b)
    first, second = (np.sign(np.subtract.outer(v, v)) for v in (a, b))
    if not first.any() or not second.any():
        assert found is None
    else:
        scale = np.sqrt((first**2).sum() * (second**2).sum())
        assert found == pytest.approx((first * second).sum() / scale, abs=1e-12)


def test_signs_and_few_rows() -> None:
    assert errors([1.2], [1.0])["bias"] == pytest.approx(0.2)
    assert errors([0.8], [1.0])["bias"] == pytest.approx(-0.2)
    assert errors([1.05, 0.5], [1.0, 1.0])["within_10"] == 0.5
    assert errors([1.0], [1.0])["spearman"] is None
    assert set(errors([], []).values()) == {None}
