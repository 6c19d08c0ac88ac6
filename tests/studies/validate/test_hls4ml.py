"""hls4ml's circuits against C-synthesis reports, and the loader on reports of other networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perfmodel.evaluate import validate
from perfmodel.evaluate.data_files import DataFolder, data_folder
from perfmodel.evaluate.datasets import dataset
from perfmodel.evaluate.refit import trial
from perfmodel.formats import Precision
from perfmodel.hardware.machine import Machine

HEAD = (
    "model,config,part,tool_version,target_clock_ns,est_clock_ns,latency_cycles_min,"
    "latency_cycles_max,interval_min,interval_max,pipeline_type,BRAM_18K,DSP,FF,LUT,URAM,"
    "avail_BRAM,avail_DSP,avail_FF,avail_LUT,dense_layers,dense_nnz,reuse_factors,strategy,"
    "weight_types,precision_default\n"
)
#: A network of no data set: sizes made up, and a part that the library does not have.
OTHER = (
    "other,DSP_reuse4,xcself-ffg1-1,2022.1,5.00,4.3,30,30,4,4,yes,6,100,5000,9000,0,10,10,10,10,"
    '24x16;16x6,300;90,4;4,nnet;nnet,"ap_fixed<6,2>;ap_fixed<6,2>",accum:\n'
)


@pytest.mark.data
def test_designs_as_the_reports_have_them(data: Path) -> None:
    """Interval, DSP slices and memory blocks exact; cycles 1.5 %, look-up tables 5 %."""
    found = validate("hls4ml_mlp_csynth", data=data)[0]
    assert found.rows == 24
    assert found.coverage == 1.0
    errors = found.targets
    for exact in ("interval", "dsp", "bram"):
        assert errors[exact]["mape"] == 0.0, exact
    assert errors["latency_s"]["mape"] < 0.015
    assert errors["latency_s"]["median_ape"] < 0.005
    assert errors["lut"]["mape"] < 0.05
    assert errors["ff"]["mape"] < 0.13
    # Without the count of weights that need a multiplier: a rule of two shares.
    assert 0.05 < errors["dsp slices, multipliers not given"]["mape"] < 0.12
    # All others are exact to the clock.
    off = [r for r in found.predictions if r["target"] == "latency_s" and abs(r["error"]) > 1e-6]
    assert len(off) == 5


@pytest.mark.data
def test_layers_as_the_reports_have_them(data: Path) -> None:
    found = validate("hls4ml_mlp_csynth_layers", data=data)[0]
    assert found.rows == 66
    errors = found.targets
    assert errors["interval"]["mape"] == 0.0
    assert errors["dsp"]["mape"] == 0.0
    assert errors["latency_s"]["mape"] < 0.015
    assert errors["lut"]["mape"] < 0.09


@pytest.mark.data
def test_networks_left_out(data: Path) -> None:
    """Constants refitted without a network: cycles within 10 %, look-up tables within 8 %."""
    refits = dataset("hls4ml_mlp_csynth").refits(data_folder(data))
    found = {refit.target: trial(refit) for refit in refits}
    assert found["clocks"]["mape"] < 0.10
    assert found["lut"]["mape"] < 0.08
    assert found["ff"]["mape"] < 0.20
    assert set(found["lut"]["groups"]) == {"ARRYTHMIA", "Breast_cancer", "CARDIO", "mnist"}


def folder(tmp_path: Path, *, layers: bool) -> DataFolder:
    measured = tmp_path / "measured"
    measured.mkdir()
    (measured / "hls4ml_mlp_csynth_else.csv").write_text(HEAD + OTHER)
    if layers:
        rows = "model,config,module,latency_min,latency_max,interval_min,BRAM_18K,DSP,FF,LUT\n"
        for config, dsps in (("DSP_reuse1", (200, 60)), ("DSP_reuse4", (50, 20))):
            for place, dsp in zip((2, 5), dsps, strict=True):
                module = f"dense_latency_ap_fixed_6_2_5_3_0_ap_fixed_16_4_5_3_0_config{place}_s"
                rows += f"other,{config},{module},5,5,4,0,{dsp},900,1000\n"
        (measured / "hls4ml_mlp_csynth_layers_else.csv").write_text(rows)
    return DataFolder(tmp_path, "_else")


@pytest.mark.parametrize("layers", [True, False])
def test_reports_of_other_networks(tmp_path: Path, layers: bool) -> None:
    """A part that the library lacks, bits and factors of its own; with and without layers."""
    (design,) = dataset("hls4ml_mlp_csynth").load(folder(tmp_path, layers=layers)).cases
    assert design.quantities[0].workload.name == "mlp_2"
    assert dict(design.quantities[0].workload.parameters) == {
        "inputs": 24,
        "width_1": 16,
        "width_2": 6,
    }
    assert isinstance(design.precision, Precision)
    assert design.precision.weights.element_bits == 6
    machine = design.machine
    assert isinstance(machine, Machine)
    counted = [v for path, v in machine.varied.items() if path.endswith("multipliers")]
    assert counted == ([200, 60] if layers else [])
    (found, *_) = validate("hls4ml_mlp_csynth", data=tmp_path, suffix="_else")
    assert found.coverage == 1.0
    row = next(r for r in found.predictions if r["target"] == "dsp")
    if layers:
        # min(200, ceil(384 / 4) - floor(84 / 4)) and min(60, 24 - 1), and six of the softmax.
        assert row["predicted"] == 75 + 23 + 6
    assert np.isfinite(row["predicted"])


def multiplies_in(folder: DataFolder) -> str:
    (case,) = dataset("hls4ml_mlp_csynth").load(folder).cases
    assert isinstance(case.machine, Machine)
    design = case.machine.device.engine("fabric").design  # type: ignore[attr-defined]
    return design.multiply_in


def test_a_report_with_slices_is_of_a_design_with_slices(tmp_path: Path) -> None:
    """One report of the source lies under the wrong name: what it reports decides."""
    where = folder(tmp_path, layers=True)
    path = tmp_path / "measured" / "hls4ml_mlp_csynth_else.csv"
    path.write_text(HEAD + OTHER.replace("DSP_reuse4", "LUT_reuse4"))
    assert multiplies_in(where) == "dsp"
    path.write_text(HEAD + OTHER.replace("DSP_reuse4", "LUT_reuse4").replace(",6,100,", ",6,0,"))
    assert multiplies_in(where) == "lut"
