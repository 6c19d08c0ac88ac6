"""Tilings of a layer: the fixed list of the simulator, and those that some bandwidth makes best.

Tiles are powers of two: one for rows and columns of outputs alike, one for input channels, one for
output channels (in columns of units), one for images. Loops over tiles run in each order. An
operand's tile stays over loops that do not index it, and grows over those that do while it fits its
buffer, rounded up to whole rows and columns of units; loops outside of that move it again.

With A clocks of arithmetic, L bits that nothing overlaps and T bits in all, r bits per clock take
``max(A + L / r, T / r)`` clocks. So only tilings that no other beats in A, L and T can be best,
whatever r is: a few of some thousands, found once a layer.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any, TypeAlias

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

Floats: TypeAlias = npt.NDArray[np.float64]
_FIELDS, _PARTS = len(BitFusionLayer._fields), len(BitFusionTiling._fields)
#: Layers of one call whose tilings are kept by content; longer calls are sweeps, used once.
_KEPT = 4096
#: Tilings that a traced layer gets: JAX wants to know how many before it asks.
_TRACED = 96
#: Loops outside of a tile, outermost first: every order of rows, columns, input and output
#: channels; rows before columns, of which there are as many, and images around rows.
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
#: Place in `_LOOPS` of each loop of each order.
_PLACES = np.array([[_LOOPS.index(loop) for loop in order] for order in _ORDERS], dtype=np.intp)


def layer_cycles(
    layer: BitFusionLayer, bits_per_cycle: Value, *, relaxed: bool = False
) -> tuple[TileCounts, Value]:
    """Return what the fastest tiling of each layer costs, and the clocks that it takes.

    Parameters
    ----------
    layer
        Numbers or arrays that broadcast to the layers (and points).
    bits_per_cycle
        Bits between main memory and the buffers a clock.
    relaxed
        Counts of the chosen tiling without their ceilings.

    Returns
    -------
    counts
        Of the tiling with the fewest clocks, of equal ones the one with the least traffic.
    cycles
        ``max(A + L / r, T / r)``.

    Notes
    -----
    The tiling is a step function of the layer's numbers: its slope is zero.
    """
    xp = namespace(*layer, bits_per_cycle)
    found = BitFusionTiling(*_tilings_of(layer, xp))
    counts = count(
        BitFusionLayer(*(xp.asarray(v, dtype=float)[None] for v in layer)), found, relaxed=False
    )
    ends, moved = counts.ends_bits / bits_per_cycle, counts.memory_bits / bits_per_cycle
    cycles = xp.maximum(counts.cycles + ends, moved)
    at = xp.argmin(cycles, axis=0)[None]
    if relaxed:
        counts = count(
            BitFusionLayer(*(xp.asarray(v, dtype=float)[None] for v in layer)), found, relaxed=True
        )
        ends, moved = counts.ends_bits / bits_per_cycle, counts.memory_bits / bits_per_cycle
        cycles = xp.maximum(counts.cycles + ends, moved)

    def chosen(value: Value) -> Value:
        return xp.take_along_axis(xp.broadcast_to(value, cycles.shape), at, axis=0)[0]

    return TileCounts(*(chosen(v) for v in counts)), chosen(cycles)


def _tilings_of(layer: BitFusionLayer, xp: Any) -> Value:
    """Return fields of `BitFusionTiling` of the tilings worth trying, ``(11, tilings, ...)``."""
    if xp is np:
        whole = np.stack(np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in layer)))
        return _mapped(whole)
    import jax  # pyright: ignore[reportMissingImports]

    stacked = xp.stack(xp.broadcast_arrays(*(xp.asarray(v, dtype=float) for v in layer)), axis=-1)

    def on_host(values: Any) -> Any:
        fields = np.moveaxis(np.asarray(values, dtype=float), -1, 0)
        return np.moveaxis(_mapped(fields, _TRACED), (0, 1), (-2, -1)).astype(stacked.dtype)

    shape = jax.ShapeDtypeStruct((*stacked.shape[:-1], _PARTS, _TRACED), stacked.dtype)
    found = jax.pure_callback(
        on_host, shape, jax.lax.stop_gradient(stacked), vmap_method="expand_dims"
    )
    return xp.moveaxis(jax.lax.stop_gradient(found), (-2, -1), (0, 1))


def _mapped(whole: Floats, wide: int = 0) -> Floats:
    """Return `_tilings_of` for fields ``(23, ...)``; equal columns are looked at once."""
    flat = np.ascontiguousarray(whole.reshape(_FIELDS, -1))
    few = flat.shape[1] <= _KEPT
    found = _kept(flat.tobytes(), wide) if few else _distinct(flat, wide)
    return found.reshape(*found.shape[:2], *whole.shape[1:])


@cached(128 << 10)
def _kept(content: bytes, wide: int) -> Floats:
    found = _distinct(np.frombuffer(content).reshape(_FIELDS, -1), wide)
    found.flags.writeable = False
    return found


def _distinct(flat: Floats, wide: int) -> Floats:
    if not flat.shape[1]:
        return np.empty((_PARTS, wide or 1, 0))
    alike, where = np.unique(flat, axis=1, return_inverse=True)
    each = [frontier(BitFusionLayer(*column)) for column in alike.T.tolist()]
    most = wide or max(found.shape[1] for found in each)
    out = np.empty((_PARTS, most, len(each)))
    for i, found in enumerate(each):
        # The first one again where a layer has fewer; a tie goes to the first.
        places = np.zeros(most, dtype=np.intp)
        kept = min(most, found.shape[1])
        places[:kept] = np.arange(kept)
        out[:, :, i] = found[:, places]
    return out[:, :, where.reshape(-1)]


@cached(2 << 10)
def frontier(layer: BitFusionLayer) -> Floats:
    """Return the tilings of a layer that are the fastest at some bandwidth.

    Parameters
    ----------
    layer
        Numbers.

    Returns
    -------
    ndarray
        Fields of `BitFusionTiling`, ``(11, tilings)``, the least traffic first.

    Notes
    -----
    Where not even a tile of one output, one input channel and one column of units fits its
    buffers, that tile is moved for every step.
    """
    every = tilings(layer)
    found = count(layer, BitFusionTiling(*every))
    order = np.lexsort((found.ends_bits, found.cycles, found.memory_bits))
    every, cycles, ends = every[:, order], found.cycles[order], found.ends_bits[order]
    # Least traffic first: a tiling is beaten by an earlier one with no more clocks and no more
    # bits at the ends.
    kept: list[int] = []
    left: npt.NDArray[np.intp] = np.arange(len(cycles), dtype=np.intp)
    while left.size:
        kept.append(int(left[0]))
        better = (cycles < cycles[0]) | (ends < ends[0])
        left, cycles, ends = left[better], cycles[better], ends[better]
    out = np.ascontiguousarray(every[:, kept])
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
    """Return 1, 2, 4 ... up to the first that is no less than an extent."""
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
    """Return bits that tiles take in their buffers: whole rows and columns of units."""
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
    """Return how often an operand's tile is moved, and how many lie in its buffer at once.

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
    held, grows = moves.copy(), np.ones(moves.shape, dtype=bool)
    for loop in reversed(range(trips.shape[1])):
        times, mine = trips[:, loop], indexed[:, loop]
        more = held * times
        grows = grows & ((size * more <= room) | ~mine)
        held = np.where(grows & mine, more, held)
        moves = np.where(mine | ~grows, moves * times, moves)
    return moves, held
