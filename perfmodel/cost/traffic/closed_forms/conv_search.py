"""The search of a convolution's closed form: tiles of positions on a grid, then close to the best.

Given a tile of positions, images and taps, the channels follow (`channels`). Positions are tried on
a grid of useful tiles along both axes, spread evenly over the logarithm of their counts, with all
taps inside and with taps cut; then the useful tiles close to several of the best, and the largest
tile of an axis beside channels close to the best. The number of candidates is fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.traffic.axis import ConvolutionAxis, cut
from perfmodel.cost.traffic.closed_forms.channels import best_channels
from perfmodel.cost.traffic.closed_forms.useful import (
    geometric_tiles,
    near_positions,
    near_sizes,
    near_tiles,
    tap_cuts,
    useful_positions,
)
from perfmodel.cost.traffic.points import columns_of, rounded_down
from perfmodel.cost.traffic.stationarity import (
    INPUT,
    OUTPUT,
    WEIGHT,
    TilingProblem,
    spatial_tiles,
)
from perfmodel.cost.traffic.two_tile import SLACK

#: Tiles of positions along an axis on the first grid; half of them where taps are cut.
GRID = 16
#: Groups of rows of the grid, each with a best of its own.
BLOCKS = 4
#: Tiles whose neighbourhood is searched.
SEEDS = 5
#: How far above the best of the grid a seed may be.
PROMISING = 1.2


class ConvolutionTileCandidates(NamedTuple):
    """Candidates, or the best of them: bytes, the tile, and the number of what stays."""

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
        """Return the best of each group of candidates; parts of the tile broadcast to the cost.

        Groups are on the first axis, points on the last; a single group has no axis.
        """
        xp, shape = namespace(self.cost), self.cost.shape
        cost = self.cost.reshape((groups, -1, shape[-1]))
        best = xp.argmin(cost, axis=1) + cost.shape[1] * xp.arange(groups)[:, None]
        at = xp.unravel_index(best * shape[-1] + xp.arange(shape[-1]), shape)
        at = at if groups > 1 else tuple(index[0] for index in at)
        return self._make(xp.broadcast_to(column, shape)[at] for column in self)

    def each(self, function: Callable[[Value], Value]) -> ConvolutionTileCandidates:
        """Return a function of each column."""
        return self._make(map(function, self))


def better(*candidates: ConvolutionTileCandidates) -> ConvolutionTileCandidates:
    """Return the best of all at each point."""
    xp = namespace(candidates[0].cost)
    return ConvolutionTileCandidates(*map(xp.stack, zip(*candidates, strict=True))).best()


def _joined(candidates: Sequence[ConvolutionTileCandidates]) -> ConvolutionTileCandidates:
    xp = namespace(candidates[0].cost)
    return ConvolutionTileCandidates(*map(xp.concatenate, zip(*candidates, strict=True)))


@dataclass(frozen=True, slots=True)
class ClassSearch:
    """The tiles of one stationarity class.

    Attributes
    ----------
    problem
        Flat arrays over points.
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
        """Whether it is the rows, the axis, and the other one."""
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
        """Return the best of some tiles, which broadcast, with their best channels.

        Parameters
        ----------
        rows, columns, taps, images
            Positions, taps of rows and of columns, images.
        window, corners
            As of `best_channels`.
        groups
            One best for each group of tiles; groups are on the first axis, points on the last.
        """
        p, xp = self.problem, namespace(self.problem.capacity)
        if self.stationary == WEIGHT:
            images = xp.ones_like(images)
        inside = taps if self.cuts else (None, None)
        at = spatial_tiles(
            p,
            cut(p.rows, rows, inside[0], relaxed=p.relaxed),
            cut(p.columns, columns, inside[1], relaxed=p.relaxed),
            images,
        )
        best = best_channels(p, at, self.stationary, window, corners)
        cost, *channels = best
        return ConvolutionTileCandidates(
            cost, rows, columns, *taps, images, *channels, stationary=self.stationary
        ).best(groups)

    def filled(
        self,
        from_rows: bool,
        other_tile: Value,
        taps: tuple[Value, Value],
        images: Value,
        in_tile: Value,
        out_tile: Value,
    ) -> tuple[Value, Value]:
        """Return tiles of rows and columns: one is given, the other the largest beside channels."""
        p, xp = self.problem, namespace(self.problem.capacity)
        axis, other = (p.rows, p.columns) if from_rows else (p.columns, p.rows)
        own_taps, other_taps = taps if from_rows else taps[::-1]
        copies = [p.conventions.copies] * 3
        copies[self.stationary] = 1.0
        channels = in_tile * out_tile
        room = p.room - copies[WEIGHT] * p.widths.weight * own_taps * other_taps * channels
        other_rows = other.input_rows(other_tile, other_taps) * images * in_tile
        by_row = copies[INPUT] * p.widths.input * other_rows
        by_position = copies[OUTPUT] * p.widths.partial * out_tile * other_tile * images
        size = axis.most_positions(own_taps, by_row, by_position, room)
        size = xp.maximum(1.0, rounded_down(size, p.relaxed))
        size = useful_positions(axis, size, p.relaxed)
        return (size, other_tile) if from_rows else (other_tile, size)

    def refilled(
        self, from_rows: bool, at: ConvolutionTileCandidates, near_other: Value
    ) -> ConvolutionTileCandidates:
        """Return the best with channels near those of `at` and one axis filled beside them."""
        nest, images = self.problem.nest, at.images
        in_tile, out_tile = at.in_tile, at.out_tile
        if self.stationary != OUTPUT:
            reach = 2 if self.stationary == INPUT else 1
            in_tile = near_tiles(nest.in_channels, in_tile, reach)[:, None]
        if self.stationary != INPUT:
            reach = 2 if self.stationary == OUTPUT else 1
            out_tile = near_tiles(nest.out_channels, out_tile, reach)[:, None]
        if self.stationary == WEIGHT:
            in_tile, out_tile = in_tile[:, :, None], out_tile[None]
            images = namespace(images).ones_like(images)
        taps = at.row_taps, at.column_taps
        tiles = self.filled(from_rows, near_other, taps, images, in_tile, out_tile)
        return self.evaluate(*tiles, taps, images)


