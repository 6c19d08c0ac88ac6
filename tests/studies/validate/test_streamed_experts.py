"""Runs of experts streamed from a phone's storage as a data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfmodel.evaluate import validate

HEADER = (
    "run,tokens,wall_ms_mean,io_ms_mean,compute_ms_mean,read_mib_per_token,stall_ms_mean,model\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "measured"
    place.mkdir()
    (place / "bigmoe_flash_streaming_runs.csv").write_text(
        HEADER
        + "a/qwen_stream,257,585.2,462.5,122.8,1050.75,0.0,qwen3-30b-a3b\n"
        + "b/qwen_stream,257,585.2,462.5,122.8,1050.75,0.0,qwen3-30b-a3b\n"
        + "a/qwen_c4000_l2,257,320.2,161.4,158.8,224.6,0.0,qwen3-30b-a3b\n"
        + "a/oss_ov,257,700.0,900.0,300.0,1000.0,100.0,gpt-oss-120b\n"
        + "a/qwen_mmap,257,500.0,0.0,500.0,0.0,0.0,qwen3-30b-a3b\n"
        + "a/other,257,500.0,1.0,500.0,10.0,0.0,gemma-4-26b\n"
    )
    return tmp_path


def test_rows_are_predicted_or_have_a_reason(folder: Path) -> None:
    (found,) = validate("bigmoe_flash_streaming_runs", data=folder)
    assert found.rows == 5
    assert found.coverage == pytest.approx(3 / 5)
    assert {r["reason"]: r["rows"] for r in found.unpredicted} == {
        "read through the page cache: what comes from storage is not counted": 1,
        "no model of the library is gemma-4-26b": 1,
    }
    rows = {(r["name"], r["target"]): r for r in found.predictions}
    # In turns: computing, and the bytes at no more than the storage's rate.
    wall = rows["a/qwen_stream", "tpot_s"]["predicted"]
    assert wall >= 0.1228 + 1050.75 * 2**20 / 2.493e9
    assert wall == pytest.approx(0.5852, rel=0.02)
    # What a token of Qwen3-30B-A3B visits, without a cache.
    assert rows["a/qwen_stream", "read_bytes"]["error"] == pytest.approx(0, abs=1e-9)
    # Overlapped: no longer than both in turns, no shorter than either.
    both = rows["a/oss_ov", "tpot_s"]["predicted"]
    assert max(0.3, 1000 * 2**20 / 2.493e9) <= both <= 0.3 + 1000 * 2**20 / 1.5e9
    assert ("a/oss_ov", "read_bytes") not in rows


@pytest.mark.data
def test_twenty_measured_runs_within_a_sixth(data: Path) -> None:
    """No constant is fitted on them: the storage's law is of random reads of another day."""
    (found,) = validate("bigmoe_flash_streaming_runs", data=data)
    wall = [r for r in found.predictions if r["target"] == "tpot_s"]
    assert len(wall) >= 20
    assert found.mape is not None
    assert found.mape < 0.09
    assert all(-0.15 < r["error"] < 0.02 for r in wall)
    assert found.mape < 0.25 * found.baselines["roofline"]["mape"]
