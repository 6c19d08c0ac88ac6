"""Measured rows of microcontrollers: errors in sample and left out, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from perfmodel_studies.readers.mcus import mlperf_tiny
from perfmodel_studies.readers.mcus.libraries import UNSEEN, library_of

from perfmodel.calibrate import fit
from perfmodel.evaluate import validate
from perfmodel.evaluate.data_files import DataFolder
from perfmodel.evaluate.datasets import dataset
from perfmodel.workload.library import find

#: Of MLPerf Tiny: header, two rows of a part that no open row shows, one of another division.
ROWS = """\
version,division,submitter,system,soc_key,class,benchmark,latency_ms,throughput_inf_s,energy_uj_per_inf,power_mw_energy_run,throughput_energy_run,top1_pct,auc,board,soc,soc_mem,soc_storage,processor,processor_freq,processor_mem,accelerator,accelerator_freq,accelerator_mem,framework,quantization,hw_notes,source
v1.1,closed,plumerai,NRF5340DK,nRF5340,mcu,ic,150,6.6,,,,,,,,,,Cortex-M33,128 MHz,,,,,Plumerai Inference Engine 2023.05,,,made up
v1.1,closed,nobody,BOARD,STM32H7A3,mcu,kws,20,50,,,,,,,,,,Cortex-M7,280 MHz,,,,,own kernels,,,made up
v1.1,open,nobody,BOARD,STM32H7A3,mcu,kws,20,50,,,,,,,,,,Cortex-M7,280 MHz,,,,,own kernels,,,made up
v1.1,closed,nobody,BOARD,PSoC62,mcu,vww,120,8,900,7.5,8,,,,,,,Cortex-M4,150 MHz,,,,,own kernels,,,made up
v1.1,closed,nobody,BOARD,GAP9,mcu,sww,20,50,,,,,,,,,,,240 MHz,,,,,own kernels,,,made up
"""  # noqa: E501


def test_parts_that_no_open_row_shows_are_predicted(tmp_path: Path) -> None:
    (tmp_path / "measured").mkdir()
    (tmp_path / "measured" / "mlperf_tiny_heldout.csv").write_text(ROWS)
    cases = mlperf_tiny.load(DataFolder(tmp_path, "_heldout")).cases
    assert [case.runtime for case in cases[:2]] == ["plumerai_2023", UNSEEN]
    assert all(case.machine is not None for case in cases[:2])
    assert cases[2].reason == "the open division ran another network"
    # A part whose power is not known is asked for its latency alone.
    assert [q.target for q in cases[3].quantities] == ["latency_s"]
    # Its power and its energy were measured all the same, and count as not predicted.
    assert [case.reason for case in cases[4:]] == [
        "power_w: the device states no power",
        "energy_j: the device states no power",
    ]
    assert all(case.machine is None for case in cases[4:])


@pytest.mark.data
def test_no_measured_power_or_energy_vanishes(data: Path) -> None:
    """Every quantity of the file is predicted, or counted with why it is not."""
    import csv

    with (data / "measured" / "mlperf_tiny.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["benchmark"] != "sww"]
    cases = mlperf_tiny.load(DataFolder(data)).cases
    measured = {
        "power_w": sum(bool(row["power_mw_energy_run"]) for row in rows),
        "energy_j": sum(bool(row["energy_uj_per_inf"]) for row in rows),
    }
    whole = [case for case in cases if case.machine is None and ": " not in case.reason[:10]]
    for target, count in measured.items():
        asked = sum(q.target == target for case in cases for q in case.quantities)
        lost = sum(case.reason.startswith(f"{target}: ") for case in cases)
        assert lost > 0 or asked == count
        # The others are of rows of which nothing is predicted, each counted once as a whole.
        assert 0 <= count - asked - lost <= len(whole), target


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (("v1.0", "STMicroelectronics", "NUCLEO", ""), "x_cube_ai_7_3"),
        (("v1.3", "STMicroelectronics", "NUCLEO", "X-CUBE-AI v10.2"), "x_cube_ai_9"),
        (("v1.1", "Krai", "NUCLEO-L4R5ZI_X-CUBE-AI-8.0", ""), "x_cube_ai_7_3"),
        (("v1.0", "OctoML", "microtvm_cmsis_nn/X", "microTVM"), "microtvm_cmsis_nn"),
        (("v0.7", "plumerai", "X", "Plumerai Inference Engine"), "plumerai_2022"),
        (("v1.1", "bosch", "X", "Bosch ... (HALE) version 1.0"), "bosch_hale_1_0"),
        (("v1.2", "somebody", "X", "own"), UNSEEN),
    ],
)
def test_libraries_are_read_off_a_submission(row: tuple[str, str, str, str], name: str) -> None:
    assert library_of(*row) == name


@pytest.mark.data
def test_mlperf_tiny(data: Path) -> None:
    (found,) = validate("mlperf_tiny", data=data)
    errors = found.targets
    rows = [r for r in found.predictions if r["target"] == "latency_s"]
    own = [abs(r["error"]) for r in rows if not r["device"].startswith("XC7")]
    assert len(own) == 198
    assert sum(own) / len(own) < 0.06
    assert errors["power_w"]["mape"] < 0.08
    assert errors["energy_j"]["mape"] < 0.08
    assert found.by_device["NDP9120"]["mape"] < 0.05
    assert found.baselines["roofline"]["mape"] > 0.5


@pytest.mark.data
def test_constants_of_the_runtimes_are_those_of_the_fit(data: Path) -> None:
    """What the specs ship is what the rows give, but for rounding."""
    latency = mlperf_tiny.refits(DataFolder(data))[0]
    found = fit(latency.forward, latency.measured, latency.constants, scale=latency.scale)
    for name in ("x_cube_ai_9", "plumerai_2023", "bosch_hale_1_0"):
        stated = find_kernel(name)
        for kernel in ("conv", "gemm"):
            assert found.constants[f"{name}.{kernel}.mac_clocks"] == pytest.approx(
                stated[kernel], rel=0.05
            )


def find_kernel(name: str) -> dict[str, float]:
    from perfmodel.hardware.library import runtime

    kernels = runtime(name).kernels
    clocks = {k: kernels[k].mac_clocks for k in ("conv", "gemm")}
    return {k: q.value for k, q in clocks.items() if q is not None}


@pytest.mark.data
def test_the_model_zoo(data: Path) -> None:
    (found,) = validate("stm32_model_zoo", data=data)
    by_device = found.by_device
    assert by_device["STM32H747I-DISCO"]["mape"] < 0.06
    # FdMobileNet takes 2.4 times as long on the Cortex-A7 as its graph: not explained.
    assert found.by_group["MobileNetV1"]["mape"] < 0.04


@pytest.mark.data
def test_tinyengine_s_table(data: Path) -> None:
    """X-CUBE-AI's constants come from the model zoo: this table is new to them."""
    (found,) = validate("tinyengine_mcunet", data=data)
    assert {name: e["mape"] < 0.1 for name, e in found.by_group.items()} == dict.fromkeys(
        ("TinyEngine", "CMSIS-NN", "X-CUBE-AI", "TFLM"), True
    )


