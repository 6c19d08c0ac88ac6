"""Pareto front of (outer bytes, inner bytes) over all nested tiles of two memory levels.

The search enumerates all outer tiles in the three stationarity classes (output-, input- and
weight-stationary). For each outer tile, `two_level_inner_tiles` states the inner traffic of every
inner tile, of which the least is taken. An inner tile that covers the whole stationary operand of
its outer tile, or its sliding input, is not refetched in the outer loops and is a separate
candidate. The front consists of the pairs of outer and inner traffic that no other pair dominates.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perfmodel.cost.traffic.convolution_axis import Floats, Ints
from perfmodel.cost.traffic.multilevel_problem import MultilevelTilingProblem
from perfmodel.cost.traffic.nested_splits import INNER, OUTER
from perfmodel.cost.traffic.pareto_filters import pareto_front
from perfmodel.cost.traffic.stationarity import ALL, INPUT, OUTPUT, WEIGHT
from perfmodel.cost.traffic.two_level_inner_tiles import InnerLevelTiles

#: Part of the outer tile that the inner tile covers: none, the stationary operand, or the input
#: while the window slides in the outer loops.
NOTHING, STATIONARY_OPERAND, SLIDING_INPUT = range(3)
#: Axes of arrays over outer tiles.
POSITIONS, OUT_CHANNELS, IN_CHANNELS = range(3)
#: Stationary operand -> the axis that it is invariant in.
INVARIANT_AXIS = {OUTPUT: IN_CHANNELS, INPUT: OUT_CHANNELS, WEIGHT: POSITIONS}


class FrontPoints(NamedTuple):
    """Points of the front with their outer tiles; all fields of shape (pairs,).

    Attributes
    ----------
    outer, inner
        Traffic of one group across the outer and the inner boundary, bytes.
    stationary
        Stationary operand of the outer level; ``ALL`` where there is one outer tile only.
    covers
        Part of the outer tile that the inner tile covers: `NOTHING`, `STATIONARY_OPERAND` or
        `SLIDING_INPUT`.
    position_index, out_index, in_index
        Indices of the outer tiles of positions, output channels and input channels.
    """

    outer: Floats
    inner: Floats
    stationary: Ints
    covers: Ints
    position_index: Ints
    out_index: Ints
    in_index: Ints

    def pick(self, which: Ints) -> FrontPoints:
        """Return a subset of the points."""
        return self._make(column[which] for column in self)


class OuterTileGrid(NamedTuple):
    """All outer tiles as arrays that broadcast over (positions, output channels, input channels).

    Attributes
    ----------
    inputs, positions
        Input elements per channel and output positions of a tile of positions.
    position_count, fetched, slid
        Number of tiles of positions, and input elements per channel that they all fetch: without
        and with a sliding window.
    outs, out_count, ins, in_count
        Sizes and numbers of the tiles of output and input channels.
    """

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
    def of(tiles: InnerLevelTiles) -> OuterTileGrid:
        """Return the outer tiles of a problem as broadcastable arrays."""
        splits, first = tiles.problem.splits, tiles.problem.splits.first
        by_position = (splits.inputs, splits.positions, splits.count, splits.fetched)
        return OuterTileGrid(
            *(column[OUTER, first, None, None] for column in by_position),
            slid=tiles.problem.slid[OUTER, first, None, None],
            outs=tiles.outs.tile[:, None],
            out_count=tiles.outs.counts[:, None],
            ins=tiles.ins.tile,
            in_count=tiles.ins.counts,
        )

    def footprint(self, problem: MultilevelTilingProblem, stationary: int) -> Floats:
        """Return the footprints in bytes where only the stationary operand is single-buffered."""
        return problem.footprint(self.inputs, self.positions, self.outs, self.ins, stationary)

    def loops(self, stationary: int) -> Floats:
        """Return the number of tiles along the extent that the operand is invariant in."""
        return (self.position_count, self.out_count, self.in_count)[INVARIANT_AXIS[stationary]]

    def traffic(self, problem: MultilevelTilingProblem, stationary: int) -> Floats:
        """Return the outer traffic in bytes; constant along the operand's invariant extent."""
        fetched = self.fetched if stationary == OUTPUT else self.slid
        counts: list[Floats] = [self.position_count, self.out_count, self.in_count]
        counts[INVARIANT_AXIS[stationary]] = np.ones(1)
        return problem.traffic(fetched, *counts)


