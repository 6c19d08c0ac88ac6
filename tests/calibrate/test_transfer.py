"""Transfer between devices: exact where devices differ by factors, and where they mix others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perfmodel_studies.transfer import completed, spread, transfer

from tests.draws import draws

NETWORKS, DEVICES = 40, 5
CLASSES = ["float" if i % 2 else "integer" for i in range(NETWORKS)]


def _times(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    network = np.exp(rng.normal(0, 2, NETWORKS))
    device = np.exp(rng.normal(0, 1, DEVICES))
    return network[:, None] * device


def test_devices_that_differ_by_a_factor_are_predicted_from_one_network() -> None:
    times = _times()
    anchors = np.full(NETWORKS, np.nan)
    anchors[7] = 3.0 * times[7, 0]
    found = transfer(times, anchors, ["float"] * NETWORKS)
    assert found == pytest.approx(3.0 * times[:, 0], rel=1e-4)


def test_classes_have_factors_of_their_own() -> None:
    times = _times(1)
    factor = np.where(np.array(CLASSES) == "float", 4.0, 1.0)
    truth = factor * times[:, 1]
    anchors = np.full(NETWORKS, np.nan)
    at = spread(times[:, 0], CLASSES, 5)
    anchors[at] = truth[at]
    assert transfer(times, anchors, CLASSES) == pytest.approx(truth, rel=0.01)


def test_a_mixture_of_deviations_is_found() -> None:
    """The device takes the geometric mean of two others that deviate."""
    rng = np.random.default_rng(3)
    times = _times(2) * np.exp(rng.normal(0, 0.5, (NETWORKS, DEVICES)))
    truth = np.sqrt(times[:, 0] * times[:, 1])
    anchors = np.full(NETWORKS, np.nan)
    anchors[::2] = truth[::2]
    mixed = transfer(times, anchors, ["float"] * NETWORKS)
    mean = np.exp(np.log(times).mean(axis=1))
    scale = np.exp(np.median(np.log(truth[::2] / mean[::2])))
    off, plain = (np.abs(p / truth - 1)[1::2].mean() for p in (mixed, scale * mean))
    assert off < 0.2 * plain


@given(st.floats(0.01, 100), st.integers(0, 20))
@settings(max_examples=draws(15), deadline=None)
def test_a_device_twice_as_slow_is_predicted_twice_as_slow(factor: float, seed: int) -> None:
    times = _times(seed)
    anchors = np.full(NETWORKS, np.nan)
    anchors[:6] = times[:6, 0]
    slow = transfer(times, anchors * factor, CLASSES)
    assert slow == pytest.approx(factor * transfer(times, anchors, CLASSES), rel=1e-3)


def test_missing_measurements_are_filled_and_unknown_networks_stay_unknown() -> None:
    times = _times(4)
    known = times.copy()
    known[::3, 2] = np.nan
    network, beside = completed(np.log(known))
    whole, _ = completed(np.log(times))
    # A constant may move between networks and devices.
    assert network - network[0] == pytest.approx(whole - whole[0], abs=1e-6)
    assert np.abs(beside).max() < 1e-6
    known[5] = np.nan
    anchors = np.full(NETWORKS, np.nan)
    anchors[:4] = times[:4, 0]
    found = transfer(known, anchors, CLASSES)
    assert np.isnan(found[5])
    assert not np.isnan(np.delete(found, 5)).any()


def test_faults() -> None:
    times = _times()
    with pytest.raises(ValueError, match="no network"):
        transfer(times, np.full(NETWORKS, np.nan), CLASSES)
    with pytest.raises(ValueError, match="shapes"):
        transfer(times, np.ones(3), CLASSES)


def test_networks_to_measure_go_from_quick_to_slow() -> None:
    size = np.arange(1.0, 22.0)
    size[0] = np.nan
    chosen = spread(size, ["float"] * 21, 3)
    assert size[chosen].tolist() == [4.0, 12.0, 19.0]
    assert spread([1.0, 2.0], ["a", "b"], 5).tolist() == [0, 1]
