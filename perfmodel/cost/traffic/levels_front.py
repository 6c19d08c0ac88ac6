"""All pairs (outer bytes, inner bytes) of two levels that no other pair beats, and their tiles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.levels_inner import InnerLevelTiles
from perfmodel.cost.traffic.levels_problem import STATIONARY, MultilevelTilingProblem
from perfmodel.cost.traffic.staircase_axes import Floats, Ints

Bools = npt.NDArray[np.bool_]
_SLACK = 1.0 + 1e-12
#: Loops of the outer level of which the innermost runs: over input channels, output channels,
#: positions; or none.
_NONE = 3


class Mapped(NamedTuple):
    """Pairs with the outer tiles behind them; all of shape (pairs,).

    Attributes
    ----------
    outer, inner
        Bytes of one group.
    stays
        Index into `STATIONARY` of the outer level, 3 where the outer loops run once.
    covers
        1 where the inner tile holds the stationary operand's whole outer tile, 2 where it holds
        the input's while the window slides outside; else 0.
    place, out, in_
        Outer tiles, by their place in the lists.
    """

    outer: Floats
    inner: Floats
    stays: Ints
    covers: Ints
    place: Ints
    out: Ints
    in_: Ints


def _inner_grid(own: InnerLevelTiles) -> Floats:
    """Return the least inner bytes that no outer loop saves; shape (places, outs, ins)."""
    q, first = own.problem, own.first
    outs, ins = own.outs, own.ins
    stays = np.fmin.reduceat(own.output_stays(), first, axis=0)
    again = q.partials * (ins.parts - 1.0)
    grid = stays[:, :, None] + np.where(ins.tile > 1, again, np.nan)
    many = np.where(outs.tile > 1, outs.parts, np.nan)
    weights = q.weights * q.places.parts[1]
    left = weights[:, None] + q.partials * (own.input_stays() - 1.0)
    area, patch = q.places.area, q.places.patch
    once = q.weights * np.where(area[0, first] > 1, q.places.parts[0, first], np.nan)
    if own.flat:
        left = np.fmin.reduceat(left, first, axis=0)
        np.fmin(grid, own.along[0] * many[:, None] + left[:, None, :], out=grid)
        least = own.weight_stays(area[1, :1], patch[1, :1], own.along[:1])[0]
        least = np.fmin.reduceat(least, outs.first, axis=0)
        np.fmin(grid, once[:, None, None] + least, out=grid)
    else:
        ends = np.r_[first[1:], area.shape[1]]
        for i, (a, b) in enumerate(zip(first, ends, strict=True)):
            some = own.useful[i]
            held = own.along[a:b, None, None] * many[:, None] + left[a:b, None, :]
            np.fmin(grid[i], np.fmin.reduce(held, axis=0), out=grid[i])
            if np.isnan(once[i]):
                continue
            least = own.weight_stays(area[1, some], patch[1, some], own.along[some])
            least = np.fmin.reduceat(np.fmin.reduce(least, axis=0), outs.first, axis=0)
            np.fmin(grid[i], once[i] + least, out=grid[i])
    grid[np.isnan(grid)] = np.inf
    return grid + q.outputs


def candidates(problem: MultilevelTilingProblem) -> Mapped:
    """Return the front of one group."""
    own = InnerLevelTiles(problem)
    grid = _inner_grid(own)
    found = [
        _output_stays(own, grid), _input_stays(own, grid), *_weight_stays(own, grid),
        *_resident(own, grid),
    ]  # fmt: skip
    return _front(found)


def _front(found: list[Mapped]) -> Mapped:
    join = np.concatenate
    columns = Mapped(
        join([f.outer for f in found]), join([f.inner for f in found]),
        join([f.stays for f in found]), join([f.covers for f in found]),
        join([f.place for f in found]), join([f.out for f in found]),
        join([f.in_ for f in found]),
    )  # fmt: skip
    good = np.flatnonzero(np.isfinite(columns.inner))
    order = good[np.lexsort((columns.inner[good], columns.outer[good]))]
    inner = columns.inner[order]
    return _picked(columns, order[inner < np.r_[np.inf, np.minimum.accumulate(inner)[:-1]]])


def _picked(columns: Mapped, rows: npt.NDArray[np.intp]) -> Mapped:
    return Mapped(
        columns.outer[rows], columns.inner[rows], columns.stays[rows], columns.covers[rows],
        columns.place[rows], columns.out[rows], columns.in_[rows],
    )  # fmt: skip


def _sizes(own: InnerLevelTiles) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Return patch, area, parts, volume, slid volume of the outer tiles."""
    p, first = own.problem.places, own.first
    slid = p.slid if own.problem.kept else p.volume
    return (
        p.patch[0, first], p.area[0, first], p.parts[0, first], p.volume[0, first], slid[0, first],
    )  # fmt: skip