def front_points(problem: MultilevelTilingProblem) -> FrontPoints:
    """Return the Pareto front of one group in ascending order of the outer traffic."""
    tiles = InnerLevelTiles(problem)
    outer_tiles, grid = OuterTileGrid.of(tiles), _least_inner_bytes(tiles)
    classes = [
        _class_candidates(tiles, outer_tiles, grid, OUTPUT),
        _class_candidates(tiles, outer_tiles, grid, INPUT),
    ]
    if tiles.flat:
        classes.append(_class_candidates(tiles, outer_tiles, grid, WEIGHT))
    else:
        classes.append(_overlapping_weight_candidates(tiles, outer_tiles, grid))
    classes += _resident_candidates(tiles, grid)
    points = FrontPoints(*map(np.concatenate, zip(*classes, strict=True)))
    points = points.pick(np.flatnonzero(np.isfinite(points.inner)))
    return points.pick(pareto_front(points.outer, points.inner))


def _least_inner_bytes(tiles: InnerLevelTiles) -> Floats:
    """Return the least inner traffic of every outer tile, without reuse across outer tiles.

    The minimum is taken over the three stationarity classes of the inner loops::

        output-stationary   I n_K + W n_PQ + U (N_C - 1)
        input-stationary    I N_K + W n_PQ + U (n_C - 1)
        weight-stationary   I n_K + W N_PQ + U (n_C - 1)

    plus the output, all in bytes; I, W and U are the input, the weights and all partial sums
    written and read back, n the numbers of inner tiles and N those of outer tiles.

    Returns
    -------
    array
        Bytes, shape (positions, output channels, input channels) of outer tiles; infinite where no
        inner tile fits.
    """
    problem, splits, first = tiles.problem, tiles.problem.splits, tiles.problem.splits.first
    group, outs, ins = problem.group, tiles.outs, tiles.ins
    output_stationary = np.fmin.reduceat(tiles.output_stationary_bytes(), first, axis=0)
    passes = group.spill_bytes * (ins.counts - 1.0)
    grid = output_stationary[:, :, None] + np.where(ins.tile > 1, passes, np.nan)
    several = np.where(outs.tile > 1, outs.counts, np.nan)
    input_stationary = group.spill_bytes * (tiles.input_stationary_passes() - 1.0)
    input_stationary = group.weight_bytes * splits.count[INNER][:, None] + input_stationary
    positions, inputs = splits.positions[INNER], splits.inputs[INNER]
    outer_count = np.where(splits.positions[OUTER, first] > 1, splits.count[OUTER, first], np.nan)
    weights_once = group.weight_bytes * outer_count
    if tiles.flat:
        input_stationary = np.fmin.reduceat(input_stationary, first, axis=0)
        np.fmin(
            grid, tiles.sliding_bytes[0] * several[:, None] + input_stationary[:, None, :], out=grid
        )
        least = tiles.weight_stationary_bytes(positions[:1], inputs[:1], tiles.sliding_bytes[:1])[0]
        least = np.fmin.reduceat(least, outs.first, axis=0)
        np.fmin(grid, weights_once[:, None, None] + least, out=grid)
    else:
        ends = splits.ends()
        for i, (start, end) in enumerate(zip(first, ends, strict=True)):
            selected = tiles.useful[i]
            here = tiles.sliding_bytes[start:end, None, None] * several[:, None]
            here = here + input_stationary[start:end, None, :]
            np.fmin(grid[i], np.fmin.reduce(here, axis=0), out=grid[i])
            if np.isnan(weights_once[i]):
                continue
            least = tiles.weight_stationary_bytes(
                positions[selected], inputs[selected], tiles.sliding_bytes[selected]
            )
            least = np.fmin.reduceat(np.fmin.reduce(least, axis=0), outs.first, axis=0)
            np.fmin(grid[i], weights_once[i] + least, out=grid[i])
    grid[np.isnan(grid)] = np.inf
    return grid + group.output_bytes


def _class_candidates(
    tiles: InnerLevelTiles, outer_tiles: OuterTileGrid, grid: Floats, stationary: int
) -> FrontPoints:
    """Return the candidates of a class with the best tile along the operand's invariant axis."""
    problem, nest, axis = tiles.problem, tiles.problem.group.nest, INVARIANT_AXIS[stationary]
    footprint = outer_tiles.footprint(problem, stationary)
    outer = outer_tiles.traffic(problem, stationary)
    fits = (footprint <= problem.usable_capacities[0]) & (outer_tiles.loops(stationary) > 1)
    inner = np.where(fits, grid, np.inf)
    best = np.argmin(inner, axis=axis, keepdims=True)
    inner = np.take_along_axis(inner, best, axis=axis)
    # An inner tile that covers the stationary operand retains it through all loops over its
    # invariant axis.
    extent = (nest.positions, nest.out_channels, nest.in_channels)[axis]
    covers = (footprint.take([0], axis=axis) <= tiles.usable_capacity) & (extent > 1)
    outer = outer.take([0], axis=axis) if outer.shape[axis] > 1 else outer
    outer = np.broadcast_to(outer, inner.shape)
    indices = [index.ravel() for index in np.indices(inner.shape)]
    indices[axis] = np.where(covers, 0, best).ravel()
    return FrontPoints(
        outer.ravel(),
        np.where(covers, outer, inner).ravel(),
        np.full(inner.size, stationary),
        covers.ravel().astype(np.int64),
        *indices,
    )


