"""Matrix products on a GPU: tiles in waves over units, split sums, main memory, L2, power.

One routine for dense, batched and grouped products. A library selects a tile and a split of the
sum; the time is the minimum over the candidates::

    blocks = groups * ceil(M / rows) * ceil(N / columns) * splits
    matrix = waves * (max(2 rows columns k / (share peak / units * extent^e), steps wait) + fill)
    reads  = blocks * (rows + columns) * k
    bytes  = moved + reread * max(reads - moved, 0)
    dram   = bytes / (share bandwidth) + drawn / (draw * clock)
    drawn  = (1 - reread) unique + reread * max(reads / least(blocks), unique)
    unique = max((B + (moved - B) min(rows / M, 1)) / least(groups * ceil(N / columns) * splits),
                 moved / (per_unit * units))
    l2     = reads / (share l2_bandwidth)
    joined = ((matrix + riders)^p + dram^p + l2^p)^(1/p)
    time   = max(host, launch + joined + split + quantise M K / bandwidth)

with ``k`` a split's part of K in full steps of 64, each of which waits for its operands, and
``least(x)`` the smaller of ``x`` and ``per_unit * units``. Blocks of one column of tiles read the
same part of B, and only one of them draws it from main memory: more rows do not speed that up.
Where a separate kernel quantises the activations first, it streams `quantise` bytes per number. The
rate that the power limit sustains caps that of the whole product. All arguments broadcast; nothing
branches on a value.

Waves of tiles and split sums: Osama et al., "Stream-K", PPoPP 2023. Lee et al., "Forecasting GPU
performance for deep learning training and inference" (NeuSight), ASPLOS 2025, count tiles and waves
in the same way, with a learned utilisation in place of the terms above.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value, namespace
from perfmodel.caches import cached
from perfmodel.hardware.kernel import KernelConstants
from perfmodel.kinds.tensor_core.tiles import (
    SPLITS,
    TILES,
    TensorCoreTileCandidates,
    Tile,
    candidates,
    up,
    waves,
)

#: Depth of a step of the inner loop, elements.
_STEP = 64.0
#: Rows of a tile are loaded in multiples of this number.
_ROWS = 8.0
#: Exponent that combines the tiles' time and that of the power limit: nearly a maximum.
_POWER_NORM = 8.0
#: Bytes that a split moves through the L2 per element of the product: written, then read.
_PARTIAL = 8.0


class Processor(NamedTuple):
    """Facts of a GPU for products; numbers, or arrays that broadcast with the shapes.

    Attributes
    ----------
    peak
        Operations per second in the compute format, two per multiply-accumulate.
    units
        Processors over which thread blocks are distributed.
    clock
        Clock in Hz.
    bandwidth
        Bandwidth of main memory, bytes per second, as reached by a plain streaming kernel.
    l2_bandwidth
        Bytes per second of the L2; infinite if unknown.
    sustained
        Operations per second that the power limit sustains; infinite if unknown.
    """

    peak: Value
    units: Value
    clock: Value
    bandwidth: Value
    l2_bandwidth: Value = float("inf")
    sustained: Value = float("inf")


class GemmTimes(NamedTuple):
    """Seconds of one execution of each product; every array has the broadcast shape.

    Attributes
    ----------
    total_s
        Total: launch, work, sum of a split; at least the host's floor.
    matrix_s, dram_s, l2_s
        Terms of the selected tile and split.
    joined_s
        Arithmetic, including fused elementwise work, and memories, combined by the p-norm.
    split_s
        Time to sum the parts of a split; 0 without a split.
    quantise_s
        Preceding kernel that quantises the left factor.
    l2_bytes
        Bytes that the tiles read through the L2.
    choice
        Index of tile and split: ``tile * len(splits) + split``.
    """

    total_s: Value
    matrix_s: Value
    dram_s: Value
    l2_s: Value
    joined_s: Value
    split_s: Value
    quantise_s: Value
    l2_bytes: Value
    choice: Value


def gemm_times(
    m: Value,
    n: Value,
    k: Value,
    *,
    machine: Processor,
    constants: KernelConstants,
    moved_bytes: Value,
    left_bytes: Value,
    right_bytes: Value,
    groups: Value = 1.0,
    riders_s: Value = 0.0,
    tiles: tuple[Tile, ...] = TILES,
    splits: tuple[int, ...] = SPLITS,
    relaxed: bool = False,
) -> GemmTimes:
    """Return the times of products ``C[M, N] = A[M, K] B[K, N]``, each `groups` times in a kernel.

    Parameters
    ----------
    m, n, k
        Extents of one group, not necessarily integers (the mean rows of an expert).
    moved_bytes
        Bytes to and from main memory, of all groups together.
    left_bytes, right_bytes
        Bytes of an element of A and of B.
    groups
        Products per kernel: a batch, heads, experts.
    riders_s
        Seconds of elementwise work fused into the kernel, after its arithmetic.
    tiles, splits
        Candidates of the search.
    relaxed
        Use continuous forms of ceilings.

    Returns
    -------
    GemmTimes
        Times of the inputs' broadcast shape.

    Notes
    -----
    ``kernel = launch + per_group * groups; there matrix is waves * (2 rows columns k / rate +
    fill)``
        runtime.kernels, tiles in waves, docs/gpu.md

    ``overlap = (matrix^p + dram^p + l2^p)^(1/p) - max(matrix, dram, l2) + split + quantise``
        p-norm, docs/gpu.md
    """
    operands = m, n, k, groups, moved_bytes, left_bytes, right_bytes, riders_s
    xp = namespace(*operands, *machine, constants.launch)
    shape = np.broadcast_shapes(*map(np.shape, (*operands, *machine[:4])))
    t, c = candidates(tiles, splits, len(shape)), constants
    product = _TiledProduct.of(m, n, k, groups, t, xp, relaxed)
    matrix = _matrix_seconds(product, machine, c, xp, relaxed)
    rows = xp.minimum(t.rows, _ROWS * up(m / _ROWS, xp, relaxed))
    reads = product.blocks * product.depth * (rows * left_bytes + t.columns * right_bytes)
    weight_bytes = groups * n * k * right_bytes
    dram = _dram_seconds(product, machine, c, reads, moved_bytes, weight_bytes, xp)
    near = machine.l2_bandwidth * c.l2_share
    l2 = reads / near
    joined = _p_norm_sum(matrix + riders_s, dram, l2, c.pnorm, xp)
    split = t.split * (c.split_launch + _PARTIAL * t.splits * groups * m * n / near)
    work = joined + split
    best = xp.argmin(work, axis=0)
    at = (best, *_index_grid(work.shape[1:]))

    def picked(values: Value) -> Value:
        # The index may be a tracer where the values are a numpy array.
        full = xp.asarray(values)
        return (full if full.shape == work.shape else xp.broadcast_to(full, work.shape))[at]

    quantise = c.quantise_bytes * groups * m * k / machine.bandwidth
    total = c.launch + c.per_group * groups + picked(work) + quantise
    return GemmTimes(
        xp.maximum(total, c.host_floor),
        picked(matrix),
        picked(dram),
        picked(l2),
        picked(joined),
        picked(split),
        quantise + 0.0 * total,
        picked(reads),
        best,
    )


class _TiledProduct(NamedTuple):
    """A product under every candidate tile and split.

    Attributes
    ----------
    m, n, k, groups
        Extents, and products per kernel.
    tiles
        The candidates.
    depth
        Elements of K that a block sums, in steps of the inner loop.
    row_tiles, column_blocks
        Tiles along M, and blocks per row of tiles.
    """

    m: Value
    n: Value
    k: Value
    groups: Value
    tiles: TensorCoreTileCandidates
    depth: Value
    row_tiles: Value
    column_blocks: Value

    @classmethod
    def of(
        cls,
        m: Value,
        n: Value,
        k: Value,
        groups: Value,
        tiles: TensorCoreTileCandidates,
        xp: Any,
        relaxed: bool,
    ) -> _TiledProduct:
        """Return a product cut by each candidate; `relaxed` counts parts of tiles and steps."""
        depth = _STEP * up(k / (_STEP * tiles.splits), xp, relaxed)
        column_blocks = groups * up(n / tiles.columns, xp, relaxed) * tiles.splits
        return cls(m, n, k, groups, tiles, depth, up(m / tiles.rows, xp, relaxed), column_blocks)

    @property
    def blocks(self) -> Value:
        """Number of thread blocks of the kernel."""
        return self.column_blocks * self.row_tiles


def _matrix_seconds(
    product: _TiledProduct, machine: Processor, c: KernelConstants, xp: Any, relaxed: bool
) -> Value:
    """Return ``waves * (max(2 rows columns k / rate, steps wait) + fill)``, under the power limit.

    Each unit runs one block at its share of the peak; padding beyond M, N and K is computed too.
    """
    t, units = product.tiles, machine.units
    rate = c.peak_share * machine.peak / units * t.extent**c.tile_exponent
    wait = c.step_clocks / (_STEP * machine.clock)
    one = product.depth * xp.maximum(2.0 * t.rows * t.columns / rate, wait) + c.tile_fill
    matrix = waves(product.blocks, units, c.wave_quantisation, xp, relaxed) * one
    if _is_unlimited(machine.sustained):
        return matrix
    operations = 2.0 * product.groups * product.m * product.n * product.k
    return _p_norm_sum(matrix, operations / machine.sustained, None, _POWER_NORM, xp)


def _dram_seconds(
    product: _TiledProduct,
    machine: Processor,
    c: KernelConstants,
    reads: Value,
    moved_bytes: Value,
    weight_bytes: Value,
    xp: Any,
) -> Value:
    """Return ``bytes / (share bandwidth) + drawn / (draw * clock)``.

    A byte passes first the memory and then a block with limited requests in flight. Repeated reads
    of tiles hit the cache, except for the share that has been evicted.
    """
    far_bytes = moved_bytes + c.reread_share * xp.maximum(reads - moved_bytes, 0.0)
    dram = far_bytes / (machine.bandwidth * c.bandwidth_share)
    if _is_unlimited(c.draw_bytes_per_clock):
        return dram
    resident = c.blocks_per_unit * machine.units
    shared = xp.minimum(weight_bytes, moved_bytes)
    first = shared + (moved_bytes - shared) * xp.minimum(product.tiles.rows / product.m, 1.0)
    drawn = xp.maximum(first / xp.minimum(product.column_blocks, resident), moved_bytes / resident)
    again = xp.maximum(reads / xp.minimum(product.blocks, resident) - drawn, 0.0)
    drawn = drawn + c.reread_share * again
    return dram + drawn / (c.draw_bytes_per_clock * machine.clock)


def _is_unlimited(rate: Value) -> bool:
    """Whether a rate is unstated; the derivative through an infinite one would be NaN."""
    return isinstance(rate, float) and rate == float("inf")


@cached(128 << 10)
def _index_grid(shape: tuple[int, ...]) -> tuple[npt.NDArray[np.intp], ...]:
    """Return an open grid of indices, read-only."""
    return tuple(np.ogrid[tuple(slice(n) for n in shape)])


def _p_norm_sum(a: Value, b: Value, c: Value, p: Value, xp: Any) -> Value:
    """Return ``(a^p + b^p + c^p)^(1/p)`` without overflow; `a` is positive."""
    top = xp.maximum(a, b) if c is None else xp.maximum(xp.maximum(a, b), c)
    powers = (a / top) ** p + (b / top) ** p
    if c is not None:
        powers = powers + (c / top) ** p
    return top * powers ** (1.0 / p)
