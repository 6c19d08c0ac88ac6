"""Utilisation of sets alone: MobileNetV1 as DRACO's simulator counts it (arXiv:2006.15103)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from perfmodel_studies.row_stationary.pe_sets import Sharing, fit_sets, run_sets

#: (rows of the input, channels, stride) of the depthwise layers, and channels after them.
DEPTHWISE = [
    (112, 32, 1),
    (112, 64, 2),
    (56, 128, 1),
    (56, 128, 2),
    (28, 256, 1),
    (28, 256, 2),
    *[(14, 512, 1)] * 5,
    (14, 512, 2),
    (7, 1024, 1),
]
POINTWISE = [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]


def _layer(groups: int, filters: int, channels: int, out: int, kernel: int) -> list[float]:
    return [float(v) for v in (groups, filters, channels, out, kernel)]


def _network(size: int, sharing: Sharing, group: int = 1) -> tuple[Any, Any, Any]:
    """Return clocks, utilisations and products of the 29 layers on a square array."""
    found: list[tuple[float, float]] = []
    macs: list[float] = []

    def run(layers: list[list[float]], kind: Sharing) -> Any:
        groups, filters, channels, out, kernel = np.array(layers).T
        columns = np.where((kernel == 7) | (out == 1), 1.0, out)
        done = run_sets(
            groups=groups,
            filters=filters,
            channels=channels,
            out_rows=out,
            out_columns=columns,
            kernel_rows=kernel,
            kernel_columns=kernel,
            height=float(size),
            width=float(size),
            sharing=kind,
        )
        macs.extend(groups * filters * channels * out * columns * kernel**2)
        found.extend(zip(done.cycles, done.utilization, strict=True))

    standard = [_layer(1, 32, 3, 112, 3), _layer(1, 1000, 1024, 1, 1)]
    grouped: list[list[float]] = []
    for (rows, channels, stride), after in zip(DEPTHWISE, POINTWISE, strict=True):
        grouped.append(_layer(channels // group, group, group, rows // stride, 3))
        standard.append(_layer(1, after, channels, rows // stride, 1))
    run(standard, "filters")
    run(grouped, sharing)
    run([_layer(1024, 1, 1, 1, 7)], "groups")
    cycles, utilization = np.array(found).T
    return cycles, utilization, np.array(macs)


def _shares(size: int, sharing: Sharing, group: int = 1) -> tuple[float, float, float]:
    cycles, utilization, macs = _network(size, sharing, group)
    whole = macs.sum() / (cycles.sum() * size * size)
    return float(cycles.sum()), 100 * float(whole), 100 * float(utilization.mean())


def test_array_of_16_to_the_clock() -> None:
    """Folding: rows of 112 and 56 on 16 columns."""
    cycles, whole, mean = _shares(16, "within_group")
    assert cycles == 2_713_760
    assert (round(whole, 2), round(mean, 2)) == (81.87, 60.94)


def test_array_of_64_but_for_one_layer() -> None:
    """The simulator takes 928 rounds for 512 -> 1024 channels at 7 x 7, where 912 would do."""
    cycles, whole, mean = _shares(64, "within_group")
    assert cycles + (928 - 912) * 7 == 378_382
    assert whole == pytest.approx(36.70, abs=0.02)
    assert mean == pytest.approx(49.51, abs=0.07)


def test_depthwise_utilisation_of_each_layer() -> None:
    """One set at a time: three rows of the array by the rows of the output."""
    _, utilization, _ = _network(64, "within_group")
    published = [8.2, 4.1, 4.1, 2.05, 2.05, 1.03, 1.03, 1.03, 1.03, 1.03, 1.03, 0.51, 0.51]
    np.testing.assert_allclose(100 * utilization[15:28], published, atol=0.006)
    assert round(100 * float(utilization[0]), 2) == 65.62  # the first convolution
    assert np.sum(np.isclose(100 * utilization[2:15], 87.5)) == 11


def test_sets_of_other_channels_side_by_side() -> None:
    """With replication across channels the same network takes 158,533 clocks."""
    cycles, _, mean = _shares(64, "groups")
    assert cycles + (928 - 912) * 7 == 158_533
    assert mean == pytest.approx(81.74, abs=0.07)


def test_groups_of_more_channels_fill_the_array() -> None:
    """Up to 8 channels a group no clock is added; then the simulator shares out a little better."""
    published = {
        1: (378382, 49.51),
        2: (378382, 50.46),
        4: (378382, 52.37),
        8: (378382, 56.19),
        16: (385774, 62.04),
        32: (421138, 69.87),
    }
    for group, (clocks, share) in published.items():
        cycles, _, mean = _shares(64, "within_group", group)
        close = 5e-4 if group <= 8 else 0.06
        assert cycles == pytest.approx(clocks, rel=close)
        assert mean == pytest.approx(share, abs=0.07 if group <= 8 else 2.1)


def test_sets_by_hand() -> None:
    """3 x 112 on 64 x 64: two blocks stack, ten pairs of blocks high; 7 x 1 fits nine by 64."""
    assert tuple(fit_sets(3.0, 112.0, 64.0, 64.0)) == (10, 1, 1, 1)
    assert tuple(fit_sets(7.0, 1.0, 64.0, 64.0)) == (9, 64, 1, 1)
    assert tuple(fit_sets(3.0, 112.0, 16.0, 16.0)) == (1, 1, 1, 2)
    assert tuple(fit_sets(11.0, 13.0, 8.0, 16.0)) == (1, 1, 2, 1)