def _rows(
    outer: Floats, inner: Floats, stays: int, covers: Bools, axes: tuple[str, str, str],
    best: Ints,
) -> Mapped:  # fmt: skip
    """Return candidates of two indices, the third (``best``) having been minimised over."""
    i, j = np.indices(outer.shape)
    of = {"i": i, "j": j, "b": best}
    place, out, in_ = (of[a].ravel().astype(np.int64) for a in axes)
    size = outer.size
    return Mapped(
        outer.ravel(), inner.ravel(), np.full(size, stays), covers.ravel().astype(np.int64),
        place, out, in_,
    )  # fmt: skip


def _output_stays(own: InnerLevelTiles, grid: Floats) -> Mapped:
    q, outs, ins = own.problem, own.outs, own.ins
    patch, area, parts, volume, _ = _sizes(own)
    three = (patch[:, None, None], area[:, None, None], outs.tile[None, :, None])
    held = q.footprint(*three, ins.tile[None, None, :], 0)
    fits = (held <= q.capacities[0] * _SLACK) & (ins.parts > 1)
    masked = np.where(fits, grid, np.inf)
    best = np.argmin(masked, axis=2)
    inner = np.take_along_axis(masked, best[:, :, None], axis=2)[:, :, 0]
    outer = (
        q.inputs(volume)[:, None] * outs.parts + q.weights * parts[:, None] + q.outputs
    )  # fmt: skip
    # The inner tile holds the outputs of the outer one through all loops over input channels.
    covers = (held[:, :, 0] <= own.room * _SLACK) & (q.nest.in_channels > 1)
    return _rows(
        outer, np.where(covers, outer, inner), 0, covers, ("i", "j", "b"), np.where(covers, 0, best)
    )  # fmt: skip


def _input_stays(own: InnerLevelTiles, grid: Floats) -> Mapped:
    q, outs, ins = own.problem, own.outs, own.ins
    patch, area, parts, _, slid = _sizes(own)
    three = (patch[:, None, None], area[:, None, None], outs.tile[None, :, None])
    held = q.footprint(*three, ins.tile[None, None, :], 1)
    fits = (held <= q.capacities[0] * _SLACK) & (outs.parts > 1)[:, None]
    masked = np.where(fits, grid, np.inf)
    best = np.argmin(masked, axis=1)
    inner = np.take_along_axis(masked, best[:, None, :], axis=1)[:, 0, :]
    outer = (
        q.inputs(slid)[:, None] + q.weights * parts[:, None] + q.outputs
        + q.partials * (ins.parts - 1.0)
    )  # fmt: skip
    covers = (held[:, 0, :] <= own.room * _SLACK) & (q.nest.out_channels > 1)
    return _rows(
        outer, np.where(covers, outer, inner), 1, covers, ("i", "b", "j"), np.where(covers, 0, best)
    )  # fmt: skip


