"""Tilings of a layer on a bit-composable array, and those that are optimal at some bandwidth.

The search space is the simulator's: tiles are powers of two, one for rows and columns of outputs
alike, one for input channels, one for output channels (in columns of units), one for images; loops
over tiles run in every order. An operand's tile stays resident across loops that do not index it,
and grows over those that do while it fits its buffer, rounded up to whole rows and columns of
units; loops outside of that transfer it again.

With A clocks of arithmetic, L bits that overlap with nothing and T bits in all, a bandwidth of r
bits per clock requires ``max(A + L / r, T / r)`` clocks. Only tilings that no other dominates in
(A, L, T) can be optimal for any r: a few of some thousands, computed once per layer.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value, namespace
from perfmodel.caches import cached
from perfmodel.kinds.bit_fusion.counts import (
    BitFusionLayer,
    BitFusionTiling,
    TileCounts,
    count,
    input_window,
)
from perfmodel.kinds.distinct import Floats, searched

_PARTS = len(BitFusionTiling._fields)
#: Number of tilings for a traced layer: JAX needs a static shape.
_TRACED = 96
#: Loops outside of a tile, outermost first: every order of rows, columns, input and output
#: channels with rows before columns (the other half is symmetric), and images around rows.
_ORDERS: list[tuple[str, ...]] = [
    tuple(loop for name in order for loop in (("images", name) if name == "rows" else (name,)))
    for order in permutations(("rows", "columns", "in", "out"))
    if order.index("rows") < order.index("columns")
]
#: Loops around a tile, and whether each indexes inputs, weights and outputs.
_LOOPS = ("images", "rows", "columns", "in", "out")
_INDEXED = {
    "input": (True, True, True, True, False),
    "weight": (False, False, False, True, True),
    "output": (True, True, True, False, True),
}
#: Index in `_LOOPS` of each loop of each order.
_PLACES = np.array([[_LOOPS.index(loop) for loop in order] for order in _ORDERS], dtype=np.intp)


def layer_cycles(
    layer: BitFusionLayer, bits_per_cycle: Value, *, relaxed: bool = False
) -> tuple[TileCounts, Value]:
    """Return the cost of each layer under its fastest tiling, and its clocks.

    Parameters
    ----------
    layer
        Numbers or arrays that broadcast to the layers (and points).
    bits_per_cycle
        Bits between main memory and the buffers per clock.
    relaxed
        Evaluate the fastest tiling without ceilings.

    Returns
    -------
    counts
        Cost under the tiling with the fewest clocks; among equal ones that with the least traffic.
    cycles
        ``max(A + L / r, T / r)``.

    Notes
    -----
    The tiling is a step function of the layer's numbers, so that its derivative is zero.
    """
    xp = namespace(*layer, bits_per_cycle)
    traced = 0 if namespace(*layer) is np else _TRACED
    tiling = BitFusionTiling(*searched(layer, _frontiers, traced, (_PARTS, _TRACED)))
    layers = BitFusionLayer(*(xp.asarray(value, dtype=float)[None] for value in layer))

    def timed(relaxed: bool) -> tuple[TileCounts, Value]:
        counts = count(layers, tiling, relaxed=relaxed)
        ends = counts.cycles + counts.ends_bits / bits_per_cycle
        return counts, xp.maximum(ends, counts.memory_bits / bits_per_cycle)

    counts, cycles = timed(False)
    fastest = xp.argmin(cycles, axis=0)[None]
    if relaxed:
        counts, cycles = timed(True)

    def picked(value: Value) -> Value:
        return xp.take_along_axis(xp.broadcast_to(value, cycles.shape), fastest, axis=0)[0]

    return TileCounts(*map(picked, counts)), picked(cycles)


def _frontiers(columns: Floats, most: int) -> Floats:
    """Return the non-dominated tilings of each layer, ``(11, tilings, layers)``.

    The second dimension is that of the layer with the most, or `most` where that is not 0; a layer
    with fewer repeats its first tiling, which is neutral because ties go to the first.
    """
    if not columns.shape[1]:
        return np.empty((_PARTS, most or 1, 0))
    each = [frontier(BitFusionLayer(*column)) for column in columns.T.tolist()]
    places = np.arange(most or max(tiles.shape[1] for tiles in each))
    return np.stack(
        [tiles[:, np.where(places < tiles.shape[1], places, 0)] for tiles in each], axis=-1
    )


@cached(2 << 10)
def frontier(layer: BitFusionLayer) -> Floats:
    """Return the tilings of a layer that are the fastest at some bandwidth.

    Parameters
    ----------
    layer
        Plain numbers, no arrays.

    Returns
    -------
    ndarray
        Fields of `BitFusionTiling`, ``(11, tilings)``, in ascending order of traffic.

    Notes
    -----
    Where not even a tile of one output, one input channel and one column of units fits the buffers,
    that tile is transferred for every step.
    """
    every = tilings(layer)
    counts = count(layer, BitFusionTiling(*every))
    order = np.lexsort((counts.ends_bits, counts.cycles, counts.memory_bits))
    every, cycles, ends = every[:, order], counts.cycles[order], counts.ends_bits[order]
    # In ascending order of traffic, a tiling is dominated by an earlier one with no more clocks and
    # no more bits at the ends.
    unbeaten: list[int] = []
    left: npt.NDArray[np.intp] = np.arange(len(cycles), dtype=np.intp)
    while left.size:
        unbeaten.append(int(left[0]))
        better = (cycles < cycles[0]) | (ends < ends[0])
        left, cycles, ends = left[better], cycles[better], ends[better]
    out = np.ascontiguousarray(every[:, unbeaten])
    out.flags.writeable = False
    return out


def tilings(layer: BitFusionLayer) -> Floats:
    """Return every tiling of a layer that fits its buffers, ``(11, tilings)``."""
    grid = np.meshgrid(
        _powers(max(layer.out_rows, layer.out_columns)),
        _powers(layer.batch),
        _powers(layer.in_channels),
        _powers(np.ceil(layer.out_channels / layer.width)) * layer.width,
        indexing="ij",
    )
    side, images, inner, outer = (g.reshape(-1) for g in grid)
    rows, columns = np.minimum(side, layer.out_rows), np.minimum(side, layer.out_columns)
    images = np.minimum(images, layer.batch)
    inner, outer = np.minimum(inner, layer.in_channels), np.minimum(outer, layer.out_channels)
    sizes = _padded(layer, rows, columns, images, inner, outer)
    rooms = {"input": layer.input_room, "weight": layer.weight_room, "output": layer.output_room}
    fits = np.logical_and.reduce([sizes[name] <= room for name, room in rooms.items()])
    if not fits.any():
        fits = (rows * columns * images * inner <= 1.0 + 1e-9) & (outer <= layer.width)
        fits[0] = True
    tile = np.stack([images, rows, columns, inner, outer])[:, fits]
    sizes = {name: size[fits] for name, size in sizes.items()}
    extents = np.array(
        [layer.batch, layer.out_rows, layer.out_columns, layer.in_channels, layer.out_channels]
    )
    trips = np.ceil(extents[:, None] / tile - 1e-9)[_PLACES]
    grown = [_promoted(trips, name, sizes[name], rooms[name]) for name in _INDEXED]
    parts = [
        *np.broadcast_to(tile[:, None], (len(tile), *grown[0][0].shape)),
        *(g[0] for g in grown),
        *(g[1] for g in grown),
    ]
    return np.stack(parts).reshape(_PARTS, -1)


def _powers(extent: float) -> Floats:
    """Return 1, 2, 4 ... up to the first power that is at least an extent."""
    last = int(np.ceil(np.log2(max(extent, 1.0)) - 1e-9))
    return np.asarray([2.0**power for power in range(last + 1)])


def _padded(
    layer: BitFusionLayer,
    rows: Floats,
    columns: Floats,
    images: Floats,
    inner: Floats,
    outer: Floats,
) -> dict[str, Floats]:
    """Return bits of tiles in their buffers, rounded up to whole rows and columns of units."""
    lanes = layer.height * layer.lanes
    taps = layer.kernel_rows * layer.kernel_columns
    channels = inner if layer.unrolled else np.ceil(inner / lanes - 1e-9) * lanes
    across = np.ceil(outer / layer.width - 1e-9) * layer.width
    positions = input_window(layer, rows, columns)
    return {
        "input": images * positions * channels * layer.input_bits,
        "weight": np.ceil(taps * inner / lanes - 1e-9) * lanes * across * layer.weight_bits,
        "output": images * rows * columns * across * layer.held_bits,
    }


def _promoted(trips: Floats, operand: str, size: Floats, room: float) -> tuple[Floats, Floats]:
    """Return the transfers of an operand's tile, and the tiles resident in its buffer at once.

    Parameters
    ----------
    trips
        Tiles of each loop, outermost first, ``(orders, 5, tiles)``.
    size
        Bits of a tile in the buffer, ``(tiles,)``.

    Returns
    -------
    ndarray, ndarray
        ``(orders, tiles)``
    """
    indexed = np.array(_INDEXED[operand])[_PLACES][:, :, None]
    moves = np.ones((trips.shape[0], trips.shape[2]))
    together, grows = moves.copy(), np.ones(moves.shape, dtype=bool)
    for loop in reversed(range(trips.shape[1])):
        times, is_indexed = trips[:, loop], indexed[:, loop]
        more = together * times
        grows = grows & ((size * more <= room) | ~is_indexed)
        together = np.where(grows & is_indexed, more, together)
        moves = np.where(is_indexed | ~grows, moves * times, moves)
    return moves, together
