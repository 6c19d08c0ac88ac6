"""The search of a convolution's closed form: tiles of positions on a grid, then close to the best.

Given a tile of positions, images and taps, the channels follow (`conv_classes`). Positions are
tried on a grid of useful tiles along both axes, spread evenly over the logarithm of their counts,
with all taps inside and with taps cut; then the useful tiles close to several of the best, and the
largest tile of an axis beside channels close to the best. The number of candidates is fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.traffic.closed_forms.axis import ConvolutionAxis, cut
from perfmodel.cost.traffic.closed_forms.conv_classes import (
    ChannelTileOptimum,
    ConvTilingProblem,
    input_stationary,
    output_stationary,
    spots,
    weight_stationary,
)
from perfmodel.cost.traffic.closed_forms.points import whole
from perfmodel.cost.traffic.closed_forms.two_tile import SLACK

#: Tiles of positions along an axis on the first grid; half of them where taps are cut.
GRID = 16
#: Groups of rows of the grid, each with a best of its own.
BLOCKS = 4
#: Tiles whose neighbourhood is searched.
SEEDS = 5
#: How far above the best of the grid a seed may be.
PROMISING = 1.2


class ConvolutionTileCandidates(NamedTuple):
    """Candidates, or the best of them: bytes, and the tile."""

    cost: Value
    rows: Value
    columns: Value
    row_taps: Value
    column_taps: Value
    images: Value
    in_tile: Value
    out_tile: Value


class Class(NamedTuple):
    """A stationarity class of a problem; `cuts` where taps may be cut."""

    xp: Any
    problem: ConvTilingProblem
    kind: int
    cuts: bool

    def evaluate(
        self, rows: Value, columns: Value, row_taps: Value, column_taps: Value, images: Value,
        window: int, corners: int, groups: int = 1,
    ) -> ConvolutionTileCandidates:  # fmt: skip
        """Return the best of the tiles given, which broadcast, with their best channels.

        One for each group of them; groups are on the first axis, points on the last.
        """
        xp, p = self.xp, self.problem
        if self.kind == 2:
            images = xp.ones_like(images)
        at = spots(
            xp, p, cut(xp, p.rows, rows, row_taps if self.cuts else None, p.relaxed),
            cut(xp, p.columns, columns, column_taps if self.cuts else None, p.relaxed), images,
        )  # fmt: skip
        found: ChannelTileOptimum
        if self.kind == 2:
            found = weight_stationary(xp, p, at, None if p.relaxed else window, corners)
        else:
            found = (output_stationary, input_stationary)[self.kind](xp, p, at)
        tile = (rows, columns, row_taps, column_taps, images, found.in_tile, found.out_tile)
        return best_of(xp, found.cost, tile, groups)

    def filled(
        self, from_rows: bool, other_tile: Value, taps: tuple[Value, Value], images: Value,
        ins: Value, outs: Value,
    ) -> Value:  # fmt: skip
        """Return the largest tile of one axis beside a tile of the other and channels."""
        xp, p = self.xp, self.problem
        axis, other = (p.rows, p.columns) if from_rows else (p.columns, p.rows)
        own_taps, other_taps = taps if from_rows else taps[::-1]
        # The operands of which a class holds two tiles.
        e = p.copies
        of_input, of_weight, of_output = ((e, e, 1.0), (1.0, e, e), (e, 1.0, e))[self.kind]
        room = p.room - of_weight * p.weight * own_taps * other_taps * ins * outs
        by_row = of_input * p.input * other.rows(xp, other_tile, other_taps) * images * ins
        by_position = of_output * p.partial * outs * other_tile * images
        size = whole(xp, axis.solve(xp, own_taps, by_row, by_position, room), p.relaxed)
        return useful(xp, axis, xp.maximum(1.0, size), p.relaxed)

    def refilled(
        self, from_rows: bool, at: ConvolutionTileCandidates, near_other: Value
    ) -> ConvolutionTileCandidates:
        """Return the best with channels near those of `at` and one axis filled beside them."""
        xp, p = self.xp, self.problem
        ins, outs = at.in_tile, at.out_tile
        if self.kind != 0:
            ins = near_tiles(xp, p.in_channels, ins, 2 if self.kind == 1 else 1)[:, None]
        if self.kind != 1:
            outs = near_tiles(xp, p.out_channels, outs, 2 if self.kind == 0 else 1)[:, None]
        if self.kind == 2:
            ins, outs = ins[:, :, None], outs[None]
        images = at.images if self.kind != 2 else xp.ones_like(at.images)
        taps = at.row_taps, at.column_taps
        size = self.filled(from_rows, near_other, taps, images, ins, outs)
        rows, columns = (size, near_other) if from_rows else (near_other, size)
        return self.evaluate(rows, columns, *taps, images, 0, 0)


def best_of(
    xp: Any, cost: Value, tile: Sequence[Value], groups: int = 1
) -> ConvolutionTileCandidates:
    """Return the best of candidates on leading axes; the parts of the tile broadcast to them."""
    points = cost.shape[-1]
    each = cost.reshape((groups, -1, points))
    best = xp.argmin(each, axis=1) + each.shape[1] * xp.arange(groups)[:, None]
    at = xp.unravel_index(best * points + xp.arange(points), cost.shape)
    picked = [xp.broadcast_to(column, cost.shape)[at] for column in (cost, *tile)]
    return (
        ConvolutionTileCandidates(*(column[0] for column in picked))
        if groups == 1
        else ConvolutionTileCandidates(*picked)
    )


def better(xp: Any, *found: ConvolutionTileCandidates) -> ConvolutionTileCandidates:
    """Return the best of all at each point."""
    cost = xp.stack([f.cost for f in found])
    return best_of(xp, cost, [xp.stack(part) for part in zip(*(f[1:] for f in found), strict=True)])


def balanced(xp: Any, extent: Value, tile: Value, relaxed: bool = False) -> Value:
    """Return the smallest tile of as many pieces."""
    tile = xp.minimum(extent, tile)
    return tile if relaxed else xp.ceil(extent / xp.ceil(extent / tile))


def geometric_tiles(xp: Any, extent: Value, count: int, relaxed: bool) -> Value:
    """Return useful tiles on a leading axis, their counts spread over the logarithm."""
    power = np.linspace(0.0, 1.0, count).reshape((-1,) + (1,) * np.ndim(extent))
    if relaxed:
        return extent / extent**power
    return xp.ceil(extent / xp.ceil(extent**power - 1e-9))


def useful(xp: Any, axis: ConvolutionAxis, tile: Value, relaxed: bool = False) -> Value:
    """Return the smallest tile of as many pieces, but where a short last tile may fetch less."""
    even = balanced(xp, axis.extent, tile, relaxed)
    return xp.where(axis.dilation > 1, xp.minimum(axis.extent, tile), even)


def near_tiles(xp: Any, extent: Value, tile: Value, reach: int) -> Value:
    """Return useful tiles on a leading axis whose size or count is close to that of `tile`."""
    steps = np.arange(-reach, reach + 1, dtype=float)
    sizes, counts = (s.reshape((-1,) + (1,) * np.ndim(tile)) for s in (steps, steps[steps != 0]))
    sizes = xp.maximum(1.0, xp.minimum(extent, tile + sizes))
    counts = xp.maximum(1.0, xp.minimum(extent, xp.ceil(extent / tile) + counts))
    return xp.ceil(extent / xp.concatenate([xp.ceil(extent / sizes), counts]))


def near_positions(xp: Any, axis: ConvolutionAxis, tile: Value, reach: int) -> Value:
    """Return tiles of an axis on a leading axis; any close size where a short last one is good."""
    near = near_tiles(xp, axis.extent, tile, reach)
    sizes = near_sizes(xp, axis.extent, tile, reach)
    return xp.concatenate(
        [xp.where(axis.dilation > 1, sizes, near[: len(sizes)]), near[len(sizes) :]]
    )


def near_sizes(xp: Any, extent: Value, tile: Value, reach: int) -> Value:
    """Return sizes close to `tile` on a leading axis."""
    steps = np.arange(-reach, reach + 1, dtype=float).reshape((-1,) + (1,) * np.ndim(tile))
    return xp.maximum(1.0, xp.minimum(extent, tile + steps))


def tap_cuts(xp: Any, axis: ConvolutionAxis) -> list[Value]:
    """Return tiles of taps: all; as many as a stride, or half of them; one."""
    half = xp.where(axis.stride > 1, axis.stride, xp.ceil(axis.taps / 2.0))
    return [axis.taps, xp.minimum(axis.taps, half), xp.ones_like(axis.taps)]


def search(
    xp: Any, p: ConvTilingProblem, cuts: bool, many_images: bool
) -> tuple[ConvolutionTileCandidates, Value]:
    """Return the best tile at each point and its class: a coarse grid, then around the best of it.

    Parameters
    ----------
    cuts
        Whether taps may be cut.
    many_images
        Whether any batch is more than 1.
    """
    images = geometric_tiles(xp, p.batch, 6, p.relaxed) if many_images else p.batch[None]
    classes = [Class(xp, p, kind, cuts) for kind in range(3)]
    seeds = [coarse(c, images) for c in classes]
    least = xp.min(xp.stack([xp.min(s.cost, axis=0) for s in seeds]), axis=0)
    found = [best_of(xp, s.cost, s[1:]) for s in seeds]
    if not p.relaxed:
        done = least <= (p.touched(xp) + p.weights + p.outputs) * (1 + SLACK)
        limit = xp.where(done, 0.0, least * PROMISING)
        found = [
            better(xp, first, around(c, s, limit, many_images))
            for c, s, first in zip(classes, seeds, found, strict=True)
        ]
    cost = xp.stack([f.cost for f in found])
    kind = xp.argmin(cost, axis=0)
    tiles = list(zip(*found, strict=True))[1:]
    return best_of(xp, cost, [xp.stack(tile) for tile in tiles]), kind


def around(
    c: Class, seeds: ConvolutionTileCandidates, limit: Value, many_images: bool
) -> ConvolutionTileCandidates:
    """Return the best tile close to one of the few best seeds of each point, below a limit."""
    xp = c.xp
    few, points = min(SEEDS, len(seeds.cost)), len(limit)
    cost = xp.where(_mirrored(xp, c.problem, seeds), xp.inf, seeds.cost)
    order = xp.argsort(cost, axis=0)[:few]
    seeds = seeds._replace(cost=cost)
    seeds = ConvolutionTileCandidates(
        *(xp.take_along_axis(column, order, axis=0).reshape(-1) for column in seeds)
    )
    # Seeds are like further points; without a slope to take they are left out where hopeless.
    ask = xp.arange(few * points)
    if xp is np:
        ask = np.flatnonzero(seeds.cost <= np.tile(limit, few))
        if not len(ask):
            return ConvolutionTileCandidates(*(column[:points] for column in seeds))
    close = close_to(
        c._replace(problem=c.problem.take(ask % points)),
        ConvolutionTileCandidates(*(column[ask] for column in seeds)),
        many_images,
    )
    if xp is np:
        for column, values in zip(seeds, close, strict=True):
            column[ask] = values
    else:
        seeds = close
    seeds = ConvolutionTileCandidates(*(column.reshape(few, points) for column in seeds))
    return best_of(xp, seeds.cost, seeds[1:])


def _mirrored(xp: Any, p: ConvTilingProblem, tile: ConvolutionTileCandidates) -> Value:
    """Tell which tiles are another one's transpose: both axes alike, fewer rows than columns."""
    alike = tile.cost == tile.cost
    for name in ConvolutionAxis.__slots__:
        alike = alike & (getattr(p.rows, name) == getattr(p.columns, name))
    fewer = (tile.rows == tile.columns) & (tile.row_taps < tile.column_taps)
    return alike & ((tile.rows < tile.columns) | fewer)


