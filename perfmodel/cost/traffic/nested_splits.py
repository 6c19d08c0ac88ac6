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
from perfmodel.cost.traffic.convolution_axis import (
    ConvolutionAxis,
    Floats,
    Ints,
    convolution_axes,
    useful_tiles,
)
from perfmodel.cost.traffic.nest import TileNest

#: Index of the outer and of the inner level in a problem with two levels.
OUTER, INNER = range(2)


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
        nested = [(*outer, int(tile)) for outer in nested for tile in _tile_sizes(outer[-1], thin)]
    tiles = np.array(nested, dtype=np.int64).T
    bounds = -(-tiles[:-1] // tiles[1:])
    return AxisSplits(
        tile=tiles[1:],
        counts=np.minimum(np.cumprod(bounds, axis=0), axis.extent),
        rows=axis.input_rows(tiles[1:], axis.taps).astype(float),
        fetched=np.array([_fetched_rows(axis, bounds[: i + 1]) for i in range(levels)]),
    )


def _tile_sizes(extent: int, thin: float) -> Ints:
    """Return the useful tile sizes of an extent in ascending order, thinned by a minimum ratio."""
    tiles = useful_tiles(extent)
    if thin <= 1:
        return tiles
    descending = [int(tiles[-1])]
    for tile in tiles[-2::-1].tolist():
        if tile <= 4 or -(-extent // tile) <= 4 or descending[-1] >= thin * tile:
            descending.append(tile)
    return np.array(descending[::-1])


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
    count_of: dict[int, Ints] = {axis.extent: np.ones(bounds.shape[1], np.int64)}
    for bound in bounds:
        inner_count_of: dict[int, Ints] = {}
        for size, counts in count_of.items():
            for pieces in np.unique(bound).tolist():
                with_bound = np.where(bound == pieces, counts, 0)
                smaller, remainder = divmod(size, pieces)
                for tile, number in ((smaller, pieces - remainder), (smaller + 1, remainder)):
                    if tile and number and with_bound.any():
                        inner_count_of[tile] = inner_count_of.get(tile, 0) + with_bound * number
        count_of = inner_count_of
    rows = [counts * axis.input_rows(size, axis.taps) for size, counts in count_of.items()]
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
        Distinct input elements that the nest reads.
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
    row_axis, column_axis = convolution_axes(nest)
    axes = [channel_splits(nest.batch, levels, thin)]
    axes += [axis_splits(axis, levels, thin) for axis in (row_axis, column_axis)]
    indices = np.indices([splits.tile.shape[1] for splits in axes]).reshape(3, -1)
    sort_keys = [
        splits.tile[level, index]
        for level in range(levels - 1, -1, -1)
        for splits, index in zip(axes[::-1], indices[::-1], strict=True)
    ]
    indices = indices[:, np.lexsort(sort_keys)]
    images, rows, columns = (
        splits._make(column[:, index] for column in splits)
        for splits, index in zip(axes, indices, strict=True)
    )

    def fetched_by_outer(touched: float, fetched: Floats) -> Floats:
        """Return the rows that the next outer level fetches."""
        return np.concatenate([np.full((1, fetched.shape[1]), touched), fetched[:-1]])

    slid = np.minimum(
        fetched_by_outer(row_axis.touched_rows, rows.fetched) * columns.fetched,
        rows.fetched * fetched_by_outer(column_axis.touched_rows, columns.fetched),
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
        touched=float(nest.batch * row_axis.touched_rows * column_axis.touched_rows),
        first=run_starts(np.array([images.tile[OUTER], rows.tile[OUTER], columns.tile[OUTER]])),
    )


def run_starts(keys: Ints) -> npt.NDArray[np.intp]:
    """Return the first index of each run of equal columns; `keys` has shape (keys, splits)."""
    change = np.any(keys[:, 1:] != keys[:, :-1], axis=0)
    return np.flatnonzero(np.append(True, change))


@cached()
def useful_splits(nest: TileNest, thin: float, slides: bool) -> list[Ints]:
    """Return the splits with undominated inner tiles, for each outer tile of two levels.

    Dominance is in three criteria: positions of a tile, input elements of a tile, and input
    elements that all tiles fetch.
    """
    splits = position_splits(nest, 2, thin)
    fetched = splits.slid[INNER] if slides else splits.fetched[INNER]
    table = np.array([splits.positions[INNER], splits.inputs[INNER], fetched])
    return [
        first + _undominated_columns(table[:, first:end])
        for first, end in zip(splits.first.tolist(), splits.ends().tolist(), strict=True)
    ]


def _undominated_columns(table: Floats) -> Ints:
    """Return the indices of the undominated columns, minimising in all rows."""
    order = np.lexsort(table[::-1]).astype(np.int64)
    table = table[:, order]
    remaining, undominated = np.arange(len(order)), list[int]()
    while remaining.size:
        undominated.append(int(remaining[0]))
        later = remaining[1:]
        remaining = later[(table[:, later] < table[:, remaining[:1]]).any(axis=0)]
    return order[undominated]
