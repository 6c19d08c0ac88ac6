"""Plans of patches: the shortest path against enumeration, and what more memory may not do."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.schedule.tiling.feature_maps import FeatureMapNetwork, network
from perfmodel.schedule.tiling.patch_evaluation import PatchEvaluation, run_stage
from perfmodel.schedule.tiling.patch_parameters import (
    MODES,
    Patches,
    PatchStageCost,
    Weights,
)
from perfmodel.schedule.tiling.patch_plan_result import PatchPlan, layer_by_layer
from perfmodel.schedule.tiling.patch_plan_search import default_grids, patch_plan
from perfmodel.schedule.tiling.patch_regions import axis_parts
from tests.draws import draws
from tests.schedule.tiling.pixels import random_network

GRIDS = ((2, 1), (2, 2), (3, 2))


def every_plan(
    net: FeatureMapNetwork, kinds: tuple[Weights, ...] = ("outside",)
) -> Iterator[tuple[PatchStageCost, ...]]:
    """Yield every way to cut a network into stretches and to run each."""
    inner = net.cuts[1:-1]
    runs: dict[Patches, PatchStageCost] = {}

    def run(p: Patches) -> PatchStageCost:
        if p not in runs:
            runs[p] = run_stage(net, p)
        return runs[p]

    for n in range(len(inner) + 1):
        for chosen in itertools.combinations(inner, n):
            cuts = (0, *chosen, len(net.layers))
            places = itertools.product((True, False), repeat=len(cuts) - 1)
            for place in places:
                ways: list[list[PatchStageCost]] = []
                for k, (a, b) in enumerate(itertools.pairwise(cuts)):
                    out = place[k + 1] if k + 2 < len(cuts) else True
                    extents = net.maps[net.layers[b - 1].writes].extents
                    whole = Patches(a, b, (1, 1), "recompute", place[k], out, weights=kinds[-1])
                    these = [run(whole)]
                    for grid, mode, kind in itertools.product(GRIDS, MODES, kinds):
                        if all(g <= e for g, e in zip(grid, extents, strict=True)):
                            these.append(run(replace(whole, grid=grid, mode=mode, weights=kind)))
                    ways.append(these)
                yield from itertools.product(*ways)


def cost(stages: tuple[PatchStageCost, ...], objective: str) -> tuple[int, ...]:
    peak = max(s.peak_bytes for s in stages)
    extra, weights = sum(s.extra_macs for s in stages), sum(s.weight_bytes for s in stages)
    if objective == "peak":
        return peak, extra, weights
    offchip = sum(s.map_bytes for s in stages) if objective == "offchip" else 0
    return offchip, extra, weights


def inside(stages: tuple[PatchStageCost, ...]) -> bool:
    return all(s.patches.input_on_chip for s in stages[1:])


@pytest.mark.parametrize("seed", range(draws(8)))
def test_no_plan_beats_the_one_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = random_network(rng, 2, 2)
    inner = seed % 3 == 2
    if inner:  # weights of a size that matters
        net = replace(
            net,
            layers=tuple(
                replace(x, weight_bytes=int(rng.integers(0, 200)), channels=4) for x in net.layers
            ),
        )
    plans = list(every_plan(net, ("resident", "streamed") if inner else ("outside",)))
    plain = layer_by_layer(net, weights="streamed" if inner else "outside").peak_bytes
    peaks = sorted({max(s.peak_bytes for s in p) for p in plans})
    for capacity in {peaks[0], (peaks[0] + plain) // 2, plain - 1}:
        fit = [p for p in plans if max(s.peak_bytes for s in p) <= capacity]
        for objective in ("macs", "offchip"):
            allowed = [p for p in fit if objective == "offchip" or inside(p)]
            found = patch_plan(
                net, objective, capacity_bytes=capacity, grids=GRIDS, weights_inside=inner
            )
            if not allowed:
                assert found is None
                continue
            assert found is not None
            assert found.peak_bytes <= capacity
            assert cost(found.stages, objective) == min(cost(p, objective) for p in allowed)
    found = patch_plan(net, "peak", grids=GRIDS, weights_inside=inner)
    assert found is not None
    assert cost(found.stages, "peak") == min(cost(p, "peak") for p in plans if inside(p))


@pytest.mark.parametrize("seed", range(draws(10)))
def test_stretches_of_one_end_are_counted_as_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(50 + seed)
    net = random_network(rng, 2, 3)
    net = replace(
        net,
        layers=tuple(
            replace(
                x,
                depthwise=bool(rng.random() < 0.5),
                over=(len(x.reads) - 1,) if len(x.reads) > 1 else (),
                channels=2,
            )
            for x in net.layers
        ),
    )
    for end in net.cuts[1:]:
        extents = net.maps[net.layers[end - 1].writes].extents
        grid = tuple(int(rng.integers(1, min(4, n) + 1)) for n in extents)
        if grid == (1, 1):
            continue
        for mode, depthwise in itertools.product(MODES, (True, False)):
            longest = Patches(0, end, grid, mode)
            axes = [
                axis_parts(net, 0, end, a, g, cached=k)
                for a, (g, k) in enumerate(zip(grid, longest.cached_axes, strict=True))
            ]
            fan = PatchEvaluation(net, longest, axes, depthwise)
            for start, inside, outside, weights in itertools.product(
                [c for c in net.cuts if c < end], (True, False), (True, False), get_args(Weights)
            ):
                p = Patches(start, end, grid, mode, inside, outside, weights=weights)
                one = run_stage(net, p, in_place_depthwise=depthwise)
                assert fan.stage(p) == one
                assert fan.peak(p) == one.peak_bytes
                assert fan.price(p) == (
                    one.map_bytes,
                    one.extra_macs,
                    one.weight_bytes,
                )


def test_more_memory_never_costs_more() -> None:
    net = network(pm.workload("mlperf_tiny_ic"))
    for objective in ("macs", "offchip"):
        last: tuple[int, ...] | None = None
        for kib in (12, 18, 20, 26, 36):
            plan = patch_plan(net, objective, capacity_bytes=kib * 1024, grids=((2, 2), (8, 1)))
            now = None if plan is None else cost(plan.stages, objective)
            if last is not None:
                assert now is not None
                assert now <= last
            last = now
        assert last == (0 if objective == "macs" else 32 * 32 * 3, 0, _weights(net))


def _weights(net: FeatureMapNetwork) -> int:
    return sum(layer.weight_bytes for layer in net.layers)


def test_what_fits_as_it_is_runs_layer_by_layer() -> None:
    net = network(pm.workload("mobilenet_v2"))
    plain = layer_by_layer(net)
    plan = patch_plan(net, "macs", capacity_bytes=plain.peak_bytes)
    assert isinstance(plan, PatchPlan)
    assert all(s.patches.count == 1 for s in plan.stages)
    assert (plan.extra_macs, plan.macs, plan.weight_bytes) == (0, net.macs, _weights(net))
    assert plan.map_bytes == plan.input_bytes == 224 * 224 * 3


def test_a_small_npu_runs_mobilenet_v2_in_patches_and_not_without() -> None:
    """256 KiB of activations: without patches it does not fit, with line buffers at no cost."""
    net = network(pm.workload("mobilenet_v2"))
    capacity = 256 * 1024
    assert layer_by_layer(net).peak_bytes > capacity
    assert patch_plan(net, "macs", capacity_bytes=capacity, most_patched=0) is None
    plan = patch_plan(net, "macs", capacity_bytes=capacity, grids=((4, 4), (7, 1), (14, 1)))
    assert plan is not None
    assert plan.peak_bytes <= capacity
    assert (plan.extra_macs, plan.map_bytes) == (0, plan.input_bytes)
    assert len(plan.held_bytes) == len(net.layers)
    again = patch_plan(
        net,
        "macs",
        capacity_bytes=capacity,
        modes=("recompute",),
        most_patched=1,
        grids=((4, 4), (5, 5), (6, 6), (7, 7)),
        in_place_depthwise=True,
    )
    assert again is not None
    assert sum(s.patches.count > 1 for s in again.stages) == 1
    assert 0 < again.extra_macs < 0.2 * net.macs


def test_weights_that_are_read_once_a_patch_are_counted() -> None:
    net = network(pm.workload("mlperf_tiny_ic"))
    capacity = 20 * 1024
    free = patch_plan(net, "offchip", capacity_bytes=capacity, grids=((2, 2), (4, 4)))
    paid = patch_plan(
        net, "offchip", capacity_bytes=capacity, grids=((2, 2), (4, 4)), count_weights=True
    )
    assert free is not None
    assert paid is not None
    assert paid.map_bytes + paid.weight_bytes <= free.map_bytes + free.weight_bytes
    assert free.map_bytes <= paid.map_bytes


def test_weights_in_the_memory_stay_or_pass() -> None:
    """One filter and the next pass for every patch, or all of a stretch stay and are read once."""
    net = network(pm.workload("mlperf_tiny_ic"))
    end = net.cuts[3]
    layers = net.layers[:end]
    out, streamed, resident = (
        run_stage(net, Patches(0, end, (4, 1), weights=w)) for w in get_args(Weights)
    )
    largest = max(2 * -(-x.weight_bytes // x.channels) for x in layers)
    total = sum(x.weight_bytes for x in layers)
    assert out.peak_bytes < streamed.peak_bytes <= out.peak_bytes + largest
    assert resident.peak_bytes == out.peak_bytes + total
    assert (out.weight_bytes, streamed.weight_bytes, resident.weight_bytes) == (
        4 * total,
        4 * total,
        total,
    )


def test_default_grids_lie_inside_their_output() -> None:
    for extents in ((7, 7), (1, 1), (112, 5), (3,)):
        for grid in default_grids(extents):
            assert all(1 <= g <= n for g, n in zip(grid, extents, strict=True))
    assert default_grids((1, 1)) == ()


def test_an_objective_needs_what_it_needs() -> None:
    net = network(pm.workload("mlperf_tiny_ic"))
    with pytest.raises(ValueError, match="capacity"):
        patch_plan(net, "macs")
    with pytest.raises(ValueError, match="none of"):
        patch_plan(net, "speed", capacity_bytes=1)  # type: ignore[arg-type]
