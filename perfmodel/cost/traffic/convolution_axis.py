"""Tiles of one convolution axis, with the input rows that they hold and fetch.

Output position i and tap j read the input row ``i s + j d`` (s the stride, d the dilation, divided
by their greatest common divisor). p adjacent positions and r adjacent taps read

    min(p, d) r + max(0, p - d) min(r, s)

distinct rows: each position but the first d shares all but min(r, s) of its rows with an earlier
one. Where no two positions share a row (r <= s, or p <= d) the axis is equivalent to the rows of a
GEMM (`flatten_nest`). `cut_axis` counts the rows that all tiles of an axis fetch, with overlaps
refetched or retained by a sliding window; `axis_tiles` lists the useful tiles of an axis.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd, isqrt
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value, namespace
from perfmodel.caches import cached
from perfmodel.cost.traffic.nest import TileNest
from perfmodel.cost.traffic.pointwise import tile_count, where
from perfmodel.cost.traffic.two_tile import TINY

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

#: Kernels with more taps than this along an axis are cut into equal tiles of taps only.
_MAX_UNEQUAL_TAPS = 16


@dataclass(frozen=True, slots=True)
class ConvolutionAxis:
    """One axis of a convolution; scalars, or flat arrays over points.

    Attributes
    ----------
    extent, taps
        Number of output positions and of kernel taps.
    stride, dilation
        Input rows per step of the output and per step of the kernel, divided by their greatest
        common divisor.
    """

    extent: Value
    taps: Value
    stride: Value
    dilation: Value

    @property
    def is_disjoint(self) -> Value:
        """Whether no two positions share an input row."""
        return (self.taps <= self.stride) | (self.extent <= self.dilation)

    @property
    def touched_rows(self) -> Value:
        """Distinct input rows that the whole axis reads."""
        return self.input_rows(self.extent, self.taps)

    def input_rows(self, positions: Value, taps: Value) -> Value:
        """Return the number of distinct input rows of adjacent positions and adjacent taps."""
        xp = namespace(positions, taps, self.extent)
        separate = xp.minimum(positions, self.dilation)
        return separate * taps + (positions - separate) * xp.minimum(taps, self.stride)

    def most_positions(
        self, taps: Value, by_row: Value, by_position: Value, available: Value
    ) -> Value:
        """Return the largest real p with ``by_row input_rows(p) + by_position p <= available``."""
        xp = namespace(self.extent, available)
        separate = available / (by_row * taps + by_position + TINY)
        shared = xp.minimum(taps, self.stride)
        remaining = available - by_row * self.dilation * (taps - shared)
        overlapping = remaining / (by_row * shared + by_position + TINY)
        return xp.where(separate <= self.dilation, separate, overlapping)


class AxisTiles(NamedTuple):
    """Tiles of an axis with their counts and input rows; arrays of equal shape.

    Attributes
    ----------
    tile, taps
        Positions and taps of a tile.
    count, tap_count
        Number of tiles along the positions and along the taps.
    rows
        Input rows of a tile.
    fetched, slid, tap_slid
        Input rows that all tiles fetch: with overlaps refetched, with overlaps kept as the window
        slides along the positions, and with overlaps kept as it slides along the taps.
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
        """Return a subset of the tiles."""
        return self._make(column[which] for column in self)


def convolution_axes(nest: TileNest) -> tuple[ConvolutionAxis, ConvolutionAxis]:
    """Return the row axis and the column axis of a nest."""
    return (
        _coprime_axis(nest.out_rows, nest.kernel_rows, nest.row_stride, nest.row_dilation),
        _coprime_axis(
            nest.out_columns, nest.kernel_columns, nest.column_stride, nest.column_dilation
        ),
    )


