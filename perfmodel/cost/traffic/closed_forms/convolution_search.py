"""Grid and neighbourhood search for the best tile of a convolution, vectorised over points.

A tile consists of p x q positions of b images, r x s taps, c input and k output channels. With h(p)
the input rows that p positions read, A, B and S the bytes per element of the input, the weight and
a partial sum, and e = 2 for a double-buffered operand (1 for the stationary one), a tile is
feasible if

    e_I A h(p) h(q) b c + e_W B r s c k + e_O S p q b k <= capacity

Each stationarity class is searched separately (`ClassSearch`). For given positions, taps and
images, the channels follow in closed form (`channels`). Candidate positions are a grid of useful
tiles along both axes, evenly spaced in the logarithm of their counts, with all taps and with cut
taps; then the useful tiles near several of the best ones, and the largest tile of an axis that fits
with channels near the best ones. The number of candidates is fixed, so that the search is one pass
over arrays of points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.traffic.closed_forms.candidate_sizes import (
    geometric_tiles,
    near_positions,
    near_sizes,
    near_tiles,
    tap_cuts,
    useful_positions,
)
from perfmodel.cost.traffic.closed_forms.channel_tiles import best_channels
from perfmodel.cost.traffic.convolution_axis import ConvolutionAxis, cut_axis
from perfmodel.cost.traffic.pointwise import columns_of, floor_unless_relaxed
from perfmodel.cost.traffic.stationarity import (
    INPUT,
    OUTPUT,
    WEIGHT,
    TilingProblem,
    spatial_tiles,
)
from perfmodel.cost.traffic.two_tile import SLACK

#: Number of grid tiles of positions along an axis; half of it where taps are cut.
GRID = 16
#: Number of groups of grid rows, each with a separate optimum.
BLOCKS = 4
#: Number of tiles whose neighbourhood is searched.
SEEDS = 5
#: Maximum ratio of the cost of a seed to the best cost of the grid.
PROMISING = 1.2


class ConvolutionTileCandidates(NamedTuple):
    """Tiles with their traffic; candidates on leading axes, or the best one of each point.

    Attributes
    ----------
    cost
        Bytes across the boundary; infinite where the tile does not fit.
    rows, columns, row_taps, column_taps, images, in_tile, out_tile
        Positions, taps, images and channels of the tile.
    stationary
        Number of the stationarity class.
    """

    cost: Value
    rows: Value
    columns: Value
    row_taps: Value
    column_taps: Value
    images: Value
    in_tile: Value
    out_tile: Value
    stationary: Value

    def best(self, groups: int = 1) -> ConvolutionTileCandidates:
        """Return the best candidate of each group; fields are broadcast to the shape of the cost.

        Groups are on the first axis, points on the last; a single group has no axis.
        """
        xp, shape = namespace(self.cost), self.cost.shape
        cost = self.cost.reshape((groups, -1, shape[-1]))
        best = xp.argmin(cost, axis=1) + cost.shape[1] * xp.arange(groups)[:, None]
        at = xp.unravel_index(best * shape[-1] + xp.arange(shape[-1]), shape)
        at = at if groups > 1 else tuple(index[0] for index in at)
        return self._make(xp.broadcast_to(column, shape)[at] for column in self)

    def map_fields(self, function: Callable[[Value], Value]) -> ConvolutionTileCandidates:
        """Apply a function to each field."""
        return self._make(map(function, self))


def best_of(*candidates: ConvolutionTileCandidates) -> ConvolutionTileCandidates:
    """Return the best of several candidates at each point."""
    xp = namespace(candidates[0].cost)
    return ConvolutionTileCandidates(*map(xp.stack, zip(*candidates, strict=True))).best()


def _concatenated(candidates: Sequence[ConvolutionTileCandidates]) -> ConvolutionTileCandidates:
    """Return all candidates along the first axis."""
    xp = namespace(candidates[0].cost)
    return ConvolutionTileCandidates(*map(xp.concatenate, zip(*candidates, strict=True)))


@dataclass(frozen=True, slots=True)
class ClassSearch:
    """Search over the tiles of one stationarity class.

    Attributes
    ----------
    problem
        Tiling problem with flat arrays over points.
    stationary
        Number of the class.
    cuts
        Whether taps may be cut.
    """

    problem: TilingProblem
    stationary: int
    cuts: bool

    @property
    def both_axes(self) -> tuple[tuple[bool, ConvolutionAxis, ConvolutionAxis], ...]:
        """Both axes in turn, as (whether it is the row axis, the axis, the other axis)."""
        rows, columns = self.problem.rows, self.problem.columns
        return (True, rows, columns), (False, columns, rows)

    def evaluate(
        self,
        rows: Value,
        columns: Value,
        taps: tuple[Value, Value],
        images: Value,
        window: int = 0,
        corners: int = 0,
        groups: int = 1,
    ) -> ConvolutionTileCandidates:
        """Return the best of some tiles, which broadcast, with optimal channels.

        Parameters
        ----------
        rows, columns, taps, images
            Positions along both axes, taps of rows and of columns, images.
        window, corners
            The same as for `best_channels`.
        groups
            Number of groups with separate optima; groups are on the first axis, points on the last.
        """
        problem = self.problem
        if self.stationary == WEIGHT:
            images = namespace(problem.capacity).ones_like(images)
        tiled_rows, tiled_columns = (
            cut_axis(
                axis,
                tile,
                axis_taps if self.cuts else None,
                relaxed=problem.relaxed,
                slides=problem.conventions.slides,
            )
            for axis, tile, axis_taps in zip(
                (problem.rows, problem.columns), (rows, columns), taps, strict=True
            )
        )
        spatial = spatial_tiles(problem, tiled_rows, tiled_columns, images)
        cost, *channels = best_channels(problem, spatial, self.stationary, window, corners)
        return ConvolutionTileCandidates(
            cost, rows, columns, *taps, images, *channels, stationary=self.stationary
        ).best(groups)

    def fill_axis(
        self,
        from_rows: bool,
        other_tile: Value,
        taps: tuple[Value, Value],
        images: Value,
        in_tile: Value,
        out_tile: Value,
    ) -> tuple[Value, Value]:
        """Return tiles of rows and columns that fill the buffer for given channels.

        The tile of one axis is the largest feasible p (see the module docstring) for `other_tile`
        positions of the other axis; it is the row axis if `from_rows`.
        """
        problem, widths = self.problem, self.problem.widths
        axis, other = (problem.rows, problem.columns)[:: 1 if from_rows else -1]
        own_taps, other_taps = taps[:: 1 if from_rows else -1]
        copies = [problem.conventions.copies] * 3
        copies[self.stationary] = 1.0
        channels = in_tile * out_tile
        available = (
            problem.usable_capacity
            - copies[WEIGHT] * widths.weight * own_taps * other_taps * channels
        )
        other_rows = other.input_rows(other_tile, other_taps) * images * in_tile
        by_row = copies[INPUT] * widths.input * other_rows
        by_position = copies[OUTPUT] * widths.partial * out_tile * other_tile * images
        size = axis.most_positions(own_taps, by_row, by_position, available)
        size = namespace(size).maximum(1.0, floor_unless_relaxed(size, problem.relaxed))
        size = useful_positions(axis, size, problem.relaxed)
        return (size, other_tile) if from_rows else (other_tile, size)

    def refill_near(
        self, from_rows: bool, at: ConvolutionTileCandidates, near_other: Value
    ) -> ConvolutionTileCandidates:
        """Return the best tile with channels near those of `at` and one axis filled."""
        nest, images = self.problem.nest, at.images
        in_tile, out_tile = at.in_tile, at.out_tile
        # In the weight-stationary class both kinds of channels vary, each over fewer tiles.
        reach = 1 if self.stationary == WEIGHT else 2
        if self.stationary != OUTPUT:
            in_tile = near_tiles(nest.in_channels, in_tile, reach)[:, None]
        if self.stationary != INPUT:
            out_tile = near_tiles(nest.out_channels, out_tile, reach)[:, None]
        if self.stationary == WEIGHT:
            in_tile, out_tile = in_tile[:, :, None], out_tile[None]
            images = namespace(images).ones_like(images)
        taps = at.row_taps, at.column_taps
        tiles = self.fill_axis(from_rows, near_other, taps, images, in_tile, out_tile)
        return self.evaluate(*tiles, taps, images)

    def coarse_optima(self, images: Value) -> ConvolutionTileCandidates:
        """Return the best tile of each group of a grid: blocks of rows, and cuts of taps."""
        uncut = replace(self, cuts=False).whole_tap_groups(images)
        return _concatenated([*uncut, *self.cut_tap_groups(images)] if self.cuts else uncut)

    def grid(self, count: int) -> tuple[Value, Value]:
        """Return grid tiles of rows and of columns, evenly spaced in their log counts."""
        problem = self.problem
        rows, columns = (
            geometric_tiles(axis.extent, count, problem.relaxed)
            for axis in (problem.rows, problem.columns)
        )
        return rows, columns

    def whole_tap_groups(self, images: Value) -> list[ConvolutionTileCandidates]:
        """Return the best tiles with all taps, of each block of rows and with one axis filled."""
        rows, columns = self.grid(GRID)
        blocks = (BLOCKS, -1, 1, 1, *rows.shape[1:])
        taps = self.problem.rows.taps, self.problem.columns.taps
        plain = self.evaluate(rows.reshape(blocks), columns[:, None], taps, images, -1, 2, BLOCKS)
        groups = [plain]
        for from_rows, _, _ in self.both_axes:
            if self.stationary == WEIGHT:
                # With the channels of the best tile of each block.
                other = plain.columns if from_rows else plain.rows
                images = namespace(images).ones_like(plain.images)
                channels = plain.in_tile, plain.out_tile
            else:
                other = (columns if from_rows else rows).reshape(blocks)
                channels = self.channel_tiles(GRID // 2)
            tiles = self.fill_axis(from_rows, other, taps, images, *channels)
            groups.append(self.evaluate(*tiles, taps, images, -1, 2, BLOCKS))
        return groups

    def cut_tap_groups(self, images: Value) -> list[ConvolutionTileCandidates]:
        """Return the best tiles of each cut of the taps."""
        problem, half = self.problem, GRID // 2
        rows, columns = (tiles[:, None, None] for tiles in self.grid(half))
        cuts = list(product(tap_cuts(problem.rows), tap_cuts(problem.columns)))[1:]
        row_taps, column_taps = (
            namespace(images).stack(tiles)[:, None, None, None] for tiles in zip(*cuts, strict=True)
        )
        taps = row_taps, column_taps
        groups = [self.evaluate(rows, columns[:, 0], taps, images, -1, 2, len(cuts))]
        if problem.conventions.slides and self.stationary == OUTPUT:
            # With windows sliding along the taps, inputs cause little traffic and weights dominate.
            for from_rows, _, _ in self.both_axes:
                other = columns if from_rows else rows
                tiles = self.fill_axis(from_rows, other, taps, images, *self.channel_tiles(half))
                groups.append(self.evaluate(*tiles, taps, images, -1, 2, len(cuts)))
        return groups

    def channel_tiles(self, count: int) -> tuple[Value, Value]:
        """Return candidate channel tiles of a class; the other channels have a tile of 1."""
        nest, relaxed = self.problem.nest, self.problem.relaxed
        channels = nest.in_channels if self.stationary == INPUT else nest.out_channels
        some = geometric_tiles(channels, count, relaxed)[:, None]
        single = namespace(some).ones_like(some)
        return (some, single) if self.stationary == INPUT else (single, some)

    def improve_nearby(
        self, best: ConvolutionTileCandidates, many_images: bool
    ) -> ConvolutionTileCandidates:
        """Return the best tile in the neighbourhood of a tile of each point."""
        problem = self.problem
        # Channels of a weight-stationary tile are re-optimised, which is more expensive.
        for reach in (1, 1) if self.stationary == WEIGHT else (2, 1):
            rows = near_positions(problem.rows, best.rows, reach)
            columns = near_positions(problem.columns, best.columns, reach)
            batch = problem.nest.batch
            images = near_tiles(batch, best.images, 1) if many_images else best.images[None]
            taps = best.row_taps, best.column_taps
            best = best_of(best, self.evaluate(rows[:, None, None], columns[:, None], taps, images))
            close = [best]
            for from_rows, _, other in self.both_axes:
                tile = best.columns if from_rows else best.rows
                close.append(self.refill_near(from_rows, best, near_positions(other, tile, 1)))
            if self.cuts:
                row_taps, column_taps = best.row_taps, best.column_taps
                taps = near_sizes(problem.rows.taps, row_taps, 2), column_taps
                close.append(self.evaluate(rows[:, None], best.columns, taps, best.images))
                taps = row_taps, near_sizes(problem.columns.taps, column_taps, 2)
                close.append(self.evaluate(best.rows, columns[:, None], taps, best.images))
            best = best_of(*close)
        if self.stationary == WEIGHT:
            rows = near_positions(problem.rows, best.rows, 1)[:, None]
            columns = near_positions(problem.columns, best.columns, 1)
            taps = best.row_taps, best.column_taps
            best = best_of(best, self.evaluate(rows, columns, taps, best.images, 2, 2))
        return best


def search(problem: TilingProblem, *, cuts: bool, many_images: bool) -> ConvolutionTileCandidates:
    """Return the best tile at each point: coarse grid, then neighbourhood of its best tiles.

    Parameters
    ----------
    cuts
        Whether taps may be cut.
    many_images
        Whether any batch is more than 1.
    """
    batch, xp = problem.nest.batch, namespace(problem.nest.batch)
    images = geometric_tiles(batch, 6, problem.relaxed) if many_images else batch[None]
    classes = [ClassSearch(problem, stationary, cuts) for stationary in (OUTPUT, INPUT, WEIGHT)]
    seeds = [each.coarse_optima(images) for each in classes]
    best = [seed.best() for seed in seeds]
    if not problem.relaxed:
        least = xp.min(xp.stack([each.cost for each in best]), axis=0)
        optimal = least <= problem.compulsory_bytes * (1 + SLACK)
        limit = xp.where(optimal, 0.0, least * PROMISING)
        best = [
            best_of(coarse_best, _search_near_seeds(each, seed, limit, many_images))
            for each, seed, coarse_best in zip(classes, seeds, best, strict=True)
        ]
    return best_of(*best)


def _search_near_seeds(
    one_class: ClassSearch, seeds: ConvolutionTileCandidates, limit: Value, many_images: bool
) -> ConvolutionTileCandidates:
    """Return the best tile near the best seeds of each point, of seeds with cost below a limit."""
    xp = namespace(limit)
    few, points = min(SEEDS, len(seeds.cost)), len(limit)
    cost = xp.where(_is_mirrored(one_class.problem, seeds), xp.inf, seeds.cost)
    order = xp.argsort(cost, axis=0)[:few]
    seeds = seeds._replace(cost=cost).map_fields(
        lambda column: xp.take_along_axis(column, order, axis=0).reshape(-1)
    )
    # Seeds are treated like further points; those without prospect are skipped unless relaxed.
    promising = xp.arange(few * points)
    if xp is np:
        promising = np.flatnonzero(seeds.cost <= np.tile(limit, few))
        if not len(promising):
            return seeds.map_fields(lambda column: column[:points])
    nearby = replace(one_class, problem=one_class.problem.take(promising % points))
    close = nearby.improve_nearby(seeds.map_fields(lambda column: column[promising]), many_images)
    if xp is np:
        for column, values in zip(seeds, close, strict=True):
            column[promising] = values
        close = seeds
    return close.map_fields(lambda column: column.reshape(few, points)).best()


def _is_mirrored(problem: TilingProblem, tile: ConvolutionTileCandidates) -> Value:
    """Return which tiles are redundant transposes: equal axes, fewer rows than columns."""
    alike = tile.cost == tile.cost
    for down, across in zip(columns_of(problem.rows), columns_of(problem.columns), strict=True):
        alike = alike & (down == across)
    fewer = (tile.rows == tile.columns) & (tile.row_taps < tile.column_taps)
    return alike & ((tile.rows < tile.columns) | fewer)
