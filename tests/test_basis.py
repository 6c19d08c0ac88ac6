"""What predictions rest on, and that no bound beats a prediction."""

from __future__ import annotations

import json

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.cli import main
from perfmodel.prediction import Prediction
from perfmodel.sweep import METRICS

CASES = [
    # (model, device, how, basis)
    ("llama_2_7b", "apple_m2_max", {"precision": "q4_0", "runtime": "llama_cpp_metal"}, "measured"),
    ("mlperf_tiny_kws", "stm32u575", {"runtime": "x_cube_ai_9"}, "measured"),
    (
        "llama_2_7b",
        "apple_m4_max",
        {"precision": "q4_0", "runtime": "llama_cpp_metal"},
        "transferred",
    ),
    ("resnet50", "rtx_4090", {"runtime": "generic"}, "assumed"),
    ("resnet50", "apple_m1", {"runtime": "vllm"}, "assumed"),
    ("mobilenet_v2", "snapdragon_8_gen_3", {"runtime": "ncnn_vulkan"}, "assumed"),
    ("resnet50", "rtx_4090", {"runtime": "ideal"}, "bound"),
    ("resnet50", "rtx_4090", {"model": "roofline"}, "bound"),
]


@pytest.mark.parametrize(("model", "device", "how", "basis"), CASES)
def test_bases_of_predictions(model: str, device: str, how: dict[str, str], basis: str) -> None:
    phase = {"phase": "decode"} if model.startswith("llama") else {}
    found = pm.predict(pm.workload(model, **phase), device, **how)
    assert found.basis == basis, found.basis_reason
    half, most = found.interval(level=0.5), found.interval()
    assert most.low <= found.latency_s <= most.high
    assert most.low <= half.low <= half.high <= most.high
    if basis == "bound":
        assert (most.low, most.high) == (found.latency_s, np.inf)
        assert "at least" in most.show("time")
        rate = found.interval("frames_per_s")
        assert (rate.low, rate.high) == (0.0, found.frames_per_s)
    assert f"{basis}: {found.basis_reason}" in str(found)


def measured() -> Prediction:
    workload = pm.workload("llama_2_7b", phase="decode")
    return pm.predict(workload, "apple_m2_max", precision="q4_0", runtime="llama_cpp_metal")


def test_a_varied_machine_is_at_most_transferred() -> None:
    varied = {"memories.main.bandwidth": "300 GB/s"}
    base = measured()
    found = pm.predict(
        base.workload, "apple_m2_max", precision="q4_0", set=varied, runtime="llama_cpp_metal"
    )
    assert found.basis == "transferred"


@pytest.mark.parametrize("batch", [1.5, [1, 1.5]])
def test_sizes_that_are_no_whole_numbers_are_flagged(batch: float | list[float]) -> None:
    found = pm.predict(pm.workload("resnet50", batch=np.array(batch)), "rtx_4090")
    assert found.basis == "assumed"
    assert any("no whole number" in remark for remark in found.to_dict()["remarks"])
    assert (
        pm.predict("resnet50", "rtx_4090", set={"batch": 1.5}, relaxed=True).to_dict()["remarks"]
        == []
    )


def test_many_points_have_ends_of_their_own() -> None:
    points = pm.predict(pm.workload("resnet50", batch=[1, 8, 64]), "raspberry_pi_5")
    for i in range(3):
        one = points.at(i).interval()
        assert points.latency_low_s[i] == pytest.approx(one.low, rel=1e-12)
        assert points.latency_high_s[i] == pytest.approx(one.high, rel=1e-12)


def test_a_request_has_ends_between_those_of_its_phases() -> None:
    found = pm.request(
        "llama_2_7b",
        "apple_m2_max",
        prompt=512,
        generate=64,
        precision="q4_0",
        runtime="llama_cpp_metal",
    )
    ttft, tpot, both = (found.interval(m) for m in ("ttft_s", "tpot_s", "latency_s"))
    assert both.low == pytest.approx(ttft.low + 63 * tpot.low, rel=1e-9)
    assert both.high == pytest.approx(ttft.high + 63 * tpot.high, rel=1e-9)
    assert found.basis == "measured"
    assert set(found.to_dict()["intervals"]) == {"latency_s", "ttft_s", "tpot_s", "energy_j"}