def coarse(c: Class, images: Value) -> ConvolutionTileCandidates:
    """Return the best tile of each group: blocks of rows with all taps, and each cut of taps."""
    xp, p = c.xp, c.problem
    rows, columns = (geometric_tiles(xp, a.extent, GRID, p.relaxed) for a in (p.rows, p.columns))
    points = rows.shape[1:]
    plain = c._replace(cuts=False).evaluate(
        rows.reshape(BLOCKS, -1, 1, 1, *points), columns[:, None], p.rows.taps, p.columns.taps,
        images, -1, 2, BLOCKS,
    )  # fmt: skip
    groups = [plain]
    if c.kind != 2:
        # Channels given, and one axis filled.
        extent = p.in_channels if c.kind == 1 else p.out_channels
        some = geometric_tiles(xp, extent, GRID // 2, p.relaxed)[:, None]
        one = xp.ones_like(some)
        ins, outs = (some, one) if c.kind == 1 else (one, some)
        taps = p.rows.taps, p.columns.taps
        for from_rows in (True, False):
            other = (columns if from_rows else rows).reshape(BLOCKS, -1, 1, 1, *points)
            size = c.filled(from_rows, other, taps, images, ins, outs)
            tile = (size, other) if from_rows else (other, size)
            groups.append(c._replace(cuts=False).evaluate(*tile, *taps, images, -1, 2, BLOCKS))
    else:
        # The best of each block, one axis filled beside its channels.
        taps = p.rows.taps, p.columns.taps
        one = xp.ones_like(plain.images)
        for from_rows in (True, False):
            other = plain.columns if from_rows else plain.rows
            size = c.filled(from_rows, other, taps, one, plain.in_tile, plain.out_tile)
            tile = (size, other) if from_rows else (other, size)
            groups.append(c._replace(cuts=False).evaluate(*tile, *taps, one, -1, 2, BLOCKS))
    if not c.cuts:
        return _joined(xp, groups)
    half = GRID // 2
    rows, columns = (geometric_tiles(xp, a.extent, half, p.relaxed) for a in (p.rows, p.columns))
    rows, columns = rows[:, None, None], columns[:, None, None]
    both = list(product(tap_cuts(xp, p.rows), tap_cuts(xp, p.columns)))[1:]
    row_taps, column_taps = (
        xp.stack(list(some))[:, None, None, None] for some in zip(*both, strict=True)
    )
    taps = row_taps, column_taps
    groups.append(c.evaluate(rows, columns[:, 0], *taps, images, -1, 2, len(both)))
    if p.kept and c.kind == 0:
        # Windows that slide along the taps: reads are few, so that weights decide.
        outs = geometric_tiles(xp, p.out_channels, half, p.relaxed)[:, None]
        for from_rows in (True, False):
            other = columns if from_rows else rows
            size = c.filled(from_rows, other, taps, images, xp.ones_like(outs), outs)
            tile = (size, other) if from_rows else (other, size)
            groups.append(c.evaluate(*tile, *taps, images, -1, 2, len(both)))
    return _joined(xp, groups)


def _joined(xp: Any, found: Sequence[ConvolutionTileCandidates]) -> ConvolutionTileCandidates:
    return ConvolutionTileCandidates(*(xp.concatenate(parts) for parts in zip(*found, strict=True)))


def close_to(
    c: Class, best: ConvolutionTileCandidates, many_images: bool
) -> ConvolutionTileCandidates:
    """Return the best tile close to a tile of each point."""
    xp, p = c.xp, c.problem
    # Channels of a weight-stationary tile are solved for anew, at more cost.
    for reach in (1, 1) if c.kind == 2 else (2, 1):
        rows = near_positions(xp, p.rows, best.rows, reach)
        columns = near_positions(xp, p.columns, best.columns, reach)
        images = near_tiles(xp, p.batch, best.images, 1) if many_images else best.images[None]
        taps = best.row_taps, best.column_taps
        at = c.evaluate(rows[:, None, None], columns[:, None], *taps, images, 0, 0)
        best = better(xp, best, at)
        found = [best]
        for from_rows in (True, False):
            axis, tile = (p.columns, best.columns) if from_rows else (p.rows, best.rows)
            found.append(c.refilled(from_rows, best, near_positions(xp, axis, tile, 1)))
        if c.cuts:
            near = near_sizes(xp, p.rows.taps, best.row_taps, 2)
            tile = rows[:, None], best.columns, near, best.column_taps, best.images
            found.append(c.evaluate(*tile, 0, 0))
            near = near_sizes(xp, p.columns.taps, best.column_taps, 2)
            tile = best.rows, columns[:, None], best.row_taps, near, best.images
            found.append(c.evaluate(*tile, 0, 0))
        best = better(xp, *found)
    if c.kind == 2:
        rows = near_positions(xp, p.rows, best.rows, 1)[:, None]
        columns = near_positions(xp, p.columns, best.columns, 1)
        at = c.evaluate(rows, columns, best.row_taps, best.column_taps, best.images, 2, 2)
        best = better(xp, best, at)
    return best
