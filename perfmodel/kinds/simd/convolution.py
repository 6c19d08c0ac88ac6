"""Clocks of convolutions on blocked channels, counted from the loops of their kernels.

A kernel holds a tile of sums in registers: some pixels of a row by some filter blocks, each a
vector of channels. For every tap and input channel it loads a vector of each filter block, and
broadcasts a number of each pixel. What is counted here is what such loops must issue; the shapes
of the tiles are facts of a runtime's kernels, widths, ports and latencies those of a core.

Georganas et al., "Anatomy of high-performance deep learning convolutions on SIMD architectures",
SC 2018, describe the blocked layout and the register tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from perfmodel.arrays import Value, namespace
from perfmodel.kinds.simd.tiles import Edges, RegisterTiles, blocks, edges, pieces, row_tiles

#: Below any extent, so that an image that strides over its whole self has no rows and no share.
_NONE: Final = 1e-12


@dataclass(frozen=True, slots=True)
class VectorCore:
    """A core as a kernel sees it; numbers or arrays.

    Attributes
    ----------
    lanes
        Numbers in a vector.
    fma, loads, stores
        Vectors a clock.
    latency
        Clocks from one multiply-accumulate to another on the same sum.
    near
        Bytes of the nearest cache.
    fill
        Bytes a clock that the nearest cache is filled with from the next one.
    """

    lanes: Value
    fma: Value
    loads: Value
    stores: Value
    latency: Value
    near: Value
    fill: Value


@dataclass(frozen=True, slots=True)
class Kernels:
    """Shape of a runtime's kernels; see `perfmodel.kinds.simd.constants.SimdKernel`."""

    rows: Value
    blocks: Value
    channels: Value
    tile: Value
    call: Value
    edge: Value = 0.0


@dataclass(slots=True)
class BlockedConvolution:
    """Convolutions: extents of one group, arrays that broadcast.

    `images` are images times groups; `dense` tells where the rows of an image follow each other
    without a gap (stride 1, kernel 1), so that a tile may cross their ends.
    """

    images: Value
    out_channels: Value
    in_channels: Value
    out_rows: Value
    out_columns: Value
    in_rows: Value
    in_columns: Value
    kernel_rows: Value
    kernel_columns: Value
    stride_rows: Value
    stride_columns: Value
    dilation_rows: Value
    dilation_columns: Value

    def down(self) -> Edges:
        """Return where the windows lie down the image."""
        return edges(
            self.in_rows, self.out_rows, self.kernel_rows, self.stride_rows, self.dilation_rows
        )

    def across(self) -> Edges:
        """Return where the windows lie across the image."""
        return edges(
            self.in_columns,
            self.out_columns,
            self.kernel_columns,
            self.stride_columns,
            self.dilation_columns,
        )


def step_clocks(
    tile_rows: Value, tile_blocks: Value, core: VectorCore, streamed: Value, wait: Value
) -> Value:
    """Return clocks of one input number of a tile: multiply, load, and wait for the sums.

    Parameters
    ----------
    tile_rows, tile_blocks
        Pixels and filter blocks of the tile: one chain of dependent sums each pair.
    streamed
        1 where the filters come from beyond the nearest cache each time, else 0.
    wait
        Clocks until a sum may be added to again.
    """
    xp = namespace(tile_rows, tile_blocks, streamed, wait, core.fma, core.loads, core.fill)
    issue = tile_rows * tile_blocks / core.fma
    # A number that is broadcast takes half a vector's load slot.
    load = (tile_blocks + 0.5 * tile_rows) / core.loads
    fill = streamed * tile_blocks * core.lanes * 4.0 / core.fill
    return xp.maximum(xp.maximum(issue, wait), xp.maximum(load, fill))


def store_clocks(tile_rows: Value, tile_blocks: Value, core: VectorCore) -> Value:
    """Return clocks in which a tile of sums is added to the output and stored."""
    return tile_rows * tile_blocks / core.stores


def direct_clocks(layer: BlockedConvolution, core: VectorCore, kernels: Kernels) -> Value:
    """Return clocks of convolutions whose input channels fill blocks, or are fewer than a block.

    For each group of filter blocks, each block of input channels and each row of the output, the
    kernel goes through the pixels of the row: those whose window is whole in tiles, the last of a
    remainder and those at a padded edge one by one. Taps on the padding are skipped. The sums of a
    row are stored once for every block of input channels. Fewer channels than a block (the first
    layer) are taken one by one from an unblocked image.
    """
    xp = namespace(
        layer.out_channels, layer.out_columns, core.lanes, core.loads, core.fma, kernels.edge
    )
    down, across = layer.down(), layer.across()
    few = layer.in_channels < core.lanes
    passes = xp.where(few, layer.in_channels, blocks(layer.in_channels, core.lanes))
    depth = xp.where(few, 1.0, core.lanes)
    row_taps = down.taps / xp.maximum(layer.out_rows, _NONE)
    # What the padded windows have on the image; a single pixel of the remainder has a whole one.
    edge_taps = xp.maximum(across.taps - across.inside * layer.kernel_columns, 0.0)
    filters = blocks(layer.out_channels, core.lanes)
    total: Value = 0.0
    for count, width in pieces(filters, kernels.blocks):
        slice_bytes = width * core.lanes * 4.0 * depth * row_taps * layer.kernel_columns
        streamed = 1.0 * (slice_bytes > core.near)
        clocks: Value = 0.0
        for tile in row_tiles(across.inside, kernels.rows):
            clocks = clocks + _tile(
                tile, width, depth * row_taps * layer.kernel_columns, core, kernels, streamed
            )
        single = step_clocks(1.0, width, core, streamed, kernels.edge)
        clocks = clocks + edge_taps * row_taps * depth * single
        clocks = clocks + across.padded * (store_clocks(1.0, width, core) + kernels.tile)
        total = total + count * (clocks + kernels.call)
    return layer.images * layer.out_rows * passes * total


