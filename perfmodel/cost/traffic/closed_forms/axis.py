"""One axis of a convolution in closed form: tiles of positions, and the input that they touch.

An output position i and a tap j touch the input row ``i s + j d`` (s the stride, d the dilation,
without common divisor). p positions and r taps touch

    min(p, d) r + max(0, p - d) min(r, s)

distinct rows: each position but the first d of them shares all but min(r, s) rows with another.
Where no two positions share any (r <= s, or p <= d) they are rows of a product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.traffic.closed_forms.points import pieces
from perfmodel.cost.traffic.closed_forms.two_tile import TINY


@dataclass(frozen=True, slots=True)
class ConvolutionAxis:
    """An axis with numbers; all flat arrays of the points.

    Attributes
    ----------
    extent, taps
        Positions of the output and taps of the kernel.
    stride, dilation
        Steps, without common divisor.
    """

    extent: Value
    taps: Value
    stride: Value
    dilation: Value

    def rows(self, xp: Any, positions: Value, taps: Value) -> Value:
        """Return the distinct input rows that neighbouring positions and taps touch."""
        lone = xp.minimum(positions, self.dilation)
        return lone * taps + (positions - lone) * xp.minimum(taps, self.stride)

    def solve(self, xp: Any, taps: Value, by_row: Value, by_position: Value, room: Value) -> Value:
        """Return the most positions, real, with ``by_row rows + by_position positions <= room``."""
        lone = room / (by_row * taps + by_position + TINY)
        shared = xp.minimum(taps, self.stride)
        more = room - by_row * self.dilation * (taps - shared)
        return xp.where(lone <= self.dilation, lone, more / (by_row * shared + by_position + TINY))


@dataclass(frozen=True, slots=True)
class AxisTiles:
    """Tiles of an axis and what comes of them; arrays of one shape.

    Attributes
    ----------
    tile, taps
        Positions and taps of a tile.
    count, tap_count
        Tiles along both.
    held
        Input rows that a tile holds.
    fetched, slid, tap_slid
        Input rows that all tiles fetch: each its own; keeping what it shares with the tile before
        as the window slides along the positions; and along the taps.
    """

    tile: Value
    taps: Value
    count: Value
    tap_count: Value
    held: Value
    fetched: Value
    slid: Value
    tap_slid: Value


def cut(
    xp: Any, axis: ConvolutionAxis, tile: Value, taps: Value | None, relaxed: bool
) -> AxisTiles:
    """Return tiles of positions with so many taps inside; all of them if ``None``."""
    count = pieces(xp, axis.extent, tile, relaxed)
    edge = tile if relaxed else axis.extent - (count - 1.0) * tile
    one = xp.ones_like(tile)
    if taps is None:
        held = axis.rows(xp, tile, axis.taps)
        fetched, slid = _along(xp, axis, tile, edge, count, axis.taps)
        return AxisTiles(tile, axis.taps * one, count, one, held, fetched, slid, fetched)
    tap_count = xp.ceil(axis.taps / taps)
    tap_edge = axis.taps - (tap_count - 1.0) * taps
    held = axis.rows(xp, tile, taps)
    fetched, slid = _along(xp, axis, tile, edge, count, taps)
    last_fetched, last_slid = _along(xp, axis, tile, edge, count, tap_edge)
    fetched = (tap_count - 1.0) * fetched + last_fetched
    slid = (tap_count - 1.0) * slid + last_slid
    # Positions and taps exchanged: the window slides along the taps of one tile of positions.
    turned = ConvolutionAxis(axis.taps, tile, axis.dilation, axis.stride)
    _, inner = _along(xp, turned, taps, tap_edge, tap_count, tile)
    _, inner_edge = _along(xp, turned, taps, tap_edge, tap_count, edge)
    tap_slid = (count - 1.0) * inner + inner_edge
    return AxisTiles(tile, taps * one, count, tap_count * one, held, fetched, slid, tap_slid)


def _along(
    xp: Any, axis: ConvolutionAxis, tile: Value, edge: Value, count: Value, taps: Value
) -> tuple[Value, Value]:
    """Return the rows that all tiles fetch with so many taps: each its own, and as they slide.

    A tile that slides shares all but its new rows with the one before it; its first
    ``max(0, d - p)`` positions share none.
    """
    held, last = axis.rows(xp, tile, taps), axis.rows(xp, edge, taps)
    lone = xp.maximum(0.0, axis.dilation - tile)
    shared = xp.minimum(taps, axis.stride)

    def new(positions: Value) -> Value:
        alone = xp.minimum(positions, lone)
        return alone * taps + (positions - alone) * shared

    more = held + (count - 2.0) * new(tile) + new(edge)
    # Also where real counts lie between one and two.
    slid = xp.where(count > 1, more, last)
    return (count - 1.0) * held + last, slid


def flattened(
    xp: Any, rows: ConvolutionAxis, columns: ConvolutionAxis, batch: Value, in_channels: Value
) -> tuple[ConvolutionAxis, ConvolutionAxis, Value, Value]:
    """Return the axes, the batch and the input channels of an equal nest with fewer extents.

    Positions that share no input are like images of the batch, and their taps like channels; one
    flat index over them wastes nothing at the edges of tiles. The batch joins an axis that is flat,
    and two flat axes are one.
    """
    flat_rows, flat_columns = _apart(rows), _apart(columns)
    channels = in_channels * xp.where(flat_rows, rows.taps, 1.0)
    channels = channels * xp.where(flat_columns, columns.taps, 1.0)
    both = flat_rows & flat_columns
    images = xp.where(flat_rows | flat_columns, 1.0, batch)
    long_rows = xp.where(flat_rows, rows.extent * batch, rows.extent)
    long_rows = xp.where(both, long_rows * columns.extent, long_rows)
    long_columns = xp.where(flat_columns, columns.extent * batch, columns.extent)
    long_columns = xp.where(both, 1.0, long_columns)
    return (
        _flat(xp, rows, flat_rows, long_rows),
        _flat(xp, columns, flat_columns, long_columns),
        images,
        channels,
    )


def _flat(xp: Any, axis: ConvolutionAxis, flat: Value, extent: Value) -> ConvolutionAxis:
    taps, stride, dilation = (
        xp.where(flat, 1.0, value) for value in (axis.taps, axis.stride, axis.dilation)
    )
    return ConvolutionAxis(extent, taps, stride, dilation)


def _apart(axis: ConvolutionAxis) -> Value:
    return (axis.taps <= axis.stride) | (axis.extent <= axis.dilation)


def reduced(xp: Any, stride: Value, dilation: Value) -> tuple[Value, Value]:
    """Return the steps in units of their common divisor."""
    if xp is np:
        common = np.gcd(stride.astype(np.int64), dilation.astype(np.int64)).astype(float)
    else:
        common = xp.gcd(stride.astype(int), dilation.astype(int)).astype(float)
    return stride / common, dilation / common
