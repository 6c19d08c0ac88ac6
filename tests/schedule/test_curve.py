"""Schedules over capacities: as one by one, never dearer with more room, whole bytes."""

from __future__ import annotations

from typing import Any

import pytest

import perfmodel as pm


def test_a_curve_is_schedules_one_by_one() -> None:
    least = pm.schedule("mobilenet_v2", objective="peak", method="greedy").working_set_bytes
    sizes = [least - 1, least, least + 40_000, 9_000_000]
    found = pm.schedule("mobilenet_v2", "edge_tpu", capacity=sizes, method="greedy")
    assert [s.capacity_bytes for s in found.schedules] == sizes
    assert len({id(s.scheduled) for s in found.schedules}) == 1, "the network is read once"
    assert [s.feasible for s in found.schedules] == [False, True, True, True]
    for s, size in zip(found.schedules, sizes, strict=True):
        alone = pm.schedule("mobilenet_v2", "edge_tpu", capacity=size, method="greedy")
        assert (s.notes, s.infeasible, s.where) == (alone.notes, alone.infeasible, alone.where)
        if s.feasible:
            assert s.trace.cost_bytes <= alone.trace.cost_bytes
            assert s.latency_s is not None
    costs = [s.trace.cost_bytes for s in found.schedules[1:]]
    assert costs == sorted(costs, reverse=True)
    assert "more than the 8 MiB of sram" in found.schedules[-1].notes[0]


def test_a_list_is_a_curve_and_one_size_a_schedule() -> None:
    for many in (["2 MiB"], ("2 MiB", 2**21), range(2**21, 2**21 + 1), "1.5 MiB..2 MiB"):
        found: Any = pm.schedule("mobilenet_v2", capacity=many, method="greedy")
        assert found.schedules[-1].capacity_bytes == 2**21
    for one in ("2 MiB", 2**21, 2.0**21, "2 MiB, 2097152"):
        assert pm.schedule("mobilenet_v2", capacity=one, method="greedy").capacity_bytes == 2**21


def test_resident_weights_come_off_each_capacity() -> None:
    found = pm.schedule(
        "mobilenet_v2", capacity=[5_000_000, 6_000_000], weights="resident", method="greedy"
    )
    weights = found.schedules[0].weight_bytes
    assert [s.capacity_bytes for s in found.schedules] == [5_000_000 - weights, 6_000_000 - weights]


def test_a_curve_goes_from_tiles_to_whole_operators() -> None:
    least = pm.schedule("mobilenet_v2", objective="peak", method="greedy").working_set_bytes
    found = pm.schedule(
        "mobilenet_v2", capacity=[least - 40_000, least - 1, least], tiles=True, method="greedy"
    )
    assert found.feasible
    assert [s.tiled is not None for s in found.schedules] == [True, True, False]
    moved = [s.offchip_bytes for s in found.schedules]
    assert moved == sorted(moved, reverse=True)


def test_a_number_beside_a_size_is_no_byte() -> None:
    with pytest.raises(pm.InputError, match="did you mean '64 KiB'"):
        pm.schedule("resnet18", capacity="64,128 KiB")


@pytest.mark.parametrize("size", [1000.7, True, "1000.5", "0.1 KiB", [2**20, 1000.7], 0])
def test_a_capacity_is_whole_bytes(size: Any) -> None:
    with pytest.raises(
        pm.InputError, match=r"capacity: .* (is not a valid size|is not a size|bytes); expected"
    ):
        pm.schedule("resnet18", capacity=size)


@pytest.mark.parametrize("device", ["edge_tpu", "rk3588"])
def test_operators_by_themselves_take_their_own_time(device: str) -> None:
    """What no kernel takes in has seconds too: as of a prediction that fuses nothing."""
    apart = pm.schedule(
        "resnet18",
        device,
        capacity="8 MiB",
        fuse=False,
        method="greedy",
        precision="int8",
        addresses=False,
    )
    clock = apart.job.clock()
    assert clock is not None
    seconds = {step.name: step.seconds for step in clock.problem.steps if not step.load}
    assert min(seconds.values()) > 0
    free = {f"memories.{apart.where.outer}.bandwidth": 1e18}
    alone = pm.predict("resnet18", device, precision="int8", fuse=False, set=free)
    assert sum(seconds.values()) + clock.per_run_s == pytest.approx(alone.latency_s, rel=1e-6)