def _tile(
    tile: RegisterTiles,
    width: Value,
    steps: Value,
    core: VectorCore,
    kernels: Kernels,
    streamed: Value,
) -> Value:
    """Return clocks of all tiles of one size: their steps, and storing their sums."""
    wait = namespace(tile.rows, core.latency, kernels.edge).where(
        tile.rows > 1.0, core.latency, kernels.edge
    )
    inner = steps * step_clocks(tile.rows, width, core, streamed, wait)
    return tile.count * (inner + store_clocks(tile.rows, width, core) + kernels.tile)


def pointwise_clocks(
    layer: BlockedConvolution, core: VectorCore, kernels: Kernels, dense: Value
) -> Value:
    """Return clocks of 1 x 1 convolutions.

    The kernel takes `kernels.channels` input channels at once, and the pixels of the whole image as
    one row where they lie without a gap (`dense`, 1 or 0).
    """
    xp = namespace(
        layer.out_channels, layer.out_columns, core.lanes, core.loads, core.fma, kernels.edge
    )
    inner = blocks(layer.in_channels, core.lanes) * core.lanes
    filters = blocks(layer.out_channels, core.lanes)
    run = xp.where(dense > 0, layer.out_rows * layer.out_columns, layer.out_columns)
    runs = xp.where(dense > 0, 1.0, layer.out_rows)
    total: Value = 0.0
    for batches, depth in pieces(inner, kernels.channels):
        for count, width in pieces(filters, kernels.blocks):
            streamed = 1.0 * (width * core.lanes * 4.0 * depth > core.near)
            clocks: Value = kernels.call
            for tile in row_tiles(run, kernels.rows):
                clocks = clocks + _tile(tile, width, depth, core, kernels, streamed)
            total = total + batches * count * clocks
    return layer.images * runs * total


def depthwise_clocks(layer: BlockedConvolution, core: VectorCore, kernels: Kernels) -> Value:
    """Return clocks of depthwise convolutions on blocked channels.

    `layer.images` counts images; its groups are `layer.out_channels`. Every tap of every pixel
    loads a vector of the input, so that the load ports bind: a tile of six pixels takes seven
    loads a tap. A tap of a pixel at a padded edge takes `kernels.edge` clocks.
    """
    down, across = layer.down(), layer.across()
    xp = namespace(
        layer.out_channels, layer.out_columns, core.lanes, core.loads, core.fma, kernels.edge
    )
    row_taps = down.taps / xp.maximum(layer.out_rows, _NONE)
    edge_taps = xp.maximum(across.taps - across.inside * layer.kernel_columns, 0.0)
    clocks: Value = kernels.call
    for tile in row_tiles(across.inside, kernels.rows):
        tap = xp.maximum((tile.rows + 1.0) / core.loads, tile.rows / core.fma)
        # One row of chains alone waits for its sums as the pixels at an edge do.
        tap = xp.where(tile.rows > 1.0, tap, kernels.edge)
        inner = row_taps * layer.kernel_columns * tap
        clocks = clocks + tile.count * (inner + store_clocks(tile.rows, 1.0, core) + kernels.tile)
    clocks = clocks + edge_taps * row_taps * kernels.edge
    clocks = clocks + across.padded * (store_clocks(1.0, 1.0, core) + kernels.tile)
    filters = blocks(layer.out_channels, core.lanes)
    return layer.images * filters * layer.out_rows * clocks


def scalar_depthwise_clocks(layer: BlockedConvolution, tap: Value) -> Value:
    """Return clocks of depthwise convolutions without blocks: `tap` clocks a tap and output."""
    return (
        layer.images
        * layer.out_channels
        * layer.out_rows
        * layer.out_columns
        * layer.kernel_rows
        * layer.kernel_columns
        * tap
    )


def im2col_clocks(layer: BlockedConvolution, copy: Value) -> Value:
    """Return clocks of unfolding the input into a matrix, one column a window.

    `copy` clocks a number that is moved; the product of the matrices is apart.
    """
    windows = layer.out_rows * layer.out_columns * layer.kernel_rows * layer.kernel_columns
    return layer.images * layer.in_channels * windows * copy