def _coprime_axis(extent: Value, taps: Value, stride: Value, dilation: Value) -> ConvolutionAxis:
    """Return an axis with stride and dilation divided by their greatest common divisor."""
    if np.ndim(stride) or np.ndim(dilation):
        xp = namespace(stride, dilation)
        common = xp.gcd(*(xp.asarray(step).astype(int) for step in (stride, dilation)))
    else:
        common = gcd(int(stride), int(dilation))
    return ConvolutionAxis(extent, taps, stride // common, dilation // common)


def flatten_nest(nest: TileNest) -> TileNest:
    """Return the nest with every axis without overlapping windows flattened into a GEMM.

    If no two positions share input (one tap, a stride of at least the kernel, or one position), the
    positions become GEMM rows, merged with the images of the batch, and the taps become input
    channels. Tiles of the merged index are never worse than rectangular tiles, as fewer of them
    are partly filled. A convolution with one tap becomes a GEMM whose rows are all pixels of all
    images.
    """
    flat_rows, flat_columns = (axis.is_disjoint for axis in convolution_axes(nest))
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


def cut_axis(
    axis: ConvolutionAxis,
    tile: Value,
    taps: Value | None = None,
    *,
    relaxed: bool = False,
    slides: bool = True,
) -> AxisTiles:
    """Return the tiles of an axis for given sizes in positions and taps; ``None`` for all taps.

    Parameters
    ----------
    slides
        Whether windows may slide; if not, `slid` and `tap_slid` are those refetched.
    """
    xp = namespace(axis.extent, tile)
    count = tile_count(axis.extent, tile, relaxed)
    edge = tile if relaxed else axis.extent - (count - 1.0) * tile
    one = xp.ones_like(tile)
    if taps is None:
        rows = axis.input_rows(tile, axis.taps)
        fetched, slid = _fetched_rows(axis, tile, edge, count, axis.taps, slides)
        return AxisTiles(tile, axis.taps * one, count, one, rows, fetched, slid, fetched)
    tap_count = xp.ceil(axis.taps / taps)
    tap_edge = axis.taps - (tap_count - 1.0) * taps
    fetched, slid = _fetched_rows(axis, tile, edge, count, taps, slides)
    last_fetched, last_slid = _fetched_rows(axis, tile, edge, count, tap_edge, slides)
    fetched = (tap_count - 1.0) * fetched + last_fetched
    tap_slid = fetched
    if slides:
        # Positions and taps exchange roles when the window slides along the taps.
        turned = ConvolutionAxis(axis.taps, tile, axis.dilation, axis.stride)
        _, inner = _fetched_rows(turned, taps, tap_edge, tap_count, tile, slides)
        _, inner_edge = _fetched_rows(turned, taps, tap_edge, tap_count, edge, slides)
        tap_slid = (count - 1.0) * inner + inner_edge
    return AxisTiles(
        tile=tile,
        taps=taps * one,
        count=count,
        tap_count=tap_count * one,
        rows=axis.input_rows(tile, taps),
        fetched=fetched,
        slid=(tap_count - 1.0) * slid + last_slid if slides else fetched,
        tap_slid=tap_slid,
    )


def _fetched_rows(
    axis: ConvolutionAxis, tile: Value, edge: Value, count: Value, taps: Value, slides: bool
) -> tuple[Value, Value]:
    """Return the input rows that all tiles of positions fetch: refetched, and with sliding windows.

    A sliding tile fetches only rows that it does not share with its predecessor; its first
    ``max(0, d - p)`` positions share none.
    """
    xp = namespace(axis.extent, tile)
    rows, last = axis.input_rows(tile, taps), axis.input_rows(edge, taps)
    fetched = (count - 1.0) * rows + last
    if not slides:
        return fetched, fetched
    unshared = xp.maximum(0.0, axis.dilation - tile)
    shared = xp.minimum(taps, axis.stride)

    def new_rows(positions: Value) -> Value:
        separate = xp.minimum(positions, unshared)
        return separate * taps + (positions - separate) * shared

    several_tiles = rows + (count - 2.0) * new_rows(tile) + new_rows(edge)
    # Also valid for real counts between one and two.
    slid = xp.where(count > 1, several_tiles, last)
    return fetched, slid


def useful_tiles(extent: int) -> Ints:
    """Return the smallest tile of each tile count, ascending; fewer than ``2 sqrt(extent)``.

    A larger tile with the same count has a larger footprint and the same traffic.
    """
    small = np.arange(1, isqrt(extent) + 2)
    counts = np.concatenate([small, -(-extent // small)])
    return np.unique(-(-extent // np.minimum(counts, extent)))


@cached()
def axis_tiles(axis: ConvolutionAxis) -> AxisTiles:
    """Return all useful tiles of an axis: every useful tile of positions with every one of taps."""
    taps = int(axis.taps)
    if taps == 1:
        # With one tap no two positions share a row.
        tile = useful_tiles(axis.extent)
        one, rows = np.ones_like(tile), np.full(len(tile), float(axis.extent))
        return AxisTiles(tile, one, -(-axis.extent // tile), one, tile, rows, rows, rows)
    tap_tiles = (
        _with_short_ends(taps, axis.stride) if taps <= _MAX_UNEQUAL_TAPS else useful_tiles(taps)
    )
    positions = _with_short_ends(axis.extent, axis.dilation)
    return cut_axis(axis, *(a.ravel() for a in np.meshgrid(positions, tap_tiles, indexing="ij")))


def _with_short_ends(extent: int, period: int) -> Ints:
    """Return the useful tiles, and all tiles whose last tile is shorter than the reuse period.

    Beyond the period the input rows grow more slowly with the tile size. Only with a last tile
    shorter than the period can unequal tiles fetch fewer rows than equal ones.
    """
    tiles = useful_tiles(extent)
    if period == 1:
        return tiles
    more = np.arange(1, extent + 1)
    edge = extent - (-(-extent // more) - 1) * more
    return np.union1d(tiles, more[edge < period]).astype(np.int64)
