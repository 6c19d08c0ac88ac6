"""One design, one energy: every question charges the same sum for the same run."""

from __future__ import annotations

import math
import random
from functools import cache
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.hardware.library import device_names, hardware
from perfmodel.prediction import Prediction
from perfmodel.prediction.stages import row_energies
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


#: Networks of growing size, the first of which a device takes is asked of it.
SMALL = ("mlperf_tiny_ic", "tiny_cnn", "mlperf_tiny_ad")


@cache
def drawn() -> tuple[str, ...]:
    """Return devices of every kind that run a small network, two of each at most, seeded."""
    by_kind: dict[str, list[str]] = {}
    for name in device_names():
        device = hardware(name)
        by_kind.setdefault(device.engine(device.machine().engine).kind, []).append(name)
    rng = random.Random(22)
    return tuple(
        name
        for kind in sorted(by_kind)
        for name in rng.sample(by_kind[kind], min(2, len(by_kind[kind])))
    )


DRAWN = drawn()


def test_devices_are_drawn_over_all_kinds() -> None:
    kinds = {hardware(name).engine(hardware(name).machine().engine).kind for name in DRAWN}
    assert len(DRAWN) >= 20
    assert len(kinds) >= 12


def summed(found: Prediction) -> float:
    """Return the energy of a run from its rows, and static power over its whole latency."""
    table, terms = found.opened
    rows = sum(float(np.sum(j)) for j in row_energies(table, terms, found.setting).values())
    outside_s = found.latency_s - float(np.sum(found.table["total_s"]))
    parts = found.energy.parts
    static_w = sum(j for n, j in parts.items() if n.startswith(("static", "background", "busy")))
    return rows + static_w / found.latency_s * outside_s


def network_of(device: str) -> str | None:
    """Return the first small network that a device runs with a known energy."""
    for network in SMALL:
        try:
            found = pm.predict(network, device)
        except pm.InputError:
            continue
        if not math.isnan(found.energy_j):
            return network
    return None


