"""Cells on a Raspberry Pi 5: decisions that predicted costs take, held to the measured rows."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from perfmodel_studies.readers import hwnasbench360
from perfmodel_studies.readers.hwnasbench360 import Bench, benches, oracle
from perfmodel_studies.readers.hwnasbench360.tasks import tasks

from perfmodel.errors import InputError
from perfmodel.evaluate import ValidationResult, validate
from perfmodel.hardware.library import hardware
from perfmodel.measurement_csv import read_rows
from perfmodel.predict import predict
from perfmodel.workload.nas_spaces import space

HEADER = "arch_idx,arch_str,device,framework,task,lat_ms_median,lat_ms_var,energy_mj,accuracy\n"
CELL = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
DEAD = "|none~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|avg_pool_3x3~2|"


def written(folder: Path, *lines: str) -> Path:
    """Return a data folder with a table of lines."""
    (folder / "measured").mkdir()
    place = folder / hwnasbench360.PLACES[0]
    with gzip.open(place, "wt") as file:
        file.write(HEADER + "".join(f"{line}\n" for line in lines))
    return folder


def test_rows_are_read_by_device_framework_and_task(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        f"7,{CELL},pi5,litert,darcy,1.5,0,2.5,0.25",
        f"3,{DEAD},pi5,litert,darcy,1,0,1,1",
        f"7,{CELL},pixel,litert,cifar100,2,0,,70.5",
    )
    first, second = benches(read_rows(folder / hwnasbench360.PLACES[0]))
    assert (first.name, first.disconnected, first.indices.tolist()) == ("pi5 litert darcy", 1, [7])
    assert first.latency_s.tolist() == [1.5e-3]
    assert first.energy_j.tolist() == [2.5e-3]
    assert first.quality.tolist() == [-0.25]  # an error: the lower the better
    assert second.quality.tolist() == [70.5]
    assert np.isnan(second.energy_j).all()
    assert not first.fitted.any()


def test_which_way_a_task_is_better_is_stated_with_its_source(tmp_path: Path) -> None:
    assert {name: task.better for name, task in tasks().items()} == {
        "cifar100": "higher",
        "ninapro": "higher",
        "darcy": "lower",
    }
    assert all(task.source and task.measure for task in tasks().values())
    # Neither a name nor numbers tell it: 0.03 may be an accuracy, and "error_rate" anything.
    folder = written(
        tmp_path,
        f"7,{CELL},pi5,litert,psicov,1,0,1,0.03",
        f"8,{CELL},pi5,litert,darcy,1,0,1,0.2",
        f"9,{CELL},pi5,litert,error_rate,1,0,1,70",
    )
    with pytest.raises(InputError) as caught:
        benches(read_rows(folder / hwnasbench360.PLACES[0]))
    assert [(f.line, f.path) for f in caught.value.faults] == [(2, "task"), (4, "task")]
    assert "darcy" in caught.value.faults[0].expected


def test_every_fault_of_a_table_is_named(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        f"7,{CELL.replace('skip', 'skap')},pi5,litert,cifar100,1,0,1,1",
        f"8,{CELL},pi5,litert,cifar100,fast,0,1,1",
    )
    with pytest.raises(InputError) as caught:
        validate("hwnasbench360", data=folder)
    assert {fault.line for fault in caught.value.faults} == {2, 3}


def test_what_cannot_be_predicted_counts_against_the_coverage(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        f"7,{CELL},pi6,litert,cifar100,1,0,1,1",
        f"7,{CELL},pi5,tvm,cifar100,1,0,1,1",
        f"3,{DEAD},pi5,litert,cifar100,1,0,1,1",
    )
    (found,) = validate("hwnasbench360", data=folder)
    assert (found.rows, found.coverage, found.mape) == (3, 0.0, None)
    assert len(found.unpredicted) == 3
    assert {"pi6", "tvm"} <= set(" ".join(u["reason"] for u in found.unpredicted).split("'"))


@pytest.mark.exhaustive
def test_a_task_that_was_not_fitted_is_predicted_and_decided(tmp_path: Path) -> None:
    other = CELL.replace("nor_conv_3x3", "nor_conv_1x1")
    folder = written(
        tmp_path,
        f"7,{CELL},pixel,litert,darcy,20,0,,0.03",
        f"9,{other},pixel,litert,darcy,10,0,,0.02",
        f"8,{CELL},pi5,litert,cifar100,3,0,5,70",
    )
    (found,) = validate("hwnasbench360", data=folder)
    assert found.coverage == 1.0
    assert set(found.by_group) == {"litert darcy", "litert cifar100"}
    # The cheaper cell is also the better one: errors are told as negative qualities.
    front = found.details["pixel litert darcy"]["latency_s"]["front"]
    assert (front["size"], front["measured_size"], front["recall"]) == (1, 1, 1.0)
    # The only row on CIFAR-100 is one that constants are fitted on: nothing is left to decide.
    assert found.details["pi5 litert cifar100"] == {}


@pytest.mark.exhaustive
@pytest.mark.parametrize("framework", ["litert", "onnx", "torchmobile"])
def test_another_task_costs_as_many_times_more_as_it_computes(
    tmp_path: Path, framework: str
) -> None:
    """Darcy's images of 88 x 88 have 7.6 times the pixels of CIFAR-100's; dispatch is the same."""
    folder = written(
        tmp_path,
        f"7,{CELL},pi5,{framework},darcy,20,0,30,0.03",
        f"7,{CELL},pi5,{framework},cifar100,3,0,5,70",
    )
    large, small = benches(read_rows(folder / hwnasbench360.PLACES[0]))
    told, least = (oracle(b).batch(b.choices) for b in (large, small))
    pixels = 88 * 88 / 32**2
    assert told["macs"][0] == pytest.approx(pixels * least["macs"][0], rel=0.02)
    for metric in ("latency_s", "energy_j"):
        assert 0.7 < told[metric][0] / (pixels * least[metric][0]) < 1.1
    (found,) = validate("hwnasbench360", data=folder)
    assert found.coverage == 1.0


def test_costs_are_those_of_predict(tmp_path: Path) -> None:
    folder = written(tmp_path, f"7,{CELL},pi5,onnx,ninapro,1,0,1,1")
    (bench,) = benches(read_rows(folder / hwnasbench360.PLACES[0]))
    told = oracle(bench).batch(bench.choices)
    net = space("nas_bench_201", dataset="ninapro", batch_norm="folded", zeros="multiplied")
    found = predict(
        net.workload(net.encode(CELL)),
        hardware("raspberry_pi_5_core"),
        runtime="onnxruntime_arm",
        precision="fp32",
        warm=True,
    )
    assert told["latency_s"][0] == pytest.approx(found.latency_s, rel=1e-9)
    assert told["energy_j"][0] == pytest.approx(found.energy_j, rel=1e-9)


@pytest.fixture(scope="module")
def found(data: Path) -> ValidationResult:
    """The open rows, predicted once."""
    (result,) = validate("hwnasbench360", data=data)
    return result


# What was reached, with a margin: MAPE, Spearman of latencies, then MAPE of energies. Constants are
# fitted on 41 cells of the first three; ninapro, another shape of image, is transfer.
@pytest.mark.data
@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("name", "mape", "rank", "energy"),
    [
        ("pi5 litert cifar100", 0.020, 0.996, 0.048),
        ("pi5 onnx cifar100", 0.008, 0.998, 0.045),
        ("pi5 torchmobile cifar100", 0.025, 0.996, 0.065),
        ("pi5 litert ninapro", 0.030, 0.997, 0.048),
        ("pi5 onnx ninapro", 0.030, 0.997, 0.048),
        ("pi5 torchmobile ninapro", 0.035, 0.994, 0.060),
        ("pixel litert cifar100", 0.090, 0.988, None),
    ],
)
def test_errors_on_cells_left_out_of_the_fit(
    found: ValidationResult, name: str, mape: float, rank: float, energy: float | None
) -> None:
    told = found.details[name]["latency_s"]
    assert told["rows"] == (6420 if name.startswith("pi5") and "cifar" in name else 6461)
    assert told["errors"]["mape"] < mape
    assert told["spearman"] > rank
    assert told["spearman"] > told["macs"]["spearman"]
    if energy is not None:
        assert found.details[name]["energy_j"]["errors"]["mape"] < energy
    assert found.coverage == 1 - 35 / 45262


@pytest.mark.data
@pytest.mark.exhaustive
@pytest.mark.parametrize("target", ["latency_s", "energy_j"])
def test_fronts_hold_the_measured_hypervolume(found: ValidationResult, target: str) -> None:
    for name, told in found.details.items():
        if target not in told:
            continue
        front, macs, drawn = (told[target][key] for key in ("front", "macs", "random"))
        assert front["hypervolume"] > 0.995, name
        assert front["hypervolume_nadir"] > 0.99, name
        assert front["hypervolume"] >= macs["front"]["hypervolume"], name
        assert front["hypervolume_nadir"] > drawn["hypervolume_nadir"], name
        assert drawn["hypervolume"] < 0.95, name


@pytest.mark.data
@pytest.mark.exhaustive
def test_regret_under_latency_limits(found: ValidationResult) -> None:
    """At most 0.3 points on the Pi, on average over calibrations, of cells that meet the limit."""
    total = {"own": 0.0, "macs": 0.0, "random": 0.0}
    for name, told in found.details.items():
        one = told["latency_s"]
        for at, (own, macs, drawn) in enumerate(
            zip(one["limits"], one["macs"]["limits"], one["random"]["regret"], strict=True)
        ):
            if name.startswith("pi5"):
                assert own["as_predicted"]["regret_met"] <= 0.3, (name, at)
                assert own["calibrated"]["regret_met"] <= 0.3, (name, at)
                assert own["calibrated"]["tried"] < 3
                assert own["calibrated"]["excess"] < 0.01
            total["own"] += own["calibrated"]["regret_met"]
            total["macs"] += macs["calibrated"]["regret_met"]
            total["random"] += drawn
    assert total["own"] < 0.1 * total["macs"] < 0.1 * total["random"]


@pytest.mark.data
@pytest.mark.exhaustive
def test_what_exported_networks_run_besides_is_measured(data: Path) -> None:
    """Cells with convolutions of no effect: 1.5 % off as exported, a third and more without."""
    rows = read_rows(data / hwnasbench360.PLACES[0])
    bench = next(b for b in benches(rows) if b.name == "pi5 onnx cifar100")
    lean, full = (
        oracle(bench, zeros=zeros).batch(bench.choices) for zeros in ("removed", "multiplied")
    )
    wasted = full["macs"] > lean["macs"] + 15 * 9 * 512**2 - 1
    assert wasted.sum() == 106
    off = {
        key: np.abs(told["latency_s"] / bench.latency_s - 1)[wasted].mean()
        for key, told in (("lean", lean), ("full", full))
    }
    assert off["full"] < 0.015
    assert off["lean"] > 0.4


def test_a_bench_keeps_what_is_selected() -> None:
    numbers = np.arange(400)
    bench = Bench(
        "pi5",
        "litert",
        "cifar100",
        numbers,
        np.zeros((400, 6), dtype=np.int64),
        numbers / 1e3,
        numbers / 1e3,
        numbers / 1e1,
        0,
    )
    assert np.flatnonzero(bench.fitted).tolist() == [0, 160, 320]
    assert bench.select(~bench.fitted).indices.tolist() == [i for i in range(400) if i % 160]
