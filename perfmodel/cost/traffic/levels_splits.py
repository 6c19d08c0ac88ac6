"""Splits of the extents of a nest over several memory levels, with the input that tiles fetch.

The loop nest is static: along an extent, every tile of a level is cut by the same loop bound, into
tiles as equal as possible (sizes differ by at most one). A split is defined by its loop bounds.
For each loop bound only the smallest tile size is listed; larger ones with the same bound cannot be
better, so that the list remains exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.caches import cached
from perfmodel.cost.traffic.axis import ConvolutionAxis, Floats, Ints, axes, useful_tiles
from perfmodel.cost.traffic.nest import TileNest


class AxisSplits(NamedTuple):
    """Splits of one axis over all levels, outermost first; all fields of shape (levels, splits).

    Attributes
    ----------
    tile, counts
        Size of the tiles of a level, and their number along the whole axis.
    rows
        Input rows of a tile.
    fetched
        Input rows that all tiles of a level fetch, overlaps refetched.
    """

    tile: Ints
    counts: Ints
    rows: Floats
    fetched: Floats


def channel_splits(extent: int, levels: int, thin: float = 1.0) -> AxisSplits:
    """Return the splits of a channel dimension; see `axis_splits`."""
    return axis_splits(ConvolutionAxis(extent, 1, 1, 1), levels, thin)


@cached()
def axis_splits(axis: ConvolutionAxis, levels: int, thin: float = 1.0) -> AxisSplits:
    """Return the splits of an axis, sorted by their outer tiles.

    Parameters
    ----------
    levels
        Number of memory levels that hold tiles.
    thin
        Minimum ratio of neighbouring tile sizes; 1 keeps all tiles. Tile sizes and counts up to
        four, and the extent itself, are always kept.
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
    """Return the input rows that the innermost tiles of nested splits fetch.

    Without dilation the rows of a tile are linear in its size, so that only the number of tiles
    matters; otherwise tiles are counted by size.

    Parameters
    ----------
    bounds
        Loop bounds, shape (levels, splits).
    """
    count = np.minimum(np.prod(bounds, axis=0), axis.extent)
    if axis.dilation == 1:
        step = min(axis.taps, axis.stride)
        return (axis.extent * step + count * (axis.taps - step)).astype(float)
    # Tile size -> number of such tiles in each split.
    sizes: dict[int, Ints] = {axis.extent: np.ones(bounds.shape[1], np.int64)}
    for bound in bounds:
        parts: dict[int, Ints] = {}
        for size, times in sizes.items():
            for pieces in np.unique(bound).tolist():
                with_bound = np.where(bound == pieces, times, 0)
                small, larger = divmod(size, pieces)
                for part, number in ((small, pieces - larger), (small + 1, larger)):
                    if part and number and with_bound.any():
                        parts[part] = parts.get(part, 0) + with_bound * number
        sizes = parts
    rows = [times * axis.input_rows(size, axis.taps) for size, times in sizes.items()]
    return np.sum(rows, axis=0, dtype=float)


@dataclass(frozen=True, slots=True)
class PositionSplits:
    """Joint splits of images, rows and columns, the extents that weights are invariant in.

    All fields but `touched` and `first` have shape (levels, splits); input elements are counted per
    channel.

    Attributes
    ----------
    images, rows, columns
        Extents of a tile.
    positions, inputs
        Output positions and input elements of a tile.
    count
        Number of tiles of a level in the whole nest.
    fetched
        Input elements that all tiles of a level fetch, overlaps refetched.
    slid
        The same with a window that slides along rows or columns within the next outer tile.
    touched
        Input elements that the nest reads at all.
    first
        Index of the first split of each outer tile.
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
        """Return the index after the last split of each outer tile."""
        return np.append(self.first[1:], len(self)).astype(np.int64)


@cached()
def position_splits(nest: TileNest, levels: int, thin: float = 1.0) -> PositionSplits:
    """Return the joint splits of images, rows and columns, sorted by their outer tiles."""
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
        """Return the rows that the next outer level fetches."""
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
    """Return the first index of each run of equal columns; `owners` has shape (keys, splits)."""
    change = np.any(owners[:, 1:] != owners[:, :-1], axis=0)
    return np.flatnonzero(np.append(True, change))


@cached()
def useful_splits(nest: TileNest, thin: float, slides: bool) -> list[Ints]:
    """Return the splits with undominated inner tiles, for each outer tile of two levels.

    Dominance is in three criteria: positions of a tile, input elements of a tile, and input
    elements that all tiles fetch.
    """
    splits = position_splits(nest, 2, thin)
    fetched = splits.slid[1] if slides else splits.fetched[1]
    table = np.array([splits.positions[1], splits.inputs[1], fetched])
    return [
        first + _least(table[:, first:end])
        for first, end in zip(splits.first.tolist(), splits.ends().tolist(), strict=True)
    ]


def _least(table: Floats) -> Ints:
    """Return the indices of the undominated columns, minimising in all rows."""
    order = np.lexsort(table[::-1]).astype(np.int64)
    table = table[:, order]
    left, best = np.arange(len(order)), list[int]()
    while left.size:
        best.append(int(left[0]))
        later = left[1:]
        left = later[(table[:, later] < table[:, left[:1]]).any(axis=0)]
    return order[best]
