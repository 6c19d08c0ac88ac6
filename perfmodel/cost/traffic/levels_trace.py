"""Reconstruction of the outer and inner tile behind a point of a two-level front.

A front stores the outer tile of each point; the inner tile is searched for again within it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perfmodel.cost.traffic.axis import Floats
from perfmodel.cost.traffic.levels_front import (
    NOTHING,
    SLIDING_INPUT,
    FrontPoints,
    covers_weights,
)
from perfmodel.cost.traffic.levels_inner import InnerLevelTiles
from perfmodel.cost.traffic.levels_problem import MultilevelTilingProblem
from perfmodel.cost.traffic.stationarity import ALL, INPUT, OUTPUT, STATIONARY, WEIGHT


@dataclass(frozen=True, slots=True)
class LevelTile:
    """Tile of one memory level with its stationary operand.

    Attributes
    ----------
    batch, out_rows, out_columns, out_channels, in_channels
        Extents of the tile; kernel taps are never cut.
    stationary
        Operand that stays at the innermost loop over the tiles of this level: ``output``,
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
    place, out, in_ = (int(index[0]) for index in point[4:])
    splits = slice(int(problem.splits.first[place]), int(problem.splits.ends()[place]))
    outs, ins = tiles.outs.tile[out], tiles.ins.tile[in_]
    stationary, covers = int(point.stationary[0]), int(point.covers[0])
    outer = level_tile(problem, 0, splits.start, outs, ins, stationary)
    if covers == NOTHING:
        return outer, _inside(tiles, splits, out, in_)
    # The last split of an outer tile is the one whose inner tile equals the outer tile.
    split, out_tile, inner = splits.stop - 1, float(outs), ALL
    if covers == SLIDING_INPUT:
        out_tile, inner = 1.0, INPUT
    elif stationary == WEIGHT and not tiles.flat:
        group = problem.group
        once = group.weight_bytes + group.output_bytes
        once = once + group.spill_bytes * (tiles.ins.counts[in_] - 1.0)
        candidates = np.arange(splits.start, splits.stop)
        feasible = tiles.sliding_bytes[candidates] * tiles.outs.counts[out] + once <= point.inner
        feasible &= covers_weights(tiles, candidates)[:, out, in_]
        if feasible.any():
            split = int(candidates[np.argmax(feasible)])
            positions = problem.splits.positions[:, split]
            inner = ALL if positions[1] == positions[0] else WEIGHT
    return outer, level_tile(problem, 1, split, out_tile, ins, inner)


def _inside(tiles: InnerLevelTiles, splits: slice, out: int, in_: int) -> LevelTile:
    """Return the inner tile with the least inner traffic within an outer tile."""
    problem, outs, ins, group = tiles.problem, tiles.outs, tiles.ins, tiles.problem.group
    positions, inputs = problem.splits.positions[1, splits], problem.splits.inputs[1, splits]
    most_out, most_in = outs.tile[out], ins.tile[in_]
    # One entry per class: bytes, split of positions, output and input channels, class number.
    choices: list[tuple[float, int, float, float, int]] = []
    if most_in > 1:
        value = tiles.output_stationary_bytes(splits)[:, out] + group.spill_bytes * (
            ins.counts[in_] - 1.0
        )
        best, split = _least(value)
        out_tile = float(tiles.out_tile(inputs[split], positions[split]))
        choices.append((best, split, out_tile, 1.0, OUTPUT))
    if most_out > 1:
        value = tiles.sliding_bytes[splits] * outs.counts[out]
        value = value + group.weight_bytes * problem.splits.count[1, splits]
        value = value + group.spill_bytes * (tiles.input_stationary_passes(splits)[:, in_] - 1.0)
        best, split = _least(value)
        choices.append(
            (best, split, 1.0, float(tiles.in_tile(inputs[split], positions[split])), INPUT)
        )
    if problem.splits.positions[0, splits.start] > 1:
        ends = np.append(outs.first[1:], problem.outs.tile.shape[1])
        out_splits = slice(int(outs.first[out]), int(ends[out]))
        value = tiles.weight_stationary_bytes(
            positions, inputs, tiles.sliding_bytes[splits], out_splits
        )[:, :, in_]
        best, split = _least(value)
        split, out_split = divmod(split, out_splits.stop - out_splits.start)
        out_tile = float(problem.outs.tile[1, out_splits][out_split])
        in_tile = float(tiles.in_tile_beside(inputs[split], positions[split], np.asarray(out_tile)))
        once = group.weight_bytes * problem.splits.count[0, splits.start]
        choices.append((best + once, split, out_tile, in_tile, WEIGHT))
    _, split, out_tile, in_tile, stationary = min(choices)
    return level_tile(
        problem,
        1,
        splits.start + split,
        min(max(out_tile, 1.0), most_out),
        min(max(in_tile, 1.0), most_in),
        stationary,
    )


def _least(values: Floats) -> tuple[float, int]:
    """Return the minimum of the values that are not NaN, and its flat index."""
    finite = np.where(np.isnan(values), np.inf, values).ravel()
    at = int(np.argmin(finite))
    return float(finite[at]), at
