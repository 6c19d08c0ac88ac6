"""What the page of ``perfmodel explore`` answers, without a browser."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import perfmodel as pm
from perfmodel.cli import main
from perfmodel.explore.answer import answer
from perfmodel.explore.choices import Choices, parameters_of, phases_of
from perfmodel.explore.selection import ExplorerSelection
from perfmodel.units import parse, show

CHOICES = Choices()
LLAMA = ExplorerSelection(
    "llama_3_8b", "jetson_agx_orin", precision="w4a16", batch=4.0, length=1024.0
)


def numbers(found: Any, side: int = 0) -> dict[str, str]:
    return {label: text for label, text, _ in found.devices[side].numbers}


def test_it_says_what_predict_says() -> None:
    found = answer(LLAMA, CHOICES)
    p = pm.predict(
        pm.workload("llama_3_8b", batch=4, context=1024), "jetson_agx_orin", precision="w4a16"
    )
    assert found.faults == []
    assert numbers(found)["latency"] == show(p.latency_s, "time")
    assert numbers(found)["memory"] == show(p.peak_memory_bytes, "bytes")
    assert found.devices[0].verdict == "Fits."
    assert set(found.figures) == {"roofline", "bottlenecks", "memory", "front"}
    # The point that is chosen lies where the prediction is.
    (here,) = [t for t in found.figures["front"]["data"] if t.get("name") == "chosen"]
    assert (here["x"], here["y"]) == ([p.tokens_per_s], [p.energy_j])


@pytest.mark.parametrize(
    "asked",
    [
        LLAMA,
        replace(LLAMA, phase="request", runtime="generic"),
        ExplorerSelection(
            "resnet18", "a100", settings="height=320; width=320", precision="int8", batch=8.0
        ),
        ExplorerSelection("mobilenet_v2", "zen4_core", settings="memories.main.bandwidth=10 GB/s"),
    ],
)
def test_its_calls_give_the_numbers_on_the_page(
    asked: ExplorerSelection, capsys: pytest.CaptureFixture[str]
) -> None:
    import json
    import shlex

    found = answer(asked, CHOICES)
    assert found.faults == []
    names: dict[str, Any] = {}
    exec(found.python, names)
    assert show(names["p"].latency_s, "time") == numbers(found)["latency"]
    assert main([*shlex.split(found.command)[1:], "--json"]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["latency_s"] == names["p"].latency_s


def test_a_limit_says_by_how_much_and_what_would_meet_it() -> None:
    found = answer(replace(LLAMA, limits={"latency": "20 ms", "memory": "1 TB"}), CHOICES)
    side = found.devices[0]
    assert side.verdict == "Above a limit."
    (line,) = side.missing
    assert "above the limit of 20 ms" in line
    # The memory that it names does meet the limit, and a little less does not.
    said = line.split("a main memory of ")[1].split(" would")[0]
    workload = pm.workload("llama_3_8b", batch=4, context=1024)
    for factor, good in ((1.001, True), (0.99, False)):
        varied = {"memories.main.bandwidth": factor * parse(said, "bandwidth")}
        p = pm.predict(workload, "jetson_agx_orin", precision="w4a16", set=varied)
        assert (p.latency_s <= 0.020) == good
    assert (
        "no bandwidth of main memory alone meets it"
        in answer(replace(LLAMA, limits={"latency": "1 us"}), CHOICES).devices[0].missing[0]
    )
    assert answer(replace(LLAMA, limits={"latency": "10 s"}), CHOICES).devices[0].missing == []


def test_what_does_not_fit_is_told_with_its_levers() -> None:
    found = answer(ExplorerSelection("llama_3_8b", "raspberry_pi_5", precision="fp16"), CHOICES)
    (violation,) = pm.predict("llama_3_8b", "raspberry_pi_5", precision="fp16").violations
    assert found.devices[0].missing == [str(violation)]
    assert found.devices[0].verdict == "Does not fit."


def test_two_devices_stand_side_by_side() -> None:
    found = answer(replace(LLAMA, second_device="rtx_4090"), CHOICES)
    c = pm.compare(
        pm.workload("llama_3_8b", batch=4, context=1024),
        "jetson_agx_orin",
        "rtx_4090",
        precision="w4a16",
    )
    assert [side.device for side in found.devices] == ["jetson_agx_orin", "rtx_4090"]
    assert found.reasons == c.reasons
    assert "roofline_beside" in found.figures


def test_every_fault_is_told_at_once() -> None:
    found = answer(
        replace(
            LLAMA,
            precision="w4a99x",
            settings="bathc=3; memories.main.bandwidth=3 MB; x",
            limits={"latency": "fast", "energy": "-1 J"},
        ),
        CHOICES,
    )
    text = "\n".join(found.faults)
    assert found.devices == []
    for part in (
        "w4a99x",
        "did you mean 'batch'",
        "memories.main.bandwidth",
        "'x' sets nothing",
        "limit of latency",
        "limit of energy",
    ):
        assert part in text
    assert "Traceback" not in text


def test_nothing_but_the_choices_is_read(tmp_path: Path) -> None:
    """Names come over HTTP: a path among them is refused before it is opened."""
    spec = tmp_path / "device.yaml"
    spec.write_text("this is not read")
    path = str(spec)
    for asked in (
        replace(LLAMA, workload=path),
        replace(LLAMA, device=path),
        replace(LLAMA, second_device=path),
        replace(LLAMA, runtime=path),
        replace(LLAMA, settings=f"runtime={path}"),
        replace(LLAMA, settings=f"device={path}"),
        replace(LLAMA, settings=f"workload={path}"),
    ):
        found = answer(asked, CHOICES)
        assert found.devices == []
        assert any("none of the choices" in f or "a choice of its own" in f for f in found.faults)


def test_what_was_named_at_the_start_may_be_chosen(tmp_path: Path, checkout: Path) -> None:
    spec = tmp_path / "mine.yaml"
    spec.write_text((checkout / "hardware_specs" / "devices" / "a100.yaml").read_text())
    choices = CHOICES.with_files("resnet18", str(spec), "")
    found = answer(ExplorerSelection("resnet18", str(spec)), choices)
    assert found.faults == []
    assert numbers(found)["latency"] == show(pm.predict("resnet18", "a100").latency_s, "time")


def test_any_workload_on_any_kind_of_device_is_answered() -> None:
    """One of each, with no fault but those of the input."""
    for workload, device in (
        ("mlperf_tiny_vww", "stm32h743"),
        ("yolov5s", "zcu104"),
        ("resnet18", "cim_wang_22nm"),
        ("resnet18", "nvme_host"),
        ("mlperf_tiny_ic", "eyeriss"),
    ):
        found = answer(ExplorerSelection(workload, device), CHOICES)
        assert "bug" not in " ".join(found.faults)
        assert found.faults or {"roofline", "memory"} <= set(found.figures)


def test_phases_and_sliders_follow_the_workload() -> None:
    assert phases_of("llama_3_8b") == ("decode", "prefill", "request")
    assert phases_of("resnet18") == ()
    assert "context" in parameters_of("llama_3_8b", "decode")
    assert "context" not in parameters_of("llama_3_8b", "prefill")


def test_without_dash_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "dash", None)
    assert main(["explore", "--no-browser"]) == 2
    assert "pip install 'perfmodel[ui]'" in capsys.readouterr().err


def test_bad_names_and_ports_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("dash")
    assert main(["explore", "resnet81", "a1000", "--no-browser"]) == 2
    said = capsys.readouterr().err
    assert "resnet81" in said
    assert "a1000" in said
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["explore", "--no-browser", "--port", str(port)]) == 2
    assert f"port {port} cannot be had" in capsys.readouterr().err
    assert main(["explore", "--no-browser", "--port", "99999"]) == 2
