"""Tiled traffic of a depthwise convolution in closed form: twenty tiles of positions.

A group has one channel in and one out: all its taps stay, positions stream. A tile of p x q
positions holds ``e A h(p) h(q) + e S p q`` bytes beside the taps (h the input rows and columns that
it touches, A and S bytes of an element of the input and of a partial sum, e buffers), and only the
halo is fetched more than once. Of the tiles that fill the buffer the best is close to that of the
least halo in real numbers, or as long as the output: each axis is given ten sizes, and the other
filled. Buffers so small that
not all taps fit beside a tile are searched like any convolution.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.traffic.closed_forms.axis import ConvolutionAxis
from perfmodel.cost.traffic.closed_forms.conv_classes import ConvArguments, ConvTilingProblem
from perfmodel.cost.traffic.closed_forms.conv_search import (
    Class,
    ConvolutionTileCandidates,
    balanced,
    better,
    close_to,
    search,
)
from perfmodel.cost.traffic.closed_forms.convolution import ConvolutionTraffic, evaluate
from perfmodel.cost.traffic.closed_forms.two_tile import TINY
from perfmodel.cost.traffic.nest import Conventions

#: Sizes of an axis that are tried: parts of the extent, about the best, and small.
PARTS = (1.0, 1 / 2, 1 / 3)
SQUARES = (1.0, 0.7, 0.85, 1.2, 1.45)
SMALL = (1.0, 2.0)


def depthwise_traffic(
    out_rows: Value,
    out_columns: Value,
    kernel_rows: Value,
    kernel_columns: Value,
    capacity: Value,
    *,
    row_stride: Value = 1.0,
    column_stride: Value = 1.0,
    row_dilation: Value = 1.0,
    column_dilation: Value = 1.0,
    batch: Value = 1.0,
    groups: Value = 1.0,
    input: Value = 1.0,
    weight: Value = 1.0,
    output: Value = 1.0,
    partial: Value = 4.0,
    conventions: Conventions | None = None,
    relaxed: bool = False,
) -> ConvolutionTraffic:
    """Return the bytes that a depthwise convolution moves across the edge of a buffer.

    Parameters
    ----------
    out_rows, out_columns, kernel_rows, kernel_columns
        Extents of a group.
    capacity, row_stride, column_stride, row_dilation, column_dilation, batch, groups
        As for `convolution_traffic`; `groups` is the number of channels.
    input, weight, output, partial, conventions, relaxed
        As for `convolution_traffic`.

    Returns
    -------
    ConvolutionTraffic
        Bytes of all groups, and the tile.

    Raises
    ------
    ValueError
        The conventions ask for uneven tiles.
    """
    conventions = Conventions() if conventions is None else conventions
    if conventions.allocation == "uneven":
        raise ValueError("the closed form of a convolution has even tiles; take its staircase")
    nest = ConvArguments(
        out_rows, out_columns, 1.0, 1.0, kernel_rows, kernel_columns, row_stride, column_stride,
        row_dilation, column_dilation, batch, capacity, input, weight, output, partial,
    )  # fmt: skip
    return evaluate(nest, groups, conventions, relaxed, _search)


def _search(
    xp: Any, p: ConvTilingProblem, *, cuts: bool, many_images: bool
) -> tuple[ConvolutionTileCandidates, Value]:
    """Return the best of twenty tiles; where an axis is flat, of a convolution's."""
    flat = np.flatnonzero(p.in_channels > 1)
    ones = np.ones_like(p.batch)
    spaced = bool(np.any((p.rows.dilation > 1) | (p.columns.dilation > 1)))
    c = Class(xp, p, 2, False)
    sides_of = _best_sides(p)
    sides: list[ConvolutionTileCandidates] = []
    for from_rows in (True, False):
        axis, other = (p.rows, p.columns) if from_rows else (p.columns, p.rows)
        tile = _sizes(other, sides_of[1 if from_rows else 0])
        room = p.room - p.weight * p.rows.taps * p.columns.taps
        held = p.copies * p.input * other.rows(np, tile, other.taps)
        size = axis.solve(np, axis.taps, held, p.copies * p.partial * tile, room)
        tile, size = _fitted(axis, tile, size, spaced)
        rows, columns = (size, tile) if from_rows else (tile, size)
        sides.append(c.evaluate(rows, columns, p.rows.taps, p.columns.taps, ones, -1, 1))
    best, kind = better(np, *sides), np.full(len(ones), 2)
    if spaced:
        best = close_to(c, best, many_images=False)
    if len(flat):
        found, kind[flat] = search(np, p.take(flat), cuts=False, many_images=many_images)
        for column, values in zip(best, found, strict=True):
            column[flat] = values
    return best, kind


def _fitted(axis: ConvolutionAxis, tile: Value, size: Value, spaced: bool) -> tuple[Value, Value]:
    """Return whole tiles within real sizes, each beside its tile of the other axis."""
    size = np.maximum(1.0, np.minimum(axis.extent, np.floor(size)))
    even = balanced(np, axis.extent, size)
    if not spaced:
        return tile, even
    # A last tile shorter than the dilation fetches no halo.
    count = np.maximum(1.0, np.ceil((axis.extent - 1.0) / size))
    short = np.maximum(1.0, np.ceil((axis.extent - 1.0) / count))
    sizes: list[Value] = [even, np.where(axis.dilation > 1, short, even), size]
    return np.concatenate([tile] * 3), np.concatenate(sizes)


def _best_sides(p: ConvTilingProblem) -> tuple[Value, Value]:
    """Return the real sides of the tile that fills the buffer with the least halo; at least 1.

    With h(p) = s p + c rows and columns alike, the halo is least where the sides are as c / s.
    """
    (s0, c0), (s1, c1) = _line(p.rows), _line(p.columns)
    shape = np.sqrt((c0 * s1 + TINY) / (c1 * s0 + TINY))
    by_row = p.copies * p.input
    a = p.copies * p.partial + by_row * s0 * s1
    b = by_row * (s0 * c1 * shape + s1 * c0 / shape)
    room = p.room - p.weight * p.rows.taps * p.columns.taps - by_row * c0 * c1
    side = (np.sqrt(np.maximum(0.0, b * b + 4.0 * a * room)) - b) / (2.0 * a + TINY)
    return np.maximum(1.0, side * shape), np.maximum(1.0, side / shape)


def _line(axis: ConvolutionAxis) -> tuple[Value, Value]:
    """Return slope and offset of the rows that many positions touch."""
    slope = np.minimum(axis.taps, axis.stride)
    return slope, axis.dilation * (axis.taps - slope)


def _sizes(axis: ConvolutionAxis, best: Value) -> Value:
    """Return ten useful tiles of an axis on a leading axis."""
    sizes = [axis.extent * part for part in PARTS] + [best * part for part in SQUARES]
    sizes += [small * np.ones_like(best) for small in SMALL]
    rounded = np.ceil(np.stack(sizes))
    rounded[len(PARTS) : -len(SMALL)] = np.floor(np.stack(sizes[len(PARTS) : -len(SMALL)]))
    tiles = balanced(np, axis.extent, np.maximum(1.0, rounded))
    if np.any(axis.dilation > 1):
        whole = np.maximum(1.0, axis.extent - 1.0)
        few = [np.ceil(whole / n) for n in (1.0, 2.0, 3.0)]
        short = np.where(axis.dilation > 1, np.stack(few), 1.0)
        tiles = np.concatenate([tiles, short, np.minimum(axis.extent, np.maximum(1.0, rounded))])
    return tiles
