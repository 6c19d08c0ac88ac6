"""Energy of a row-stationary array by hand, and what gating, coding and waiting change."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel.hardware.library import hardware
from perfmodel.kinds.spatial import GroupedConvolution, PeArray, count
from perfmodel.kinds.spatial.energy import PARTS, AccessEnergy, energy_parts, scratchpad_words
from perfmodel.kinds.spatial.shapes import RowMapping
from perfmodel.predict import predict
from perfmodel.workload.library import find

CHIP = PeArray(12.0, 14.0, 224.0, 12.0, 24.0, 51200.0, 4.0, 1.0, 4.0)
#: One filter row over two input rows: 1 x 3 taps, 4 x 4 outputs, one channel, one filter.
SMALL = GroupedConvolution(*map(float, (1, 1, 1, 1, 4, 4, 1, 3, 1, 1, 1, 1, 4, 6)))


def test_words_of_a_small_layer_by_hand() -> None:
    """Four elements in a row: 48 products, 12 filter words, 24 of input, 16 sums in and out."""
    found = count(SMALL, RowMapping(1.0, 1.0, 4.0, 1.0, 1.0, 1.0, 1.0), CHIP)
    assert float(found.macs) == 48
    assert float(found.active) == 4
    assert float(found.buffer_input) == 24
    assert float(found.buffer_sum) == 32
    assert float(found.array_words) == 12 + 24 + 2 * 16
    # Filter 3/4 clock, window 12, 4 columns of 4 inputs each, sums 1, one step up the column.
    assert float(found.cycles) == 0.75 + 12 + 4 * 4 + 1 + 1


def test_parts_by_hand() -> None:
    found = count(SMALL, RowMapping(1.0, 1.0, 4.0, 1.0, 1.0, 1.0, 1.0), CHIP)
    each = AccessEnergy(mac=2.0, scratchpad=1.0, array=4.0, buffer=15.0, clock=100.0)
    dense = energy_parts(found, each, 50.0, product_share=1.0, fill=10.0)
    assert tuple(dense) == PARTS
    assert [float(v) for v in dense.values()] == [96.0, 192.0, 272.0, 15.0 * 66, 5000.0]
    gated = energy_parts(found, each, 50.0, product_share=0.25, fill=10.0)
    # Three quarters of the products and of the filter reads go; inputs and sums stay.
    assert float(gated["multiply-accumulate"]) == 24.0
    assert float(gated["scratchpads"]) == 48 * 3.25
    np.testing.assert_allclose(scratchpad_words(found, np.array([0.0, 1.0])), [144, 192])


def test_gating_saves_what_was_published_at_most() -> None:
    """45 % of an element's power (JSSC 2017): reached at nine tenths of zeros."""
    found = count(SMALL, RowMapping(1.0, 1.0, 4.0, 1.0, 1.0, 1.0, 1.0), CHIP)
    each = AccessEnergy(2.0, 1.0, 4.0, 15.0, 0.0)

    def element(share: float) -> float:
        parts = energy_parts(found, each, 0.0, product_share=share)
        return float(parts["multiply-accumulate"] + parts["scratchpads"])

    assert 1 - element(0.1) / element(1.0) == pytest.approx(0.45)


def test_feature_maps_wait_in_line() -> None:
    """A row takes its passes, then its maps at 480 MB/s; filters alone hide behind the passes."""
    table = predict(find("alexnet", {"batch": 4}), hardware("eyeriss"), precision="int16").table
    for i, name in enumerate(table["name"]):
        if not str(name).startswith("conv"):
            continue
        waited = float(table["feature_maps_s"][i])
        assert waited < float(table["dram_s"][i])
        alone = float(table["matrix_s"][i]) + float(table["vector_s"][i]) + waited
        assert float(table["row_s"][i]) == pytest.approx(alone)
    wide = predict(find("alexnet", {"batch": 4}), hardware("eyeriss_256"), precision="int16").table
    assert "feature_maps_s" not in wide.columns


def test_conv1_feature_maps_by_hand() -> None:
    """AlexNet's first layer, uncoded: eight strips of input and every output at 480 MB/s."""
    machine = hardware("eyeriss").machine()
    table = predict(find("alexnet", {"batch": 4}), machine, precision="int16").table
    row = [str(n) for n in table["name"]].index("conv1")
    words = 4 * 3 * (4 * 55 + 8 * 7) * 227 + 4 * 96 * 55 * 55
    assert float(table["feature_maps_s"][row]) == pytest.approx(2 * words / 480e6)
