"""Tiles along one axis of a nest: how many there are, and the input that they hold and fetch.

An output position ``i`` and a tap ``j`` of the kernel touch the input row ``i * stride + j *
dilation``. What a tile of ``p`` positions and ``r`` taps touches, and what all tiles together
touch, follows from counting the distinct rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import gcd, isqrt
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.nest import TileNest

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

#: Kernels with more taps along an axis are cut into equal tiles of taps only.
_UNEQUAL_TAPS = 16
#: Rows that `undominated` compares with each other.
_COMPARED = 256


@dataclass(frozen=True, slots=True)
class StaircaseAxisTiles:
    """All tiles of one axis that may be of use: a tile of positions with a tile of taps.

    Attributes
    ----------
    tile, taps
        Positions of the output and taps of the kernel in a tile, shape (tiles,).
    count, tap_count
        Tiles along the positions, and along the taps.
    rows
        Input rows that a tile holds.
    refetched
        Input rows that all tiles fetch, each its own.
    slid, tap_slid
        The same where a tile keeps what it shares with the one before, as the window slides along
        the positions, or along the taps.
    whole
        Input rows that anything touches.
    """

    tile: Ints
    taps: Ints
    count: Ints
    tap_count: Ints
    rows: Floats
    refetched: Floats
    slid: Floats
    tap_slid: Floats
    whole: float

    def __len__(self) -> int:
        return len(self.tile)

    def pick(self, which: npt.NDArray[np.bool_]) -> StaircaseAxisTiles:
        """Return some of the tiles."""
        return StaircaseAxisTiles(
            self.tile[which], self.taps[which], self.count[which], self.tap_count[which],
            self.rows[which], self.refetched[which], self.slid[which], self.tap_slid[which],
            self.whole,
        )  # fmt: skip


def useful_tiles(extent: int) -> Ints:
    """Return the smallest tile of each count, ascending: fewer than ``2 sqrt(extent)``.

    A larger tile with the same count holds more and saves nothing.
    """
    small = np.arange(1, isqrt(extent) + 2)
    counts = np.concatenate([small, -(-extent // small)])
    return np.unique(-(-extent // np.minimum(counts, extent)))


def flattened(nest: TileNest) -> TileNest:
    """Return the nest with every axis whose windows do not overlap made part of a product.

    Where no two positions share input (one tap, a stride of at least the kernel, one position),
    the positions are rows of a product like the images of a batch, and the taps are channels. A
    tile of the flat index is never worse than a rectangle, as it wastes nothing at edges. A
    convolution of one tap becomes a GEMM whose rows are all pixels of all images.
    """
    batch, channels = nest.batch, nest.in_channels
    rows, columns = _apart(*_axis_key(nest, 0)), _apart(*_axis_key(nest, 1))
    if rows:
        batch, channels = batch * nest.out_rows, channels * nest.kernel_rows
    if columns:
        batch, channels = batch * nest.out_columns, channels * nest.kernel_columns
    nest = replace(nest, batch=batch, in_channels=channels)
    one = {"out_rows": 1, "kernel_rows": 1, "row_stride": 1, "row_dilation": 1}
    if rows:
        nest = replace(nest, **one)
    if columns:
        nest = replace(nest, **{k.replace("row", "column"): v for k, v in one.items()})
    if rows and columns:
        nest = replace(nest, out_rows=batch, batch=1)
    return nest


def axes(nest: TileNest) -> tuple[StaircaseAxisTiles, StaircaseAxisTiles]:
    """Return the tiles along the rows and along the columns."""
    return _axis(*_axis_key(nest, 0)), _axis(*_axis_key(nest, 1))


def _axis_key(nest: TileNest, which: int) -> tuple[int, int, int, int]:
    """Return positions, taps, and the steps of both in units of their common divisor."""
    if which == 0:
        extent, taps = nest.out_rows, nest.kernel_rows
        stride, dilation = nest.row_stride, nest.row_dilation
    else:
        extent, taps = nest.out_columns, nest.kernel_columns
        stride, dilation = nest.column_stride, nest.column_dilation
    common = gcd(stride, dilation)
    return extent, taps, stride // common, dilation // common


def _apart(extent: int, taps: int, stride: int, dilation: int) -> bool:
    """Tell whether no two positions of an axis share an input row."""
    return taps <= stride or extent <= dilation


@lru_cache(maxsize=512)
def _axis(extent: int, taps: int, stride: int, dilation: int) -> StaircaseAxisTiles:
    # Position i and tap j share a row with i - dilation and j + stride: each position but the
    # first `dilation` of them adds min(taps, stride) rows, and likewise with the parts exchanged.
    tiles = _tiles(extent, dilation)
    if taps == 1:
        one, all_ = np.ones_like(tiles), np.full(len(tiles), float(extent))
        rows = tiles.astype(float)
        return StaircaseAxisTiles(
            tiles, one, -(-extent // tiles), one, rows, all_, all_, all_, float(extent)
        )
    cuts = _tiles(taps, stride) if taps <= _UNEQUAL_TAPS else useful_tiles(taps)
    p, r = (a.ravel() for a in np.meshgrid(tiles, cuts, indexing="ij"))
    count, tap_count = -(-extent // p), -(-taps // r)
    edge, tap_edge = extent - (count - 1) * p, taps - (tap_count - 1) * r
    refetched, slid, tap_slid = (np.zeros(p.shape) for _ in range(3))
    for cut, cut_times in ((r, tap_count - 1), (tap_edge, 1)):
        refetched += cut_times * (
            (count - 1) * _rows(p, cut, stride, dilation) + _rows(edge, cut, stride, dilation)
        )
        # From the second tile on, only positions without one in the tile before fetch all taps.
        fresh = np.maximum(0, dilation - p)
        slid += cut_times * (
            _rows(np.where(count > 1, p, edge), cut, stride, dilation)
            + np.maximum(0, count - 2) * _new_rows(p, cut, fresh, stride)
            + np.where(count > 1, _new_rows(edge, cut, fresh, stride), 0)
        )
    for part, part_times in ((p, count - 1), (edge, 1)):
        fresh = np.maximum(0, stride - r)
        tap_slid += part_times * (
            _rows(part, np.where(tap_count > 1, r, tap_edge), stride, dilation)
            + np.maximum(0, tap_count - 2) * _new_rows(r, part, fresh, dilation)
            + np.where(tap_count > 1, _new_rows(tap_edge, part, fresh, dilation), 0)
        )
    rows = _rows(p, r, stride, dilation).astype(float)
    whole = float(_rows(np.array(extent), np.array(taps), stride, dilation))
    return StaircaseAxisTiles(p, r, count, tap_count, rows, refetched, slid, tap_slid, whole)


def _tiles(extent: int, period: int) -> Ints:
    """Return the useful tiles, and those whose last tile is shorter than the period of reuse.

    Rows grow slower with a tile once it is longer than the period: there, and only there, one
    short tile beside long ones fetches less than equal tiles do.
    """
    tiles = useful_tiles(extent)
    if period == 1:
        return tiles
    more = np.arange(1, extent + 1)
    edge = extent - (-(-extent // more) - 1) * more
    return np.union1d(tiles, more[edge < period]).astype(np.int64)


def _rows(p: Ints, r: Ints, stride: int, dilation: int) -> Ints:
    """Return the distinct rows of a tile of positions and taps; steps without common divisor."""
    return np.minimum(p, dilation) * r + np.maximum(0, p - dilation) * np.minimum(r, stride)


def _new_rows(p: Ints, r: Ints, fresh: Ints, stride: int) -> Ints:
    """Return what positions add to the tile before them, `fresh` of them sharing none of it."""
    alone = np.minimum(p, fresh)
    return alone * r + (p - alone) * np.minimum(r, stride)


def undominated(columns: list[Floats]) -> npt.NDArray[np.bool_]:
    """Tell which rows no other is better than or equal to in all columns; of equals, the first.

    Of many rows only neighbours are compared, and too many left.
    """
    n = len(columns[0])
    if n == 1:
        return np.ones(1, dtype=bool)
    if n > _COMPARED:
        cuts = range(0, n, _COMPARED)
        parts = [undominated([c[i : i + _COMPARED] for c in columns]) for i in cuts]
        return np.concatenate(parts)
    at_least = np.ones((n, n), dtype=bool)
    for column in columns:
        at_least &= column[:, None] <= column[None, :]
    # Ties: rows as good as each other in all columns.
    tie = at_least & at_least.T
    at_least &= ~tie | np.tri(n, n, -1, dtype=bool).T
    return np.logical_not(np.any(at_least, axis=0))
