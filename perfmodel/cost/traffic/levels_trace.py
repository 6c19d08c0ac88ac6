"""The tiles of a pair of two levels: the outer tile is known, the inner one is looked for in it."""

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
    """A tile of one level, and the operand that stays at the innermost loop over such tiles.

    Attributes
    ----------
    stationary
        ``output``, ``input`` or ``weight``; ``all`` where the loops over tiles run only once.
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
    """Return the tile of a split of positions and of channels."""
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
    """Return both tiles of a pair, the outer one first."""
    tiles = InnerLevelTiles(problem)
    point = points.pick(np.array([row]))
    place, out, in_ = (int(index[0]) for index in point[4:])
    splits = slice(int(problem.splits.first[place]), int(problem.splits.ends()[place]))
    outs, ins = tiles.outs.tile[out], tiles.ins.tile[in_]
    stationary, covers = int(point.stationary[0]), int(point.covers[0])
    outer = level_tile(problem, 0, splits.start, outs, ins, stationary)
    if covers == NOTHING:
        return outer, _inside(tiles, splits, out, in_)
    # The splits of an outer tile end with itself.
    split, out_tile, inner = splits.stop - 1, float(outs), ALL
    if covers == SLIDING_INPUT:
        out_tile, inner = 1.0, INPUT
    elif stationary == WEIGHT and not tiles.flat:
        group = problem.group
        once = group.weight_bytes + group.output_bytes
        once = once + group.spill_bytes * (tiles.ins.counts[in_] - 1.0)
        some = np.arange(splits.start, splits.stop)
        good = tiles.along[some] * tiles.outs.counts[out] + once <= point.inner
        good &= covers_weights(tiles, some)[:, out, in_]
        if good.any():
            split = int(some[np.argmax(good)])
            positions = problem.splits.positions[:, split]
            inner = ALL if positions[1] == positions[0] else WEIGHT
    return outer, level_tile(problem, 1, split, out_tile, ins, inner)


def _inside(tiles: InnerLevelTiles, splits: slice, out: int, in_: int) -> LevelTile:
    """Return the best inner tile of an outer one."""
    problem, outs, ins, group = tiles.problem, tiles.outs, tiles.ins, tiles.problem.group
    positions, inputs = problem.splits.positions[1, splits], problem.splits.inputs[1, splits]
    most_out, most_in = outs.tile[out], ins.tile[in_]
    # Bytes, the split of positions, and the channels of the tile, for each class.
    choices: list[tuple[float, int, float, float, int]] = []
    if most_in > 1:
        value = tiles.output_stays(splits)[:, out] + group.spill_bytes * (ins.counts[in_] - 1.0)
        best, at = _least(value)
        out_tile = float(tiles.out_tile(inputs[at], positions[at]))
        choices.append((best, at, out_tile, 1.0, OUTPUT))
    if most_out > 1:
        value = tiles.along[splits] * outs.counts[out]
        value = value + group.weight_bytes * problem.splits.count[1, splits]
        value = value + group.spill_bytes * (tiles.input_stays(splits)[:, in_] - 1.0)
        best, at = _least(value)
        choices.append((best, at, 1.0, float(tiles.in_tile(inputs[at], positions[at])), INPUT))
    if problem.splits.positions[0, splits.start] > 1:
        ends = np.append(outs.first[1:], problem.outs.tile.shape[1])
        cuts = slice(int(outs.first[out]), int(ends[out]))
        value = tiles.weight_stays(positions, inputs, tiles.along[splits], cuts)[:, :, in_]
        best, at = _least(value)
        at, cut = divmod(at, cuts.stop - cuts.start)
        out_tile = float(problem.outs.tile[1, cuts][cut])
        in_tile = float(tiles.in_tile_beside(inputs[at], positions[at], np.asarray(out_tile)))
        once = group.weight_bytes * problem.splits.count[0, splits.start]
        choices.append((best + once, at, out_tile, in_tile, WEIGHT))
    _, at, out_tile, in_tile, stationary = min(choices)
    return level_tile(
        problem,
        1,
        splits.start + at,
        min(max(out_tile, 1.0), most_out),
        min(max(in_tile, 1.0), most_in),
        stationary,
    )


def _least(values: Floats) -> tuple[float, int]:
    """Return the least of some values where there is one, and its flat index."""
    finite = np.where(np.isnan(values), np.inf, values).ravel()
    at = int(np.argmin(finite))
    return float(finite[at]), at