def test_a_server_has_intervals() -> None:
    found = pm.serve("llama_3_8b", "h100", runtime="vllm", concurrency=8)
    spans = found.to_dict()["intervals"]
    for metric in ("ttft_s", "tpot_s", "tokens_per_s"):
        assert spans[metric]["90"]["low"] <= getattr(found, metric) <= spans[metric]["90"]["high"]


def test_what_has_no_interval_is_refused() -> None:
    found = pm.predict("resnet50", "rtx_4090")
    for metric, level in (("macs", 0.9), ("tokens_per_s", 0.9), ("latency_s", 1.0)):
        with pytest.raises(pm.InputError):
            found.interval(metric, level)


def test_no_bound_is_first() -> None:
    """A bound beats every prediction in numbers, and none in a ranking."""
    devices = ["rtx_4090", "raspberry_pi_5"]
    table = pm.sweep("resnet50", devices, {"batch": [1, 8]}, runtime=["ideal", "generic"])
    assert {"basis", "latency_low_s", "latency_high_s"} <= set(METRICS) <= set(table.columns)
    assert (table["basis"] == "bound").sum() == 4
    best = table.best("latency_s")
    assert best is not None
    assert best.basis == "assumed"
    assert set(table.pareto("latency_s", "energy_j")["basis"]) == {"assumed"}
    together = table.best("latency_s", bounds=True)
    assert together is not None
    assert together.basis == "bound"
    assert set(table.best("latency_s", per="device")["basis"]) == {"assumed"}
    # Of bounds alone one is the best.
    alone = table.where("basis == 'bound'").best("latency_s")
    assert alone is not None
    assert alone.basis == "bound"


@pytest.mark.parametrize("asked", [["--best", "latency_s"], ["--pareto", "latency_s,energy_j"]])
def test_the_command_sets_bounds_apart(
    asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sweep", "resnet50", "-d", "rtx_4090", "--runtime", "ideal,generic", *asked]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert out.index("generic") < out.index("bounds, set apart") < out.index("ideal")
    assert "1 of 2 rows that fit are bounds" in err
    assert main([*words, "--bounds"]) == 0
    out, _ = capsys.readouterr()
    assert "ideal" in out
    assert "generic" not in out
    assert main([*words, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["bounds"]["rows"] == 1
    # Bounds alone are ranked: there is nothing that they could beat.
    assert main(["sweep", "resnet50", "-d", "rtx_4090", "--runtime", "ideal", *asked]) == 0
    assert "ideal" in capsys.readouterr().out


def test_a_bound_is_not_faster_than_a_prediction() -> None:
    found = pm.compare("resnet50", "rtx_4090", "rtx_4090", runtime=("generic", "ideal"))
    assert "faster" not in found.reasons[0]
    assert "no bound beats" in found.reasons[0]
    assert found.to_dict()["b"]["basis"] == "bound"
    both = pm.compare("resnet50", "rtx_4090", "rtx_4090", runtime=("generic", "ideal"), bounds=True)
    assert "faster" in both.reasons[0]
    assert any("at least" in text for text in found.spreads)


def test_json_has_basis_and_intervals(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "resnet50", "raspberry_pi_5", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["basis"] in ("measured", "transferred", "assumed")
    assert data["basis_reason"]
    for metric in ("latency_s", "frames_per_s"):
        ends = data["intervals"][metric]
        assert ends["90"]["low"] <= ends["50"]["low"] <= ends["50"]["high"] <= ends["90"]["high"]
        assert ends["90"]["low"] <= data[metric] <= ends["90"]["high"]


def test_a_search_and_a_solution_say_what_they_rest_on() -> None:
    found = pm.search("resnet18", "edge_tpu", choices={"weight_bits": [8]}, share="network")
    assert found.prediction is not None
    assert found.to_dict()["best"]["basis"] == found.prediction.basis
    solved = pm.solve("resnet50", "rtx_4090", "memories.main.bandwidth", "frames_per_s >= 1000")
    assert f"basis: {solved.prediction.basis}" in repr(solved)


@pytest.mark.parametrize(("model", "context"), [("llama_2_7b", 8192), ("gpt2", 2048)])
def test_contexts_beyond_the_models_are_flagged(model: str, context: int) -> None:
    found = pm.predict(pm.workload(model, phase="decode", context=context), "rtx_4090")
    assert found.basis == "assumed"
    assert f"a context of {context} tokens" in found.basis_reason
    within = pm.predict(pm.workload(model, phase="decode", context=512), "rtx_4090")
    assert not any("trained on contexts" in text for text in within.to_dict()["remarks"])
