"""``pm.patches`` and the command: words, devices, what does not fit."""

from __future__ import annotations

import json

import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.schedule.tiling import layer_by_layer, network, patch_plan, patch_plan_search
from perfmodel.schedule.tiling.patch_plan_search import Objective
from perfmodel.units import binary


def test_it_is_the_plan_of_the_network() -> None:
    found = pm.patches("mlperf_tiny_ic", capacity="20 KiB", objective="macs")
    net = network(pm.workload("mlperf_tiny_ic"), found.at.precision)
    plan = patch_plan(net, "macs", capacity_bytes=20 * 1024)
    assert found.feasible
    assert found.plan is not None
    assert plan is not None
    assert [s.patches for s in found.plan.stages] == [s.patches for s in plan.stages]
    assert found.plain.peak_bytes == layer_by_layer(net).peak_bytes
    told = found.to_dict()
    assert json.loads(json.dumps(told)) == told
    assert told["peak_bytes"] == plan.peak_bytes <= told["capacity_bytes"] == 20 * 1024
    assert len(found.table) == len(plan.stages)
    assert "in patches" in repr(found)


def test_what_does_not_fit_says_how_much_is_missing() -> None:
    found = pm.patches("mlperf_tiny_ic", capacity="2 KiB", objective="macs")
    assert not found.feasible
    why = found.infeasible
    assert why is not None
    least = patch_plan(found.plain.network, "peak")
    assert least is not None
    assert (why.demand, why.bound) == (least.peak_bytes, 2048)
    assert why.gap == why.demand - why.bound


def test_faults_are_told_together() -> None:
    with pytest.raises(InputError) as caught:
        pm.patches(
            "llama_3_8b",
            capacity="much",
            objective="speed",  # type: ignore[arg-type]
            modes=("keep",),
            memory="sram",
            most_patched=-1,
            time_limit_s=0.0,
        )
    places = [fault.path for fault in caught.value.faults]
    assert places == [
        "objective",
        "modes",
        "most_patched",
        "time_limit_s",
        "capacity",
        "workload",
        "memory",
    ]
    with pytest.raises(InputError, match="capacity"):
        pm.patches("mlperf_tiny_ic")


def test_what_has_no_images_is_refused() -> None:
    for name in ("llama_3_8b", "bert_base"):
        with pytest.raises(InputError, match="has no images to cut into patches") as caught:
            pm.patches(name, capacity="256 KiB")
        assert [fault.path for fault in caught.value.faults] == ["workload"]


class Counted:
    """A deadline that passes when it has been asked so often, on any machine."""

    asked = 0
    most = 0

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds

    def left(self) -> float:
        """Return some time, so that there is a limit."""
        return 1.0

    def passed(self) -> bool:
        """Tell whether the questions are used up."""
        Counted.asked += 1
        return Counted.asked > Counted.most

    def within(self, seconds: float) -> Counted:
        """Return a deadline that counts the same questions."""
        return self


@pytest.mark.parametrize(
    ("objective", "kib"),
    [("macs", 22), ("macs", 34), ("offchip", 18), ("offchip", 30), ("peak", 0)],
)
def test_a_plan_that_time_cuts_short_is_a_plan(
    monkeypatch: pytest.MonkeyPatch, objective: Objective, kib: int
) -> None:
    net = network(pm.workload("mlperf_tiny_ic"), "int8")
    capacity = 1024 * kib or None
    best = patch_plan(net, objective, capacity_bytes=capacity)
    assert best is not None
    assert best.proved

    def cost(plan: patch_plan_search.PatchPlan) -> int:
        return {"macs": plan.extra_macs, "offchip": plan.map_bytes, "peak": plan.peak_bytes}[
            objective
        ]

    monkeypatch.setattr(patch_plan_search, "Deadline", Counted)
    late = 0
    for most in (0, 3, 10, 30, 100, 300, 1000, 10**9):
        Counted.asked, Counted.most = 0, most
        found = patch_plan(net, objective, capacity_bytes=capacity, time_limit_s=1.0)
        if found is None:  # only where time ran out
            late += 1
            assert Counted.asked > most
            continue
        late += not found.proved
        assert [s.patches.start for s in found.stages[1:]] == [
            s.patches.end for s in found.stages[:-1]
        ]
        assert found.stages[-1].patches.end == len(net.layers)
        assert capacity is None or found.peak_bytes <= capacity
        assert cost(found) >= cost(best)
        if found.proved:
            assert cost(found) == cost(best)
    assert found is not None
    assert found.proved
    assert [s.patches for s in found.stages] == [s.patches for s in best.stages]
    assert late > 1


def test_no_time_is_no_proof() -> None:
    found = pm.patches("mlperf_tiny_ic", capacity="20 KiB", objective="macs", time_limit_s=1e-9)
    assert not found.feasible
    assert found.infeasible is not None
    assert not found.infeasible.proved
    assert "was found before time ran out" in repr(found)
    off = pm.patches("mlperf_tiny_ic", capacity="2 KiB", time_limit_s=1e-9)
    assert off.infeasible is not None
    assert not off.infeasible.proved
    # Whole layers with their maps off chip take no search.
    wide = pm.patches("mlperf_tiny_ic", capacity="40 KiB", time_limit_s=1e-9)
    assert wide.plan is not None
    assert not wide.plan.proved
    assert wide.to_dict()["proved"] is False
    assert "not proved: time ran out" in repr(wide)


@pytest.mark.parametrize("name", ["tiny_cnn", "mobilenet_v2", "mlperf_tiny_ic", "mcunet_5fps"])
def test_off_chip_means_what_it_means_in_a_schedule(name: str) -> None:
    """Where everything fits both move inputs, outputs and weights once, byte for byte."""
    schedule = pm.schedule(name, capacity="64 MiB", method="greedy")
    found = pm.patches(name, capacity="64 MiB")
    told = found.to_dict()
    assert schedule.trace.cost_bytes == 0
    assert told["offchip_bytes"] == told["compulsory_bytes"] == schedule.offchip_bytes
    assert found.plain.offchip_bytes == found.plain.compulsory_bytes == schedule.compulsory_bytes
    assert told["weight_bytes"] == schedule.weight_bytes
    assert f"{binary(schedule.offchip_bytes)} off chip" in repr(found)


@pytest.mark.exhaustive
def test_least_off_chip_is_of_all_that_crosses() -> None:
    """Weights that patches read again count: no plan of another objective moves fewer bytes."""
    least = pm.patches("mobilenet_v2", capacity="300 KiB")
    other = pm.patches("mobilenet_v2", capacity="300 KiB", objective="macs")
    assert least.plan is not None
    assert other.plan is not None
    assert least.plan.offchip_bytes <= other.plan.offchip_bytes
    assert least.plan.offchip_bytes > least.plan.compulsory_bytes
    outputs = 1000
    assert least.plan.offchip_bytes == (least.plan.map_bytes + least.plan.weight_bytes + outputs)
