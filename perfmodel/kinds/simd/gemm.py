"""Clocks of matrix products on packed panels, counted from the loops of their kernels.

The right matrix lies in panels of vectors; a kernel holds a tile of sums, some rows by some
vectors, over a slice of the summed dimension. Goto and van de Geijn, "Anatomy of high-performance
matrix multiplication", ACM TOMS 34(3), 2008.
"""

from __future__ import annotations

from perfmodel.arrays import Value, namespace
from perfmodel.kinds.simd.convolution import Kernels, VectorCore, step_clocks, store_clocks
from perfmodel.kinds.simd.tiles import blocks, pieces, row_tiles


def gemm_clocks(
    rows: Value, columns: Value, depth: Value, core: VectorCore, kernels: Kernels
) -> Value:
    """Return clocks of ``C[rows, columns] += A[rows, depth] B[depth, columns]``.

    Parameters
    ----------
    rows, columns, depth
        Extents; arrays broadcast.
    kernels
        `rows` by `blocks` vectors a tile, `channels` of the depth a slice.
    """
    xp = namespace(rows, columns, depth, core.lanes, kernels.channels)
    vectors = blocks(columns, core.lanes)
    slices = blocks(depth, kernels.channels)
    # Every tile of rows goes over the whole slice of B again.
    slice_bytes = xp.minimum(depth, kernels.channels) * vectors * core.lanes * 4.0
    streamed = 1.0 * (slice_bytes > core.near)
    total: Value = 0.0
    for count, width in pieces(vectors, kernels.blocks):
        clocks: Value = 0.0
        for tile in row_tiles(rows, kernels.rows):
            inner = depth * step_clocks(tile.rows, width, core, streamed, core.latency)
            outer = store_clocks(tile.rows, width, core) + kernels.tile
            clocks = clocks + tile.count * (inner + slices * outer)
        total = total + count * clocks
    return total + slices * kernels.call


def conflicts(
    rows: Value, depth: Value, width: Value, tile: Value, near: Value, way: Value
) -> Value:
    """Return 1 where the rows of a tile fall on one set of the nearest cache and exceed its ways.

    Rows of A lie ``depth * width`` bytes apart; where that is a multiple of the bytes of a way, a
    line of each row of the tile falls on the same set, and a cache of `near` bytes keeps no more
    than ``near / way`` of them.
    """
    xp = namespace(rows, depth, width, tile, near)
    same = (depth * width) % way == 0
    return 1.0 * (same & (xp.minimum(rows, tile) > near / way))
