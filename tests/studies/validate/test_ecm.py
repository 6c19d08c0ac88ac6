"""Streaming kernels and stencils beside measured rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfmodel.errors import InputError
from perfmodel.evaluate import validate

HEADER = "machine,isa,kernel,rd,wr,rw,level,ecm_cy_per_CL,measured_cy_per_CL,err_pct,n\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "cpu_zen4" / "ecm"
    place.mkdir(parents=True)
    (place / "ecm_model_vs_measured.csv").write_text(
        HEADER
        + "skylakesp2,avx,copy,1,1,0,L1,2.0,2.25,-8.0,6\n"
        + "skylakesp2,avx512,copy,1,1,0,MEM,15.8,19.6,-19.2,22\n"
        + "nobody,avx,copy,1,1,0,L1,2.0,2.2,-8.0,6\n"
        + "rome1,avx,stirring,1,1,0,L1,2.0,2.2,-8.0,6\n"
        + "rome1,neon,copy,1,1,0,L1,2.0,2.2,-8.0,6\n"
        + "rome1,avx,copy,1,1,0,L9,2.0,2.2,-8.0,6\n"
    )
    return tmp_path


def test_rows_are_sweeps_with_their_vectors(folder: Path) -> None:
    (found,) = validate("ecm_streaming", data=folder)
    assert (found.rows, found.coverage) == (6, pytest.approx(1 / 3))
    assert found.by_group.keys() == {"L1", "DRAM"}
    assert "kerncraft_ecm" in found.baselines
    first = found.predictions[0]
    # Two loads or one store of 32 B a clock, two accesses, and the start of the loop.
    assert first["predicted"] / first["measured"] == pytest.approx(2.0 * 1.121 / 2.25, rel=2e-3)
    assert len(found.unpredicted) == 4


def test_a_table_without_its_columns_is_refused(folder: Path) -> None:
    path = folder / "cpu_zen4" / "ecm" / "ecm_model_vs_measured.csv"
    path.write_text("machine,isa\nrome1,avx\n")
    with pytest.raises(InputError, match="measured_cy_per_CL"):
        validate("ecm_streaming", data=folder)


@pytest.mark.data
def test_every_level_within_its_target_and_nearer_than_kerncraft(data: Path) -> None:
    (found,) = validate("ecm_streaming", data=data)
    assert found.coverage == 1.0
    for level, most in (("L1", 0.10), ("L2", 0.06), ("L3", 0.06), ("DRAM", 0.15)):
        assert found.by_group[level]["mape"] <= most
        same = found.details["same_rows"]
        assert same["this"][level]["mape"] < 0.75 * same["kerncraft_ecm"][level]["mape"]
    assert found.by_group["edge"]["mape"] <= 0.06


@pytest.mark.data
def test_a_core_left_out_of_its_family(data: Path) -> None:
    (found,) = validate("ecm_streaming", data=data, left_out=True)
    caches, memory = (found.left_out[f"skylake_sp_{part}"] for part in ("caches", "memory"))
    assert caches["mape"] <= 0.06
    assert memory["mape"] <= 0.16
    for node in ("icx36", "rome1", "milan1", "zen4"):
        assert found.left_out[f"{node}_kernels"]["mape"] <= 0.06


@pytest.mark.data
def test_stencils_by_the_constants_of_streams(data: Path) -> None:
    (found,) = validate("stencil_zen4", data=data)
    assert found.coverage == 1.0
    assert found.mape is not None
    assert found.mape <= 0.10
    assert found.by_group["DRAM"]["mape"] <= 0.06
    assert found.by_group["L2"]["mape"] <= 0.06
