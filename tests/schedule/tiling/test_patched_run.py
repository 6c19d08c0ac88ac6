"""A network in patches in a prediction: what the plan counts is what is charged."""

from __future__ import annotations

import pytest

import perfmodel as pm

CASES = (
    ("edge_tpu", "mobilenet_v2", "256 KiB"),
    ("gemmini_16x16", "resnet18", "200 KiB"),
    ("h100", "resnet50", "300 KiB"),
    ("rk3588", "mobilenet_v2", "300 KiB"),
)


@pytest.mark.parametrize(("device", "network", "capacity"), CASES)
def test_patches_are_charged_for_what_their_plan_counts(
    device: str, network: str, capacity: str
) -> None:
    found = pm.patches(network, device, capacity=capacity)
    assert found.plan is not None
    run, single = found.prediction, found.unpatched
    assert run is not None
    assert single is not None
    assert any(stage.patches.count > 1 for stage in found.plan.stages)
    assert run.traffic_bytes[found.at.where.outer] == pytest.approx(found.plan.offchip_bytes)
    operations = sum(n for key, n in run.totals.items() if _is_product(key))
    once = sum(n for key, n in single.totals.items() if _is_product(key))
    ratio = found.plan.macs / found.plain.macs
    assert operations / once == pytest.approx(ratio, rel=1e-6)
    assert found.run_energy_j == run.energy_j
    # Energy of the halo, of the bytes and of the longer time, term by term.
    parts, plain = run.energy.parts, single.energy.parts
    assert run.energy_j == pytest.approx(sum(parts.values()), rel=1e-12)
    assert parts["static"] / plain["static"] == pytest.approx(run.latency_s / single.latency_s)
    told = found.to_dict()
    assert told["run_energy_j"] == found.run_energy_j
    assert told["unpatched_energy_j"] == found.unpatched_energy_j == single.energy_j
    assert told["energy_boundary"] == run.energy_boundary
    assert f"energy ({run.energy_boundary})" in repr(found)


def _is_product(key: str) -> bool:
    return key.startswith("operations ") and key != "operations vector"


@pytest.mark.parametrize("device", ["edge_tpu", "rk3588", "stm32h743"])
def test_one_patch_is_the_run_that_predict_charges(device: str) -> None:
    found = pm.patches("mlperf_tiny_vww", device, precision="int8")
    assert found.plan is not None
    assert all(stage.patches.count == 1 for stage in found.plan.stages)
    single = pm.predict("mlperf_tiny_vww", device, precision="int8")
    assert found.run_energy_j == pytest.approx(single.energy_j, rel=1e-9)
    assert found.unpatched_energy_j == single.energy_j


def test_weights_are_read_once_for_each_patch() -> None:
    """Flash of a microcontroller, which has nothing behind its memory to spill to."""
    found = pm.patches("mlperf_tiny_vww", "stm32h743", capacity="48 KiB", precision="int8")
    assert found.plan is not None
    run, single = found.prediction, found.unpatched
    assert run is not None
    assert single is not None
    again = sum(s.weight_bytes - s.weight_bytes // s.patches.count for s in found.plan.stages)
    assert again > 0
    assert run.traffic_bytes["flash"] - single.traffic_bytes["flash"] == again


def test_without_a_device_the_energy_is_unknown_and_says_why() -> None:
    found = pm.patches("mlperf_tiny_ic", capacity="20 KiB", objective="macs")
    assert found.run_energy_j is None
    assert "no device" in found.energy_model
    assert found.to_dict()["unpatched_energy_j"] is None
    assert "energy" in repr(found)