@pytest.mark.data
def test_stand_ins_have_their_work(data: Path) -> None:
    """Multiply-accumulates to a percent, a quarter of them depthwise."""
    import csv

    with (data / "measured" / "tinyengine_mcunet.csv").open() as file:
        rows = list(csv.DictReader(file))
    cases = dataset("tinyengine_mcunet").load(DataFolder(data)).cases
    for case, row in zip(cases, rows, strict=True):
        for quantity in case.quantities:
            work = quantity.workload
            assert work.macs == pytest.approx(float(row["macs_M"]) * 1e6, rel=0.01)
            depthwise = find("separable_chain", {**work.parameters, "channels": 1}).macs
            assert 27 * 0.9 * depthwise == pytest.approx(0.25 * float(work.macs))


def test_networks_of_the_zoo(tmp_path: Path) -> None:
    """FD-MobileNet 0.25 of five classes: 128.32 KiB of weights and biases, as the zoo says."""
    (tmp_path / "stm32_model_zoo.csv").write_text(
        "model,resolution,latency_ms,internal_ram_kib,board,freq_mhz\n"
        "FdMobileNet 0.25 flowers,224x224x3,50,,STM32H747I-DISCO Cortex-M7,400\n"
    )
    [case] = dataset("stm32_model_zoo").load(DataFolder(tmp_path)).cases
    small = case.quantities[0].workload
    stored = small.weights + 3 * biases(small.weights)
    assert stored / 1024 == pytest.approx(128.32, abs=0.01)
    assert find("fd_mobilenet", {}).macs == pytest.approx(144e6, rel=0.01)


def biases(weights: float) -> float:
    """Return the biases of that network, 4 bytes each: its numbers less its factors."""
    factors = 8 * 27 + 114304 + 9 * 856 + 256 * 5
    return weights - factors
