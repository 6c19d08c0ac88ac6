"""Tilings of a layer on a bit-composable array: tiles, orders of loops, and what stays in buffers.

The search space is the simulator's (Sharma et al., Bit Fusion, ISCA 2018): tiles are powers of two,
one for rows and columns of outputs alike, one for input channels, one for output channels (in
columns of units), one for images; loops over tiles run in every order. An operand's tile stays
resident across loops that do not index it, and grows over those that do while it fits its buffer,
rounded up to whole rows and columns of units; loops outside of that transfer it again.

A tiling stands for many batches. Its tile holds i images, of which a batch b takes
``v = ceil(b / i)``; or its tile holds the whole batch, ``v = b`` images. `fastest_tiling` searches
over tilings and over v.
"""

from __future__ import annotations

from itertools import permutations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.cost.traffic.nest import TileNest
from perfmodel.kinds.bit_fusion.counts import ComposedArray, input_window
from perfmodel.kinds.distinct_columns import Floats, Places

Mask = npt.NDArray[np.bool_]

#: Loops outside of a tile, outermost first: every order of rows, columns, input and output
#: channels with rows before columns (the other half is symmetric), and images around rows.
_ORDERS: list[tuple[str, ...]] = [
    tuple(loop for name in order for loop in (("images", name) if name == "rows" else (name,)))
    for order in permutations(("rows", "columns", "in", "out"))
    if order.index("rows") < order.index("columns")
]
#: Loops around a tile, and whether each indexes inputs, weights and outputs.
_LOOPS = ("images", "rows", "columns", "in", "out")
_INDEXED = np.array(
    [
        (True, True, True, True, False),
        (False, False, False, True, True),
        (True, True, True, False, True),
    ]
)
#: Index in `_LOOPS` of each loop of each order.
_PLACES = np.array([[_LOOPS.index(loop) for loop in order] for order in _ORDERS], dtype=np.intp)


class Tilings(NamedTuple):
    """Tilings of one layer, one per column.

    Attributes
    ----------
    orders
        Order of the loops around the tile, an index of `_ORDERS`.
    tiles
        Images, rows, columns, input and output channels of the tile, ``(5, tilings)``; the images
        of a tile that holds the whole batch are infinite.
    fitting
        Largest batch of which a tile fits the buffers; infinite for tiles of a part of it.
    """

    orders: Places
    tiles: Floats
    fitting: Floats

    @property
    def holds_batch(self) -> Mask:
        """Whether the tile holds the whole batch."""
        return np.isinf(self.tiles[0])

    @property
    def images(self) -> Value:
        """Images of a tile at ``v = 1``."""
        images: Floats = np.where(self.holds_batch, 1.0, self.tiles[0])
        return images

    def variable(self, batch: Value) -> Value:
        """Return v at each batch: tiles of images, or the images of a tile of the whole batch."""
        tiles: Floats = np.ceil(batch / self.tiles[0] - 1e-9)
        return np.where(self.holds_batch, batch, tiles)


class BufferResidency(NamedTuple):
    """Transfers and residency of the tiles of inputs, weights and outputs, of each tiling.

    Attributes
    ----------
    moves, moves_vary
        Transfers at ``v = 1``, and whether v multiplies them, ``(3, tilings)``.
    resident, resident_varies
        Tiles resident together at ``v = 1``, and whether v multiplies them.
    size_varies
        Whether v multiplies the size of a tile.
    limits
        Largest v at which a tile grows over each loop, ``(5, 3, tilings)``; infinite where v does
        not matter.
    """

    moves: Floats
    moves_vary: Mask
    resident: Floats
    resident_varies: Mask
    size_varies: Mask
    limits: Floats


def tilings(nest: TileNest, array: ComposedArray, least: float, most: float) -> Tilings:
    """Return the tiles that fit the buffers at some batch from `least` to `most`, in one order.

    Where not even a tile of one output, one input channel and one column of units fits, that tile
    is transferred for every step.
    """
    grid = np.meshgrid(
        _powers(max(nest.out_rows, nest.out_columns)),
        np.append(_powers(most)[:-1], np.inf),
        _powers(nest.in_channels),
        _powers(np.ceil(nest.out_channels / array.width)) * array.width,
        indexing="ij",
    )
    side, images, inner, outer = (axis.reshape(-1) for axis in grid)
    rows, columns = np.minimum(side, nest.out_rows), np.minimum(side, nest.out_columns)
    inner, outer = np.minimum(inner, nest.in_channels), np.minimum(outer, nest.out_channels)
    tiles = np.stack([images, rows, columns, inner, outer])
    holds_batch = np.isinf(images)
    fewest = np.where(holds_batch, least, images)
    inputs, weights, outputs = _buffered_bits(nest, array, np.ones_like(images), *tiles[1:])
    with np.errstate(divide="ignore"):
        fitting = np.minimum(array.input_room / inputs, array.output_room / outputs)
    fits = (fewest <= fitting) & (weights <= array.weight_room)
    if not fits.any():
        fitting = 1.0 / (rows * columns * inner)
        fits = (fewest <= fitting + 1e-9) & (outer <= array.width)
        fits[0] = True
    fitting = np.where(holds_batch, fitting, np.inf)
    return Tilings(np.zeros(fits.sum(), dtype=np.intp), tiles[:, fits], fitting[fits])


