"""Claims on row-stationary arrays: how many hold, and which do not."""

from __future__ import annotations

import pytest

from perfmodel.reproduce import reproduce
from perfmodel.reproduce.systems.draco import mobilenet


def test_eyeriss_misses_are_the_three_that_are_told() -> None:
    rows = reproduce("eyeriss")
    assert len(rows) == 69
    assert {row.claim for row in rows if row.verdict != "within"} == {
        "alexnet.conv1.power_mw", "vgg16.conv1_1.power_mw", "vgg16.conv2_1.power_mw",
    }  # fmt: skip
    assert not any(row.basis == "fitted" for row in rows)
    total = {row.claim: row.predicted for row in rows}
    layers = [v for k, v in total.items() if k.startswith("vgg16.conv") and k.endswith("dram_mb")]
    assert sum(v or 0.0 for v in layers) == pytest.approx(total["vgg16.dram_mb"])


def test_draco_but_for_large_groups() -> None:
    """What replication across channels saves is exact, since the one other layer is in both."""
    rows = {row.claim: row for row in reproduce("draco")}
    off = {name for name, row in rows.items() if row.verdict != "within"}
    assert off == {"array_64.group_32.cycles", "array_64.group_32.mean_utilization_percent"}
    assert rows["array_16.cycles"].error == 0
    alone = mobilenet(64, "within_group").cycles - mobilenet(64, "groups").cycles
    saved = 378_382 - 158_533
    assert alone == saved


def test_the_analysis_before_the_chip() -> None:
    """Three layers find less traffic than the authors' mappings; weights alone bound the others."""
    rows = {row.claim: row for row in reproduce("eyeriss_analysis")}
    off = {name for name, row in rows.items() if row.verdict != "within"}
    assert off == {f"conv{i}.dram_energy" for i in (3, 4, 5)}
    for name in off:
        error = rows[name].error
        assert error is not None
        assert -0.15 < error < -0.10
    # FC2: weights and outputs once, inputs twice: 16 x 4096 sums would fill all 65,536 words.
    words = 4096 * 4096 + 3 * 16 * 4096
    assert rows["fc2.dram_energy"].predicted == pytest.approx(200 * words / 1e9)
