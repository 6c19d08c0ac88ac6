"""Useful tiles of extents, as candidates on a leading axis of arrays over points."""

from __future__ import annotations

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.traffic.axis import ConvolutionAxis


def balanced(extent: Value, tile: Value, relaxed: bool = False) -> Value:
    """Return the smallest tile of as many pieces."""
    xp = namespace(extent, tile)
    tile = xp.minimum(extent, tile)
    return tile if relaxed else xp.ceil(extent / xp.ceil(extent / tile))


def geometric_tiles(extent: Value, count: int, relaxed: bool) -> Value:
    """Return useful tiles, their counts spread over the logarithm."""
    xp = namespace(extent)
    power = np.linspace(0.0, 1.0, count).reshape((-1,) + (1,) * np.ndim(extent))
    if relaxed:
        return extent / extent**power
    return xp.ceil(extent / xp.ceil(extent**power - 1e-9))


def useful_positions(axis: ConvolutionAxis, tile: Value, relaxed: bool = False) -> Value:
    """Return the smallest tile of as many pieces, but where a short last tile may fetch less."""
    xp = namespace(axis.extent)
    even = balanced(axis.extent, tile, relaxed)
    return xp.where(axis.dilation > 1, xp.minimum(axis.extent, tile), even)


def near_sizes(extent: Value, tile: Value, reach: int) -> Value:
    """Return sizes close to `tile`."""
    xp = namespace(extent)
    steps = np.arange(-reach, reach + 1, dtype=float).reshape((-1,) + (1,) * np.ndim(tile))
    return xp.maximum(1.0, xp.minimum(extent, tile + steps))


def near_tiles(extent: Value, tile: Value, reach: int) -> Value:
    """Return useful tiles whose size or count is close to that of `tile`."""
    xp = namespace(extent)
    sizes = near_sizes(extent, tile, reach)
    counts = near_sizes(extent, xp.ceil(extent / tile), reach)
    counts = xp.concatenate([counts[:reach], counts[reach + 1 :]])
    return xp.ceil(extent / xp.concatenate([xp.ceil(extent / sizes), counts]))


def near_positions(axis: ConvolutionAxis, tile: Value, reach: int) -> Value:
    """Return tiles of an axis close to one; any close size where a short last one is good."""
    xp = namespace(axis.extent)
    near = near_tiles(axis.extent, tile, reach)
    sizes = near_sizes(axis.extent, tile, reach)
    some = xp.where(axis.dilation > 1, sizes, near[: len(sizes)])
    return xp.concatenate([some, near[len(sizes) :]])


def tap_cuts(axis: ConvolutionAxis) -> list[Value]:
    """Return tiles of taps: all; as many as a stride, or half of them; one."""
    xp = namespace(axis.taps)
    half = xp.where(axis.stride > 1, axis.stride, xp.ceil(axis.taps / 2.0))
    return [axis.taps, xp.minimum(axis.taps, half), xp.ones_like(axis.taps)]
