"""Memory with and without patches: the curves are the plans', the shades their stretches."""

from __future__ import annotations

from typing import Any

import pytest

import perfmodel as pm
from perfmodel.charts.patches import patches
from perfmodel.errors import InputError
from perfmodel.schedule.tiling.feature_maps import FeatureMapNetwork, network
from perfmodel.schedule.tiling.patch_plan_result import PatchPlan, layer_by_layer
from perfmodel.schedule.tiling.patch_plan_search import patch_plan


@pytest.fixture(scope="module")
def net() -> FeatureMapNetwork:
    return network(pm.workload("mlperf_tiny_vww"))


@pytest.fixture(scope="module")
def plan(net: FeatureMapNetwork) -> PatchPlan:
    found = patch_plan(
        net, "macs", capacity_bytes=30 * 1024, grids=((2, 2), (3, 3)), modes=("recompute",)
    )
    assert found is not None
    return found


def test_curves_are_the_plans(net: FeatureMapNetwork, plan: PatchPlan) -> None:
    figure: Any = patches(plan, capacity="30 KiB")
    plain, patched = figure.data
    assert list(plain.y)[1:-1] == list(layer_by_layer(net).held_bytes)
    assert list(patched.y)[1:-1] == list(plan.held_bytes)
    assert list(patched.x)[1:-1] == list(range(1, len(net.layers) + 1))
    assert max(patched.y) <= 30 * 1024 < max(plain.y)
    assert patched.name == f"with patches: peak {plan.peak_bytes / 1024:.4g} KiB"


def test_shades_are_the_stretches_in_patches(plan: PatchPlan) -> None:
    figure: Any = patches(plan)
    shades = [(s.x0, s.x1) for s in figure.layout.shapes if s.type == "rect"]
    inside = [s.patches for s in plan.stages if s.patches.count > 1]
    assert inside
    assert shades == [(p.start + 0.5, p.end + 0.5) for p in inside]
    texts = [a.text for a in figure.layout.annotations]
    assert texts == [" × ".join(map(str, p.grid)) for p in inside]


def test_it_says_what_it_shows(net: FeatureMapNetwork, plan: PatchPlan) -> None:
    drawn: Any = patches(plan, capacity=30 * 1024)
    alt = drawn.layout.meta["alt"]
    assert "In 30 KiB layer by layer does not fit and with patches fits." in alt
    assert "overlap computed again" in alt
    alone: Any = patches(layer_by_layer(net))
    assert "nothing runs in patches" in alone.layout.title.text
    figure: Any = patches(plan)
    assert "patches, overlap computed again" in figure.data[1].hovertext[1]


def test_what_cannot_be_drawn_is_refused(plan: PatchPlan) -> None:
    for bad in (0, "five", "-1 KiB"):
        with pytest.raises(InputError):
            patches(plan, capacity=bad)
    other = layer_by_layer(network(pm.workload("mlperf_tiny_ic")))
    with pytest.raises(InputError):
        patches(plan, other)
