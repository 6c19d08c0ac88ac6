"""`perfmodel calibrate`, and predictions with what it wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

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
        json.loads(run("predict", "resnet50", "zen4_core", "--precision", "fp32", "--json",
                       *more).out)["latency_s"]
        for more in ((), ("--overlay", str(overlay)))
    )  # fmt: skip
    assert scaled > 1.2 * plain
    wrong = run("predict", "resnet50", "a100", "--overlay", str(overlay))
    assert wrong.code == 2
    assert "is a calibration of zen4_core" in wrong.err
    fixed = run("predict", "resnet50", "zen4_core", "--overlay", str(overlay), "--set",
                "memories.dram.bandwidth=64 GB/s", "--precision", "fp32", "--json")  # fmt: skip
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
    told = run("predict", "resnet50", "zen4_cor", "--runtime", "onnxruntime_cp", "--overlay",
               str(overlay))  # fmt: skip
    for fault in (
        "zen4_core",
        "'onnxruntime_cpu'",
        "missing key 'runtime'",
        "missing key 'device'",
    ):
        assert fault in told.err


def test_the_range_to_expect_is_checked_too(tmp_path: Path, run: Callable[..., Ran]) -> None:
    overlay = tmp_path / "overlay.yaml"
    head = "overlay_version: 1\ndevice: a100\nruntime: generic\nfacts: {runtime.scale.conv: 1.5}\n"
    overlay.write_text(head + "left_out: {rows: 1, low: 0.5, high: -1.0, more: 3}\n")
    told = run("predict", "resnet18", "a100", "--overlay", str(overlay))
    assert told.code == 2
    said = [fault.partition("left_out.")[2].partition(":")[0] for fault in told.faults]
    assert said == ["rows", "high", "more"]
    overlay.write_text(head + "left_out: {rows: 9, low: 2.0, high: 1.0}\n")
    (fault,) = run("predict", "resnet18", "a100", "--overlay", str(overlay)).faults
    assert fault == f"error: {overlay}:5:11: left_out: low 2 is above high 1"
    overlay.write_text(head + "left_out: {rows: 9, low: 0.5, high: 1.5}\n")
    found = json.loads(run("predict", "resnet18", "a100", "--overlay", str(overlay), "--json").out)
    expected = found["expected"]
    assert expected["value"] == found["latency_s"]
    assert (expected["low"], expected["high"]) == (
        0.5 * found["latency_s"], 1.5 * found["latency_s"],
    )  # fmt: skip
    assert "80 %" in expected["basis"]
    text = run("predict", "resnet18", "a100", "--overlay", str(overlay)).out
    assert text.splitlines()[2].startswith("  expected")
