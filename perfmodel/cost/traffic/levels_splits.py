"""Extents split at several levels of memory: loop bounds, tiles, and the input that they fetch.

The nest is static: along each extent an outer tile is cut by the same loop bound, whichever tile it
is, and tiles of a level are as equal as they can be (sizes differ by at most one). A split is given
by its loop bounds; the smallest tile of each bound stands for all tiles with it, so that nothing
is lost by listing only those.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.axis import ConvolutionAxis, Floats, Ints, axes, useful_tiles
from perfmodel.cost.traffic.nest import TileNest


class AxisSplits(NamedTuple):
    """Splits of one axis at all levels, outermost first; all of shape (levels, splits).

    Attributes
    ----------
    tile, counts
        Tiles, and how many of a level the axis has in all.
    rows
        Input rows that a tile holds.
    fetched
        Input rows that all tiles of a level fetch, each its own.
    """

    tile: Ints
    counts: Ints
    rows: Floats
    fetched: Floats


def channel_splits(extent: int, levels: int, thin: float = 1.0) -> AxisSplits:
    """List the splits of channels; see `axis_splits`."""
    return axis_splits(ConvolutionAxis(extent, 1, 1, 1), levels, thin)


@lru_cache(maxsize=256)
def axis_splits(axis: ConvolutionAxis, levels: int, thin: float = 1.0) -> AxisSplits:
    """List the splits of an axis at so many levels.

    Splits that share their outer tiles stand together, in the order of the outer tiles.

    Parameters
    ----------
    levels
        Levels of memory that hold tiles, the outermost first.
    thin
        Tiles of a list closer than this ratio are left out (1 keeps all); tiles and counts up to
        four and the extent itself stay.
    """
    nested = [(axis.extent,)]
    for _ in range(levels):
        nested = [(*outer, int(tile)) for outer in nested for tile in _thinned(outer[-1], thin)]
    tiles = np.array(nested, dtype=np.int64).T
    bounds = -(-tiles[:-1] // tiles[1:])
    return AxisSplits(
        tile=tiles[1:],
        counts=np.minimum(np.cumprod(bounds, axis=0), axis.extent),
        rows=axis.input_rows(tiles[1:], axis.taps).astype(float),
        fetched=np.array([_fetched_rows(axis, bounds[: i + 1]) for i in range(levels)]),
    )


def _thinned(extent: int, thin: float) -> Ints:
    tiles = useful_tiles(extent)
    if thin <= 1:
        return tiles
    some = [int(tiles[-1])]
    for tile in tiles[-2::-1].tolist():
        if tile <= 4 or -(-extent // tile) <= 4 or some[-1] >= thin * tile:
            some.append(tile)
    return np.array(some[::-1])


def _fetched_rows(axis: ConvolutionAxis, bounds: Ints) -> Floats:
    """Return the input rows that nested equal splits fetch; `bounds` of shape (levels, splits).

    Where the rows of a tile are linear in its size, only the number of tiles matters.
    """
    count = np.minimum(np.prod(bounds, axis=0), axis.extent)
    if axis.dilation == 1:
        step = min(axis.taps, axis.stride)
        return (axis.extent * step + count * (axis.taps - step)).astype(float)
    # Size of tile -> how many of them each split has.
    sizes: dict[int, Ints] = {axis.extent: np.ones(bounds.shape[1], np.int64)}
    for bound in bounds:
        parts: dict[int, Ints] = {}
        for size, times in sizes.items():
            for pieces in np.unique(bound).tolist():
                cut_so = np.where(bound == pieces, times, 0)
                small, larger = divmod(size, pieces)
                for part, number in ((small, pieces - larger), (small + 1, larger)):
                    if part and number and cut_so.any():
                        parts[part] = parts.get(part, 0) + cut_so * number
        sizes = parts
    rows = [times * axis.input_rows(size, axis.taps) for size, times in sizes.items()]
    return np.sum(rows, axis=0, dtype=float)


@dataclass(frozen=True, slots=True)
class PositionSplits:
    """Splits of images, rows and columns together: what the weights do not depend on.

    All but `touched` and `first` are of shape (levels, splits); input elements are of one channel.

    Attributes
    ----------
    images, rows, columns
        Of a tile.
    positions, inputs
        Positions of a tile, and input elements that it holds.
    count
        Tiles of a level in the whole nest.
    fetched
        Input elements that all tiles of a level fetch, each its own.
    slid
        The same where the window slides along rows or columns, within the tile outside it.
    touched
        Input elements that anything touches.
    first
        Where the splits of each outer tile begin.
    """

    images: Ints
    rows: Ints
    columns: Ints
    positions: Floats
    inputs: Floats
    count: Floats
    fetched: Floats
    slid: Floats
    touched: float
    first: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return self.positions.shape[1]

    def ends(self) -> Ints:
        """Return where the splits of each outer tile end."""
        return np.append(self.first[1:], len(self)).astype(np.int64)


@lru_cache(maxsize=64)
def position_splits(nest: TileNest, levels: int, thin: float = 1.0) -> PositionSplits:
    """List the splits of images, rows and columns, those with the same outer tiles together."""
    down, across = axes(nest)
    lists = [channel_splits(nest.batch, levels, thin)]
    lists += [axis_splits(axis, levels, thin) for axis in (down, across)]
    numbers = np.indices([one.tile.shape[1] for one in lists]).reshape(3, -1)
    keys = [
        one.tile[level, number]
        for level in range(levels - 1, -1, -1)
        for one, number in zip(lists[::-1], numbers[::-1], strict=True)
    ]
    numbers = numbers[:, np.lexsort(keys)]
    images, rows, columns = (
        one._make(column[:, number] for column in one)
        for one, number in zip(lists, numbers, strict=True)
    )

    def within(touched: float, fetched: Floats) -> Floats:
        """Rows that the level outside fetches."""
        return np.concatenate([np.full((1, fetched.shape[1]), touched), fetched[:-1]])

    slid = np.minimum(
        within(down.touched_rows, rows.fetched) * columns.fetched,
        rows.fetched * within(across.touched_rows, columns.fetched),
    )
    return PositionSplits(
        images=images.tile,
        rows=rows.tile,
        columns=columns.tile,
        positions=np.asarray(images.tile * rows.tile * columns.tile, dtype=float),
        inputs=images.tile * rows.rows * columns.rows,
        count=np.asarray(images.counts * rows.counts * columns.counts, dtype=float),
        fetched=nest.batch * rows.fetched * columns.fetched,
        slid=nest.batch * slid,
        touched=float(nest.batch * down.touched_rows * across.touched_rows),
        first=starts(np.array([images.tile[0], rows.tile[0], columns.tile[0]])),
    )


def starts(owners: Ints) -> npt.NDArray[np.intp]:
    """Return where each run of equal columns begins; `owners` of shape (keys, splits)."""
    change = np.any(owners[:, 1:] != owners[:, :-1], axis=0)
    return np.flatnonzero(np.append(True, change))


@lru_cache(maxsize=64)
def useful_splits(nest: TileNest, thin: float, slides: bool) -> list[Ints]:
    """Return for each outer tile of two levels the splits whose inner tiles are useful.

    Useful is what no other inner tile is at least as good as: in positions, in input that it
    holds, and in input that all such tiles fetch.
    """
    splits = position_splits(nest, 2, thin)
    fetched = splits.slid[1] if slides else splits.fetched[1]
    table = np.array([splits.positions[1], splits.inputs[1], fetched])
    return [
        first + _least(table[:, first:end])
        for first, end in zip(splits.first.tolist(), splits.ends().tolist(), strict=True)
    ]


def _least(table: Floats) -> Ints:
    """Return the columns that no other is at least as good as in all rows."""
    order = np.lexsort(table[::-1]).astype(np.int64)
    table = table[:, order]
    left, best = np.arange(len(order)), list[int]()
    while left.size:
        best.append(int(left[0]))
        later = left[1:]
        left = later[(table[:, later] < table[:, left[:1]]).any(axis=0)]
    return order[best]
