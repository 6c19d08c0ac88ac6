"""Reads of flash storage as a data set: what is predicted, what is not and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfmodel.evaluate import validate
from perfmodel.kinds.storage import storage_bandwidth

HEADER = "device,pattern,block_kib,parallel_lanes_or_qd,mib_s,mean_latency_ms,state,source\n"
PHONE = "OnePlus 15R UFS 4.x (phone),random O_DIRECT read"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "measured"
    place.mkdir()
    (place / "flash_read.csv").write_text(
        HEADER
        + f"{PHONE},256,4.0,1900.0,,,\n"
        + f"{PHONE},2048,,2300.0,,,\n"
        + f"{PHONE},2048,8,,,,\n"
        + "A drive of nobody,4K randread,4,64.0,700.0,,,\n"
        + "Some NVMe,sequential WRITE psync direct,4,1.0,300.0,,,\n"
    )
    return tmp_path


def test_a_row_is_the_law_at_its_block_and_lanes(folder: Path) -> None:
    (found,) = validate("flash_read", data=folder)
    assert (found.rows, found.coverage) == (5, 0.2)
    assert found.primary == "bandwidth_bytes_per_s"
    (row,) = found.predictions
    law = storage_bandwidth(256 * 1024.0, 4.0, 183e-6, 2.493e9, commands=57600.0, lane=2.113e9)
    assert row["predicted"] == pytest.approx(float(law), rel=1e-3)
    assert row["measured"] == 1900.0 * 2**20
    assert row["roofline"] == pytest.approx(5.8e9, rel=1e-3)
    reasons = {r["reason"]: r["rows"] for r in found.unpredicted}
    assert reasons == {
        "a write: the library's devices state reads": 1,
        "no device of the library has this drive": 1,
        "the block or the number in flight is not stated": 1,
        "no bandwidth was measured": 1,
    }


@pytest.mark.data
def test_the_phone_within_four_per_cent(data: Path) -> None:
    (found,) = validate("flash_read", data=data)
    assert found.rows == 56
    assert found.coverage == pytest.approx(23 / 56)
    assert found.mape is not None
    assert found.mape <= 0.04
    bare, scaled = (found.baselines[name]["mape"] for name in ("roofline", "roofline_scaled"))
    assert bare is not None
    assert scaled is not None
    # One bandwidth for all blocks and queues is 15 % off.
    assert bare > 1.0
    assert scaled > 0.12
