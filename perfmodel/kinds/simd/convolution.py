"""Clocks of convolutions on blocked channels, counted from the loops of their kernels.

A kernel keeps a tile of sums in registers: some pixels of a row by some filter blocks, each a
vector of channels. For every tap and input channel it loads a vector of each filter block, and
broadcasts a number of each pixel. The count is that of instructions such loops must issue; the
shapes of the tiles are facts of a runtime's kernels, widths, ports and latencies those of a core.

Georganas et al., "Anatomy of high-performance deep learning convolutions on SIMD architectures",
SC 2018, describe the blocked layout and the register tiles.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from perfmodel.arrays import Value, namespace
from perfmodel.hardware.kernel import KernelConstants
from perfmodel.kinds.simd.tiles import Edges, RegisterTiles, blocks, edges, pieces, row_tiles
from perfmodel.workload.nest_table import Nests

#: Smaller than any extent; avoids division by zero for images smaller than their stride.
NO_EXTENT: Final = 1e-12


class VectorCore(NamedTuple):
    """Parameters of a core in the kernel model; numbers or arrays.

    Attributes
    ----------
    lanes
        Numbers in a vector.
    fma, loads, stores
        Vector instructions per clock.
    latency
        Clocks between dependent multiply-accumulates on one sum.
    near
        Capacity of the nearest cache, bytes.
    fill
        Bytes per clock from the next cache into the nearest one.
    """

    lanes: Value
    fma: Value
    loads: Value
    stores: Value
    latency: Value
    near: Value
    fill: Value


class BlockedConvolution(NamedTuple):
    """Convolutions: extents of one group, arrays that broadcast.

    `images` are images times groups.
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

    @classmethod
    def of(cls, nests: Nests, images: Value, out_channels: Value = None) -> BlockedConvolution:
        """Return nests as convolutions of `images` images, with other output channels if stated."""
        return cls(
            images,
            nests.out_channels if out_channels is None else out_channels,
            nests.in_channels,
            nests.out_rows,
            nests.out_columns,
            nests.in_rows,
            nests.in_columns,
            nests.kernel_rows,
            nests.kernel_columns,
            *nests.window_steps,
        )

    def down(self) -> Edges:
        """Return the positions of windows relative to the image's edges, along rows."""
        return edges(
            self.in_rows, self.out_rows, self.kernel_rows, self.stride_rows, self.dilation_rows
        )

    def across(self) -> Edges:
        """Return the positions of windows relative to the image's edges, along columns."""
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
    """Return clocks per input element of a tile: multiply, load, and wait for the sums.

    ``max(rows * blocks / fma, wait, (blocks + rows / 2) / loads, streamed * blocks * lanes * 4 /
    fill)``, for numbers of four bytes.

    Parameters
    ----------
    tile_rows, tile_blocks
        Pixels and filter blocks of the tile: one chain of dependent sums per pair.
    streamed
        1 where the filters are reloaded from outside the nearest cache each time, else 0.
    wait
        Clocks between dependent additions to a sum.
    """
    xp = namespace(tile_rows, tile_blocks, streamed, wait, core.fma, core.loads, core.fill)
    issue = tile_rows * tile_blocks / core.fma
    # A broadcast of one number occupies half a vector's load slot.
    load = (tile_blocks + 0.5 * tile_rows) / core.loads
    fill = streamed * tile_blocks * core.lanes * 4.0 / core.fill
    return xp.maximum(xp.maximum(issue, wait), xp.maximum(load, fill))


def store_clocks(tile_rows: Value, tile_blocks: Value, core: VectorCore) -> Value:
    """Return clocks to accumulate and store a tile of sums: ``rows * blocks / stores``."""
    return tile_rows * tile_blocks / core.stores


def direct_clocks(layer: BlockedConvolution, core: VectorCore, kernel: KernelConstants) -> Value:
    """Return clocks of convolutions whose input channels fill blocks, or are fewer than a block.

    For each group of filter blocks, each block of input channels and each row of the output, the
    kernel loops over the pixels of the row: those with a full window in tiles, a remainder of one
    pixel and those at a padded edge one by one. Taps on the padding are skipped. The sums of a row
    are stored once per block of input channels. Fewer channels than a block (the first layer) are
    read one by one from an unblocked image.
    """
    xp = namespace(
        layer.out_channels, layer.out_columns, core.lanes, core.loads, core.fma, kernel.edge_clocks
    )
    down, across = layer.down(), layer.across()
    few = layer.in_channels < core.lanes
    passes = xp.where(few, layer.in_channels, blocks(layer.in_channels, core.lanes))
    depth = xp.where(few, 1.0, core.lanes)
    row_taps = down.taps / xp.maximum(layer.out_rows, NO_EXTENT)
    # Taps of padded windows on the image; a single pixel of the remainder has a full window.
    edge_taps = xp.maximum(across.taps - across.inside * layer.kernel_columns, 0.0)
    filters = blocks(layer.out_channels, core.lanes)
    total: Value = 0.0
    for count, width in pieces(filters, kernel.tile_vectors):
        slice_bytes = width * core.lanes * 4.0 * depth * row_taps * layer.kernel_columns
        streamed = 1.0 * (slice_bytes > core.near)
        clocks: Value = 0.0
        for tile in row_tiles(across.inside, kernel.tile_rows):
            clocks = clocks + _tile(
                tile, width, depth * row_taps * layer.kernel_columns, core, kernel, streamed
            )
        single = step_clocks(1.0, width, core, streamed, kernel.edge_clocks)
        clocks = clocks + edge_taps * row_taps * depth * single
        clocks = clocks + across.padded * (store_clocks(1.0, width, core) + kernel.tile_clocks)
        total = total + count * (clocks + kernel.call_clocks)
    return layer.images * layer.out_rows * passes * total


