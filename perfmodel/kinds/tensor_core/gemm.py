"""Matrix products on a GPU: tiles in waves over its units, split sums, main memory, L2, power.

One routine for dense, batched and grouped products. A library picks a tile and a split of the sum;
the time is the least over the candidates::

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

with ``k`` a split's part of K in whole steps of 64, each of which waits for its operands, and
``least(x)`` the smaller of ``x`` and ``per_unit * units``. Blocks of one column of tiles ask for
the same part of B, and only one of them draws it from main memory: more rows make it no faster.
Where a kernel of its own quantises the activations first, it streams `quantise` bytes for each of
their numbers. What the power limit sustains caps the rate of the whole product. All arguments
broadcast; nothing branches on a value.

Waves of tiles and split sums: Osama et al., "Stream-K", PPoPP 2023. Lee et al., "Forecasting GPU
performance for deep learning training and inference" (NeuSight), ASPLOS 2025, count tiles and waves
alike, with a learned utilisation in place of the terms above.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value, namespace
from perfmodel.caches import cached
from perfmodel.hardware.kernel import ConstantsOfKernels
from perfmodel.kinds.tensor_core.tiles import SPLITS, TILES, Tile, candidates, up, waves

#: Depth of a step of the inner loop, elements.
_STEP = 64.0
#: Rows of a tile are loaded in steps of this many.
_ROWS = 8.0
#: Exponent that joins the tiles' time and the power limit's: nearly their maximum.
_POWER_NORM = 8.0
#: Bytes that a split moves through the L2 for each element of the product: written, then read.
_PARTIAL = 8.0


@dataclass(frozen=True, slots=True)
class Processor:
    """What a product needs to know of a GPU; numbers, or arrays that broadcast with the shapes.

    Attributes
    ----------
    peak
        Operations a second of the compute format, two a multiply-accumulate.
    units
        Processors that thread blocks are spread over.
    clock
        Hz.
    bandwidth
        Of main memory, bytes per second, as a plain streaming kernel reaches it.
    l2_bandwidth
        Bytes a second; infinite where it is not known.
    sustained
        Operations a second that the power limit sustains; infinite where it is not known.
    """

    peak: Value
    units: Value
    clock: Value
    bandwidth: Value
    l2_bandwidth: Value = float("inf")
    sustained: Value = float("inf")


@dataclass(frozen=True, slots=True)
class GemmConstants(ConstantsOfKernels):
    """Constants of a library's kernels: `TensorCoreKernel` says what they are.

    Each is a number, or an array that broadcasts with the shapes. The values here are those of a
    kernel without flaws.
    """

    launch: Value = 0.0
    host_floor: Value = 0.0
    peak_share: Value = 1.0
    bandwidth_share: Value = 1.0
    l2_share: Value = 1.0
    reread_share: Value = 0.0
    draw_bytes_per_clock: Value = float("inf")
    blocks_per_unit: Value = 1.0
    tile_fill: Value = 0.0
    step_clocks: Value = 0.0
    tile_exponent: Value = 0.0
    wave_quantisation: Value = 1.0
    split_launch: Value = 0.0
    quantise_bytes: Value = 0.0
    per_group: Value = 0.0
    pnorm: Value = 8.0


class GemmTimes(NamedTuple):
    """Seconds of one execution of each product; every array has the broadcast shape.

    Attributes
    ----------
    total_s
        Everything: launch, work, sum of a split; at least the host's floor.
    matrix_s, dram_s, l2_s
        Terms of the tile and split that were picked.
    joined_s
        Arithmetic with its riders and memories, joined by the p-norm.
    split_s
        Sum of the parts of a split; 0 where it is not split.
    quantise_s
        Kernel before the product that quantises its left factor.
    l2_bytes
        Bytes that the tiles draw through the L2.
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
    constants: GemmConstants,
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
        Extents of one group; they need not be whole (the mean rows of an expert).
    moved_bytes
        Bytes that cross main memory's boundary, of all groups together.
    left_bytes, right_bytes
        Bytes of an element of A and of B.
    groups
        Products of one kernel: a batch, heads, experts.
    riders_s
        Seconds of elementwise work of the kernel, after its arithmetic.
    tiles, splits
        Candidates.
    relaxed
        Continuous forms of ceilings.

    Returns
    -------
    GemmTimes
        Of the inputs' broadcast shape.

    Notes
    -----
    ``kernel = launch + per_group * groups; there matrix is waves * (2 rows columns k / rate +
    fill)``
        runtime.kernels, tiles in waves, docs/gpu.md

    ``overlap = (matrix^p + dram^p + l2^p)^(1/p) - max(matrix, dram, l2) + split + quantise``
        p-norm, docs/gpu.md
    """
    xp = namespace(
        m,
        n,
        k,
        groups,
        moved_bytes,
        left_bytes,
        right_bytes,
        riders_s,
        machine.peak,
        machine.units,
        machine.clock,
        machine.bandwidth,
        machine.l2_bandwidth,
        machine.sustained,
        constants.launch,
    )
    shape = np.broadcast_shapes(
        *(
            np.shape(v)
            for v in (
                m,
                n,
                k,
                groups,
                moved_bytes,
                left_bytes,
                right_bytes,
                riders_s,
                machine.peak,
                machine.units,
                machine.clock,
                machine.bandwidth,
            )
        )
    )
    t, c, units = candidates(tiles, splits, len(shape)), constants, machine.units
    depth = _STEP * up(k / (_STEP * t.splits), xp, relaxed)
    blocks = groups * up(m / t.rows, xp, relaxed) * up(n / t.columns, xp, relaxed) * t.splits
    # Each unit runs a block at its share of the peak; what is computed beyond M, N and K counts.
    rate = c.peak_share * machine.peak / units * t.extent**c.tile_exponent
    wait = c.step_clocks / (_STEP * machine.clock)
    one = depth * xp.maximum(2.0 * t.rows * t.columns / rate, wait) + c.tile_fill
    matrix = waves(blocks, units, c.wave_quantisation, xp, relaxed) * one
    if not _is_unlimited(machine.sustained):
        power = 2.0 * groups * m * n * k / machine.sustained
        matrix = _join(matrix, power, None, _POWER_NORM, xp)
    rows = xp.minimum(t.rows, _ROWS * up(m / _ROWS, xp, relaxed))
    reads = blocks * depth * (rows * left_bytes + t.columns * right_bytes)
    # What tiles read again is in the cache, but for a share that has left it.
    beyond = moved_bytes + c.reread_share * xp.maximum(reads - moved_bytes, 0.0)
    # A byte passes the memory and then a block that has only so many under way.
    dram = beyond / (machine.bandwidth * c.bandwidth_share)
    if not _is_unlimited(c.draw_bytes_per_clock):
        per_row = groups * up(n / t.columns, xp, relaxed) * t.splits
        resident = c.blocks_per_unit * units
        shared = xp.minimum(groups * n * k * right_bytes, moved_bytes)
        first = shared + (moved_bytes - shared) * xp.minimum(t.rows / m, 1.0)
        drawn = xp.maximum(first / xp.minimum(per_row, resident), moved_bytes / resident)
        again = xp.maximum(reads / xp.minimum(blocks, resident) - drawn, 0.0)
        drawn = drawn + c.reread_share * again
        dram = dram + drawn / (c.draw_bytes_per_clock * machine.clock)
    near = machine.l2_bandwidth * c.l2_share
    cached = reads / near
    joined = _join(matrix + riders_s, dram, cached, c.pnorm, xp)
    split = t.split * (c.split_launch + _PARTIAL * t.splits * groups * m * n / near)
    work = joined + split
    best = xp.argmin(work, axis=0)

    at = (best, *_grid(work.shape[1:]))

    def picked(values: Value) -> Value:
        # The place may be a tracer where the values are an array.
        full = xp.asarray(values)
        return (full if full.shape == work.shape else xp.broadcast_to(full, work.shape))[at]

    quantise = c.quantise_bytes * groups * m * k / machine.bandwidth
    total = c.launch + c.per_group * groups + picked(work) + quantise
    return GemmTimes(
        xp.maximum(total, c.host_floor),
        picked(matrix),
        picked(dram),
        picked(cached),
        picked(joined),
        picked(split),
        quantise + 0.0 * total,
        picked(reads),
        best,
    )


def _is_unlimited(rate: Value) -> bool:
    """Whether nothing states a rate: a slope through an infinite one would be no number."""
    return isinstance(rate, float) and rate == float("inf")


@cached(128 << 10)
def _grid(shape: tuple[int, ...]) -> tuple[npt.NDArray[np.intp], ...]:
    """Return an open grid of indices, to be read only."""
    return tuple(np.ogrid[tuple(slice(n) for n in shape)])


def _join(a: Value, b: Value, c: Value, p: Value, xp: object) -> Value:
    """Return ``(a^p + b^p + c^p)^(1/p)`` without leaving the range of a float; `a` is positive."""
    space: Value = xp
    top = space.maximum(a, b)
    if c is not None:
        top = space.maximum(top, c)
        return top * ((a / top) ** p + (b / top) ** p + (c / top) ** p) ** (1.0 / p)
    return top * ((a / top) ** p + (b / top) ** p) ** (1.0 / p)