def _weight_stays(own: InnerLevelTiles, grid: Floats) -> list[Mapped]:
    q, outs, ins = own.problem, own.outs, own.ins
    patch, area, parts, _, slid = _sizes(own)
    three = (patch[:, None, None], area[:, None, None], outs.tile[None, :, None])
    held = q.footprint(*three, ins.tile[None, None, :], 2)
    fits = (held <= q.capacities[0] * _SLACK) & (parts > 1)[:, None, None]
    masked = np.where(fits, grid, np.inf)
    again = q.weights + q.outputs + q.partials * (ins.parts - 1.0)
    if own.flat:
        best = np.argmin(masked, axis=0)
        inner = np.take_along_axis(masked, best[None], axis=0)[0]
        outer = q.inputs(slid[:1]) * outs.parts[:, None] + again
        covers = (held[0] <= own.room * _SLACK) & (q.positions > 1)
        best = np.where(covers, 0, best)
        return [_rows(outer, np.where(covers, outer, inner), 2, covers, ("b", "i", "j"), best)]
    outer = q.inputs(slid)[:, None, None] * outs.parts[:, None] + again
    covered = np.where(fits, _covering(own, held, outer), np.inf)
    place, out, in_ = (a.ravel() for a in np.indices(grid.shape))
    covers = np.where(covered < masked, 1, 0)
    inner = np.minimum(covered, masked)
    if q.kept:
        slides = np.where(fits, _sliding(own), np.inf)
        covers = np.where(slides < inner, 2, covers)
        inner = np.minimum(slides, inner)
    stays = np.full(place.shape, 2)
    return [Mapped(outer.ravel(), inner.ravel(), stays, covers.ravel(), place, out, in_)]


def _sliding(own: InnerLevelTiles) -> Floats:
    """Return inner bytes where the inner tile holds the input of the outer one, which slides."""
    q, outs, ins = own.problem, own.outs, own.ins
    patch, area, parts, _, slid = _sizes(own)
    held = q.footprint(patch[:, None], area[:, None], np.ones(1), ins.tile, 1)
    value = (
        q.inputs(slid)[:, None, None] * outs.parts[:, None]
        + q.weights * parts[:, None, None] + q.outputs + q.partials * (ins.parts - 1.0)
    )  # fmt: skip
    fits = (held <= own.room * _SLACK)[:, None, :] & (outs.tile > 1)[:, None]
    return np.where(fits, value, np.inf)


def _covering(own: InnerLevelTiles, held: Floats, outer: Floats) -> Floats:
    """Return inner bytes where the inner tile holds all weights of the outer one."""
    q = own.problem
    covered = np.where(held <= own.room * _SLACK, outer, np.inf)
    fixed = q.weights + q.outputs + q.partials * (own.ins.parts - 1.0)
    for i, some in enumerate(own.useful):
        taken = q.footprint(
            q.places.patch[1, some, None, None], q.places.area[1, some, None, None],
            own.outs.tile[:, None], own.ins.tile, 2,
        )  # fmt: skip
        least = np.where(taken <= own.room * _SLACK, own.along[some, None, None], np.inf)
        value = least.min(axis=0) * own.outs.parts[:, None] + fixed
        np.minimum(covered[i], value, out=covered[i])
    return covered


def _covering_fits(own: InnerLevelTiles, split: int) -> Bools:
    q = own.problem
    held = q.footprint(
        q.places.patch[1, split], q.places.area[1, split], own.outs.tile[:, None], own.ins.tile, 2
    )  # fmt: skip
    return held <= own.room * _SLACK


def _resident(own: InnerLevelTiles, grid: Floats) -> list[Mapped]:
    """Return the mapping that holds all operands of a group in the outer buffer, if they fit."""
    q = own.problem
    all_ = q.footprint(
        q.places.patch[0, -1], q.places.area[0, -1], own.outs.tile[-1], own.ins.tile[-1], None
    )  # fmt: skip
    if all_ > q.capacities[0] * _SLACK:
        return []
    outer = q.inputs(np.array([q.places.whole])) + q.weights + q.outputs
    covers = np.array([1 if all_ <= own.room * _SLACK else 0])
    inner = np.where(covers > 0, outer, grid[-1:, -1, -1])
    last = [np.array([n - 1]) for n in grid.shape]
    return [Mapped(outer, inner, np.array([_NONE]), covers, *last)]


