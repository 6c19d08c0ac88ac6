"""Patches against a simulation pixel by pixel, closed forms and a published network."""

from __future__ import annotations

import itertools
from typing import get_args

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.schedule.tiling.feature_maps import (
    FeatureMap,
    FeatureMapLayer,
    FeatureMapNetwork,
    Window,
    network,
)
from perfmodel.schedule.tiling.patch_evaluation import run_stage
from perfmodel.schedule.tiling.patch_parameters import MODES, Mode, Patches
from perfmodel.schedule.tiling.patch_regions import axis_parts
from perfmodel.workload.builder import GraphBuilder
from tests.draws import draws
from tests.schedule.tiling.pixels import macs, random_network, simulate, whole

KIB = 1024


def chain(*windows: Window, extent: int = 32, bits: int = 8) -> FeatureMapNetwork:
    maps = [FeatureMap("image", (extent, extent), bits, external=True)]
    layers: list[FeatureMapLayer] = []
    for i, w in enumerate(windows):
        n = maps[-1].extents[0]
        size = (n + 2 * w.before - w.dilation * (w.kernel - 1) - 1) // w.stride + 1
        maps.append(FeatureMap(f"m{i}", (size, size), bits))
        layers.append(
            FeatureMapLayer(f"c{i}", "conv", (i,), ((w, w),), i + 1, 1, 9, (), False, 1, (f"c{i}",))
        )
    return FeatureMapNetwork("chain", tuple(maps), tuple(layers), frozenset({len(maps) - 1}))


# against the simulation