def _tile(
    tile: RegisterTiles,
    width: Value,
    steps: Value,
    core: VectorCore,
    kernel: KernelConstants,
    streamed: Value,
) -> Value:
    """Return clocks of all tiles of one size: their steps, and stores of their sums."""
    wait = namespace(tile.rows, core.latency, kernel.edge_clocks).where(
        tile.rows > 1.0, core.latency, kernel.edge_clocks
    )
    inner = steps * step_clocks(tile.rows, width, core, streamed, wait)
    return tile.count * (inner + store_clocks(tile.rows, width, core) + kernel.tile_clocks)


def pointwise_clocks(
    layer: BlockedConvolution, core: VectorCore, kernel: KernelConstants, dense: Value
) -> Value:
    """Return clocks of 1 x 1 convolutions.

    The kernel processes `kernel.slice` input channels per step, and the pixels of the whole image
    as one row where they are contiguous (`dense`, 1 or 0).
    """
    xp = namespace(
        layer.out_channels, layer.out_columns, core.lanes, core.loads, core.fma, kernel.edge_clocks
    )
    inner = blocks(layer.in_channels, core.lanes) * core.lanes
    filters = blocks(layer.out_channels, core.lanes)
    run = xp.where(dense > 0, layer.out_rows * layer.out_columns, layer.out_columns)
    runs = xp.where(dense > 0, 1.0, layer.out_rows)
    total: Value = 0.0
    for batches, depth in pieces(inner, kernel.slice):
        for count, width in pieces(filters, kernel.tile_vectors):
            streamed = 1.0 * (width * core.lanes * 4.0 * depth > core.near)
            clocks: Value = kernel.call_clocks
            for tile in row_tiles(run, kernel.tile_rows):
                clocks = clocks + _tile(tile, width, depth, core, kernel, streamed)
            total = total + batches * count * clocks
    return layer.images * runs * total


def depthwise_clocks(layer: BlockedConvolution, core: VectorCore, kernel: KernelConstants) -> Value:
    """Return clocks of depthwise convolutions on blocked channels.

    `layer.images` counts images; its groups are `layer.out_channels`. Every tap of every pixel
    loads a vector of the input, so that the load ports are the bottleneck: a tile of six pixels
    needs seven loads per tap. A tap of a pixel at a padded edge costs `kernel.edge_clocks` clocks.
    """
    down, across = layer.down(), layer.across()
    xp = namespace(
        layer.out_channels, layer.out_columns, core.lanes, core.loads, core.fma, kernel.edge_clocks
    )
    row_taps = down.taps / xp.maximum(layer.out_rows, NO_EXTENT)
    edge_taps = xp.maximum(across.taps - across.inside * layer.kernel_columns, 0.0)
    clocks: Value = kernel.call_clocks
    for tile in row_tiles(across.inside, kernel.tile_rows):
        tap = xp.maximum((tile.rows + 1.0) / core.loads, tile.rows / core.fma)
        # A single chain waits for its sums, like the pixels at an edge.
        tap = xp.where(tile.rows > 1.0, tap, kernel.edge_clocks)
        inner = row_taps * layer.kernel_columns * tap
        clocks = clocks + tile.count * (
            inner + store_clocks(tile.rows, 1.0, core) + kernel.tile_clocks
        )
    clocks = clocks + edge_taps * row_taps * kernel.edge_clocks
    clocks = clocks + across.padded * (store_clocks(1.0, 1.0, core) + kernel.tile_clocks)
    filters = blocks(layer.out_channels, core.lanes)
    return layer.images * filters * layer.out_rows * clocks


def scalar_depthwise_clocks(layer: BlockedConvolution, tap: Value) -> Value:
    """Return clocks of depthwise convolutions without blocks: `tap` clocks per tap and output."""
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
    """Return clocks to unfold the input into a matrix with one column per window.

    `copy` clocks per number moved; the matrix product is counted separately.
    """
    windows = layer.out_rows * layer.out_columns * layer.kernel_rows * layer.kernel_columns
    return layer.images * layer.in_channels * windows * copy
