"""Tiled traffic of a depthwise convolution in closed form from twenty candidate tiles.

A group has one input and one output channel: all its taps are stationary and positions stream. The
footprint of a tile of p x q positions, besides the taps, is ``e A h(p) h(q) + e S p q`` bytes (h
the input rows or columns that it reads, A and S the bytes per element of the input and of a partial
sum, e the number of buffers), and only the halo is fetched more than once. The best tile that fills
the buffer is close to the real tile with the least halo, or spans a whole output axis: each axis
takes ten sizes, and the other axis is extended to fill the buffer. Nests with an axis without
overlapping windows are searched like general convolutions.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.traffic.axis import ConvolutionAxis
from perfmodel.cost.traffic.closed_forms.conv_search import (
    ClassSearch,
    ConvolutionTileCandidates,
    better,
    search,
)
from perfmodel.cost.traffic.closed_forms.convolution import ConvolutionTraffic, evaluate
from perfmodel.cost.traffic.closed_forms.useful import balanced
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.stationarity import WEIGHT, TilingProblem
from perfmodel.cost.traffic.two_tile import TINY

#: Candidate sizes along an axis: fractions of the extent, multiples of the real optimum, and small
#: tiles.
PARTS = (1.0, 1 / 2, 1 / 3)
SQUARES = (1.0, 0.7, 0.85, 1.2, 1.45)
SMALL = (1.0, 2.0)


def depthwise_traffic(
    nest: TileNest,
    capacity: Value,
    widths: Widths = Widths(),  # noqa: B008
    conventions: Conventions = Conventions(),  # noqa: B008
    *,
    relaxed: bool = False,
) -> ConvolutionTraffic:
    """Return the traffic of a depthwise convolution across the boundary of a buffer.

    Parameters
    ----------
    nest
        Loop nest; `groups` are the channels. Its numbers of channels per group are taken as 1.
    capacity, widths, conventions, relaxed
        As for `convolution_traffic`.

    Returns
    -------
    ConvolutionTraffic
        Traffic of all groups in bytes, and the tile.

    Raises
    ------
    ValueError
        The conventions specify uneven tiles.
    """
    nest = replace(nest, out_channels=1, in_channels=1)
    return evaluate(nest, capacity, widths, conventions, relaxed, _search)


def _search(problem: TilingProblem, *, cuts: bool, many_images: bool) -> ConvolutionTileCandidates:
    """Return the best candidate at each point; points with a flat axis use the general search."""
    p, widths, copies = problem, problem.widths, problem.conventions.copies
    flat = np.flatnonzero(p.nest.in_channels > 1)
    spaced = bool(np.any((p.rows.dilation > 1) | (p.columns.dilation > 1)))
    one_class = ClassSearch(p, WEIGHT, cuts)
    taps = p.rows.taps, p.columns.taps
    row_side, column_side = _least_halo_sides(p)
    sides: list[ConvolutionTileCandidates] = []
    for from_rows, axis, other in one_class.both_axes:
        tile = _sizes(other, column_side if from_rows else row_side)
        available = p.usable_capacity - widths.weight * p.nest.taps
        by_row = copies * widths.input * other.input_rows(tile, other.taps)
        by_position = copies * widths.partial * tile
        size = axis.most_positions(axis.taps, by_row, by_position, available)
        tile, size = _fitted(axis, tile, size, spaced)
        both = (size, tile) if from_rows else (tile, size)
        sides.append(one_class.evaluate(*both, taps, np.ones_like(p.nest.batch), -1, 1))
    best = better(*sides)
    if spaced:
        best = one_class.close_to(best, many_images=False)
    if len(flat):
        as_convolution = search(p.take(flat), cuts=False, many_images=many_images)
        for column, values in zip(best, as_convolution, strict=True):
            column[flat] = values
    return best


def _fitted(axis: ConvolutionAxis, tile: Value, size: Value, spaced: bool) -> tuple[Value, Value]:
    """Return pairs of a tile of the other axis and an integer tile of at most `size`."""
    size = np.maximum(1.0, np.minimum(axis.extent, np.floor(size)))
    even = balanced(axis.extent, size)
    if not spaced:
        return tile, even
    # A last tile shorter than the dilation fetches no halo.
    count = np.maximum(1.0, np.ceil((axis.extent - 1.0) / size))
    short = np.maximum(1.0, np.ceil((axis.extent - 1.0) / count))
    sizes: list[Value] = [even, np.where(axis.dilation > 1, short, even), size]
    return np.concatenate([tile] * 3), np.concatenate(sizes)


def _least_halo_sides(p: TilingProblem) -> tuple[Value, Value]:
    """Return the real sides of the tile that fills the buffer with the least halo; at least 1.

    With ``h(p) = s p + c`` along each axis, the halo is least where the sides are in the ratio of
    their ``c / s``.
    """
    (s0, c0), (s1, c1) = _slope_and_offset(p.rows), _slope_and_offset(p.columns)
    shape = np.sqrt((c0 * s1 + TINY) / (c1 * s0 + TINY))
    by_row = p.conventions.copies * p.widths.input
    a = p.conventions.copies * p.widths.partial + by_row * s0 * s1
    b = by_row * (s0 * c1 * shape + s1 * c0 / shape)
    available = p.usable_capacity - p.widths.weight * p.nest.taps - by_row * c0 * c1
    side = (np.sqrt(np.maximum(0.0, b * b + 4.0 * a * available)) - b) / (2.0 * a + TINY)
    return np.maximum(1.0, side * shape), np.maximum(1.0, side / shape)


def _slope_and_offset(axis: ConvolutionAxis) -> tuple[Value, Value]:
    """Return s and c of the ``s p + c`` rows that p positions read, for p of at least d."""
    slope = np.minimum(axis.taps, axis.stride)
    return slope, axis.dilation * (axis.taps - slope)


def _sizes(axis: ConvolutionAxis, best: Value) -> Value:
    """Return ten candidate tiles of an axis on a leading axis; more where it is dilated."""
    sizes = [
        *(np.ceil(axis.extent * part) for part in PARTS),
        *(np.floor(best * part) for part in SQUARES),
        *(small * np.ones_like(best) for small in SMALL),
    ]
    rounded = np.maximum(1.0, np.stack(sizes))
    tiles = balanced(axis.extent, rounded)
    if np.any(axis.dilation > 1):
        inside = np.maximum(1.0, axis.extent - 1.0)
        few = [np.ceil(inside / n) for n in (1.0, 2.0, 3.0)]
        short = np.where(axis.dilation > 1, np.stack(few), 1.0)
        tiles = np.concatenate([tiles, short, np.minimum(axis.extent, rounded)])
    return tiles
