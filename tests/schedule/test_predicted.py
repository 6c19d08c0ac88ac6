"""A schedule's plan in a prediction: what crosses is what the schedule says, on its own device."""

from __future__ import annotations

import copy
import itertools
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.plan import Plan
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.workload import Workload

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
    # Nor does a tile go where nothing can be written.
    tiled = pm.schedule(
        "mobilenet_v2", "stm32h743", capacity="64 KiB", precision="int8", tiles=True
    )
    assert not tiled.feasible
    large = pm.schedule("nasnet_a_mobile", "stm32h743", capacity="850 KiB", precision="int8")
    assert not large.feasible
    assert "nothing behind sram can be written" in large.infeasible.statement
    assert any("more than the" in note for note in large.notes)
    assert not any("spill" in lever.statement for lever in large.infeasible.levers)


TILED = {
    "resnet50": {},
    "nasnet_a_mobile": {},
    "unet": {},
    "vit_b_16": {},
    "gpt2": {"phase": "prefill", "prompt": 64},
}


@pytest.mark.parametrize("name", TILED)
@pytest.mark.parametrize("device", ["edge_tpu", "h100", "rk3588"])
def test_tiles_move_in_a_prediction_what_the_schedule_counts(name: str, device: str) -> None:
    workload = pm.workload(name, **TILED[name])
    roomy = pm.schedule(workload, device, method="greedy", capacity="512 MiB", addresses=False)
    least = pm.predict(workload, device, plan=roomy.plan)
    for capacity in (12 << 10, 96 << 10):
        made = pm.schedule(
            workload, device, capacity=capacity, tiles=True, method="greedy", addresses=False
        )
        assert made.tiled is not None
        plan = Plan.from_json(made.plan.to_json())
        assert plan == made.plan
        assert len(plan.tiled) >= len(plan.tiles) == len(made.tiled.tilings)
        found = pm.predict(workload, device, plan=plan)
        outer = made.where.outer
        assert found.traffic_bytes[outer] == made.offchip_bytes
        # Every byte takes its time: no row moves more than the memory's bandwidth allows.
        assert not found.breaches
        # The bytes are those of the replay: compulsory, spilled and reloaded, and the tiles' own.
        assert made.offchip_bytes == made.compulsory_bytes + made.trace.cost_bytes + made.tile_bytes
        assert max(plan.held_bytes(made.where.memory, device)) <= made.peak_bytes <= capacity
        assert found.traffic_bytes[outer] >= least.traffic_bytes[outer]
        assert found.latency_s >= least.latency_s * (1 - 1e-12)
        assert found.energy_j >= least.energy_j * (1 - 1e-12)


def test_tiles_of_one_product_are_the_best_of_all() -> None:
    """Brute force: every tile of a small product in every order of its loops, replayed."""
    rows, columns, depth = 6, 8, 5

    def build(_: ExecutionSemantics) -> Graph:
        g = GraphBuilder("product")
        g.output(g.linear(g.input("x", (rows, depth)), columns, bias=False))
        return g.build()

    product = Workload("product", build, {})
    for room in (24, 40, 60):
        made = pm.schedule(
            product, "gemmini_16x16", capacity=room, tiles=True, method="greedy", precision="int8"
        )
        found = pm.predict(product, "gemmini_16x16", plan=made.plan, precision="int8")
        tiles = itertools.product(*(range(1, n + 1) for n in (rows, columns, depth)))
        least = min(
            moved_bytes((rows, columns, depth), tile, order)
            for tile in tiles
            for order in itertools.permutations(range(3))
            if tile_bytes((rows, columns, depth), tile, order) <= room
        )
        assert len(made.plan.tiles) == 1
        assert found.traffic_bytes[made.where.outer] == made.offchip_bytes == least


#: Loops (rows, columns, depth) on which the input, the weight and the output depend.
LOOPS = ((0, 2), (1, 2), (0, 1))


def tile_bytes(extents: Sequence[int], tile: Sequence[int], order: Sequence[int]) -> int:
    """Return the bytes of tiles, twice of those that the innermost loop of several tiles moves."""
    several = [loop for loop in order if tile[loop] < extents[loop]]
    sizes = [math.prod(tile[loop] for loop in loops) for loops in LOOPS]
    moving = [several and several[-1] in loops for loops in LOOPS]
    widths = (1, 1, 4)
    return sum(
        size * width * (1 + bool(moves))
        for size, width, moves in zip(sizes, widths, moving, strict=True)
    )


def moved_bytes(extents: Sequence[int], tile: Sequence[int], order: Sequence[int]) -> int:
    """Return the bytes that cross while the tiles run in order, with partial sums of 4 bytes."""
    counts = [-(-n // t) for n, t in zip(extents, tile, strict=True)]
    present: list[Any] = [None] * 3
    done: dict[Any, int] = {}
    total = 0
    for at in itertools.product(*(range(counts[loop]) for loop in order)):
        index = dict(zip(order, at, strict=True))
        for operand, loops in enumerate(LOOPS):
            which = tuple(index[loop] for loop in loops)
            if present[operand] == which:
                continue
            present[operand] = which
            size = math.prod(
                min(tile[loop], extents[loop] - index[loop] * tile[loop]) for loop in loops
            )
            if operand < 2:
                total += size
            else:
                # The sums so far were written out before, and come back; at last the result leaves.
                total += 8 * size if which in done else size
        done[present[2]] = done.get(present[2], 0) + 1
    return total


def test_a_tampered_plan_is_refused_with_its_place(tmp_path: Path) -> None:
    made = pm.schedule("tiny_cnn", "gemmini_16x16", capacity="12 KiB", tiles=True, method="greedy")
    data = json.loads(made.plan.to_json())
    file = tmp_path / "plan.json"

    def refused(**changes: Any) -> str:
        file.write_text(json.dumps(data | changes, indent=1))
        with pytest.raises(InputError) as caught:
            pm.predict("tiny_cnn", "gemmini_16x16", plan=file)
        return str(caught.value)

    def line_of(text: str, path: str) -> str:
        """Return the line of the file that a fault's place names."""
        place = re.search(rf"plan\.json:(\d+):\d+: {re.escape(path)}: ", text)
        assert place is not None, text
        return file.read_text().splitlines()[int(place[1]) - 1]

    tiles = data["tiles"]
    fewer = copy.deepcopy(tiles)
    fewer[0]["tensors"][0]["size_bytes"] /= 2
    text = refused(tiles=fewer)
    assert "bytes or more, which the kernel reads or writes" in text
    assert line_of(text, "tiles.0.tensors.0").strip() == "{"
    renamed = copy.deepcopy(tiles)
    renamed[0]["tensors"][0]["tensor"] += "x"
    text = refused(tiles=renamed)
    assert "no operator of the kernel uses" in text
    assert "states no traffic of" in text
    larger = copy.deepcopy(tiles)
    larger[0]["scratch_bytes"] = 13 << 10
    assert "expected 12288 bytes at most" in refused(tiles=larger)
    assert "their traffic is not stated" in refused(tiles=tiles[1:])
    assert "is not among the operators in tiles" in refused(tiled=data["tiled"][1:])
    assert "is in tiles twice" in refused(tiles=[*tiles, tiles[0]])
    moves = copy.deepcopy(data["residency"])
    moves[0]["size_bytes"] -= 1
    text = refused(residency=moves)
    assert line_of(text, "residency.0").strip() == "{"
    negative = copy.deepcopy(tiles)
    negative[0]["weight_bytes"] = -1.0
    text = refused(tiles=negative)
    assert line_of(text, "tiles.0.weight_bytes").strip() == '"weight_bytes": -1.0'


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
