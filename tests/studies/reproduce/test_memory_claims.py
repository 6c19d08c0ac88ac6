"""Published memories of networks on small devices: which are met, and what they stand on."""

from __future__ import annotations

import pytest

from perfmodel.evaluate import reproduce


def test_patches_of_mobilenet_v2() -> None:
    rows = {row.claim: row for row in reproduce("mcunet_v2")}
    assert {row.verdict for row in rows.values()} == {"within"}
    assert rows["layer_by_layer_kib"].predicted == 1372.0
    assert rows["patched_kib"].basis == "fitted"


def test_memory_of_embbert() -> None:
    rows = {row.claim: row for row in reproduce("embbert")}
    assert rows["fp32_mb"].verdict == "within"
    assert rows["quantised_kb"].verdict == "within"
    assert rows["quantised_kb"].predicted == pytest.approx(775.936)
    assert rows["all_int8_kb"].verdict != "within"