@pytest.mark.parametrize("device", DRAWN)
def test_plans_patches_and_cuts_of_a_drawn_device_are_the_sum_of_predict(device: str) -> None:
    network = network_of(device)
    if network is None:
        pytest.skip("runs none of the small networks, or with an unknown energy")
    single = pm.predict(network, device)
    assert single.energy_j == pytest.approx(summed(single), rel=1e-9)
    roomy: Any = pm.schedule(network, device, method="greedy", addresses=False)
    planned = pm.predict(network, device, plan=roomy.plan)
    assert roomy.run_energy_j == planned.energy_j == pytest.approx(summed(planned), rel=1e-9)
    assert roomy.energy_model == planned.energy_model
    # Half of what the largest step needs: the others run in tiles, which move no fewer bytes.
    room = max(roomy.working_set_bytes // 2, 1024)
    tiled: Any = pm.schedule(
        network, device, method="greedy", capacity=room, tiles=True, addresses=False
    )
    if tiled.feasible and tiled.plan.tiles:
        in_tiles = pm.predict(network, device, plan=tiled.plan)
        assert tiled.run_energy_j == in_tiles.energy_j == pytest.approx(summed(in_tiles), rel=1e-9)
        outer = tiled.where.outer
        if outer in in_tiles.traffic_bytes:
            assert in_tiles.traffic_bytes[outer] >= planned.traffic_bytes[outer]
            assert in_tiles.energy_j >= planned.energy_j * (1 - 1e-12)
    cut = pm.split(network, device, "rtx_4090", rate="10 Mbit/s")
    here = int(np.flatnonzero(cut.cuts.server_s == 0.0)[0])
    assert cut.energy_j[here, 0] == pytest.approx(single.energy_j, rel=1e-9)


@pytest.mark.parametrize("device", DRAWN)
def test_patches_of_a_drawn_device_are_the_sum_of_predict(device: str) -> None:
    if network_of(device) != SMALL[0]:
        pytest.skip("does not run the small network of images with a known energy")
    found = pm.patches(SMALL[0], device, capacity="20 KiB", time_limit_s=5.0)
    assert found.unpatched_energy_j == pytest.approx(summed(pm.predict(SMALL[0], device)), rel=1e-9)
    assert found.plan is not None
    run = found.prediction
    assert run is not None
    assert found.run_energy_j == pytest.approx(sum(run.energy.parts.values()), rel=1e-12)
    if run.setting.weights_memory == found.at.where.outer in run.traffic_bytes:
        assert run.traffic_bytes[found.at.where.outer] == pytest.approx(found.plan.offchip_bytes)


@pytest.mark.parametrize("device", DRAWN)
def test_an_oracle_of_a_drawn_device_is_the_sum_of_predict(device: str) -> None:
    if network_of(device) != SMALL[0]:
        pytest.skip("does not run the small network of images with a known energy")
    space = pm.space("mlperf_tiny_ic", SPACE, share="network")
    oracle = pm.Oracle(device, space, ("latency_s", "energy_j"))
    for member in space.sample(2, seed=5).tolist():
        single: Any = oracle.predict(tuple(member))
        found = oracle(tuple(member))["energy_j"]
        assert found == pytest.approx(single.energy_j, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("device", DRAWN)
def test_an_assignment_to_one_engine_is_the_sum_of_predict(device: str) -> None:
    network = network_of(device)
    if network is None:
        pytest.skip("runs none of the small networks, or with an unknown energy")
    single = pm.predict(network, device)
    engine = single.setting.engine_name
    found = pm.assign(network, device, engines=[engine], precision=single.precision)
    alone = found.network.profiles[0].prediction
    if not found.feasible:
        assert math.isnan(found.energy_j)
        return
    assert found.latency_s == pytest.approx(alone.latency_s, rel=1e-9)
    assert found.energy_j == pytest.approx(summed(alone), rel=1e-9)
    if alone.latency_s == pytest.approx(single.latency_s, rel=1e-12):
        assert found.energy_j == pytest.approx(single.energy_j, rel=1e-9)
    told = found.to_dict()
    assert told["energy_j"] == found.energy_j
    assert told["energy_boundary"] == single.energy_boundary


@pytest.mark.parametrize(
    ("device", "engines"),
    [("jetson_agx_orin", ("gpu", "cpu")), ("kv260", ("dpu", "cpu")), ("rk3588", ("npu", "cpu"))],
)
def test_kernels_on_two_engines_are_charged_each_on_its_own(
    device: str, engines: tuple[str, str]
) -> None:
    """Idle power while no engine runs whose power has it; what engines do by their energies."""
    network = "mobilenet_v3_small"
    found = pm.assign(network, device, precision="int8", engines=engines)
    on = np.array([engines.index(engine) for engine in found.engine.values()])
    expected, busy_s, static_w = 0.0, 0.0, 0.0
    for e, profile in enumerate(found.network.profiles):
        p = profile.prediction
        parts = row_energies(*p.opened, p.setting)
        rest = [j for n, j in parts.items() if not n.startswith(("static", "background"))]
        expected += float(np.sum(rest, axis=0)[on == e].sum())
        if "busy" in parts:
            busy_w = p.machine.facts[f"engines.{engines[e]}.busy_power"]
            assert parts["busy"] == pytest.approx(busy_w * p.table["total_s"])
            busy_s += float(p.table["row_s"][on == e].sum())
        # Nothing else is static where an idle power is known.
        assert not {n for n in parts if n.startswith(("background", "leakage"))}
        static_w = p.machine.facts["power.idle"]
    expected += static_w * (found.latency_s - busy_s)
    assert found.energy_j == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("device", DRAWN)
def test_the_forward_pass_of_a_training_step_is_that_of_predict(device: str) -> None:
    network = network_of(device)
    if network is None:
        pytest.skip("runs none of the small networks, or with an unknown energy")
    try:
        every = pm.finetune(network, device, train="*=all")
    except pm.InputError:
        pytest.skip("the engine runs no training step")
    single = pm.predict(network, device, precision=str(every.costs.forward.precision))
    assert every.forward_energy_j == pytest.approx(summed(single), rel=1e-9)
    assert every.energy_j == pytest.approx(every.forward_energy_j + every.backward_energy_j)
    assert every.backward_energy_j > 0.0


#: Devices that run language models.
LANGUAGE = tuple(n for n in DRAWN if hardware(n).machine().main_memory not in ("sram", "bram"))


@pytest.mark.parametrize("device", LANGUAGE)
def test_requests_and_servers_of_a_drawn_device_are_the_sum_of_predict(device: str) -> None:
    model = "opt_125m"
    try:
        steps = [
            pm.predict(pm.workload(model, phase="decode", context=context, batch=1), device)
            for context in (17, 18, 19)
        ]
    except pm.InputError:
        pytest.skip("runs no language model")
    prefill = pm.predict(pm.workload(model, phase="prefill", prompt=16, batch=1), device)
    if math.isnan(prefill.energy_j):
        pytest.skip("the energy of a language model is unknown")
    found = pm.request(model, device, prompt=16, generate=4)
    assert found.prefill_energy_j == pytest.approx(summed(prefill), rel=1e-9)
    assert found.energy_j == pytest.approx(
        prefill.energy_j + sum(step.energy_j for step in steps), rel=1e-9
    )
    served = pm.serve(model, device, prompt=16, generate=4, concurrency=1)
    step = pm.predict(pm.workload(model, phase="decode", context=18, batch=1), device)
    if served.parts["sequences"] == served.parts["layers"] == 0.0:
        assert served.energy_per_token_j == pytest.approx(step.energy_j, rel=1e-9)
    else:
        # Hosts and layers take time beside the kernels, in which a device waits.
        assert served.energy_parts["waiting"] >= 0.0
