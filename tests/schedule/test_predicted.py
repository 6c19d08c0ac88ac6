"""A schedule's plan in a prediction: what crosses is what the schedule says, on its own device."""

from __future__ import annotations

import pytest

import perfmodel as pm

NETWORKS = {
    "resnet18": {}, "mobilenet_v2": {}, "densenet121": {}, "nasnet_a_mobile": {}, "vit_b_16": {},
    "efficientformer_l1": {}, "bert_base": {}, "mamba_130m": {},
    "gpt2": {"phase": "prefill", "prompt": 64}, "tinyllama_1_1b": {"phase": "decode", "batch": 1},
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("device", ["edge_tpu", "gemmini_16x16", "h100", "rk3588"])
def test_what_crosses_is_what_the_schedule_says(name: str, device: str) -> None:
    workload = pm.workload(name, **NETWORKS[name])
    least = pm.schedule(workload, device, objective="peak", method="greedy").working_set_bytes
    s = pm.schedule(workload, device, capacity=least, method="greedy", addresses=False)
    p = pm.predict(workload, device, plan=s.plan)
    assert p.traffic_bytes[s.where.outer] == pytest.approx(s.offchip_bytes, rel=1e-9)
    assert p.traffic_model == f"as planned between {s.where.memory} and {s.where.outer}"
    # What is not spilled does not cross: more room, less traffic, never slower.
    roomy = pm.schedule(workload, device, capacity=4 * least, method="greedy", addresses=False)
    q = pm.predict(workload, device, plan=roomy.plan)
    assert q.traffic_bytes[s.where.outer] <= p.traffic_bytes[s.where.outer]
    assert q.latency_s <= p.latency_s * (1 + 1e-12)


def test_a_plan_is_for_its_device_and_its_precision() -> None:
    s = pm.schedule("resnet18", "edge_tpu", method="greedy")
    with pytest.raises(pm.InputError, match="is for edge_tpu; expected kv260"):
        pm.predict("resnet18", "kv260", precision="int8", plan=s.plan)
    with pytest.raises(pm.InputError, match="is for precision int8"):
        pm.predict("resnet18", "edge_tpu", precision="fp16", plan=s.plan)
    with pytest.raises(pm.InputError, match="another graph"):
        pm.predict("resnet50", "edge_tpu", plan=s.plan)


def test_a_plan_that_holds_more_than_the_memory_does_not_fit() -> None:
    s = pm.schedule("resnet18", "edge_tpu", method="greedy")
    assert pm.predict("resnet18", "edge_tpu", plan=s.plan).feasible
    small = {"memories.sram.capacity": "1.5 MiB"}
    p = pm.predict("resnet18", "edge_tpu", plan=s.plan, set=small)
    assert not p.feasible
    assert p.violations[0].limit == "memories.sram.capacity"
    assert p.violations[0].demand == s.peak_bytes


def test_resident_weights_do_not_stream() -> None:
    streamed = pm.schedule("mobilenet_v2", "edge_tpu", capacity=8_000_000, method="greedy")
    resident = pm.schedule(
        "mobilenet_v2", "edge_tpu", capacity=8_000_000, method="greedy", weights="resident"
    )
    assert streamed.offchip_bytes - resident.offchip_bytes == streamed.weight_bytes
    assert resident.latency_s < streamed.latency_s
    p = pm.predict("mobilenet_v2", "edge_tpu", plan=resident.plan)
    assert p.traffic_bytes["host_dram"] == resident.offchip_bytes
    none = pm.schedule("mobilenet_v2", "edge_tpu", capacity="2 MiB", weights="resident")
    assert not none.feasible
    assert "resident weights alone need" in none.infeasible.statement


def test_nothing_is_spilled_where_nothing_behind_can_be_written() -> None:
    """A microcontroller has SRAM and a flash that programs do not write."""
    s = pm.schedule("mlperf_tiny_vww", "stm32h743", precision="int8")
    assert s.feasible
    assert s.proved
    assert s.spill_bytes == s.reload_bytes == 0
    large = pm.schedule("nasnet_a_mobile", "stm32h743", capacity="850 KiB", precision="int8")
    assert not large.feasible
    assert "nothing behind sram can be written" in large.infeasible.statement
    assert any("more than the" in note for note in large.notes)
    assert not any("spill" in lever.statement for lever in large.infeasible.levers)
