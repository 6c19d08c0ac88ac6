"""One design, one energy: every question charges the same sum for the same run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.prediction import Prediction
from perfmodel.schedule.result import Schedule

DEVICES = ("h100", "jetson_agx_orin", "rk3588", "core_i9_14900k", "stm32h743", "gemmini_16x16")
SPACE = {"weight_bits": [4, 8], "activation_bits": [8, 16]}


def counted(found: Prediction) -> float:
    """Return the energy of a run, summed kernel by kernel from its table and its facts.

    ``(P_idle + P_running) t + min(sum of n e, (P_busy - P_idle - P_running) t)``, or one power for
    as long as the engine computes.
    """
    facts, table = found.machine.facts, found.table
    head = f"engines.{found.setting.engine_name}."
    if head + "busy_power" in facts:
        return facts[head + "busy_power"] * found.latency_s
    main, idle = found.levels[-1], facts["power.idle"]
    count, seconds = table["count"], table["row_s"]
    vector = facts.get(head + "vector_energy_per_op")
    ((wanted, executed),) = {*found.executed.items()}
    vector = facts[f"{head}energy_per_op.{executed}"] if vector is None else vector
    operations = 2.0 * table["macs"] * facts[f"{head}energy_per_op.{executed}"]
    moved = table[f"{main}_bytes"] * (
        facts[f"memories.{main}.energy_per_byte"] + facts[head + "transport_energy"]
    )
    for level in found.levels[:-1]:
        moved = moved + table[f"{level}_bytes"] * facts.get(
            f"memories.{level}.energy_per_byte", 0.0
        )
    running = facts[head + "running_power"]
    spare = facts.get("power.busy", math.inf) - idle - running
    joule = np.minimum(operations + table["vector_ops"] * vector + moved, spare * seconds)
    assert wanted
    return idle * found.latency_s + float(np.sum(count * (joule + running * seconds)))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("network", ["resnet18", "mobilenet_v2"])
def test_a_prediction_and_one_of_its_plan_are_the_same_sum(device: str, network: str) -> None:
    found = pm.predict(network, device, precision="int8")
    assert found.energy_j == pytest.approx(counted(found), rel=1e-9)
    assert found.energy_j == pytest.approx(sum(found.energy.parts.values()), rel=1e-9)
    made = pm.schedule(network, device, precision="int8", capacity="4 MiB", method="greedy")
    assert isinstance(made, Schedule)
    planned = pm.predict(network, device, precision="int8", plan=made.plan)
    assert planned.energy_j == pytest.approx(counted(planned), rel=1e-9)
    # A schedule leaves arithmetic and on-chip memories out, and says so by its name; a chip
    # without a memory behind the scheduled one has nothing off chip.
    if made.offchip_energy_j is not None:
        assert 0.0 < made.offchip_energy_j < planned.energy_j
    else:
        assert found.machine.main_memory == made.where.memory


def test_oracle_and_prediction_of_a_pipeline_meet_the_same_power_limit() -> None:
    """The seconds of a layer, of which its limit is a multiple, follow from the others of it."""
    space = pm.space("mlperf_tiny_ic", SPACE, share="kind", precision="w8a8")
    limit = {"power.busy": "2.03 W"}
    free = pm.predict("mlperf_tiny_ic", "ultra96_codenet", precision="w8a8")
    machine = pm.predict("mlperf_tiny_ic", "ultra96_codenet", precision="w8a8", set=limit).machine
    oracle = pm.Oracle(machine, space, ("latency_s", "energy_j"))
    for member in space.sample(6, seed=2).tolist():
        single: Any = oracle.predict(tuple(member))
        assert oracle(tuple(member))["energy_j"] == pytest.approx(single.energy_j, rel=1e-9)
        assert single.power_w <= 2.03 * (1.0 + 1e-12) < free.power_w


@pytest.mark.parametrize("device", DEVICES)
def test_oracle_and_search_charge_what_a_prediction_does(device: str) -> None:
    space = pm.space("mlperf_tiny_ic", SPACE, share="kind", precision="w8a8")
    oracle = pm.Oracle(device, space, ("latency_s", "energy_j"))
    members = [tuple(member) for member in space.sample(6, seed=2).tolist()]
    for member in members:
        single: Any = oracle.predict(member)
        assert oracle(member)["energy_j"] == pytest.approx(single.energy_j, rel=1e-9)
    found = pm.search(space, device, objective="energy_j", method="exhaustive")
    least = min(
        oracle(tuple(m))["energy_j"] for m in np.ndindex(*(len(d.options) for d in space.decisions))
    )
    assert found.value == pytest.approx(least, rel=1e-9)
    assert found.prediction is not None
    assert found.prediction.energy_j == pytest.approx(least, rel=1e-9)
