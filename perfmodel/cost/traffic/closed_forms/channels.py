"""The best tile of channels beside tiles of positions and taps, in each stationarity class.

Where the output or the input stays, the largest tile of one kind of channels that fits is best;
where the weight stays, both kinds share the buffer: a two-tile problem.
"""

from __future__ import annotations

from typing import NamedTuple

from perfmodel.arrays import Value, namespace
from perfmodel.cost.traffic.points import pieces, rounded_down
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

#: A real tile that fills the buffer exactly leaves room for one channel but for rounding.
ALMOST_ONE = 1 - 1e-9


class ChannelTileOptimum(NamedTuple):
    """Traffic of a class at its best channels: bytes (infinite where none fit) and the tile."""

    cost: Value
    in_tile: Value
    out_tile: Value


def best_channels(
    problem: TilingProblem, at: SpatialTiles, stationary: int, window: int, corners: int
) -> ChannelTileOptimum:
    """Return the traffic with the best channels.

    Parameters
    ----------
    window, corners
        How far around the relaxed optimum channel tiles are tried where the weight stays, and in
        how many pieces at most; see `two_tile.candidate_tiles`.
    """
    if stationary == WEIGHT:
        return _both_kinds(problem, at, window, corners)
    line = (input_stationary if stationary == INPUT else output_stationary)(problem, at)
    xp = namespace(line.fixed)
    size = rounded_down((problem.room - line.fixed) / (line.slope + TINY), problem.relaxed)
    size = xp.minimum(line.channels, size)
    fits = (size >= (ALMOST_ONE if problem.relaxed else 1.0)) & line.loops
    size = xp.maximum(1.0, size)
    cost = line.once + line.again * pieces(line.channels, size, problem.relaxed)
    one = xp.ones_like(size)
    both = (size, one) if stationary == INPUT else (one, size)
    return ChannelTileOptimum(xp.where(fits, cost, xp.inf), *both)


def _both_kinds(
    problem: TilingProblem, at: SpatialTiles, window: int, corners: int
) -> ChannelTileOptimum:
    channels, once, loops = weight_stationary(problem, at)
    xp = namespace(channels.reload_x)
    once = xp.where(channels.feasible() & loops, once, xp.inf)
    if problem.relaxed:
        cost, x, y = relaxed_cost(channels)
        return ChannelTileOptimum(cost + once, x, y)
    # The two sides have different shapes to broadcast, so that each is evaluated on its own.
    cost, x, y = side_candidates(channels, window, corners)
    other, y_tiles, x_tiles = side_candidates(channels.mirrored(), window, corners)
    cost = xp.concatenate([cost, other])
    x, y = xp.concatenate([x, x_tiles]), xp.concatenate([y, y_tiles])
    best = xp.argmin(cost, axis=0)[None]
    cost, x, y = (xp.take_along_axis(column, best, axis=0)[0] for column in (cost, x, y))
    return ChannelTileOptimum(cost + once, x, y)