def in_every_order(tilings: Tilings) -> Tilings:
    """Return the tiles with their loops in every order; all of an order are adjacent."""
    copies = len(_ORDERS)
    orders = np.repeat(np.arange(copies), len(tilings.orders))
    return Tilings(orders, np.tile(tilings.tiles, copies), np.tile(tilings.fitting, copies))


def trips_of(nest: TileNest, tilings: Tilings) -> Floats:
    """Return the trips of each loop around the tiles, ``(5, tilings)``; 1 over images."""
    extents = np.array([1.0, nest.out_rows, nest.out_columns, nest.in_channels, nest.out_channels])
    tile = np.concatenate([np.ones_like(tilings.tiles[:1]), tilings.tiles[1:]])
    return np.ceil(extents[:, None] / tile - 1e-9)


def fewest_moves(nest: TileNest, tilings: Tilings, batch: float) -> Floats:
    """Return the transfers of each operand if none is repeated, ``(3, tilings)``."""
    trips = trips_of(nest, tilings)
    trips[0] = np.where(tilings.holds_batch, 1.0, tilings.variable(batch))
    return np.where(_INDEXED[..., None], trips, 1.0).prod(axis=1)


def residency(nest: TileNest, array: ComposedArray, tilings: Tilings, v: Floats) -> BufferResidency:
    """Return what each tiling transfers and keeps, where the loops over which tiles grow fit at v.

    The loops are taken from the inside out. An operand's tile grows over a loop that indexes it
    while all tiles together fit its buffer: then it is transferred no more often over the loops
    outside that do not index it.
    """
    loops = _PLACES[tilings.orders].T
    trips = np.take_along_axis(trips_of(nest, tilings), loops, axis=0)
    over_images = (loops == 0) & ~tilings.holds_batch
    size = np.stack(_buffered_bits(nest, array, tilings.images, *tilings.tiles[1:]))
    room = np.array([array.input_room, array.weight_room, array.output_room])[:, None]
    size_varies = _INDEXED[:, :1] & tilings.holds_batch
    moves, resident = np.ones_like(size), np.ones_like(size)
    moves_vary, resident_varies = np.zeros_like(size_varies), np.zeros_like(size_varies)
    grows, varies = np.ones_like(size_varies), size_varies
    limits = np.empty((len(trips), *size.shape))
    for loop in reversed(range(len(trips))):
        times, is_indexed, is_images = trips[loop], _INDEXED[:, loops[loop]], over_images[loop]
        varies = varies | (is_images & is_indexed)
        more = resident * times
        grown = size * more
        limited = grows & is_indexed & varies & (size > 0.0)
        limits[loop] = np.where(limited, room / np.where(limited, grown, 1.0), np.inf)
        grows = grows & ((grown * np.where(varies, v, 1.0) <= room) | ~is_indexed)
        resident = np.where(grows & is_indexed, more, resident)
        resident_varies = resident_varies | (is_images & grows & is_indexed)
        moves = np.where(is_indexed | ~grows, moves * times, moves)
        moves_vary = moves_vary | (is_images & (is_indexed | ~grows))
    return BufferResidency(moves, moves_vary, resident, resident_varies, size_varies, limits)


def _powers(extent: float) -> Floats:
    """Return 1, 2, 4 ... up to the first power that is at least an extent."""
    last = int(np.ceil(np.log2(max(extent, 1.0)) - 1e-9))
    return np.asarray([2.0**power for power in range(last + 1)])


def _buffered_bits(
    nest: TileNest,
    array: ComposedArray,
    images: Floats,
    rows: Floats,
    columns: Floats,
    inner: Floats,
    outer: Floats,
) -> tuple[Floats, Floats, Floats]:
    """Return bits of tiles in their buffers, rounded up to whole rows and columns of units."""
    lanes = array.height * array.lanes
    channels = inner if array.unrolled else np.ceil(inner / lanes - 1e-9) * lanes
    across = np.ceil(outer / array.width - 1e-9) * array.width
    positions = input_window(nest, array, rows, columns)
    return (
        images * positions * channels * array.input_bits,
        np.ceil(nest.taps * inner / lanes - 1e-9) * lanes * across * array.weight_bits,
        images * rows * columns * across * array.held_bits,
    )
