"""Tiles, edges and clocks of kernels against loops that walk every output, tap and channel."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.hardware.kernel import KernelConstants
from perfmodel.kinds.simd.constants import SimdKernel
from perfmodel.kinds.simd.convolution import (
    BlockedConvolution,
    VectorCore,
    depthwise_clocks,
    direct_clocks,
    pointwise_clocks,
    step_clocks,
    store_clocks,
)
from perfmodel.kinds.simd.gemm import conflicts, gemm_clocks
from perfmodel.kinds.simd.tiles import blocks, edges, pieces, row_tiles

CORE = VectorCore(16.0, 1.0, 1.0, 0.5, 4.0, 32768.0, 32.0)
_NAMES = ("tile_rows", "tile_vectors", "slice", "tile_clocks", "call_clocks", "edge_clocks")


def kernel_of(*values: float) -> KernelConstants:
    return SimdKernel.constants(dict(zip(_NAMES, values, strict=False)))


CONV = kernel_of(6.0, 4.0, 128.0, 10.0, 30.0, 2.5)
GEMM = kernel_of(12.0, 2.0, 256.0, 10.0, 100.0)


def windows(size: int, kernel: int, stride: int, padding: int) -> list[int]:
    """Return for each output how many of its taps lie on the image."""
    outputs = (size + 2 * padding - kernel) // stride + 1
    starts = (i * stride - padding for i in range(outputs))
    return [sum(0 <= s + t < size for t in range(kernel)) for s in starts]


@given(st.integers(4, 60), st.sampled_from((1, 3, 5, 7)), st.sampled_from((1, 2)))
def test_edges_are_those_of_every_window(size: int, kernel: int, stride: int) -> None:
    padding = kernel // 2
    each = windows(size, kernel, stride, padding)
    if min(each) < 1:
        return
    found = edges(float(size), float(len(each)), float(kernel), float(stride), 1.0)
    assert found.taps == sum(each)
    assert found.inside == sum(n == kernel for n in each)
    assert found.inside + found.padded == len(each)


@given(st.integers(1, 400), st.sampled_from((1, 4, 6, 12)))
def test_tiles_cover_every_row_once(rows: int, size: int) -> None:
    tiles = row_tiles(float(rows), float(size))
    assert sum(t.count * t.rows for t in tiles) == pytest.approx(rows)
    assert all(t.rows <= size for t in tiles if t.count)
    assert sum(t.count * t.rows for t in pieces(float(rows), float(size))) == pytest.approx(rows)
    assert blocks(float(rows), float(size)) == ceil(rows / size)


@given(st.floats(1.0, 300.0), st.sampled_from((4.0, 6.0, 16.0)))
def test_between_whole_numbers_nothing_jumps(extent: float, size: float) -> None:
    small = 1e-9
    assert abs(blocks(extent + small, size) - blocks(extent, size)) < 1e-6

    def cost(rows: float) -> float:
        return float(
            sum(t.count * step_clocks(t.rows, 4.0, CORE, 0.0, 4.0) for t in row_tiles(rows, size))
        )

    assert abs(cost(extent + small) - cost(extent)) < 1e-5


def layer(channels: int, filters: int, size: int, kernel: int, stride: int) -> BlockedConvolution:
    outputs = float(len(windows(size, kernel, stride, kernel // 2)))
    n, k, s = float(size), float(kernel), float(stride)
    return BlockedConvolution(
        1.0, float(filters), float(channels), outputs, outputs, n, n, k, k, s, s, 1.0, 1.0
    )


def walked(channels: int, filters: int, size: int, kernel: int, stride: int) -> float:
    """Walk the loops of the direct kernel: filter sets, input blocks, rows, pixels, taps."""
    each = windows(size, kernel, stride, kernel // 2)
    few = channels < 16
    passes, depth = (channels, 1) if few else (ceil(channels / 16), 16)
    filter_blocks = ceil(filters / 16)
    total = 0.0
    for first in range(0, filter_blocks, 4):
        width = min(4, filter_blocks - first)
        # The slice is that of a row's mean taps, as the model has it.
        slice_bytes = width * 16 * 4 * depth * sum(each) / len(each) * kernel
        streamed = float(slice_bytes > 32768)
        for _ in range(passes):
            for down in each:
                total += 30
                inside = sum(n == kernel for n in each)
                while inside:
                    rows = 6 if inside >= 6 else 3 if inside >= 3 else inside
                    inside -= rows
                    wait = 4.0 if rows > 1 else 2.5
                    step = step_clocks(float(rows), float(width), CORE, streamed, wait)
                    total += float(kernel * down * depth * step) + rows * width * 2 + 10
                for across in (n for n in each if n < kernel):
                    step = step_clocks(1.0, float(width), CORE, streamed, 2.5)
                    total += float(across * down * depth * step) + width * 2 + 10
    return total


@given(
    st.sampled_from((3, 16, 48, 64)),
    st.sampled_from((16, 32, 48, 64, 80, 144)),
    st.integers(7, 30),
    st.sampled_from((3, 5, 7)),
    st.sampled_from((1, 2)),
)
def test_direct_convolution_is_its_loops(
    channels: int, filters: int, size: int, kernel: int, stride: int
) -> None:
    found = direct_clocks(layer(channels, filters, size, kernel, stride), CORE, CONV)
    assert float(found) == pytest.approx(walked(channels, filters, size, kernel, stride), rel=1e-9)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 700))
def test_no_product_beats_the_multipliers(rows: int, columns: int, depth: int) -> None:
    found = float(gemm_clocks(float(rows), float(columns), float(depth), CORE, GEMM))
    assert found >= rows * columns * depth / 16
    # Sixteen numbers a vector, tiles of 12 x 2: what is padded is less than a tile each way.
    assert found >= rows * ceil(columns / 16) * depth


@given(st.integers(1, 600), st.integers(1, 600), st.integers(1, 40))
def test_pointwise_takes_at_least_its_products(channels: int, filters: int, size: int) -> None:
    shape = layer(channels, filters, size, 1, 1)
    found = float(pointwise_clocks(shape, CORE, CONV, 1.0))
    assert found >= ceil(channels / 16) * 16 * ceil(filters / 16) * size * size


def test_taps_on_padding_cost_nothing() -> None:
    """Measured: 1917 us for 512 x 512 x 3 x 3 at 7 x 7 (3.69 GHz), faster than all taps at peak."""
    shape = layer(512, 512, 7, 3, 1)
    found = float(direct_clocks(shape, CORE, CONV))
    assert found / 3690 == pytest.approx(1917, rel=0.05)
    # The same layer on an image that is two larger has all its taps.
    whole = BlockedConvolution(1.0, 512.0, 512.0, 7.0, 7.0, 9.0, 9.0, 3.0, 3.0, 1.0, 1.0, 1.0, 1.0)
    assert found < 0.9 * float(direct_clocks(whole, CORE, CONV))


def test_depthwise_is_bound_by_loads() -> None:
    """Seven loads for six pixels a tap: 1.17 clocks, and the rest of an output vector."""
    shape = BlockedConvolution(1.0, 16.0, 1.0, 54.0, 54.0, 56.0, 56.0, 3.0, 3.0, 1.0, 1.0, 1.0, 1.0)
    found = float(depthwise_clocks(shape, CORE, CONV))
    each = found / 54**2
    assert 9 * 7 / 6 < each < 9 * 7 / 6 + 6


def test_rows_that_share_a_set_conflict() -> None:
    found = conflicts(
        np.array([128.0, 128.0, 8.0]), np.array([1024.0, 768.0, 1024.0]), 4.0, 12.0, 32768.0, 4096.0
    )
    assert found.tolist() == [1.0, 0.0, 0.0]


@given(st.floats(0.25, 4.0), st.floats(0.25, 4.0), st.floats(1.0, 8.0))
def test_more_ports_and_less_latency_never_take_longer(
    fma: float, loads: float, latency: float
) -> None:
    shape = layer(64, 80, 14, 3, 1)

    def clocks(core: VectorCore) -> float:
        kernels = kernel_of(6.0, 4.0, 128.0, 10.0, 30.0, core.latency)
        return float(direct_clocks(shape, core, kernels))

    base = VectorCore(16.0, fma, loads, 0.5, latency, 32768.0, 32.0)
    for better in (
        VectorCore(16.0, 2 * fma, loads, 0.5, latency, 32768.0, 32.0),
        VectorCore(16.0, fma, 2 * loads, 0.5, latency, 32768.0, 32.0),
        VectorCore(16.0, fma, loads, 1.0, latency, 32768.0, 32.0),
        VectorCore(16.0, fma, loads, 0.5, latency / 2, 32768.0, 32.0),
        VectorCore(16.0, fma, loads, 0.5, latency, 65536.0, 32.0),
        VectorCore(16.0, fma, loads, 0.5, latency, 32768.0, 64.0),
    ):
        assert clocks(better) <= clocks(base)
    assert store_clocks(6.0, 4.0, base) == 48.0
