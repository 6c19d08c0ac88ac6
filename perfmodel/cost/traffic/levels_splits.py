"""Extents split at several levels of memory: loop bounds, tiles, and the input that they fetch.

The nest is static: along each extent an outer tile is cut by the same loop bound, whichever tile it
is, and tiles of a level are as equal as they can be (sizes differ by at most one). A split is given
by its loop bounds; the smallest tile of each bound stands for all tiles with it, so that nothing
is lost by listing only those.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, reduce
from math import gcd

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.nest import TileNest
from perfmodel.cost.traffic.staircase_axes import Floats, Ints, flattened, useful_tiles


@dataclass(frozen=True, slots=True)
class AxisWindow:
    """What positions along one axis touch of the input; steps without common divisor.

    Attributes
    ----------
    extent, taps, stride, dilation
        Positions of the output, taps of the kernel, and the steps of the input for one of each.
    """

    extent: int
    taps: int
    stride: int
    dilation: int

    def rows(self, tile: Ints) -> Floats:
        """Return the distinct input rows that a tile of positions touches, all taps inside.

        Position ``i`` and tap ``j`` share a row with position ``i - dilation`` and tap
        ``j + stride``: each position after the first `dilation` adds ``min(taps, stride)`` rows.
        """
        first = np.minimum(tile, self.dilation) * self.taps
        later = np.maximum(0, tile - self.dilation) * min(self.taps, self.stride)
        return (first + later).astype(float)


def windows(nest: TileNest) -> tuple[AxisWindow, AxisWindow, AxisWindow]:
    """Return the windows along images, rows and columns of a nest."""

    def one(extent: int, taps: int, stride: int, dilation: int) -> AxisWindow:
        common = gcd(stride, dilation)
        return AxisWindow(extent, taps, stride // common, dilation // common)

    return (
        AxisWindow(nest.batch, 1, 1, 1),
        one(nest.out_rows, nest.kernel_rows, nest.row_stride, nest.row_dilation),
        one(nest.out_columns, nest.kernel_columns, nest.column_stride, nest.column_dilation),
    )


def _split_rows(window: AxisWindow, counts: Ints) -> Floats:
    """Return the input rows that nested equal splits fetch; `counts` of shape (levels, splits).

    Where the rows of a tile are linear in its size, only the number of tiles matters.
    """
    parts = np.minimum(np.prod(counts, axis=0), window.extent)
    if window.dilation == 1:
        step = min(window.taps, window.stride)
        return (window.extent * step + parts * (window.taps - step)).astype(float)
    sizes: dict[int, Ints] = {window.extent: np.ones(counts.shape[1], np.int64)}
    for bound in counts:
        cut: dict[int, Ints] = {}
        for size, times in sizes.items():
            for bound_value in np.unique(bound):
                here = np.where(bound == bound_value, times, 0)
                if not here.any():
                    continue
                small, more = divmod(size, int(bound_value))
                for part, number in ((small, int(bound_value) - more), (small + 1, more)):
                    if part and number:
                        old = cut.get(part)
                        cut[part] = here * number if old is None else old + here * number
        sizes = cut
    total = np.zeros(counts.shape[1])
    for size, times in sizes.items():
        total += times * window.rows(np.array(size))
    return total


@dataclass(frozen=True, slots=True)
class Line:
    """Splits of one axis at all levels, outermost first.

    Attributes
    ----------
    tile
        Tiles, shape (levels, splits).
    parts
        Tiles of a level in the whole axis, shape (levels, splits).
    rows
        Input rows that a tile holds, shape (levels, splits).
    fetched
        Input rows that all tiles of a level fetch, each its own, shape (levels, splits).
    whole
        Input rows that anything touches.
    """

    tile: Ints
    parts: Ints
    rows: Floats
    fetched: Floats
    whole: float


@lru_cache(maxsize=256)
def line(window: AxisWindow, levels: int, thin: float = 1.0) -> Line:
    """List the splits of an axis at so many levels.

    Splits that share their outer tiles stand together, in the order of the outer tiles.

    Parameters
    ----------
    window
        The axis.
    levels
        Levels of memory that hold tiles, the outermost first.
    thin
        Tiles of a list closer than this ratio are left out (1 keeps all); tiles and counts up to
        four and the whole extent stay.
    """
    chains = [(window.extent,)]
    for _ in range(levels):
        chains = [(*c, int(t)) for c in chains for t in _thinned(c[-1], thin)]
    tiles = np.array(chains, dtype=np.int64).T
    counts = -(-tiles[:-1] // tiles[1:])
    parts = np.minimum(np.cumprod(counts, axis=0), window.extent)
    fetched = np.array([_split_rows(window, counts[: i + 1]) for i in range(levels)])
    return Line(
        tiles[1:], parts, window.rows(tiles[1:]), fetched,
        float(window.rows(np.array(window.extent))),
    )  # fmt: skip


def _thinned(extent: int, thin: float) -> Ints:
    tiles = useful_tiles(extent)
    if thin <= 1:
        return tiles
    kept = [int(tiles[-1])]
    for tile in tiles[-2::-1].tolist():
        if tile <= 4 or -(-extent // tile) <= 4 or kept[-1] >= thin * tile:
            kept.append(tile)
    return np.array(kept[::-1])


@dataclass(frozen=True, slots=True)
class Splits:
    """Splits of images, rows and columns together: what the weights do not depend on.

    Attributes
    ----------
    tiles
        Images, rows and columns of a tile, each of shape (levels, splits).
    area
        Positions in a tile, shape (levels, splits), as all below.
    patch
        Input elements of one channel that a tile holds.
    parts
        Tiles of a level in the whole nest.
    volume
        Input elements of one channel that all tiles of a level fetch, each its own.
    slid
        The same where the window slides along rows or columns, within the tile outside it.
    whole
        Input elements of one channel that anything touches.
    first
        Where the splits of each outer tile begin.
    """

    tiles: tuple[Ints, Ints, Ints]
    area: Floats
    patch: Floats
    parts: Floats
    volume: Floats
    slid: Floats
    whole: float
    first: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return self.area.shape[1]


@lru_cache(maxsize=64)
def spatial(nest: TileNest, levels: int, thin: float = 1.0) -> Splits:
    """List the splits of images, rows and columns, those with the same outer tiles together."""
    lines = [line(window, levels, thin) for window in windows(nest)]
    numbers = tuple(part.tile.shape[1] for part in lines)
    picks: list[Ints] = [pick.ravel().astype(np.int64) for pick in np.indices(numbers)]
    order = np.lexsort(
        [part.tile[level, pick] for level in range(levels - 1, -1, -1)
         for part, pick in zip(lines[::-1], picks[::-1], strict=True)]
    )  # fmt: skip
    picks = [pick[order] for pick in picks]
    images, rows, columns = (
        Line(p.tile[:, i], p.parts[:, i], p.rows[:, i], p.fetched[:, i], p.whole)
        for p, i in zip(lines, picks, strict=True)
    )
    outer_rows = np.concatenate([np.full((1, len(order)), rows.whole), rows.fetched[:-1]])
    outer_columns = np.concatenate([np.full((1, len(order)), columns.whole), columns.fetched[:-1]])
    each = (images, rows, columns)
    return Splits(
        (images.tile, rows.tile, columns.tile),
        _product([part.tile.astype(float) for part in each]),
        _product([part.rows for part in each]),
        _product([part.parts.astype(float) for part in each]),
        images.whole * rows.fetched * columns.fetched,
        images.whole * np.minimum(outer_rows * columns.fetched, rows.fetched * outer_columns),
        images.whole * rows.whole * columns.whole,
        starts(np.array([part.tile[0] for part in each])),
    )


def starts(owners: Ints) -> npt.NDArray[np.intp]:
    """Return where each run of equal columns begins; `owners` of shape (keys, splits)."""
    change = np.any(owners[:, 1:] != owners[:, :-1], axis=0)
    return np.flatnonzero(np.r_[True, change])


@lru_cache(maxsize=64)
def useful(nest: TileNest, thin: float, slides: bool) -> list[Ints]:
    """Return for each outer tile of two levels the splits whose inner tiles are useful.

    Useful is what no other inner tile is at least as good as: in positions, in input that it
    holds, and in input that all such tiles fetch.
    """
    places = spatial(nest, 2, thin)
    fetched = places.slid[1] if slides else places.volume[1]
    table = np.array([places.area[1], places.patch[1], fetched])
    ends = np.r_[places.first[1:], table.shape[1]].tolist()
    return [
        a + _best(table[:, a:b]) for a, b in zip(places.first.tolist(), ends, strict=True)
    ]  # fmt: skip


def _best(table: Floats) -> Ints:
    """Return the columns that no other is at least as good as in all rows."""
    order = np.lexsort(table[::-1]).astype(np.int64)
    table = table[:, order]
    left, kept = np.arange(len(order)), list[int]()
    while left.size:
        kept.append(int(left[0]))
        rest = left[1:]
        left = rest[(table[:, rest] < table[:, left[:1]]).any(axis=0)]
    return order[kept]


def _product(arrays: list[Floats]) -> Floats:
    return reduce(np.multiply, arrays)


def canonical(nest: TileNest) -> TileNest:
    """Return one group of a nest, axes whose windows do not overlap made part of a product."""
    tiled = flattened(nest)
    return TileNest(
        tiled.out_rows, tiled.out_columns, tiled.out_channels, tiled.in_channels,
        tiled.kernel_rows, tiled.kernel_columns, tiled.row_stride, tiled.column_stride,
        1, tiled.batch, tiled.row_dilation, tiled.column_dilation,
    )  # fmt: skip
