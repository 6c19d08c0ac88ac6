"""``pm.patches`` and the command: words, devices, what does not fit."""

from __future__ import annotations

import json

import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.schedule.tiling import layer_by_layer, network, patch_plan


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
        pm.patches("mlperf_tiny_ic", objective="speed", modes=("keep",))  # type: ignore[arg-type]
    assert len(caught.value.faults) == 2
    with pytest.raises(InputError, match="capacity"):
        pm.patches("mlperf_tiny_ic")
