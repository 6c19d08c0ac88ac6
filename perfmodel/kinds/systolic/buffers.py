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

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from perfmodel.arrays import Value
from perfmodel.kinds.distinct import Floats, searched

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


class SystolicGemm(NamedTuple):
    """A matrix product for the buffer model; all arrays of shape ``(nests, points or 1)``.

    Attributes
    ----------
    m, n, k
        Extents of one group.
    input_bytes, weight_bytes, output_bytes
        Bytes of an element, beyond the buffers; for the input of a convolution, per im2col element.
    partial_bytes
        Bytes of a partial sum.
    halo_bytes
        Bytes of input that each cut along M fetches twice.
    """

    m: Value
    n: Value
    k: Value
    input_bytes: Value
    weight_bytes: Value
    output_bytes: Value
    partial_bytes: Value
    halo_bytes: Value


_FIELDS: Final = len(SystolicGemm._fields)


def buffered_traffic(product: SystolicGemm, buffers: Buffers, xp: Any = np) -> Value:
    """Return the least bytes beyond the buffers, for one group, and those of weights among them.

    Minimum over tiles of the three stationarity classes; moving operands are double-buffered.

    Returns
    -------
    array of shape ``(2, nests, points or 1)``
        All bytes, and the weights' part; infinite where no tile fits.
    """
    if xp is not np:
        return _least(product, buffers, xp)
    missing = [size is None for size in buffers]
    # Missing buffers are encoded as bits: the search is cached by numbers.
    digits = sum(1 << place for place, absent in enumerate(missing[:3]) if absent)
    sizes = (0.0 if absent else size for size, absent in zip(buffers, missing, strict=True))
    return searched((*product, *sizes), _of_columns, digits, (2,))


def _of_columns(columns: Floats, digits: int) -> Floats:
    """Return the traffic of products, ``(2, products)``, computed piece by piece."""
    out = np.empty((2, columns.shape[1]))
    for start in range(0, columns.shape[1], _PIECE):
        part = columns[:, start : start + _PIECE]
        *own, shared = part[_FIELDS:]
        x, w, y = (None if digits >> place & 1 else size for place, size in enumerate(own))
        product = SystolicGemm(*part[:_FIELDS])
        out[:, start : start + _PIECE] = _least(product, Buffers(x, w, y, shared), np)
    return out


def _least(product: SystolicGemm, buffers: Buffers, xp: Any) -> Value:
    m, n, k, a1, b1, c1, p1, halo = product
    m, n, k = (xp.asarray(extent, dtype=float) for extent in (m, n, k))
    a, b, c, sums = m * k * a1, k * n * b1, m * n * c1, 2.0 * m * n * p1

    def output_stays(n_m: Value, n_n: Value) -> tuple[Value, Value]:
        return (a + halo * (n_m - 1.0)) * n_n + c, b * n_m

    def input_stays(n_m: Value, n_k: Value) -> tuple[Value, Value]:
        return a + halo * (n_m - 1.0) + sums * (n_k - 1.0) + c, b * n_m

    def weight_stays(n_n: Value, n_k: Value) -> tuple[Value, Value]:
        return a * n_n + sums * (n_k - 1.0) + c, b + 0.0 * n_n

    stationary = (
        _TwoTiles(m, n, (2.0 * a1, "input"), (2.0 * b1, "weight"), (p1, "output"), output_stays),
        _TwoTiles(m, k, (2.0 * p1, "output"), (2.0 * b1, "weight"), (a1, "input"), input_stays),
        _TwoTiles(n, k, (2.0 * p1, "output"), (2.0 * a1, "input"), (b1, "weight"), weight_stays),
    )
    best: Value = xp.inf
    best_weights: Value = xp.inf
    for tiles in stationary:
        for each in (tiles, tiles.turned()):
            total, weights = each.least(buffers, xp)
            best_weights = xp.where(total < best, weights, best_weights)
            best = xp.minimum(best, total)
    return xp.stack([best, best_weights])


class _TwoTiles(NamedTuple):
    """A stationarity class: two tiles, the buffers that they occupy, and their traffic.

    Attributes
    ----------
    x, y
        Extents that the tiles cut.
    per_x, per_y, per_both
        Bytes per unit of a tile, or of the product of both, and the operand.
    traffic
        Counts of both tiles -> bytes of inputs and outputs, and of weights.
    """

    x: Value
    y: Value
    per_x: tuple[Value, str]
    per_y: tuple[Value, str]
    per_both: tuple[Value, str]
    traffic: Callable[[Value, Value], tuple[Value, Value]]

    def turned(self) -> _TwoTiles:
        """Return the class with its two tiles exchanged."""

        def traffic(n_y: Value, n_x: Value) -> tuple[Value, Value]:
            return self.traffic(n_x, n_y)

        return _TwoTiles(self.y, self.x, self.per_y, self.per_x, self.per_both, traffic)

    def least(self, buffers: Buffers, xp: Any) -> tuple[Value, Value]:
        """Return the least bytes over the candidate tiles of x, and those of weights among them."""
        x, y = self.x, self.y
        counts = _COUNTS.reshape(-1, *(1,) * np.ndim(x))
        # Includes tiles of one, so that the other tile is tried at the largest that fits.
        tried = xp.concatenate([xp.ceil(x[None] / counts), xp.ones_like(x)[None]])
        tile = xp.minimum(tried, x[None])
        other = xp.minimum(xp.floor(self._fit(tile, buffers, xp) + 1e-9), y[None])
        others, weights = self.traffic(
            xp.ceil(x[None] / tile), xp.ceil(y[None] / xp.maximum(other, 1.0))
        )
        total = xp.where(other >= 1.0, others + weights, xp.inf)
        weights = xp.where(other >= 1.0, weights, xp.inf)
        at = xp.argmin(total, axis=0)[None]
        return tuple(xp.take_along_axis(each, at, axis=0)[0] for each in (total, weights))

    def _fit(self, tile: Value, buffers: Buffers, xp: Any) -> Value:
        """Return the largest tile of y that fits with one of x; 0 where x itself does not fit."""
        most: Value = xp.inf
        for name in Buffers._fields:
            # Contents of this buffer: bytes independent of the tile of y, and bytes per unit of it.
            parts = (
                (self.per_x, tile, 0.0),
                (self.per_y, 0.0, 1.0),
                (self.per_both, 0.0, tile),
            )
            contents = [
                (each * fixed, each * slope)
                for (each, operand), fixed, slope in parts
                if name == ("shared" if getattr(buffers, operand) is None else operand)
            ]
            if not contents:
                continue
            fixed, slope = (sum(column) for column in zip(*contents, strict=True))
            left = getattr(buffers, name) - fixed
            some = slope + 0.0 * left > 0
            fit = xp.where(some, left / xp.where(some, slope, 1.0), xp.inf)
            most = xp.minimum(most, xp.where(left < -1e-9, 0.0, fit))
        return most
