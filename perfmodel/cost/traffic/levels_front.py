"""All pairs (outer bytes, inner bytes) of two levels that no other pair beats."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perfmodel.cost.traffic.axis import Floats, Ints
from perfmodel.cost.traffic.levels_inner import InnerLevelTiles
from perfmodel.cost.traffic.levels_problem import MultilevelTilingProblem
from perfmodel.cost.traffic.stationarity import ALL, INPUT, OUTPUT, WEIGHT
from perfmodel.cost.traffic.undominated import falling

#: What an inner tile covers of the outer one: nothing, the stationary operand, or the input while
#: the window slides outside.
NOTHING, STATIONARY_OPERAND, SLIDING_INPUT = range(3)
#: Along positions, output and input channels: the extent that each stationary operand lacks.
LACKED_AXIS = {OUTPUT: 2, INPUT: 1, WEIGHT: 0}


class FrontPoints(NamedTuple):
    """Pairs with the outer tiles behind them; all of shape (pairs,).

    Attributes
    ----------
    outer, inner
        Bytes of one group.
    stationary
        Operand of the outer level; ``ALL`` where the outer loops run once.
    covers
        What the inner tile covers of the outer one.
    place, out, in_
        Outer tiles of positions, output and input channels, by their place in the lists.
    """

    outer: Floats
    inner: Floats
    stationary: Ints
    covers: Ints
    place: Ints
    out: Ints
    in_: Ints

    def pick(self, which: Ints) -> FrontPoints:
        """Return some of the pairs."""
        return self._make(column[which] for column in self)


class OuterCube(NamedTuple):
    """Columns of all outer tiles, to be broadcast along positions, output and input channels."""

    inputs: Floats
    positions: Floats
    position_count: Floats
    fetched: Floats
    slid: Floats
    outs: Floats
    out_count: Floats
    ins: Floats
    in_count: Floats

    @staticmethod
    def of(tiles: InnerLevelTiles) -> OuterCube:
        """Return the outer tiles of a problem."""
        splits, first = tiles.problem.splits, tiles.problem.splits.first
        by_position = (splits.inputs, splits.positions, splits.count, splits.fetched)
        return OuterCube(
            *(column[0, first, None, None] for column in by_position),
            slid=tiles.problem.slid[0, first, None, None],
            outs=tiles.outs.tile[:, None],
            out_count=tiles.outs.counts[:, None],
            ins=tiles.ins.tile,
            in_count=tiles.ins.counts,
        )

    def footprint(self, problem: MultilevelTilingProblem, stationary: int) -> Floats:
        """Return the bytes of the tiles where an operand is held once."""
        return problem.footprint(self.inputs, self.positions, self.outs, self.ins, stationary)

    def loops(self, stationary: int) -> Floats:
        """Return how many tiles the loop has that leaves the operand as it is."""
        return (self.position_count, self.out_count, self.in_count)[LACKED_AXIS[stationary]]

    def traffic(self, problem: MultilevelTilingProblem, stationary: int) -> Floats:
        """Return the outer bytes; they do not depend on the extent that the operand lacks."""
        fetched = self.fetched if stationary == OUTPUT else self.slid
        counts: list[Floats] = [self.position_count, self.out_count, self.in_count]
        counts[LACKED_AXIS[stationary]] = np.ones(1)
        return problem.traffic(fetched, *counts)


def candidates(problem: MultilevelTilingProblem) -> FrontPoints:
    """Return the front of one group."""
    tiles = InnerLevelTiles(problem)
    cube, grid = OuterCube.of(tiles), _inner_grid(tiles)
    classes = [_reloading(tiles, cube, grid, OUTPUT), _reloading(tiles, cube, grid, INPUT)]
    if tiles.flat:
        classes.append(_reloading(tiles, cube, grid, WEIGHT))
    else:
        classes.append(_sliding_weights(tiles, cube, grid))
    classes += _resident(tiles, grid)
    points = FrontPoints(*map(np.concatenate, zip(*classes, strict=True)))
    points = points.pick(np.flatnonzero(np.isfinite(points.inner)))
    return points.pick(falling(points.outer, points.inner))


def _inner_grid(tiles: InnerLevelTiles) -> Floats:
    """Return the least inner bytes that no outer loop saves; shape (places, outs, ins)."""
    problem, splits, first = tiles.problem, tiles.problem.splits, tiles.problem.splits.first
    group, outs, ins = problem.group, tiles.outs, tiles.ins
    output_stays = np.fmin.reduceat(tiles.output_stays(), first, axis=0)
    passes = group.spill_bytes * (ins.counts - 1.0)
    grid = output_stays[:, :, None] + np.where(ins.tile > 1, passes, np.nan)
    several = np.where(outs.tile > 1, outs.counts, np.nan)
    input_stays = group.spill_bytes * (tiles.input_stays() - 1.0)
    input_stays = group.weight_bytes * splits.count[1][:, None] + input_stays
    positions, inputs = splits.positions[1], splits.inputs[1]
    outer_count = np.where(splits.positions[0, first] > 1, splits.count[0, first], np.nan)
    weights_once = group.weight_bytes * outer_count
    if tiles.flat:
        input_stays = np.fmin.reduceat(input_stays, first, axis=0)
        np.fmin(grid, tiles.along[0] * several[:, None] + input_stays[:, None, :], out=grid)
        least = tiles.weight_stays(positions[:1], inputs[:1], tiles.along[:1])[0]
        least = np.fmin.reduceat(least, outs.first, axis=0)
        np.fmin(grid, weights_once[:, None, None] + least, out=grid)
    else:
        ends = splits.ends()
        for i, (start, end) in enumerate(zip(first, ends, strict=True)):
            some = tiles.useful[i]
            here = tiles.along[start:end, None, None] * several[:, None]
            here = here + input_stays[start:end, None, :]
            np.fmin(grid[i], np.fmin.reduce(here, axis=0), out=grid[i])
            if np.isnan(weights_once[i]):
                continue
            least = tiles.weight_stays(positions[some], inputs[some], tiles.along[some])
            least = np.fmin.reduceat(np.fmin.reduce(least, axis=0), outs.first, axis=0)
            np.fmin(grid[i], weights_once[i] + least, out=grid[i])
    grid[np.isnan(grid)] = np.inf
    return grid + group.output_bytes


def _reloading(
    tiles: InnerLevelTiles, cube: OuterCube, grid: Floats, stationary: int
) -> FrontPoints:
    """Return the candidates of a class, the best tile of the extent that the operand lacks."""
    problem, nest, axis = tiles.problem, tiles.problem.group.nest, LACKED_AXIS[stationary]
    footprint, outer = cube.footprint(problem, stationary), cube.traffic(problem, stationary)
    fits = (footprint <= problem.rooms[0]) & (cube.loops(stationary) > 1)
    inner = np.where(fits, grid, np.inf)
    best = np.argmin(inner, axis=axis, keepdims=True)
    inner = np.take_along_axis(inner, best, axis=axis)
    # The inner tile holds the stationary operand of the outer one through all loops that lack it.
    extent = (nest.positions, nest.out_channels, nest.in_channels)[axis]
    covers = (footprint.take([0], axis=axis) <= tiles.room) & (extent > 1)
    outer = outer.take([0], axis=axis) if outer.shape[axis] > 1 else outer
    outer = np.broadcast_to(outer, inner.shape)
    place = [index.ravel() for index in np.indices(inner.shape)]
    place[axis] = np.where(covers, 0, best).ravel()
    return FrontPoints(
        outer=outer.ravel(),
        inner=np.where(covers, outer, inner).ravel(),
        stationary=np.full(inner.size, stationary),
        covers=covers.ravel().astype(np.int64),
        place=place[0],
        out=place[1],
        in_=place[2],
    )


def _sliding_weights(tiles: InnerLevelTiles, cube: OuterCube, grid: Floats) -> FrontPoints:
    """Return the candidates whose weights stay, where positions share input."""
    problem = tiles.problem
    footprint = cube.footprint(problem, WEIGHT)
    outer = np.broadcast_to(cube.traffic(problem, WEIGHT), grid.shape)
    fits = (footprint <= problem.rooms[0]) & (cube.loops(WEIGHT) > 1)
    inner, covers = np.where(fits, grid, np.inf), np.full(grid.shape, NOTHING)
    ways = [(STATIONARY_OPERAND, _covering_weights(tiles, footprint, outer))]
    if problem.group.conventions.slides:
        ways.append((SLIDING_INPUT, _covering_input(tiles, cube)))
    for way, value in ways:
        value = np.where(fits, value, np.inf)
        covers = np.where(value < inner, way, covers)
        inner = np.minimum(value, inner)
    return FrontPoints(
        outer.ravel(),
        inner.ravel(),
        np.full(grid.size, WEIGHT),
        covers.ravel(),
        *(index.ravel() for index in np.indices(grid.shape)),
    )


def _covering_input(tiles: InnerLevelTiles, cube: OuterCube) -> Floats:
    """Return inner bytes where the inner tile holds the input of the outer one, which slides."""
    problem, one = tiles.problem, np.ones(1)
    footprint = problem.footprint(cube.inputs, cube.positions, one, cube.ins, INPUT)
    value = problem.traffic(cube.slid, cube.position_count, cube.out_count, cube.in_count)
    return np.where((footprint <= tiles.room) & (cube.outs > 1), value, np.inf)


def _covering_weights(tiles: InnerLevelTiles, footprint: Floats, outer: Floats) -> Floats:
    """Return inner bytes where the inner tile holds all weights of the outer one."""
    group, covering = tiles.problem.group, np.where(footprint <= tiles.room, outer, np.inf)
    once = group.weight_bytes + group.output_bytes + group.spill_bytes * (tiles.ins.counts - 1.0)
    for i, some in enumerate(tiles.useful):
        least = np.where(covers_weights(tiles, some), tiles.along[some, None, None], np.inf)
        value = least.min(axis=0) * tiles.outs.counts[:, None] + once
        np.minimum(covering[i], value, out=covering[i])
    return covering


def covers_weights(tiles: InnerLevelTiles, some: Ints) -> Floats:
    """Tell where inner tiles of some splits fit beside all weights of outer tiles."""
    splits = tiles.problem.splits
    footprint = tiles.problem.footprint(
        splits.inputs[1, some, None, None],
        splits.positions[1, some, None, None],
        tiles.outs.tile[:, None],
        tiles.ins.tile,
        WEIGHT,
    )
    return footprint <= tiles.room


def _resident(tiles: InnerLevelTiles, grid: Floats) -> list[FrontPoints]:
    """Return the mapping that holds all operands of a group in the outer buffer, if they fit."""
    problem, splits = tiles.problem, tiles.problem.splits
    footprint = problem.footprint(
        splits.inputs[0, -1], splits.positions[0, -1], tiles.outs.tile[-1], tiles.ins.tile[-1], None
    )
    if footprint > problem.rooms[0]:
        return []
    outer = np.array([problem.group.compulsory_bytes], dtype=float)
    covers = np.array([int(footprint <= tiles.room)])
    inner = np.where(covers > 0, outer, grid[-1:, -1, -1])
    last = [np.array([n - 1]) for n in grid.shape]
    return [FrontPoints(outer, inner, np.array([ALL]), covers, *last)]
