"""Tiled traffic of a depthwise convolution in closed form, from twenty candidate tiles per point.

A group has one input and one output channel: all its taps are stationary, positions stream through
the buffer, and only the halo (the input that neighbouring tiles share) is fetched more than once.
Along an axis, p adjacent positions read

    h(p) = s p + c  input rows,   s = min(taps, stride),   c = dilation (taps - s),

if p is at least the dilation. A tile of p x q positions, besides the taps, is feasible if

    e A h_rows(p) h_columns(q) + e S p q <= available bytes

where A and S are the bytes per element of the input and of a partial sum, and e = 2 if tiles are
double-buffered, else 1. The best tile that fills the buffer is close to the real-valued tile with
the least halo (`_least_halo_tile`), or spans a whole output axis. Each axis therefore takes ten
sizes, and the other axis is extended to fill the buffer. The bytes of each candidate are those of
the search for general convolutions (`convolution_search`), which also covers axes without
overlapping windows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.traffic.closed_forms.candidate_sizes import balanced
from perfmodel.cost.traffic.closed_forms.convolution import ConvolutionTraffic, evaluate
from perfmodel.cost.traffic.closed_forms.convolution_search import (
    ClassSearch,
    ConvolutionTileCandidates,
    best_of,
    search,
)
from perfmodel.cost.traffic.convolution_axis import ConvolutionAxis
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.stationarity import WEIGHT, TilingProblem
from perfmodel.cost.traffic.two_tile import TINY

#: Candidate sizes along an axis: fractions of the extent, multiples of the real optimum, and small
#: tiles.
EXTENT_FRACTIONS = (1.0, 1 / 2, 1 / 3)
OPTIMUM_MULTIPLES = (1.0, 0.7, 0.85, 1.2, 1.45)
SMALL_TILES = (1.0, 2.0)


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
    return evaluate(nest, capacity, widths, conventions, relaxed, uncut=_search)


def _search(problem: TilingProblem, *, cuts: bool, many_images: bool) -> ConvolutionTileCandidates:
    """Return the best candidate at each point; points with a flat axis use the general search."""
    widths, copies = problem.widths, problem.conventions.copies
    is_dilated = bool(np.any((problem.rows.dilation > 1) | (problem.columns.dilation > 1)))
    weight_stationary = ClassSearch(problem, WEIGHT, cuts)
    least_halo_rows, least_halo_columns = _least_halo_tile(problem)
    candidates: list[ConvolutionTileCandidates] = []
    for from_rows, axis, other in weight_stationary.both_axes:
        tile = _candidate_tiles(other, least_halo_columns if from_rows else least_halo_rows)
        available = problem.usable_capacity - widths.weight * problem.nest.taps
        by_row = copies * widths.input * other.input_rows(tile, other.taps)
        by_position = copies * widths.partial * tile
        size = axis.most_positions(axis.taps, by_row, by_position, available)
        tile, size = _fitted(axis, tile, size, is_dilated)
        rows, columns = (size, tile) if from_rows else (tile, size)
        candidates.append(
            weight_stationary.evaluate(
                rows,
                columns,
                taps=(problem.rows.taps, problem.columns.taps),
                images=np.ones_like(problem.nest.batch),
                window=-1,
                corners=1,
            )
        )
    best = best_of(*candidates)
    if is_dilated:
        best = weight_stationary.improve_nearby(best, many_images=False)
    # The taps of an axis without overlapping windows were flattened into input channels
    # (`flatten_nest`), which is where several channels come from.
    flattened = np.flatnonzero(problem.nest.in_channels > 1)
    if len(flattened):
        as_convolution = search(problem.take(flattened), cuts=False, many_images=many_images)
        for column, values in zip(best, as_convolution, strict=True):
            column[flattened] = values
    return best


def _fitted(
    axis: ConvolutionAxis, tile: Value, size: Value, is_dilated: bool
) -> tuple[Value, Value]:
    """Return the tiles of the other axis, each with an integer tile of at most `size`."""
    size = np.maximum(1.0, np.minimum(axis.extent, np.floor(size)))
    equal = balanced(axis.extent, size)
    if not is_dilated:
        return tile, equal
    # A last tile shorter than the dilation fetches no halo.
    count = np.maximum(1.0, np.ceil((axis.extent - 1.0) / size))
    short = np.maximum(1.0, np.ceil((axis.extent - 1.0) / count))
    sizes: list[Value] = [equal, np.where(axis.dilation > 1, short, equal), size]
    return np.concatenate([tile] * 3), np.concatenate(sizes)


def _least_halo_tile(problem: TilingProblem) -> tuple[Value, Value]:
    """Return the real sides of the tile that fills the buffer with the least halo; at least 1.

    For ``p = x r`` rows and ``q = x / r`` columns, i.e. ``x^2`` positions, the halo is the linear
    part ``(s_0 c_1 r + s_1 c_0 / r) x`` of ``h_rows(p) h_columns(q)``; it is least for
    ``r^2 = (c_0 / s_0) / (c_1 / s_1)``. The size x solves ``a x^2 + b x = available bytes``, where
    ``a = e S + e A s_0 s_1`` and ``b = e A (s_0 c_1 r + s_1 c_0 / r)``.
    """
    (s0, c0), (s1, c1) = _slope_and_offset(problem.rows), _slope_and_offset(problem.columns)
    ratio = np.sqrt((c0 * s1 + TINY) / (c1 * s0 + TINY))
    copies, widths = problem.conventions.copies, problem.widths
    by_element = copies * widths.input
    a = copies * widths.partial + by_element * s0 * s1
    b = by_element * (s0 * c1 * ratio + s1 * c0 / ratio)
    taps_bytes = widths.weight * problem.nest.taps
    available = problem.usable_capacity - taps_bytes - by_element * c0 * c1
    side = (np.sqrt(np.maximum(0.0, b * b + 4.0 * a * available)) - b) / (2.0 * a + TINY)
    return np.maximum(1.0, side * ratio), np.maximum(1.0, side / ratio)


def _slope_and_offset(axis: ConvolutionAxis) -> tuple[Value, Value]:
    """Return s and c of the ``s p + c`` rows that p positions read; see the module docstring."""
    slope = np.minimum(axis.taps, axis.stride)
    return slope, axis.dilation * (axis.taps - slope)


def _candidate_tiles(axis: ConvolutionAxis, best: Value) -> Value:
    """Return ten candidate tiles of an axis on a leading axis; more where it is dilated.

    Parameters
    ----------
    best
        Real-valued tile with the least halo.
    """
    sizes = [
        *(np.ceil(axis.extent * part) for part in EXTENT_FRACTIONS),
        *(np.floor(best * part) for part in OPTIMUM_MULTIPLES),
        *(small * np.ones_like(best) for small in SMALL_TILES),
    ]
    rounded = np.maximum(1.0, np.stack(sizes))
    tiles = balanced(axis.extent, rounded)
    if np.any(axis.dilation > 1):
        inside = np.maximum(1.0, axis.extent - 1.0)
        few = [np.ceil(inside / n) for n in (1.0, 2.0, 3.0)]
        short = np.where(axis.dilation > 1, np.stack(few), 1.0)
        tiles = np.concatenate([tiles, short, np.minimum(axis.extent, rounded)])
    return tiles
