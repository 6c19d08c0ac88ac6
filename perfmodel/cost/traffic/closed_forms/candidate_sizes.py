"""Candidate tile sizes along an extent, on a leading axis of arrays over points.

A tile is useful (or balanced) if no smaller one has the same tile count, ``ceil(extent / tile)``:
with n tiles it has ``ceil(extent / n)`` elements. The grid and neighbourhood searches of the closed
forms draw their candidates from these functions.
"""

from __future__ import annotations

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.traffic.convolution_axis import ConvolutionAxis


def balanced(extent: Value, tile: Value, relaxed: bool = False) -> Value:
    """Return the smallest tile with the same tile count; the tile itself if relaxed."""
    xp = namespace(extent, tile)
    tile = xp.minimum(extent, tile)
    return tile if relaxed else xp.ceil(extent / xp.ceil(extent / tile))


def geometric_tiles(extent: Value, count: int, relaxed: bool) -> Value:
    """Return useful tiles whose counts are spaced evenly on a logarithmic scale."""
    xp = namespace(extent)
    power = np.linspace(0.0, 1.0, count).reshape((-1,) + (1,) * np.ndim(extent))
    if relaxed:
        return extent / extent**power
    return xp.ceil(extent / xp.ceil(extent**power - 1e-9))


def useful_positions(axis: ConvolutionAxis, tile: Value, relaxed: bool = False) -> Value:
    """Return balanced tiles; along dilated axes unchanged, as a short last tile may be better."""
    xp = namespace(axis.extent)
    even = balanced(axis.extent, tile, relaxed)
    return xp.where(axis.dilation > 1, xp.minimum(axis.extent, tile), even)


def near_sizes(extent: Value, tile: Value, reach: int) -> Value:
    """Return the sizes within `reach` of `tile`, clipped to 1 and the extent."""
    xp = namespace(extent)
    steps = np.arange(-reach, reach + 1, dtype=float).reshape((-1,) + (1,) * np.ndim(tile))
    return xp.maximum(1.0, xp.minimum(extent, tile + steps))


def near_tiles(extent: Value, tile: Value, reach: int) -> Value:
    """Return useful tiles whose size or count is within `reach` of that of `tile`."""
    xp = namespace(extent)
    sizes = near_sizes(extent, tile, reach)
    counts = near_sizes(extent, xp.ceil(extent / tile), reach)
    counts = xp.concatenate([counts[:reach], counts[reach + 1 :]])
    return xp.ceil(extent / xp.concatenate([xp.ceil(extent / sizes), counts]))


def near_positions(axis: ConvolutionAxis, tile: Value, reach: int) -> Value:
    """Return the tiles near a tile of an axis; along dilated axes unbalanced sizes as well."""
    xp = namespace(axis.extent)
    near = near_tiles(axis.extent, tile, reach)
    sizes = near_sizes(axis.extent, tile, reach)
    some = xp.where(axis.dilation > 1, sizes, near[: len(sizes)])
    return xp.concatenate([some, near[len(sizes) :]])


def tap_cuts(axis: ConvolutionAxis) -> list[Value]:
    """Return three tiles of taps: all taps, one stride (or half of the taps), and one tap."""
    xp = namespace(axis.taps)
    half = xp.where(axis.stride > 1, axis.stride, xp.ceil(axis.taps / 2.0))
    return [axis.taps, xp.minimum(axis.taps, half), xp.ones_like(axis.taps)]
