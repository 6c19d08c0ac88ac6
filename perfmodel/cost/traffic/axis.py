"""One axis of a nest: tiles of positions and taps, and the input that they hold and fetch.

An output position i and a tap j touch the input row ``i s + j d`` (s the stride, d the dilation,
without common divisor). p positions and r taps touch

    min(p, d) r + max(0, p - d) min(r, s)

distinct rows: each position but the first d of them shares all but min(r, s) rows with another.
Where no two positions share any (r <= s, or p <= d) they are rows of a product.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import gcd, isqrt
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value, namespace
from perfmodel.cost.traffic.nest import TileNest
from perfmodel.cost.traffic.points import pieces, where
from perfmodel.cost.traffic.two_tile import TINY

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

#: Kernels with more taps along an axis are cut into equal tiles of taps only.
_UNEQUAL_TAPS = 16


@dataclass(frozen=True, slots=True)
class ConvolutionAxis:
    """Positions and taps along one axis; numbers, or flat arrays of the points.

    Attributes
    ----------
    extent, taps
        Positions of the output and taps of the kernel.
    stride, dilation
        Steps of the input for one of each, without common divisor.
    """

    extent: Value
    taps: Value
    stride: Value
    dilation: Value

    @property
    def disjoint(self) -> Value:
        """Whether no two positions share an input row."""
        return (self.taps <= self.stride) | (self.extent <= self.dilation)

    @property
    def touched_rows(self) -> Value:
        """Input rows that anything touches."""
        return self.input_rows(self.extent, self.taps)

    def input_rows(self, positions: Value, taps: Value) -> Value:
        """Return the distinct input rows that neighbouring positions and taps touch."""
        xp = namespace(positions, taps, self.extent)
        separate = xp.minimum(positions, self.dilation)
        return separate * taps + (positions - separate) * xp.minimum(taps, self.stride)

    def most_positions(self, taps: Value, by_row: Value, by_position: Value, room: Value) -> Value:
        """Return the most positions, real, with ``by_row rows + by_position positions <= room``."""
        xp = namespace(self.extent, room)
        separate = room / (by_row * taps + by_position + TINY)
        shared = xp.minimum(taps, self.stride)
        more = room - by_row * self.dilation * (taps - shared)
        many = more / (by_row * shared + by_position + TINY)
        return xp.where(separate <= self.dilation, separate, many)


class AxisTiles(NamedTuple):
    """Tiles of an axis and what follows from them; arrays of one shape.

    Attributes
    ----------
    tile, taps
        Positions and taps of a tile.
    count, tap_count
        Tiles along both.
    rows
        Input rows that a tile holds.
    fetched, slid, tap_slid
        Input rows that all tiles fetch: each its own; keeping what it shares with the tile before
        as the window slides along the positions; and along the taps.
    """

    tile: Value
    taps: Value
    count: Value
    tap_count: Value
    rows: Value
    fetched: Value
    slid: Value
    tap_slid: Value

    def pick(self, which: Value) -> AxisTiles:
        """Return some of the tiles."""
        return self._make(column[which] for column in self)


def axes(nest: TileNest) -> tuple[ConvolutionAxis, ConvolutionAxis]:
    """Return the rows and the columns of a nest."""
    return (
        _reduced(nest.out_rows, nest.kernel_rows, nest.row_stride, nest.row_dilation),
        _reduced(nest.out_columns, nest.kernel_columns, nest.column_stride, nest.column_dilation),
    )


def _reduced(extent: Value, taps: Value, stride: Value, dilation: Value) -> ConvolutionAxis:
    """Return an axis with its steps in units of their common divisor."""
    if np.ndim(stride) or np.ndim(dilation):
        xp = namespace(stride, dilation)
        common = xp.gcd(*(xp.asarray(step).astype(int) for step in (stride, dilation)))
    else:
        common = gcd(int(stride), int(dilation))
    return ConvolutionAxis(extent, taps, stride // common, dilation // common)


def flattened(nest: TileNest) -> TileNest:
    """Return the nest with every axis whose windows do not overlap made part of a product.

    Where no two positions share input (one tap, a stride of at least the kernel, one position),
    the positions are rows of a product like the images of a batch, and the taps are channels. A
    tile of the flat index is never worse than a rectangle, as it wastes nothing at edges. A
    convolution of one tap becomes a GEMM whose rows are all pixels of all images.
    """
    flat_rows, flat_columns = (axis.disjoint for axis in axes(nest))
    either, both = flat_rows | flat_columns, flat_rows & flat_columns
    rows, columns = nest.out_rows, nest.out_columns
    rows = where(flat_rows, nest.batch * where(both, rows * columns, rows), rows)
    columns = where(flat_columns, where(both, 1, nest.batch * columns), columns)
    taps = where(flat_rows, nest.kernel_rows, 1) * where(flat_columns, nest.kernel_columns, 1)
    return replace(
        nest,
        batch=where(either, 1, nest.batch),
        in_channels=nest.in_channels * taps,
        out_rows=rows,
        out_columns=columns,
        kernel_rows=where(flat_rows, 1, nest.kernel_rows),
        kernel_columns=where(flat_columns, 1, nest.kernel_columns),
        row_stride=where(flat_rows, 1, nest.row_stride),
        column_stride=where(flat_columns, 1, nest.column_stride),
        row_dilation=where(flat_rows, 1, nest.row_dilation),
        column_dilation=where(flat_columns, 1, nest.column_dilation),
    )


def cut(
    axis: ConvolutionAxis, tile: Value, taps: Value | None = None, *, relaxed: bool = False
) -> AxisTiles:
    """Return tiles of positions with so many taps inside; all of them if ``None``."""
    xp = namespace(axis.extent, tile)
    count = pieces(axis.extent, tile, relaxed)
    edge = tile if relaxed else axis.extent - (count - 1.0) * tile
    one = xp.ones_like(tile)
    if taps is None:
        rows = axis.input_rows(tile, axis.taps)
        fetched, slid = _along(axis, tile, edge, count, axis.taps)
        return AxisTiles(tile, axis.taps * one, count, one, rows, fetched, slid, fetched)
    tap_count = xp.ceil(axis.taps / taps)
    tap_edge = axis.taps - (tap_count - 1.0) * taps
    fetched, slid = _along(axis, tile, edge, count, taps)
    last_fetched, last_slid = _along(axis, tile, edge, count, tap_edge)
    # Positions and taps exchanged: the window slides along the taps of one tile of positions.
    turned = ConvolutionAxis(axis.taps, tile, axis.dilation, axis.stride)
    _, inner = _along(turned, taps, tap_edge, tap_count, tile)
    _, inner_edge = _along(turned, taps, tap_edge, tap_count, edge)
    return AxisTiles(
        tile=tile,
        taps=taps * one,
        count=count,
        tap_count=tap_count * one,
        rows=axis.input_rows(tile, taps),
        fetched=(tap_count - 1.0) * fetched + last_fetched,
        slid=(tap_count - 1.0) * slid + last_slid,
        tap_slid=(count - 1.0) * inner + inner_edge,
    )


def _along(
    axis: ConvolutionAxis, tile: Value, edge: Value, count: Value, taps: Value
) -> tuple[Value, Value]:
    """Return the rows that all tiles fetch with so many taps: each its own, and as they slide.

    A tile that slides shares all but its new rows with the one before it; its first
    ``max(0, d - p)`` positions share none.
    """
    xp = namespace(axis.extent, tile)
    rows, last = axis.input_rows(tile, taps), axis.input_rows(edge, taps)
    unshared = xp.maximum(0.0, axis.dilation - tile)
    shared = xp.minimum(taps, axis.stride)

    def new(positions: Value) -> Value:
        separate = xp.minimum(positions, unshared)
        return separate * taps + (positions - separate) * shared

    more = rows + (count - 2.0) * new(tile) + new(edge)
    # Also where real counts lie between one and two.
    slid = xp.where(count > 1, more, last)
    return (count - 1.0) * rows + last, slid


def useful_tiles(extent: int) -> Ints:
    """Return the smallest tile of each count, ascending: fewer than ``2 sqrt(extent)``.

    A larger tile with the same count holds more and saves nothing.
    """
    small = np.arange(1, isqrt(extent) + 2)
    counts = np.concatenate([small, -(-extent // small)])
    return np.unique(-(-extent // np.minimum(counts, extent)))


@lru_cache(maxsize=512)
def axis_tiles(axis: ConvolutionAxis) -> AxisTiles:
    """Return all tiles of an axis that may be of use: each tile of positions with each of taps."""
    taps = int(axis.taps)
    if taps == 1:
        # No two positions share a row.
        tile = useful_tiles(axis.extent)
        one, rows = np.ones_like(tile), np.full(len(tile), float(axis.extent))
        return AxisTiles(tile, one, -(-axis.extent // tile), one, tile, rows, rows, rows)
    tap_tiles = _with_short_ends(taps, axis.stride) if taps <= _UNEQUAL_TAPS else useful_tiles(taps)
    positions = _with_short_ends(axis.extent, axis.dilation)
    return cut(axis, *(a.ravel() for a in np.meshgrid(positions, tap_tiles, indexing="ij")))


def _with_short_ends(extent: int, period: int) -> Ints:
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
