"""Optimal channel tiles for given tiles of positions and taps, in each stationarity class.

In the output- and the input-stationary class the largest feasible tile of output or input channels
is optimal, ``floor((capacity - fixed bytes) / bytes per channel)``. In the weight-stationary class
both kinds of channels share the buffer, which is a two-tile problem (`two_tile`).
"""

from __future__ import annotations

from typing import NamedTuple

from perfmodel.arrays import Value, namespace
from perfmodel.cost.traffic.pointwise import floor_unless_relaxed, tile_count
from perfmodel.cost.traffic.stationarity import (
    INPUT,
    WEIGHT,
    SpatialTiles,
    TilingProblem,
    input_stationary,
    output_stationary,
    weight_stationary,
)
from perfmodel.cost.traffic.two_tile import TINY, relaxed_cost, side_candidates

#: Lower limit of a feasible relaxed channel tile: 1, less a tolerance for rounding.
ALMOST_ONE = 1 - 1e-9


class ChannelTileOptimum(NamedTuple):
    """Traffic of a class in bytes (infinite where infeasible) with its optimal channel tiles."""

    cost: Value
    in_tile: Value
    out_tile: Value


def best_channels(
    problem: TilingProblem, tiles: SpatialTiles, stationary: int, window: int, corners: int
) -> ChannelTileOptimum:
    """Return the traffic of a class with the best channel tiles.

    Parameters
    ----------
    window, corners
        Half-width of the neighbourhood of the relaxed optimum, and maximum number of pieces of
        large tiles, in the weight-stationary class; see `two_tile.candidate_tiles`.
    """
    if stationary == WEIGHT:
        return _weight_stationary_optimum(problem, tiles, window, corners)
    line = (input_stationary if stationary == INPUT else output_stationary)(problem, tiles)
    xp = namespace(line.fixed_bytes)
    size = floor_unless_relaxed(
        (problem.usable_capacity - line.fixed_bytes) / (line.bytes_per_channel + TINY),
        problem.relaxed,
    )
    size = xp.minimum(line.channels, size)
    fits = (size >= (ALMOST_ONE if problem.relaxed else 1.0)) & line.has_loop
    size = xp.maximum(1.0, size)
    cost = line.fixed_traffic + line.traffic_per_tile * tile_count(
        line.channels, size, problem.relaxed
    )
    one = xp.ones_like(size)
    both = (size, one) if stationary == INPUT else (one, size)
    return ChannelTileOptimum(xp.where(fits, cost, xp.inf), *both)


def _weight_stationary_optimum(
    problem: TilingProblem, tiles: SpatialTiles, window: int, corners: int
) -> ChannelTileOptimum:
    """Return the best tiles of input and output channels in the weight-stationary class."""
    channels, once, loops = weight_stationary(problem, tiles)
    xp = namespace(channels.reload_x)
    once = xp.where(channels.feasible() & loops, once, xp.inf)
    if problem.relaxed:
        cost, x, y = relaxed_cost(channels)
        return ChannelTileOptimum(cost + once, x, y)
    # Both sides broadcast to different shapes, so that they are evaluated separately.
    one = side_candidates(channels, window, corners)
    other_cost, other_y, other_x = side_candidates(channels.mirrored(), window, corners)
    candidates = [*zip(*one, strict=True), *zip(other_cost, other_x, other_y, strict=True)]
    # One after the other: an index of the least along a short leading axis takes longer.
    cost, x, y = candidates[0]
    for next_cost, next_x, next_y in candidates[1:]:
        better = next_cost < cost
        cost = xp.minimum(cost, next_cost)
        x, y = xp.where(better, next_x, x), xp.where(better, next_y, y)
    return ChannelTileOptimum(cost + once, x, y)