def mapping(
    problem: MultilevelTilingProblem, rows: Mapped, row: int
) -> list[tuple[int, int, int, int, int, str]]:
    """Return both tiles of a pair: images, rows, columns, output and input channels, who stays."""
    own = InnerLevelTiles(problem)
    place, out, in_ = int(rows.place[row]), int(rows.out[row]), int(rows.in_[row])
    ends = np.r_[own.first[1:], len(problem.places)]
    splits = slice(int(own.first[place]), int(ends[place]))
    stays, wanted = int(rows.stays[row]), float(rows.inner[row])
    outs, ins = int(own.outs.tile[out]), int(own.ins.tile[in_])
    outer = _tile(problem, 0, splits.start, outs, ins, "all" if stays == _NONE else stays)
    if rows.covers[row] == 2:
        return [outer, _tile(problem, 1, splits.stop - 1, 1, ins, 1)]
    if rows.covers[row]:
        return [outer, _covered(own, splits, out, in_, stays, wanted)]
    return [outer, _inside(own, splits, out, in_)]


def _tile(
    problem: MultilevelTilingProblem, level: int, split: int, outs: int, ins: int, stays: int | str
) -> tuple[int, int, int, int, int, str]:  # fmt: skip
    images, rows, columns = (int(t[level, split]) for t in problem.places.tiles)
    name = stays if isinstance(stays, str) else STATIONARY[stays]
    return images, rows, columns, outs, ins, name


def _covered(
    own: InnerLevelTiles, splits: slice, out: int, in_: int, stays: int, wanted: float
) -> tuple[int, int, int, int, int, str]:  # fmt: skip
    q = own.problem
    outs, ins = int(own.outs.tile[out]), int(own.ins.tile[in_])
    if stays == 2 and not own.flat:
        fixed = q.weights + q.outputs + q.partials * (own.ins.parts[in_] - 1.0)
        for split in range(splits.start, splits.stop):
            value = own.along[split] * own.outs.parts[out] + fixed
            if value <= wanted and _covering_fits(own, split)[out, in_]:
                same = q.places.area[1, split] == q.places.area[0, split]
                return _tile(q, 1, split, outs, ins, "all" if same else stays)
    # The whole outer tile: the splits of an outer tile end with itself.
    return _tile(q, 1, splits.stop - 1, outs, ins, "all")


def _inside(
    own: InnerLevelTiles, splits: slice, out: int, in_: int
) -> tuple[int, int, int, int, int, str]:  # fmt: skip
    """Return the best inner tile of an outer one."""
    q, outs, ins = own.problem, own.outs, own.ins
    area, patch = q.places.area[1, splits], q.places.patch[1, splits]
    choices: list[tuple[float, int, float, float, int]] = []
    if ins.tile[in_] > 1:
        value = own.output_stays(splits)[:, out] + q.partials * (ins.parts[in_] - 1.0)
        choices.append((*_argmin(value), 0.0, 1.0, 0))
    if outs.tile[out] > 1:
        value = own.along[splits] * outs.parts[out] + q.weights * q.places.parts[1, splits]
        value = value + q.partials * (own.input_stays(splits)[:, in_] - 1.0)
        choices.append((*_argmin(value), 1.0, 0.0, 1))
    if q.places.area[0, splits.start] > 1:
        ends = np.r_[outs.first[1:], q.outs.tile.shape[1]]
        cuts = slice(int(outs.first[out]), int(ends[out]))
        value = own.weight_stays(area, patch, own.along[splits], cuts)[:, :, in_]
        best, at = _argmin(value.ravel())
        once = q.weights * q.places.parts[0, splits.start]
        split, cut = divmod(at, cuts.stop - cuts.start)
        choices.append((best + once, split, float(q.outs.tile[1, cuts][cut]), 0.0, 2))
    _, split, cut, one, stays = min(choices)
    here = splits.start + split
    two, room = float(q.held), own.room * _SLACK
    a, p = float(area[split]), float(patch[split])
    if stays == 0:
        cut = (room - two * q.input * p) // max(two * q.weight + q.partial * a, 1e-30)
    elif stays == 1:
        cut, one = 1.0, (room - two * q.partial * a) // max(q.input * p + two * q.weight, 1e-30)
    else:
        one = (room - two * q.partial * a * cut) // max(two * q.input * p + q.weight * cut, 1e-30)
    tile = int(min(max(cut, 1.0), outs.tile[out])), int(min(max(one, 1.0), ins.tile[in_]))
    return _tile(q, 1, here, *tile, stays)


def _argmin(values: Floats) -> tuple[float, int]:
    filled = np.where(np.isnan(values), np.inf, values)
    at = int(np.argmin(filled))
    return float(filled[at]), at
