"""A schedule's plan in a prediction: what crosses is what the schedule says, on its own device."""

from __future__ import annotations

import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.plan import Plan

NETWORKS = {
    "resnet18": {},
    "mobilenet_v2": {},
    "densenet121": {},
    "nasnet_a_mobile": {},
    "vit_b_16": {},
    "efficientformer_l1": {},
    "bert_base": {},
    "mamba_130m": {},
    "gpt2": {"phase": "prefill", "prompt": 64},
    "tinyllama_1_1b": {"phase": "decode", "batch": 1},
}


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


def test_a_plan_with_operators_in_tiles_is_refused_not_ignored() -> None:
    made = pm.schedule("tiny_cnn", "gemmini_16x16", capacity="12 KiB", tiles=True, method="greedy")
    assert made.tiled is not None
    plan = Plan.from_json(made.plan.to_json())
    assert plan == made.plan
    assert len(plan.tiled) >= len(made.tiled.tilings) > 0
    assert set(plan.tiled) <= {p.operator for p in plan.order}
    with pytest.raises(InputError) as caught:
        pm.predict("tiny_cnn", "gemmini_16x16", plan=plan)
    (fault,) = caught.value.faults
    assert fault.path == "plan.tiled"
    assert plan.tiled[0] in fault.message
    assert "--tiles" in fault.expected
    whole = pm.schedule("tiny_cnn", "gemmini_16x16", capacity="64 KiB", tiles=True, method="greedy")
    assert whole.plan.tiled == ()
    assert pm.predict("tiny_cnn", "gemmini_16x16", plan=whole.plan).feasible


def test_energy_of_a_schedule_is_named_what_it_is() -> None:
    """Bytes off chip at their price and idle power: less than the energy of all of `predict`."""
    device = "a100"
    made = pm.schedule("mobilenet_v2", device, precision="int8", capacity="4 MiB", method="greedy")
    assert made.offchip_energy_j is not None
    whole = pm.predict("mobilenet_v2", device, precision="int8", plan=made.plan)
    assert 0 < made.offchip_energy_j < float(whole.energy_j)
    told = made.to_dict()
    assert told["offchip_energy_j"] == made.offchip_energy_j
    assert "energy_j" not in told
    assert "energy_j" not in told["timing"]
    assert "energy off chip" in repr(made)
    with pytest.warns(DeprecationWarning, match="offchip_energy_j"):
        assert made.energy_j == made.offchip_energy_j
    with pytest.raises(InputError) as caught:
        pm.schedule("mobilenet_v2", device, objective="energy_j")
    assert caught.value.faults[0].suggestion == "offchip_energy_j"
