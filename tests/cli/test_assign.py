"""``perfmodel assign``: Python's numbers, exit codes, faults, files."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import perfmodel as pm
from perfmodel.plan import Plan

Run = Callable[..., Any]
INT8 = ("--precision", "int8")


def test_json_is_what_python_gives(run: Run) -> None:
    done = run("assign", "mobilenet_v3_small", "kv260", *INT8, "--json")
    found = pm.assign("mobilenet_v3_small", "kv260", precision="int8")
    assert done.code == 0
    assert done.data == json.loads(json.dumps(found.to_dict()))
    assert done.data["proved"] is True
    assert done.data["fallback"]["kernels"] == 28
    assert done.data["value_s"] <= done.data["delegated_s"]


def test_several_devices_make_a_pipeline(run: Run) -> None:
    done = run(
        "assign",
        "resnet18",
        "edge_tpu",
        "raspberry_pi_5",
        *INT8,
        "--objective",
        "throughput",
        "--contiguous",
        "--json",
    )
    assert done.code == 0
    data = done.data
    assert data["devices"] == ["edge_tpu", "raspberry_pi_5"]
    assert [s["engine"] for s in data["stretches"]] == ["edge_tpu.tpu", "raspberry_pi_5.cpu"]
    assert data["interval_s"] < min(data["alone_s"].values())
    assert data["interval_s"] == pytest.approx(max(data["loads_s"].values()))


def test_words_and_settings(run: Run) -> None:
    done = run(
        "assign",
        "mlperf_tiny_vww",
        "kv260",
        *INT8,
        "--set",
        "engines.cpu.handover=1 s",
        "--set",
        "engines.dpu.handover=1 s",
        "--set",
        "batch=2",
    )
    assert done.code == 0
    assert "one thing at a time; proved" in done.out
    assert "transfers   0 B, 0 s" in done.out
    alone = run("assign", "mlperf_tiny_vww", "kv260", *INT8, "--engines", "cpu", "--json")
    assert alone.data["engines"] == ["cpu"]


def test_files(run: Run, tmp_path: Path) -> None:
    plan, plot = tmp_path / "plan.json", tmp_path / "plot.html"
    rows, whole = tmp_path / "rows.csv", tmp_path / "whole.json"
    found = pm.assign("resnet18", "jetson_agx_orin", precision="int8", parallel=True)
    base = ("assign", "resnet18", "jetson_agx_orin", *INT8, "--parallel")
    done = run(*base, "--save-plan", str(plan), "--plot", str(plot), "-o", str(rows))
    assert done.code == 0
    assert done.out == ""
    assert Plan.from_json(plan.read_text()).check(found.network.graph) == []
    assert plot.read_text().lstrip().lower().startswith(("<!doctype html", "<html"))
    with rows.open() as file:
        assert len(list(csv.DictReader(file))) == found.network.problem.count
    assert run(*base, "-o", str(whole)).code == 0
    assert json.loads(whole.read_text())["goal"] == "parallel"


def test_no_engine_is_an_answer(run: Run) -> None:
    done = run("assign", "vit_b_16", "kv260", *INT8, "--engines", "dpu")
    assert done.code == 1
    assert "layer.attention@0: dpu lacks operator attention" in done.out
    data = run("assign", "vit_b_16", "kv260", *INT8, "--engines", "dpu", "--json")
    assert data.code == 1
    assert data.data["feasible"] is False
    assert data.data["latency_s"] is None


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (("resnet18",), ["DEVICES"]),
        (("resnet1", "kv26"), ["resnet18", "kv260"]),
        (("resnet18", "kv260", "--objective", "speed"), ["unknown objective 'speed'"]),
        (("resnet18", "kv260", "--parallel", "--contiguous"), ["run one after the other"]),
        (("resnet18", "kv260", "--engines", "npu"), ["no engine is named 'npu'"]),
        (("resnet18", "kv260", "edge_tpu", "--link", "string"), ["not a link of kv260 or"]),
        (
            ("resnet18", "kv260", "edge_tpu", "--set", "memories.dram.latency=1 us"),
            ["ambiguous with several devices"],
        ),
        (
            ("resnet18", "kv260", "--time-limit", "0", "-o", "x.pdf"),
            ["not a valid time limit", ".json"],
        ),
        (
            ("resnet18", "kv260", "edge_tpu", "raspberry_pi_5", "--link", "usb3"),
            ["'usb3' is not a link of kv260 or raspberry_pi_5"],
        ),
    ],
)
def test_faults(run: Run, arguments: tuple[str, ...], messages: list[str]) -> None:
    done = run("assign", *arguments)
    assert done.code == 2
    assert done.out == ""
    for message in messages:
        assert message in done.err


def test_every_fault_at_once(run: Run, tmp_path: Path) -> None:
    done = run(
        "assign",
        "resnet1",
        "kv260",
        "--objective",
        "foo",
        "--engines",
        "nope,cpuu",
        "--link",
        "q",
        "--looks",
        "-1",
        "--time-limit",
        "0",
        "--any-order",
        "--set",
        "nothing",
        "--save-plan",
        str(tmp_path / "x.csv"),
        "--plot",
        str(tmp_path / "x.png"),
        "-o",
        str(tmp_path / "x.pdf"),
    )
    assert (done.code, done.out) == (2, "")
    for words in (
        "--set: 'nothing'",
        "-o: 'x.pdf'",
        "--save-plan: 'x.csv'",
        "--plot: 'x.png'",
        "--objective: unknown objective 'foo'",
        "--any-order: ",
        "--time-limit: 0.0",
        "--looks: -1",
        "'resnet1'; did you mean 'resnet18'",
        "--engines: no engine is named 'nope'",
        "did you mean 'cpu'?",
        "--link: 'q' is not a link of kv260; expected a bandwidth",
    ):
        assert words in done.err, words
    assert len(done.faults) == 12
    assert list(tmp_path.iterdir()) == []


def test_python_tells_every_fault_at_once() -> None:
    with pytest.raises(pm.InputError) as caught:
        pm.assign(
            "resnet1",
            ["kv260", "edge_tpu"],
            objective="foo",
            engines=["nope"],
            link="q",
            precision="fp99",
            runtime="nix",
            looks=-1,
        )
    assert len(caught.value.faults) == 7
