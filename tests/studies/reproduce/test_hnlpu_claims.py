"""HNLPU: what the model must reach, what it misses, and what was set by the published numbers."""

from __future__ import annotations

import pytest

from perfmodel.evaluate import reproduce

MISSED = {"v1.nre_musd", "v1.tco_gain", "v1.carbon_gain", "nre.llama_3_8b_musd"}


def test_all_but_the_first_version_is_within() -> None:
    rows = {row.claim: row for row in reproduce("hnlpu")}
    assert {name for name, row in rows.items() if row.verdict == "off"} == MISSED
    for name in ("chip_mm2", "system_mm2", "chip_w", "system_kw", "tokens_per_s"):
        error = rows[name].error
        assert error is not None
        assert abs(error) <= 0.01


def test_shares_that_no_constant_was_set_by_are_within_a_percent() -> None:
    rows = [row for row in reproduce("hnlpu") if row.claim.startswith("share.")]
    free = [row for row in rows if "set by" not in row.note]
    assert len(free) >= 15
    for row in free:
        assert row.predicted == pytest.approx(row.published, rel=0.01)
