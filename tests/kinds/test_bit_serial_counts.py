"""Clocks of a bit-serial array against loops, enumerations and the published simulator's rules."""

from __future__ import annotations

from itertools import product
from math import ceil, comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.kinds.bit_serial import terms
from perfmodel.kinds.bit_serial.counts import array_steps, clocks_a_step, fetches, most_terms
from tests.draws import draws

SIZES = st.integers(min_value=1, max_value=300)


def test_terms_of_published_formats() -> None:
    """BitMoD's simulator: 2 clocks at 3.06 and 4.06 bits, 3 at 5 and 6.06, 4 at 8."""
    found = terms(np.array([3.0625, 4.0625, 5.0, 6.0625, 8.0, 16.0]), 2.0)
    assert found.tolist() == [2, 2, 3, 3, 4, 8]
    assert terms(np.array([3.0, 8.0, 16.0]), 16.0).tolist() == [1, 1, 1]
    # Stripes: a clock a bit.
    assert terms(np.arange(1.0, 9.0), 1.0).tolist() == list(range(1, 9))


@given(SIZES, SIZES, SIZES, st.sampled_from([(8, 4, 1), (16, 2, 4), (6, 3, 2)]))
@settings(max_examples=draws(60), deadline=None)
def test_steps_are_tiles_counted_one_by_one(
    outer: int, inner: int, tokens: int, shape: tuple[int, int, int]
) -> None:
    rows, columns, lanes = shape
    counted = sum(
        1
        for _ in range(0, outer, rows)
        for _ in range(0, tokens, columns)
        for _ in range(0, inner, lanes)
    )
    assert array_steps(outer, inner, tokens, rows, columns, lanes) == counted
    folded = ceil(outer / (rows // 2)) * ceil(tokens / (columns * 2)) * ceil(inner / lanes)
    found = array_steps(outer, inner, tokens, rows, columns, lanes, folds=2)
    assert found == min(counted, folded)
    relaxed = array_steps(outer, inner, tokens, rows, columns, lanes, relaxed=True)
    assert relaxed <= counted


@pytest.mark.parametrize("density", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("together", [1, 2, 3])
def test_skipped_terms_against_every_pattern(density: float, together: int) -> None:
    """Every pattern of terms of weights in lock step, weighted by its probability."""
    count = 3
    mean = 0.0
    for there in product(range(count + 1), repeat=together):
        chance = np.prod(
            [comb(count, t) * density**t * (1 - density) ** (count - t) for t in there]
        )
        mean += float(chance) * max(there)
    assert most_terms(count, density, together) == pytest.approx(max(mean, 1.0), rel=1e-12)


def test_skipping_ends_at_all_terms() -> None:
    count = np.array([1.0, 2.0, 4.0, 8.0])
    np.testing.assert_allclose(most_terms(count, 1.0, 64.0), count, rtol=1e-9)
    more = most_terms(8.0, np.array([0.1, 0.3, 0.5, 0.7, 1.0]), 4.0)
    assert np.all(np.diff(more) > 0)
    waiting = most_terms(8.0, 0.3, np.array([1.0, 4.0, 16.0, 256.0]))
    assert np.all(np.diff(waiting) > 0)


def test_dequantisation_hides_behind_a_group() -> None:
    """128 weights on 4 lanes are 64 clocks at 2 terms: more than 8 of the scale; 8 weights not."""
    assert clocks_a_step(2.0, 4.0, 128.0, 8.0) == 2.0
    assert clocks_a_step(2.0, 4.0, 8.0, 8.0) == 4.0


@given(st.floats(1.0, 1e8), st.floats(1.0, 1e8), st.floats(64.0, 1e7), st.floats(64.0, 1e7))
@settings(max_examples=draws(200), deadline=None)
def test_fetches_follow_the_simulator(w: float, i: float, w_room: float, i_room: float) -> None:
    """`_calc_num_mem_refetch` written out."""
    times = (1, 1)
    if w > w_room and i > i_room:
        again_i, again_w = ceil(w / w_room), ceil(i / i_room)
        times = (again_w, 1) if again_w * w + i < again_i * i + w else (1, again_i)
    found = fetches(w, i, w_room, i_room)
    assert float(found.total_bytes) == pytest.approx(times[0] * w + times[1] * i, rel=1e-6)
    assert float(found.total_bytes) == pytest.approx(
        float(found.weights) * w + float(found.inputs) * i, rel=1e-9
    )
    larger = fetches(w, i, 2 * w_room, i_room)
    assert float(larger.total_bytes) <= float(found.total_bytes) * (1 + 1e-12)
