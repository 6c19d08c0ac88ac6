"""Minimum traffic beyond dedicated buffers of operands: inputs, weights, partial sums.

Tiles as in `perfmodel.cost.traffic`, but each operand's tile must fit its own buffer; operands
without one share the remaining capacity. For a product M x N x K with a, b, c bytes of its operands
(and p of a partial sum), cut into n_M, n_N, n_K tiles, one operand is stationary and two move:

====== ================================== =============================================
stays  bytes                              in the buffers
====== ================================== =============================================
output a n_N + b n_M + c                  e a_1 m, e b_1 n, p m n
input  a + b n_M + 2 p (n_K - 1) + c      e p m, e b_1 k, a_1 m k
weight a n_N + b + 2 p (n_K - 1) + c      e p n, e a_1 k, b_1 k n
====== ================================== =============================================

with e = 2 for double buffers. Each class has two free tiles (x, y): for a given x the optimal y is
the largest that fits every buffer, so that enumerating useful x, and useful y, finds the minimum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.traffic.nest import TileNest, Widths
from perfmodel.cost.traffic.pointwise import columns_of
from perfmodel.kinds.distinct_columns import Floats, search_distinct

#: Counts of tiles that are tried, besides tiles of one: all small ones, then coarser steps.
_COUNTS = np.unique(np.round(np.concatenate([np.arange(1, 33), np.geomspace(34, 4096, 40)])))
#: Products whose candidates together fit the nearest caches.
_PIECE: Final = 1024


class Buffers(NamedTuple):
    """Capacities of the buffers in bytes; `None` for operands in the shared part.

    Attributes
    ----------
    input, weight, output
        Buffer of one operand only.
    shared
        Shared buffer of all operands without their own.
    """

    input: Value
    weight: Value
    output: Value
    shared: Value


#: Numbers of a product: M, N, K, widths of its operands, and halo.
_NUMBERS: Final = 8


def buffered_traffic(
    nest: TileNest, widths: Widths, halo_bytes: Value, buffers: Buffers, xp: Any = np
) -> Value:
    """Return the least bytes beyond the buffers, for one group, and those of weights among them.

    Minimum over tiles of the three stationarity classes; moving operands are double-buffered.

    Parameters
    ----------
    nest
        A convolution is a product of its positions, output channels and products per output.
    widths
        Bytes of an element beyond the buffers; for the input of a convolution, per im2col element.
    halo_bytes
        Bytes of input that each cut along M fetches twice.
    buffers
        Capacities. All numbers are arrays of shape ``(nests, points or 1)``.

    Returns
    -------
    array of shape ``(2, nests, points or 1)``
        All bytes, and the weights' part; infinite where no tile fits.
    """
    extents = nest.positions, nest.out_channels, nest.inputs_per_output
    numbers = (*extents, *columns_of(widths), halo_bytes)
    if xp is not np:
        return _least(numbers, buffers, xp)
    missing = [size is None for size in buffers]
    # Missing buffers are encoded as bits: the search is cached by numbers.
    digits = sum(1 << place for place, absent in enumerate(missing[:3]) if absent)
    sizes = (0.0 if absent else size for size, absent in zip(buffers, missing, strict=True))
    return search_distinct((*numbers, *sizes), _of_columns, digits, (2,))


def _of_columns(columns: Floats, digits: int) -> Floats:
    """Return the traffic of products, ``(2, products)``, computed piece by piece."""
    out = np.empty((2, columns.shape[1]))
    # Products in a piece have similar extents, so that no more tiles are tried than they have.
    order = np.lexsort(columns[:3])
    for start in range(0, columns.shape[1], _PIECE):
        places = order[start : start + _PIECE]
        part = columns[:, places]
        *own, shared = part[_NUMBERS:]
        x, w, y = (None if digits >> place & 1 else size for place, size in enumerate(own))
        out[:, places] = _least(part[:_NUMBERS], Buffers(x, w, y, shared), np)
    return out


def _least(numbers: Iterable[Value], buffers: Buffers, xp: Any) -> Value:
    """Return the least bytes over all classes, and those of weights among them."""
    m, n, k, a1, b1, c1, p1, halo = numbers
    m, n, k = (xp.asarray(extent, dtype=float) for extent in (m, n, k))
    a, b, c, sums = m * k * a1, k * n * b1, m * n * c1, 2.0 * m * n * p1

    def output_stays(n_m: Value, n_n: Value) -> tuple[Value, Value]:
        return (a + halo * (n_m - 1.0)) * n_n + c, b * n_m

    def input_stays(n_m: Value, n_k: Value) -> tuple[Value, Value]:
        return a + halo * (n_m - 1.0) + sums * (n_k - 1.0) + c, b * n_m

    def weight_stays(n_n: Value, n_k: Value) -> tuple[Value, Value]:
        return a * n_n + sums * (n_k - 1.0) + c, b + 0.0 * n_n

    rows, columns, depth = (_cut(extent, xp) for extent in (m, n, k))
    x, w, y = ("input", a1), ("weight", b1), ("output", p1)
    stationary = (
        _TwoTiles(rows, columns, _double(x), _double(w), y, output_stays),
        _TwoTiles(rows, depth, _double(y), _double(w), x, input_stays),
        _TwoTiles(columns, depth, _double(y), _double(x), w, weight_stays),
    )
    best: Value = xp.inf
    best_weights: Value = xp.inf
    for tiles in stationary:
        for each in (tiles, tiles.turned()):
            total, weights = each.least(buffers, xp)
            best_weights = xp.where(total < best, weights, best_weights)
            best = xp.minimum(best, total)
    return xp.stack([best, best_weights])


class _Cuts(NamedTuple):
    """Tiles that are tried of an extent, and their number; tiles along the first axis."""

    extent: Value
    tile: Value
    count: Value


def _cut(extent: Value, xp: Any) -> _Cuts:
    """Return the tiles that are tried, tiles of one included: the other is then the largest."""
    # As many tiles as the extent, or more, are tiles of one, which come last.
    counts = _COUNTS[np.max(extent) > _COUNTS] if xp is np else _COUNTS
    counts = counts.reshape(-1, *(1,) * np.ndim(extent))
    tile = xp.concatenate([xp.ceil(extent[None] / counts), xp.ones_like(extent)[None]])
    tile = xp.minimum(tile, extent[None])
    return _Cuts(extent, tile, xp.ceil(extent[None] / tile))


def _double(operand: tuple[str, Value]) -> tuple[str, Value]:
    """Return an operand with two buffers."""
    name, size = operand
    return name, 2.0 * size


class _TwoTiles(NamedTuple):
    """A stationarity class: two tiles, the buffers that they occupy, and their traffic.

    Attributes
    ----------
    x, y
        Extents that the tiles cut.
    along_x, along_y, along_both
        Operand, and its bytes in the buffers per unit of a tile, or of the product of both.
    traffic
        Counts of both tiles -> bytes of inputs and outputs, and of weights.
    """

    x: _Cuts
    y: _Cuts
    along_x: tuple[str, Value]
    along_y: tuple[str, Value]
    along_both: tuple[str, Value]
    traffic: Callable[[Value, Value], tuple[Value, Value]]

    def turned(self) -> _TwoTiles:
        """Return the class with its two tiles exchanged."""

        def traffic(n_y: Value, n_x: Value) -> tuple[Value, Value]:
            return self.traffic(n_x, n_y)

        return _TwoTiles(self.y, self.x, self.along_y, self.along_x, self.along_both, traffic)

    def least(self, buffers: Buffers, xp: Any) -> tuple[Value, Value]:
        """Return the least bytes over the candidate tiles of x, and those of weights among them."""
        extent = self.y.extent[None]
        other = xp.minimum(xp.floor(self._fit(buffers, xp) + 1e-9), extent)
        others, weights = self.traffic(self.x.count, xp.ceil(extent / xp.maximum(other, 1.0)))
        total = xp.where(other >= 1.0, others + weights, xp.inf)
        at = xp.argmin(total, axis=0)[None]
        total, weights = (
            xp.take_along_axis(xp.broadcast_to(values, total.shape), at, axis=0)[0]
            for values in (total, weights)
        )
        return total, xp.where(xp.isfinite(total), weights, xp.inf)

    def _fit(self, buffers: Buffers, xp: Any) -> Value:
        """Return the largest tile of y that fits with each of x; 0 where x itself does not fit."""
        names = [
            "shared" if getattr(buffers, operand) is None else operand
            for operand, _ in (self.along_x, self.along_y, self.along_both)
        ]
        most: Value = xp.inf
        for name in Buffers._fields:
            if name not in names:
                continue
            # Bytes in this buffer for the tile of x, and per unit of the tile of y.
            of_x, of_y, of_both = (name == each for each in names)
            fixed = self.along_x[1] * self.x.tile if of_x else 0.0
            slope = self.along_y[1] if of_y else 0.0
            slope = slope + self.along_both[1] * self.x.tile if of_both else slope
            left = getattr(buffers, name) - fixed
            fit = xp.where(slope > 0.0, left / xp.where(slope > 0.0, slope, 1.0), xp.inf)
            most = xp.minimum(most, xp.where(left < -1e-9, 0.0, fit))
        return most