@pytest.mark.parametrize("seed", range(draws(24)))
def test_counts_are_those_of_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    axes = 1 + seed % 2
    net = random_network(rng, axes, int(rng.integers(1, 4)))
    end = len(net.layers)
    extents = net.maps[net.layers[-1].writes].extents
    grid = tuple(int(rng.integers(1, min(4, n) + 1)) for n in extents)
    for mode, on in itertools.product(MODES, (True, False)):
        p = Patches(0, end, grid, mode, input_on_chip=on, output_on_chip=on)
        stage, counts = run_stage(net, p), simulate(net, p)
        assert stage.least_macs == net.macs
        assert stage.weight_bytes == 7 * end * p.count
        if p.count == 1:
            assert stage.macs == net.macs
            continue
        assert len(counts.output) == whole(net)
        assert stage.macs == macs(net, counts)
        image = net.maps[0]
        if not on:
            loaded = sum(counts.loaded.values()) * image.bits
            # rounded up patch by patch
            assert stage.loaded_bytes - p.count <= -(-loaded // 8) <= stage.loaded_bytes
            assert stage.stored_bytes == net.maps[-1].size_bytes()
        resident = image.size_bytes() + net.maps[-1].size_bytes() if on else 0
        assert stage.peak_bytes - stage.kept_bytes - resident == counts.most_live_bytes
        kept = sum(
            -(-n * net.maps[t].bits // 8)
            for t, n in counts.most_kept.items()
            if net.maker[t] >= 0 or not on
        )
        assert stage.kept_bytes >= kept
        if mode == "recompute":
            assert stage.kept_bytes == 0
        if mode == "horizontal" and axes == 2:
            assert stage.kept_bytes == kept


# closed forms


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_the_halo_of_a_chain_of_three_by_three_grows_by_one_a_layer(layers: int) -> None:
    net = chain(*[Window(3, 1, 1, 1)] * layers, extent=48)
    parts = axis_parts(net, 0, layers, 0, 6, cached=False)
    for depth in range(layers + 1):
        halo = layers - depth
        assert (parts[depth].high - parts[depth].low).tolist() == [
            8 + halo,
            *[8 + 2 * halo] * 4,
            8 + halo,
        ]


def test_line_buffers_hold_two_rows_a_layer_and_compute_nothing_twice() -> None:
    """Strips of rows with line buffers: kernel - stride rows of every map but the output."""
    net = chain(*[Window(3, 1, 1, 1)] * 3, extent=40)
    stage = run_stage(net, Patches(0, 3, (10, 1), "cached", input_on_chip=False))
    assert stage.kept_bytes == 3 * 2 * 40
    assert stage.extra_macs == 0
    assert stage.loaded_bytes == 40 * 40
    again = run_stage(net, Patches(0, 3, (10, 1), "recompute", input_on_chip=False))
    # Nine borders between strips: twice two rows of the first map, twice one of the second.
    assert again.extra_macs == 9 * (4 + 2) * 40
    assert again.loaded_bytes == 40 * (40 + 9 * 6)


def test_one_patch_is_layer_by_layer() -> None:
    net = chain(Window(3, 1, 1, 1), Window(3, 2, 1, 1), Window(), extent=16)
    for mode in MODES:
        stage = run_stage(net, Patches(0, 3, (1, 1), mode))
        assert stage.peak_bytes == 16 * 16 * 2
        assert stage.held_bytes == (512, 256 + 64, 128)
        assert (stage.extra_macs, stage.kept_bytes) == (0, 0)


def test_keeping_more_never_computes_or_loads_more() -> None:
    rng = np.random.default_rng(3)
    for _ in range(draws(20)):
        net = random_network(rng, 2, 3)
        extents = net.maps[-1].extents
        grid = tuple(min(3, n) for n in extents)
        modes = get_args(Mode)
        runs = [
            run_stage(net, Patches(0, len(net.layers), grid, m, input_on_chip=False)) for m in modes
        ]
        assert runs[0].macs >= runs[1].macs >= runs[2].macs
        assert runs[2].macs <= runs[2].least_macs == net.macs
        assert runs[0].loaded_bytes >= runs[1].loaded_bytes >= runs[2].loaded_bytes


def test_what_a_global_pool_feeds_is_not_computed_by_halves() -> None:
    """Squeeze and excitation reads whole maps: every patch computes them whole."""
    net = network(pm.workload("efficientnet_b0"))
    squeeze = next(i for i, layer in enumerate(net.layers) if ".se.pool" in layer.name)
    end = next(k for k in net.cuts if k > squeeze + 2)
    twice = run_stage(net, Patches(0, end, (2, 2)))
    made = net.layers[squeeze].reads[0]
    parts = axis_parts(net, 0, end, 0, 2, cached=False)
    assert (parts[made].high - parts[made].low).tolist() == [net.maps[made].extents[0]] * 2
    assert twice.extra_macs > 0


def test_grids_and_stretches_that_are_none_are_refused() -> None:
    net = chain(Window(3, 1, 1, 1), extent=4)
    with pytest.raises(ValueError, match="grid"):
        run_stage(net, Patches(0, 1, (5, 1)))
    with pytest.raises(ValueError, match="grid"):
        run_stage(net, Patches(0, 1, (2,)))
    with pytest.raises(ValueError, match="layers"):
        run_stage(net, Patches(1, 1, (1, 1)))


# a published network


def test_mobilenet_v2_needs_what_mcunet_v2_says() -> None:
    """Figure 1 of arXiv:2110.15352: 1372 kB layer by layer, 172 kB with 4 x 4 patches, int8.

    Depthwise convolutions run in place (arXiv:2007.10319), residual additions onto their
    operand. Recomputation: the paper says 10 % to 17 % more operations over its networks.
    """
    net = network(pm.workload("mobilenet_v2"), "w8a8")
    end = len(net.layers)
    plain = run_stage(net, Patches(0, end, (1, 1)), in_place_depthwise=True)
    assert plain.peak_bytes == 1372 * KIB
    # The paper's first five blocks: the image to the first map of 28 x 28.
    cut = next(i for i, layer in enumerate(net.layers) if layer.name == "stage3.0.project") + 1
    first = run_stage(
        net, Patches(0, cut, (4, 4), input_on_chip=False, clipped=False), in_place_depthwise=True
    )
    rest = run_stage(net, Patches(cut, end, (1, 1)), in_place_depthwise=True)
    peak = max(first.peak_bytes, rest.peak_bytes)
    assert round(peak / KIB) == 172
    assert round(plain.peak_bytes / peak) == 8
    assert 0.10 <= first.extra_macs / net.macs <= 0.17
    # A patch of 7 x 7 reads 75 x 75 pixels.
    assert first.loaded_bytes == 16 * 75 * 75 * 3
    inside = run_stage(net, Patches(0, cut, (4, 4), input_on_chip=False), in_place_depthwise=True)
    assert inside.extra_macs < first.extra_macs


# a pooling over the whole map at the end


def test_a_global_pool_takes_its_map_patch_by_patch() -> None:
    g = GraphBuilder("pooled")
    x = g.input("x", (1, 2, 16, 16))
    y = g.conv(x, 8, 3, padding=1, bias=False, name="conv")
    g.output(g.linear(g.global_pool(y, name="pool"), 10, bias=False, name="head"))
    net = network(g.build())
    assert [net.maps[net.gridded(end)].extents for end in (1, 2, 3)] == [(16, 16), (16, 16), (1, 1)]
    rows = run_stage(net, Patches(0, 2, (16, 1), "cached", input_on_chip=False))
    # Two rows of the image kept, two of it loaded for the first row, one row made, eight sums.
    assert rows.kept_bytes == 2 * 16 * 2
    assert rows.peak_bytes == 2 * 16 * 2 + 2 * 16 * 2 + 16 * 8 + 8
    assert (rows.extra_macs, rows.loaded_bytes) == (0, 16 * 16 * 2)
    quarters = run_stage(net, Patches(0, 2, (2, 2), "recompute", input_on_chip=False))
    assert quarters.peak_bytes == 9 * 9 * 2 + 8 * 8 * 8 + 8
    assert quarters.loaded_bytes == 4 * 9 * 9 * 2
    whole = run_stage(net, Patches(0, 2, (1, 1)))
    assert whole.peak_bytes == 16 * 16 * (2 + 8)
    assert quarters.macs == whole.macs == net.macs - 80


def test_a_pooled_map_that_others_read_too_stays_whole() -> None:
    g = GraphBuilder("squeezed")
    x = g.input("x", (1, 4, 8, 8))
    y = g.conv(x, 4, 3, padding=1, name="conv")
    scale = g.global_pool(y, keep=True, name="pool")
    g.output(g.elementwise("mul", y, scale, name="scale"))
    net = network(g.build())
    assert net.gridded(2) == net.layers[1].writes
