"""`perfmodel calibrate`, and predictions with what it wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Ran

LINES = """\
model,device,runtime,precision,latency_s
resnet18,zen4_core,onnxruntime_cpu,fp32,0.05
mobilenet_v2,zen4_core,onnxruntime_cpu,fp32,0.012
vgg16,zen4_core,onnxruntime_cpu,fp32,0.4
"""


def test_calibrate_writes_what_predict_reads(tmp_path: Path, run: Callable[..., Ran]) -> None:
    rows, overlay = tmp_path / "mine.csv", tmp_path / "overlay.yaml"
    rows.write_text(LINES)
    told = run("calibrate", str(rows), "--json")
    assert told.code == 0
    found = json.loads(told.out)
    assert found["rows"] == 3
    assert found["mape_after"] < found["mape_before"]
    assert run("calibrate", str(rows), "-o", str(overlay)).code == 0
    plain, scaled = (
        json.loads(
            run("predict", "resnet50", "zen4_core", "--precision", "fp32", "--json", *more).out
        )["latency_s"]
        for more in ((), ("--overlay", str(overlay)))
    )
    assert scaled > 1.05 * plain
    wrong = run("predict", "resnet50", "a100", "--overlay", str(overlay))
    assert wrong.code == 2
    assert "is a calibration of zen4_core" in wrong.err
    fixed = run(
        "predict",
        "resnet50",
        "zen4_core",
        "--overlay",
        str(overlay),
        "--set",
        "memories.dram.bandwidth=64 GB/s",
        "--precision",
        "fp32",
        "--json",
    )
    assert json.loads(fixed.out)["latency_s"] < scaled


def test_bad_rows_and_outputs_are_refused_before_anything_is_written(
    tmp_path: Path, run: Callable[..., Ran]
) -> None:
    rows, output = tmp_path / "mine.csv", tmp_path / "overlay.yaml"
    rows.write_text("model,device,latency_s\nresnet18,zen4_core,-1\n")
    done = run("calibrate", str(rows), "-o", str(output))
    assert done.code == 2
    assert not output.exists()
    assert run("calibrate", str(rows), "-o", str(tmp_path / "x.csv")).code == 2


def test_faults_of_an_overlay_come_at_once_with_their_lines(
    tmp_path: Path, run: Callable[..., Ran]
) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(
        "overlay_version: 1\ndevice: a100\nruntime: onnxruntime_cp\n"
        "facts:\n  runtime.scale.conv: 1\n"
    )
    told = run("predict", "resnet50", "zen4_core", "--overlay", str(overlay))
    assert told.code == 2
    at, meant = f"error: {overlay}:", "did you mean"
    assert told.faults == [
        f"{at}2:9: device: is a calibration of a100; expected zen4_core",
        f"{at}3:10: no runtime is named 'onnxruntime_cp'; {meant} 'onnxruntime_cpu'?",
    ]
    overlay.write_text(
        "overlay_version: 1\ndevice: zen4_core\nruntime: onnxruntime_cpu\nfacts:\n"
        "  runtime.scale.con: 1.4\n  runtime.scale.gemm: -1\n  engines.cpu.clok: 1\n"
    )
    told = run("predict", "resnet50", "zen4_core", "--overlay", str(overlay))
    assert told.code == 2
    assert told.faults == [
        f"{at}5:3: runtime.scale.con: no such fact; {meant} 'runtime.scale.conv'?",
        f"{at}6:3: runtime.scale.gemm: -1 is negative; expected a count above zero",
        f"{at}7:3: engines.cpu.clok: no such fact; {meant} 'engines.cpu.clock'?",
    ]
    overlay.write_text("overlay_version: 1\nfacts: {}\n")
    told = run(
        "predict", "resnet50", "zen4_cor", "--runtime", "onnxruntime_cp", "--overlay", str(overlay)
    )
    for fault in (
        "zen4_core",
        "'onnxruntime_cpu'",
        "missing key 'runtime'",
        "missing key 'device'",
    ):
        assert fault in told.err


HEAD = "overlay_version: 2\ndevice: a100\nruntime: generic\nfacts: {runtime.scale.conv: 1.5}\n"


def test_what_is_left_open_is_checked_too(tmp_path: Path, run: Callable[..., Ran]) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(
        HEAD + "posterior: {rows: -1, workloads: [frames], noise: 0.0, freedom: 3.0, more: 3,"
        " covariance: {conv: [0.1]}}\n"
    )
    told = run("predict", "resnet18", "a100", "--overlay", str(overlay))
    assert told.code == 2
    said = [fault.partition("posterior.")[2].partition(":")[0] for fault in told.faults]
    assert said == ["rows", "noise", "more"]
    for covariance, flaw in (
        ("{conv: [0.1, 0.0]}", "is not 1 rows of 1 numbers"),
        ("{conv: [0.1, 0.1], gemm: [0.0, 0.1]}", "is not symmetric"),
        ("{conv: [-0.1]}", "variance below zero"),
    ):
        overlay.write_text(
            HEAD + "posterior: {rows: 2, workloads: [frames], noise: 0.1, freedom: 3.0,"
            f" covariance: {covariance}}}\n"
        )
        (fault,) = run("predict", "resnet18", "a100", "--overlay", str(overlay)).faults
        assert flaw in fault


def test_the_interval_is_that_of_the_calibration(tmp_path: Path, run: Callable[..., Ran]) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(
        HEAD + "posterior: {rows: 4, workloads: [frames], noise: 0.1, freedom: 1.0e+9,"
        " covariance: {launch: [0.0]}}\n"
    )

    def ask(*more: str) -> dict[str, Any]:
        return json.loads(
            run("predict", "resnet18", "a100", "--json", "--overlay", str(overlay), *more).out
        )

    found = ask()
    assert found["basis"] == "measured"
    assert found["basis_reason"].startswith("calibrated on 4 rows of a100 under generic")
    for share, times in (("50", 0.6745), ("90", 1.6449)):
        ends = found["intervals"]["latency_s"][share]
        assert ends["high"] / found["latency_s"] == pytest.approx(math.exp(times * 0.1), rel=1e-4)
        assert ends["low"] / found["latency_s"] == pytest.approx(math.exp(-times * 0.1), rel=1e-4)
    rates = found["intervals"]["frames_per_s"]["90"]
    assert rates["high"] / found["frames_per_s"] == pytest.approx(math.exp(0.16449), rel=1e-4)
    # Of another device, or of other workloads, the rows say nothing.
    assert ask("--set", "memories.main.bandwidth=1 TB/s")["basis"] != "measured"
    assert (
        "calibrated"
        not in json.loads(
            run("predict", "llama_3_2_1b", "a100", "--json", "--overlay", str(overlay)).out
        )["basis_reason"]
    )


def test_a_file_of_the_version_before_is_read(tmp_path: Path, run: Callable[..., Ran]) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(
        HEAD.replace("version: 2", "version: 1") + "left_out: {rows: 9, low: 0.5, high: 1.5}\n"
    )
    told = run("predict", "resnet18", "a100", "--overlay", str(overlay))
    assert told.code == 0
    assert "calibrated on" not in told.out


def test_what_to_measure_next(tmp_path: Path, run: Callable[..., Ran]) -> None:
    rows = tmp_path / "mine.csv"
    rows.write_text(LINES)
    told = run("calibrate", str(rows), "--next", "2", "--candidates", "resnet50,alexnet,googlenet")
    assert told.code == 0
    assert told.out.count("perfmodel predict ") == 2
    found = json.loads(run("calibrate", "--device", "zen4_core", "--next", "--json").out)
    assert found["rows"] == 0
    assert len(found["next"]) == 1
    wrong = run("calibrate", str(rows), "--next", "0", "--candidates", "resnet5,alexnet")
    assert wrong.code == 2
    assert [fault.partition(":")[2].strip().split(":")[0] for fault in wrong.faults] == [
        "--next",
        "--candidates",
    ]
    assert "did you mean 'resnet50'" in wrong.err
    wrong = run("calibrate", "--candidates", "alexnet")
    assert wrong.code == 2
    assert len(wrong.faults) == 3
