"""MLPerf Tiny's FPGAs: whose designs are known, how far they are off, what says why it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from perfmodel_studies.readers.mcus import mlperf_tiny

from perfmodel.evaluate import reproduce, validate
from perfmodel.evaluate.data_files import DataFolder
from perfmodel.predict import predict

HEAD = (
    "version,division,submitter,system,soc_key,class,benchmark,latency_ms,throughput_inf_s,"
    "energy_uj_per_inf,power_mw_energy_run,throughput_energy_run,processor,processor_freq,"
    "accelerator,accelerator_freq,framework,hw_notes\n"
)
REST = ",1,,,,Arm,650Mhz,part,100MHz,"


def _rows(folder: Path, *rows: str) -> DataFolder:
    (folder / "mlperf_tiny.csv").write_text(HEAD + "".join(f"{row},\n" for row in rows))
    return DataFolder(folder)


@pytest.mark.parametrize(
    ("start", "device"),
    [
        ("v1.1,closed,fpgaconvnet,zybo,XC7Z010,fpga,kws,1", "fpgaconvnet_zybo_kws"),
        ("v1.1,closed,fpgaconvnet,ZyBo Z7,XC7Z010,fpga,ic,1", "fpgaconvnet_zybo_ic"),
        ("v1.1,closed,fpgaconvnet,zc706,XC7Z045,fpga,ic,1", "fpgaconvnet_zc706_ic"),
        ("v1.1,closed,fpgaconvnet,zc706,XC7Z045,fpga,vww,1", "fpgaconvnet_zc706_vww"),
        ("v0.7,open,hls4ml-finn,pynq-z2/AD08,XC7Z020,fpga,ad,1", "hls4ml_ad08"),
        ("v0.7,open,hls4ml-finn,arty/KWS-W3A3,XC7A100T,fpga,kws,1", "finn_kws_w3a3_arty"),
    ],
)
def test_designs_by_part_and_network(tmp_path: Path, start: str, device: str) -> None:
    (case,) = mlperf_tiny.load(_rows(tmp_path, f"{start}{REST}fpgaConvNet")).cases
    assert case.machine is not None
    assert case.machine.device.name == device
    quantity = case.quantities[0]
    found = predict(quantity.workload, case.machine, precision=case.precision)
    assert 1e-6 < found.latency_s < 1.0


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ("v1.2,closed,somebody,VCU128,VCU128,fpga,ic,1", "not published"),
        ("v1.1,closed,fpgaconvnet,zc706,XC7Z045,fpga,kws,1", "no published design"),
        ("v1.0,open,hls4ml,pynq-z2/RN08,XC7Z020,fpga,ic,1", "streamed convolutions"),
        ("v0.7,open,hls4ml-finn,big/CNV-W1A1,XC7Z045,fpga,ic,1", "not published"),
    ],
)
def test_what_is_not_known_says_so(tmp_path: Path, start: str, reason: str) -> None:
    framework = "fpgaConvNet" if "fpgaconvnet" in start else "FINN"
    (case,) = mlperf_tiny.load(_rows(tmp_path, f"{start}{REST}{framework}")).cases
    assert case.machine is None
    assert reason in case.reason


@pytest.mark.data
def test_boards_that_were_measured(data: Path) -> None:
    """Four of fpgaConvNet within 21 %; perceptrons are short by what their processors do."""
    (found,) = validate("mlperf_tiny", data=data)
    assert found.by_device["XC7Z007S"]["mape"] < 0.05
    assert found.by_device["XC7Z020"]["mape"] < 0.25
    assert found.by_device["XC7A100T"]["mape"] < 0.55


def test_claims() -> None:
    """Misses that are known must not turn into hits unnoticed."""
    claims = {row.claim: row for row in reproduce("mlperf_tiny_fpga")}
    rows = {name: row for name, row in claims.items() if name.endswith("_s")}
    within = {name for name, row in rows.items() if row.verdict == "within"}
    assert within == {name for name in rows if name.startswith("fpgaconvnet")}
    # Perceptrons are the accelerator alone: never slower than the whole.
    short = [row.error for name, row in rows.items() if name not in within]
    assert all(error is not None and error < 0 for error in short)
    # Power of two boards, each of the Arty's known from the other design on it.
    powers = [claims[name] for name in claims.keys() - rows.keys()]
    assert len(powers) == 4
    assert all(abs(row.error or 0.0) < 0.15 for row in powers)


def test_claims_of_the_jet_tagger() -> None:
    """Slices within 15 % where non-zero weights are published but for one; intervals are exact."""
    rows = {row.claim: row for row in reproduce("jet_tagger_fpga")}
    off = {name for name, row in rows.items() if row.verdict != "within"}
    assert off == {"openml_latency", "qkeras_pruned_dsp"}
    errors = {name: row.error for name, row in rows.items()}
    assert all(abs(errors[name] or 0.0) < 1e-9 for name in rows if "interval" in name)
