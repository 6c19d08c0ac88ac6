"""Clocks of matrix products on packed panels, counted from the loops of their kernels.

The right matrix is stored in panels of vectors; a kernel keeps a tile of sums, some rows by some
vectors, over a slice of the summed dimension. Goto and van de Geijn, "Anatomy of high-performance
matrix multiplication", ACM TOMS 34(3), 2008.
"""

from __future__ import annotations

from perfmodel.arrays import Value, namespace
from perfmodel.hardware.kernel import KernelConstants
from perfmodel.kinds.simd.convolution import VectorCore, step_clocks, store_clocks
from perfmodel.kinds.simd.tiles import blocks, pieces, row_tiles


def gemm_clocks(
    rows: Value, columns: Value, depth: Value, core: VectorCore, kernel: KernelConstants
) -> Value:
    """Return clocks of ``C[rows, columns] += A[rows, depth] B[depth, columns]``.

    Parameters
    ----------
    rows, columns, depth
        Extents; arrays broadcast.
    kernel
        `tile_rows` by `tile_vectors` vectors per tile, `slice` of the depth per step.
    """
    xp = namespace(rows, columns, depth, core.lanes, kernel.slice)
    vectors = blocks(columns, core.lanes)
    slices = blocks(depth, kernel.slice)
    # Every tile of rows reads the whole slice of B again.
    slice_bytes = xp.minimum(depth, kernel.slice) * vectors * core.lanes * 4.0
    streamed = 1.0 * (slice_bytes > core.near)
    total: Value = 0.0
    for count, width in pieces(vectors, kernel.tile_vectors):
        clocks: Value = 0.0
        for tile in row_tiles(rows, kernel.tile_rows):
            inner = depth * step_clocks(tile.rows, width, core, streamed, core.latency)
            outer = store_clocks(tile.rows, width, core) + kernel.tile_clocks
            clocks = clocks + tile.count * (inner + slices * outer)
        total = total + count * clocks
    return total + slices * kernel.call_clocks


def conflicts(
    rows: Value, depth: Value, width: Value, tile: Value, near: Value, way: Value
) -> Value:
    """Return 1 where the rows of a tile map to one set of the nearest cache and exceed its ways.

    Rows of A are ``depth * width`` bytes apart; where that is a multiple of the bytes of a way, a
    line of each row of the tile maps to the same set, and a cache of `near` bytes keeps at most
    ``near / way`` of them.
    """
    xp = namespace(rows, depth, width, tile, near)
    same = (depth * width) % way == 0
    return 1.0 * (same & (xp.minimum(rows, tile) > near / way))