def search(problem: TilingProblem, *, cuts: bool, many_images: bool) -> ConvolutionTileCandidates:
    """Return the best tile at each point: a coarse grid, then around the best of it.

    Parameters
    ----------
    cuts
        Whether taps may be cut.
    many_images
        Whether any batch is more than 1.
    """
    p, batch = problem, problem.nest.batch
    xp = namespace(batch)
    images = geometric_tiles(batch, 6, p.relaxed) if many_images else batch[None]
    classes = [ClassSearch(p, stationary, cuts) for stationary in (OUTPUT, INPUT, WEIGHT)]
    seeds = [_coarse(one, images) for one in classes]
    best = [seed.best() for seed in seeds]
    if not p.relaxed:
        least = xp.min(xp.stack([one.cost for one in best]), axis=0)
        limit = xp.where(least <= p.compulsory_bytes * (1 + SLACK), 0.0, least * PROMISING)
        best = [
            better(first, _around(one, seed, limit, many_images))
            for one, seed, first in zip(classes, seeds, best, strict=True)
        ]
    return better(*best)


def _around(
    one: ClassSearch, seeds: ConvolutionTileCandidates, limit: Value, many_images: bool
) -> ConvolutionTileCandidates:
    """Return the best tile close to one of the few best seeds of each point, below a limit."""
    xp = namespace(limit)
    few, points = min(SEEDS, len(seeds.cost)), len(limit)
    cost = xp.where(_is_mirrored(one.problem, seeds), xp.inf, seeds.cost)
    order = xp.argsort(cost, axis=0)[:few]
    seeds = seeds._replace(cost=cost).each(
        lambda column: xp.take_along_axis(column, order, axis=0).reshape(-1)
    )
    # Seeds are like further points; without a slope to take they are left out where hopeless.
    hopeful = xp.arange(few * points)
    if xp is np:
        hopeful = np.flatnonzero(seeds.cost <= np.tile(limit, few))
        if not len(hopeful):
            return seeds.each(lambda column: column[:points])
    close = close_to(
        replace(one, problem=one.problem.take(hopeful % points)),
        seeds.each(lambda column: column[hopeful]),
        many_images,
    )
    if xp is np:
        for column, values in zip(seeds, close, strict=True):
            column[hopeful] = values
        close = seeds
    return close.each(lambda column: column.reshape(few, points)).best()


def _is_mirrored(p: TilingProblem, tile: ConvolutionTileCandidates) -> Value:
    """Tell which tiles are another one's transpose: both axes alike, fewer rows than columns."""
    alike = tile.cost == tile.cost
    for down, across in zip(columns_of(p.rows), columns_of(p.columns), strict=True):
        alike = alike & (down == across)
    fewer = (tile.rows == tile.columns) & (tile.row_taps < tile.column_taps)
    return alike & ((tile.rows < tile.columns) | fewer)


