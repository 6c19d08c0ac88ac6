"""The ramp of a cache, recovered from rates that follow one exactly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.calibrate.probe.measure import ramp, share_missed

_SIZES = [int(part * (16 << 20)) for part in (0.25, 0.375, 0.5, 0.75, 1.0, 1.5, 2.0)]


def _rates(start: float, end: float, inside: float, beyond: float) -> list[float]:
    missed = np.clip((np.array(_SIZES) - start) / (end - start), 0.0, 1.0)
    return list(1.0 / ((1.0 - missed) / inside + missed / beyond))


@given(st.floats(2e6, 10e6), st.floats(20e6, 90e6), st.floats(20e9, 200e9), st.floats(0.05, 0.8))
def test_a_ramp_is_recovered(start: float, end: float, inside: float, slower: float) -> None:
    found = ramp(_SIZES, _rates(start, end, inside, inside * slower), inside, inside * slower)
    assert found is not None
    assert found[0] == pytest.approx(start, rel=1e-3, abs=2)
    assert found[1] == pytest.approx(end, rel=1e-3, abs=2)


@given(
    st.lists(st.floats(1e9, 300e9), min_size=1, max_size=8),
    st.floats(1e9, 300e9),
    st.floats(0.01, 0.99),
)
def test_shares_are_shares(rates: list[float], inside: float, slower: float) -> None:
    missed = share_missed(rates, inside, inside * slower)
    assert np.all((missed >= 0.0) & (missed <= 1.0))
    order = np.argsort(rates)
    assert np.all(np.diff(missed[order]) <= 1e-12)


@given(st.lists(st.floats(1e9, 300e9), min_size=7, max_size=7))
def test_whatever_the_rates_a_ramp_rises(rates: list[float]) -> None:
    found = ramp(_SIZES, rates, 100e9, 20e9)
    assert found is None or 0 <= found[0] < found[1]


def test_no_ramp_where_nothing_lies_on_it() -> None:
    assert ramp(_SIZES, [100e9] * 4 + [20e9] * 3, 100e9, 20e9) is None
    assert ramp(_SIZES, [50e9] * 7, 100e9, 99e9) is None
