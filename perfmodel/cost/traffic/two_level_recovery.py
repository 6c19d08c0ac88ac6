"""Tiles that belong to a point of a two-level front, for display and for execution.

`two_level_front` stores only the traffic and the outer tile of each point. The inner tile is
recovered on demand: its traffic within that outer tile is minimised again, with the same formulas
(`two_level_inner_tiles`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from perfmodel.cost.traffic.convolution_axis import Floats
from perfmodel.cost.traffic.multilevel_problem import MultilevelTilingProblem
from perfmodel.cost.traffic.nested_splits import INNER, OUTER
from perfmodel.cost.traffic.stationarity import ALL, INPUT, OUTPUT, STATIONARY, WEIGHT
from perfmodel.cost.traffic.two_level_front import (
    NOTHING,
    SLIDING_INPUT,
    FrontPoints,
    covers_weights,
)
from perfmodel.cost.traffic.two_level_inner_tiles import InnerLevelTiles


@dataclass(frozen=True, slots=True)
class LevelTile:
    """Tile of one memory level with its stationary operand.

    Attributes
    ----------
    batch, out_rows, out_columns, out_channels, in_channels
        Extents of the tile; kernel taps are never cut.
    stationary
        Operand that is stationary at the innermost loop over the tiles of this level: ``output``,
        ``input`` or ``weight``; ``all`` where there is only one tile.
    """

    batch: int
    out_rows: int
    out_columns: int
    out_channels: int
    in_channels: int
    stationary: str


def level_tile(
    problem: MultilevelTilingProblem,
    level: int,
    split: int,
    out_channels: float,
    in_channels: float,
    stationary: int,
) -> LevelTile:
    """Return the tile of one level for a split of positions and given channel tiles."""
    splits = problem.splits
    return LevelTile(
        batch=int(splits.images[level, split]),
        out_rows=int(splits.rows[level, split]),
        out_columns=int(splits.columns[level, split]),
        out_channels=int(out_channels),
        in_channels=int(in_channels),
        stationary=STATIONARY[stationary],
    )


def pair_tiles(
    problem: MultilevelTilingProblem, points: FrontPoints, row: int
) -> tuple[LevelTile, LevelTile]:
    """Return the outer and the inner tile of a front point."""
    tiles = InnerLevelTiles(problem)
    point = points.pick(np.array([row]))
    position_index, out_index, in_index = (
        int(index[0]) for index in (point.position_index, point.out_index, point.in_index)
    )
    splits = slice(
        int(problem.splits.first[position_index]), int(problem.splits.ends()[position_index])
    )
    out_tile, in_tile = float(tiles.outs.tile[out_index]), tiles.ins.tile[in_index]
    stationary, covers = int(point.stationary[0]), int(point.covers[0])
    outer = level_tile(problem, OUTER, splits.start, out_tile, in_tile, stationary)
    if covers == NOTHING:
        return outer, _best_inner_tile(tiles, splits, out_index, in_index)
    # In the last split of an outer tile the inner tile equals the outer tile.
    split, inner_stationary = splits.stop - 1, ALL
    if covers == SLIDING_INPUT:
        out_tile, inner_stationary = 1.0, INPUT
    elif stationary == WEIGHT and not tiles.flat:
        group = problem.group
        once = group.weight_bytes + group.output_bytes
        once = once + group.spill_bytes * (tiles.ins.counts[in_index] - 1.0)
        candidates = np.arange(splits.start, splits.stop)
        traffic = tiles.sliding_bytes[candidates] * tiles.outs.counts[out_index] + once
        optimal = traffic <= point.inner
        optimal &= covers_weights(tiles, candidates)[:, out_index, in_index]
        if optimal.any():
            split = int(candidates[np.argmax(optimal)])
            positions = problem.splits.positions[:, split]
            inner_stationary = ALL if positions[INNER] == positions[OUTER] else WEIGHT
    return outer, level_tile(problem, INNER, split, out_tile, in_tile, inner_stationary)


class _ClassOptimum(NamedTuple):
    """Least traffic of one class (bytes) with its split of positions and its channel tiles."""

    traffic: float
    split: int
    out_tile: float
    in_tile: float
    stationary: int


def _best_inner_tile(
    tiles: InnerLevelTiles, splits: slice, out_index: int, in_index: int
) -> LevelTile:
    """Return the inner tile with the least inner traffic within an outer tile."""
    problem, outs, ins, group = tiles.problem, tiles.outs, tiles.ins, tiles.problem.group
    positions = problem.splits.positions[INNER, splits]
    inputs = problem.splits.inputs[INNER, splits]
    most_out, most_in = outs.tile[out_index], ins.tile[in_index]
    classes: list[_ClassOptimum] = []
    if most_in > 1:
        traffic = tiles.output_stationary_bytes(splits)[:, out_index] + group.spill_bytes * (
            ins.counts[in_index] - 1.0
        )
        least, split = _minimum(traffic)
        out_tile = float(tiles.out_tile(inputs[split], positions[split]))
        classes.append(_ClassOptimum(least, split, out_tile, 1.0, OUTPUT))
    if most_out > 1:
        traffic = tiles.sliding_bytes[splits] * outs.counts[out_index]
        traffic = traffic + group.weight_bytes * problem.splits.count[INNER, splits]
        passes = tiles.input_stationary_passes(splits)[:, in_index]
        least, split = _minimum(traffic + group.spill_bytes * (passes - 1.0))
        in_tile = float(tiles.in_tile(inputs[split], positions[split]))
        classes.append(_ClassOptimum(least, split, 1.0, in_tile, INPUT))
    if problem.splits.positions[OUTER, splits.start] > 1:
        ends = np.append(outs.first[1:], problem.outs.tile.shape[1])
        out_splits = slice(int(outs.first[out_index]), int(ends[out_index]))
        traffic = tiles.weight_stationary_bytes(
            positions, inputs, tiles.sliding_bytes[splits], out_splits
        )[:, :, in_index]
        least, flat_index = _minimum(traffic)
        split, out_split = divmod(flat_index, out_splits.stop - out_splits.start)
        out_tile = float(problem.outs.tile[INNER, out_splits][out_split])
        in_tile = float(tiles.in_tile_beside(inputs[split], positions[split], np.asarray(out_tile)))
        once = group.weight_bytes * problem.splits.count[OUTER, splits.start]
        classes.append(_ClassOptimum(least + once, split, out_tile, in_tile, WEIGHT))
    best = min(classes)
    return level_tile(
        problem,
        INNER,
        splits.start + best.split,
        min(max(best.out_tile, 1.0), most_out),
        min(max(best.in_tile, 1.0), most_in),
        best.stationary,
    )


def _minimum(values: Floats) -> tuple[float, int]:
    """Return the minimum of the values that are not NaN, and its flat index."""
    finite = np.where(np.isnan(values), np.inf, values).ravel()
    index = int(np.argmin(finite))
    return float(finite[index]), index