def _overlapping_weight_candidates(
    tiles: InnerLevelTiles, outer_tiles: OuterTileGrid, grid: Floats
) -> FrontPoints:
    """Return the weight-stationary candidates of a nest in which windows of positions overlap."""
    problem = tiles.problem
    footprint = outer_tiles.footprint(problem, WEIGHT)
    outer = np.broadcast_to(outer_tiles.traffic(problem, WEIGHT), grid.shape)
    fits = (footprint <= problem.usable_capacities[0]) & (outer_tiles.loops(WEIGHT) > 1)
    inner, covers = np.where(fits, grid, np.inf), np.full(grid.shape, NOTHING)
    alternatives = [(STATIONARY_OPERAND, _covering_weights_bytes(tiles, footprint, outer))]
    if problem.group.conventions.slides:
        alternatives.append((SLIDING_INPUT, _covering_input_bytes(tiles, outer_tiles)))
    for covered, traffic in alternatives:
        traffic = np.where(fits, traffic, np.inf)
        covers = np.where(traffic < inner, covered, covers)
        inner = np.minimum(traffic, inner)
    return FrontPoints(
        outer.ravel(),
        inner.ravel(),
        np.full(grid.size, WEIGHT),
        covers.ravel(),
        *(index.ravel() for index in np.indices(grid.shape)),
    )


def _covering_input_bytes(tiles: InnerLevelTiles, outer_tiles: OuterTileGrid) -> Floats:
    """Return the inner traffic if the inner tile covers the sliding input of the outer tile."""
    problem, one = tiles.problem, np.ones(1)
    footprint = problem.footprint(
        outer_tiles.inputs, outer_tiles.positions, one, outer_tiles.ins, INPUT
    )
    traffic = problem.traffic(
        outer_tiles.slid, outer_tiles.position_count, outer_tiles.out_count, outer_tiles.in_count
    )
    return np.where((footprint <= tiles.usable_capacity) & (outer_tiles.outs > 1), traffic, np.inf)


def _covering_weights_bytes(tiles: InnerLevelTiles, footprint: Floats, outer: Floats) -> Floats:
    """Return the inner traffic if the inner tile covers all weights of the outer tile."""
    group = tiles.problem.group
    covering = np.where(footprint <= tiles.usable_capacity, outer, np.inf)
    once = group.weight_bytes + group.output_bytes + group.spill_bytes * (tiles.ins.counts - 1.0)
    for i, selected in enumerate(tiles.useful):
        sliding_bytes = tiles.sliding_bytes[selected, None, None]
        least = np.where(covers_weights(tiles, selected), sliding_bytes, np.inf)
        traffic = least.min(axis=0) * tiles.outs.counts[:, None] + once
        np.minimum(covering[i], traffic, out=covering[i])
    return covering


def covers_weights(tiles: InnerLevelTiles, selected: Ints) -> Floats:
    """Return whether inner tiles fit together with all weights of the outer tile.

    Parameters
    ----------
    selected
        Indices of splits of the positions.

    Returns
    -------
    array
        Booleans, shape (splits, outer output tiles, outer input tiles).
    """
    splits = tiles.problem.splits
    footprint = tiles.problem.footprint(
        splits.inputs[INNER, selected, None, None],
        splits.positions[INNER, selected, None, None],
        tiles.outs.tile[:, None],
        tiles.ins.tile,
        WEIGHT,
    )
    return footprint <= tiles.usable_capacity


def _resident_candidates(tiles: InnerLevelTiles, grid: Floats) -> list[FrontPoints]:
    """Return the candidate with all operands of a group in the outer buffer, if they fit."""
    problem, splits = tiles.problem, tiles.problem.splits
    footprint = problem.footprint(
        splits.inputs[OUTER, -1],
        splits.positions[OUTER, -1],
        tiles.outs.tile[-1],
        tiles.ins.tile[-1],
        None,
    )
    if footprint > problem.usable_capacities[0]:
        return []
    outer = np.array([problem.group.compulsory_bytes], dtype=float)
    covers = np.array([int(footprint <= tiles.usable_capacity)])
    inner = np.where(covers > 0, outer, grid[-1:, -1, -1])
    last = [np.array([n - 1]) for n in grid.shape]
    return [FrontPoints(outer, inner, np.array([ALL]), covers, *last)]
