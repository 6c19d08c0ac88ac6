"""Claims on row-stationary arrays: how many hold, and which do not."""

from __future__ import annotations

import pytest
from perfmodel_studies.claims.draco import mobilenet

from perfmodel.evaluate import reproduce

_VGG = [
    f"conv{b}_{i}" for b, n in ((1, 2), (2, 2), (3, 3), (4, 3), (5, 3)) for i in range(1, n + 1)
]


def test_eyeriss_misses_are_those_that_are_told() -> None:
    rows = reproduce("eyeriss")
    off = {row.claim for row in rows if row.verdict != "within"}
    assert off == {
        "alexnet.conv1.power_mw",
        "alexnet.conv3.buffer_mb",
        "vgg16.conv1_1.power_mw",
        "vgg16.conv2_1.power_mw",
        "vgg16.conv1_1.chosen_power_mw",
        "vgg16.chosen_processing_ms",
        *(f"vgg16.{layer}.chosen_processing_ms" for layer in _VGG if layer < "conv5"),
        *(
            f"vgg16.{layer}.chosen_dram_mb"
            for layer in ("conv1_2", "conv2_1", "conv3_1", "conv3_2", "conv3_3")
        ),
    }
    total = {row.claim: row.predicted for row in rows}
    for column in ("dram_mb", "processing_ms", "chosen_processing_ms"):
        layers = [total[f"vgg16.{layer}.{column}"] for layer in _VGG]
        assert sum(v or 0.0 for v in layers) == pytest.approx(total[f"vgg16.{column}"])


def test_eyeriss_tells_what_stands_on_its_own_table() -> None:
    """Fitted: what VGG-16's channels of a pass were read off, and the time that follows from it."""
    rows = {row.claim: row for row in reproduce("eyeriss")}
    fitted = {name for name, row in rows.items() if row.basis == "fitted"}
    assert fitted == {
        "vgg16.processing_ms",
        "vgg16.buffer_mb",
        "vgg16.frames_per_s",
        *(f"vgg16.{layer}.processing_ms" for layer in _VGG),
    }
    for name, row in rows.items():
        channels = any("read off the buffer megabytes" in c for c in row.constants)
        assert channels == (name.startswith("vgg16") and "chosen" not in name), name
        quoted = "mapping of the chip" in row.constants
        assert quoted == (name.startswith("alexnet") and "chosen" not in name), name


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