def _coarse(one: ClassSearch, images: Value) -> ConvolutionTileCandidates:
    """Return the best tile of each group: blocks of rows with all taps, and each cut of taps."""
    p, xp = one.problem, namespace(images)
    rows, columns = (geometric_tiles(a.extent, GRID, p.relaxed) for a in (p.rows, p.columns))
    blocks = (BLOCKS, -1, 1, 1, *rows.shape[1:])
    taps = p.rows.taps, p.columns.taps
    uncut = replace(one, cuts=False)
    plain = uncut.evaluate(rows.reshape(blocks), columns[:, None], taps, images, -1, 2, BLOCKS)
    groups = [plain]
    for from_rows, _, _ in one.both_axes:
        if one.stationary == WEIGHT:
            # The best of each block, one axis filled beside its channels.
            other = plain.columns if from_rows else plain.rows
            some_images = xp.ones_like(plain.images)
            channels = plain.in_tile, plain.out_tile
        else:
            # Tiles of channels, and one axis filled.
            other, some_images = (columns if from_rows else rows).reshape(blocks), images
            channels = _channels(one, GRID // 2)
        tiles = uncut.filled(from_rows, other, taps, some_images, *channels)
        groups.append(uncut.evaluate(*tiles, taps, some_images, -1, 2, BLOCKS))
    if not one.cuts:
        return _joined(groups)
    half = GRID // 2
    rows, columns = (geometric_tiles(a.extent, half, p.relaxed) for a in (p.rows, p.columns))
    rows, columns = rows[:, None, None], columns[:, None, None]
    both = list(product(tap_cuts(p.rows), tap_cuts(p.columns)))[1:]
    row_taps, column_taps = (
        xp.stack(some)[:, None, None, None] for some in zip(*both, strict=True)
    )
    taps = row_taps, column_taps
    groups.append(one.evaluate(rows, columns[:, 0], taps, images, -1, 2, len(both)))
    if p.conventions.slides and one.stationary == OUTPUT:
        # Windows that slide along the taps: reads are few, so that weights decide.
        for from_rows, _, _ in one.both_axes:
            other = columns if from_rows else rows
            tiles = one.filled(from_rows, other, taps, images, *_channels(one, half))
            groups.append(one.evaluate(*tiles, taps, images, -1, 2, len(both)))
    return _joined(groups)


def _channels(one: ClassSearch, count: int) -> tuple[Value, Value]:
    """Return some tiles of the channels along the line of a class, one of the others."""
    nest, relaxed = one.problem.nest, one.problem.relaxed
    channels = nest.in_channels if one.stationary == INPUT else nest.out_channels
    some = geometric_tiles(channels, count, relaxed)[:, None]
    single = namespace(some).ones_like(some)
    return (some, single) if one.stationary == INPUT else (single, some)


def close_to(
    one: ClassSearch, best: ConvolutionTileCandidates, many_images: bool
) -> ConvolutionTileCandidates:
    """Return the best tile close to a tile of each point."""
    p = one.problem
    # Channels of a weight-stationary tile are solved for anew, at more cost.
    for reach in (1, 1) if one.stationary == WEIGHT else (2, 1):
        rows = near_positions(p.rows, best.rows, reach)
        columns = near_positions(p.columns, best.columns, reach)
        batch = p.nest.batch
        images = near_tiles(batch, best.images, 1) if many_images else best.images[None]
        taps = best.row_taps, best.column_taps
        best = better(best, one.evaluate(rows[:, None, None], columns[:, None], taps, images))
        close = [best]
        for from_rows, _, other in one.both_axes:
            tile = best.columns if from_rows else best.rows
            close.append(one.refilled(from_rows, best, near_positions(other, tile, 1)))
        if one.cuts:
            row_taps, column_taps = best.row_taps, best.column_taps
            taps = near_sizes(p.rows.taps, row_taps, 2), column_taps
            close.append(one.evaluate(rows[:, None], best.columns, taps, best.images))
            taps = row_taps, near_sizes(p.columns.taps, column_taps, 2)
            close.append(one.evaluate(best.rows, columns[:, None], taps, best.images))
        best = better(*close)
    if one.stationary == WEIGHT:
        rows = near_positions(p.rows, best.rows, 1)[:, None]
        columns = near_positions(p.columns, best.columns, 1)
        taps = best.row_taps, best.column_taps
        best = better(best, one.evaluate(rows, columns, taps, best.images, 2, 2))
    return best
