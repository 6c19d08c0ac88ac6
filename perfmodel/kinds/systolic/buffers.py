"""Traffic beyond buffers that operands have to themselves: inputs, weights, partial sums.

Tiles as in `perfmodel.cost.traffic`, but each operand's tile must fit its own buffer; operands
without one share what is left. Of a product M x N x K with bytes a, b, c of its operands (and p a
partial sum), cut into n_M, n_N, n_K tiles, one operand stays and two move:

====== ================================== =============================================
stays  bytes                              held
====== ================================== =============================================
output a n_N + b n_M + c                  e a_1 m, e b_1 n, p m n
input  a + b n_M + 2 p (n_K - 1) + c      e p m, e b_1 k, a_1 m k
weight a n_N + b + 2 p (n_K - 1) + c      e p n, e a_1 k, b_1 k n
====== ================================== =============================================

with e = 2 for double buffers. Each is a problem of two tiles (x, y): for a given x the largest y
that fits every buffer is best, so that trying the useful x, and the useful y, solves it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from perfmodel.arrays import Value

#: Counts of tiles that are tried, beside tiles of one and what fits: all small ones, then wider.
_COUNTS = np.unique(np.round(np.concatenate([np.arange(1, 33), np.geomspace(34, 4096, 40)])))


@dataclass(frozen=True, slots=True)
class Buffers:
    """Bytes of the buffers; `None` where an operand is in the shared part.

    Attributes
    ----------
    input, weight, output
        Of one operand alone.
    shared
        Of all operands that have none.
    """

    input: Value
    weight: Value
    output: Value
    shared: Value


@dataclass(frozen=True, slots=True)
class SystolicGemm:
    """A matrix product as its buffers see it; all arrays of shape ``(nests, points or 1)``.

    Attributes
    ----------
    m, n, k
        Extents of one group.
    input_bytes, weight_bytes, output_bytes
        Of an element, beyond the buffers; of the input of a convolution, per im2col element.
    partial_bytes
        Of a partial sum.
    halo_bytes
        Input that a cut along M fetches twice.
    """

    m: Value
    n: Value
    k: Value
    input_bytes: Value
    weight_bytes: Value
    output_bytes: Value
    partial_bytes: Value
    halo_bytes: Value


#: Results that are remembered, and the most numbers of an input that is looked up.
_REMEMBERED, _SMALL = 512, 512
#: Points that are evaluated at once.
_PIECE = 128
#: Multiples whose sum tells shapes apart.
_MARKS = np.random.default_rng(0).uniform(1.0, 2.0, 16)
_found: dict[tuple[Any, ...], Value] = {}


def buffered_traffic(product: SystolicGemm, buffers: Buffers, xp: Any = np) -> Value:
    """Return the least bytes beyond the buffers, of one group, and those of weights in it.

    Tiles of the three stationarity classes, double-buffered where they move. Results of few points
    are remembered by content.

    Returns
    -------
    array of shape ``(2, nests, points or 1)``
        All bytes, and the weights' share; infinite where no tile fits.
    """
    if all(size is not None for size in (buffers.input, buffers.weight, buffers.output)):
        buffers = replace(buffers, shared=None)
    if xp is not np:
        return _least(product, buffers, xp)
    values = [getattr(x, f.name) for x in (product, buffers) for f in fields(x)]
    if any(np.size(v) > _SMALL for v in values):
        return _distinct(product, buffers)
    arrays = [np.asarray(np.nan if v is None else v, dtype=float) for v in values]
    key = tuple((a.shape, a.tobytes()) for a in arrays)
    found = _found.get(key)
    if found is None:
        if len(_found) >= _REMEMBERED:
            _found.clear()
        found = _found[key] = _distinct(product, buffers)
        found.setflags(write=False)
    return found


def _distinct(product: SystolicGemm, buffers: Buffers) -> Value:
    """Return the traffic of each nest at each point; those of one shape are solved once."""
    given = [np.asarray(getattr(product, f.name), dtype=float) for f in fields(product)]
    columns = [c.reshape(1, 1) if c.ndim == 0 else c for c in given]
    if any(c.ndim != 2 for c in columns):
        return _in_pieces(product, buffers)
    if all(c.shape[1] == 1 for c in columns):
        table = np.concatenate(np.broadcast_arrays(*columns), axis=1)
        shapes, which = np.unique(table, axis=0, return_inverse=True)
        return _in_pieces(_one(shapes), buffers)[:, np.reshape(which, -1)]
    if any(np.size(getattr(buffers, f.name)) > 1 for f in fields(buffers)):
        return _in_pieces(product, buffers)
    every = np.broadcast_arrays(*columns)
    table = np.stack([c.reshape(-1) for c in every], axis=1)
    # One number a shape, much quicker to sort than rows of numbers; then looked at in full.
    mark = (table * _MARKS[: len(columns)]).sum(axis=1)
    _, first, which = np.unique(mark, return_index=True, return_inverse=True)
    which = np.reshape(which, -1)
    if 2 * len(first) > len(table) or not np.array_equal(table[first][which], table):
        return _in_pieces(product, buffers)
    # As points of one nest, which are solved piece by piece.
    point = SystolicGemm(*(table[first, i][None] for i in range(len(columns))))
    return _in_pieces(point, buffers)[:, 0, which].reshape(2, *every[0].shape)


def _one(shapes: Value) -> SystolicGemm:
    return SystolicGemm(*(shapes[:, i : i + 1] for i in range(shapes.shape[1])))


def _in_pieces(product: SystolicGemm, buffers: Buffers) -> Value:
    """Return the traffic of many points piece by piece: the candidates fit the nearest caches."""
    values = [getattr(x, f.name) for x in (product, buffers) for f in fields(x)]
    points = max((np.shape(v)[-1] for v in values if np.ndim(v)), default=1)
    out: list[Value] = []
    for start in range(0, points, _PIECE):

        def cut(value: Value, start: int = start) -> Value:
            wide = np.ndim(value) and np.shape(value)[-1] > 1
            return value[..., start : start + _PIECE] if wide else value

        part = SystolicGemm(*(cut(getattr(product, f.name)) for f in fields(product)))
        room = Buffers(*(cut(getattr(buffers, f.name)) for f in fields(buffers)))
        out.append(_least(part, room, np))
    return np.concatenate(out, axis=-1) if len(out) > 1 else out[0]


def _least(product: SystolicGemm, buffers: Buffers, xp: Any) -> Value:
    p = product
    m, n, k = (xp.asarray(v, dtype=float) for v in (p.m, p.n, p.k))
    a1, b1, p1 = p.input_bytes, p.weight_bytes, p.partial_bytes
    a, b, c = m * k * a1, k * n * b1, m * n * p.output_bytes
    sums = 2.0 * m * n * p1
    halo = p.halo_bytes

    def output_stays(n_m: Value, n_n: Value) -> tuple[Value, Value]:
        return (a + halo * (n_m - 1.0)) * n_n + c, b * n_m

    def input_stays(n_m: Value, n_k: Value) -> tuple[Value, Value]:
        return a + halo * (n_m - 1.0) + sums * (n_k - 1.0) + c, b * n_m

    def weight_stays(n_n: Value, n_k: Value) -> tuple[Value, Value]:
        return a * n_n + sums * (n_k - 1.0) + c, b + 0.0 * n_n

    outputs = _Class(m, n, (2.0 * a1, "input"), (2.0 * b1, "weight"), (p1, "output"), output_stays)
    inputs = _Class(m, k, (2.0 * p1, "output"), (2.0 * b1, "weight"), (a1, "input"), input_stays)
    weights = _Class(n, k, (2.0 * p1, "output"), (2.0 * a1, "input"), (b1, "weight"), weight_stays)
    found = [
        each.least(buffers, xp, turned)
        for each in (outputs, inputs, weights)
        for turned in (False, True)
    ]
    best, best_weights = found[0]
    for total, of_weights in found[1:]:
        best_weights = xp.where(total < best, of_weights, best_weights)
        best = xp.minimum(best, total)
    return xp.stack([best, best_weights])


class _Class:
    """One stationarity class: two tiles, bytes that they hold and where, and bytes they move.

    `of_x` and `of_y` are held for each unit of a tile, `of_both` for each of their product.
    """

    def __init__(
        self,
        x: Value,
        y: Value,
        of_x: tuple[Value, str],
        of_y: tuple[Value, str],
        of_both: tuple[Value, str],
        moved: Callable[[Value, Value], tuple[Value, Value]],
    ) -> None:
        self.x, self.y, self.moved = x, y, moved
        self.parts = of_x, of_y, of_both

    def least(self, buffers: Buffers, xp: Any, turned: bool) -> tuple[Value, Value]:
        """Return the least bytes over the tiles of x that are tried, and those of weights in it.

        Turned, tiles of y are tried, each with the largest of x.
        """
        x, y = (self.y, self.x) if turned else (self.x, self.y)
        of_x, of_y, of_both = self.parts
        if turned:
            of_x, of_y = of_y, of_x
        counts = _COUNTS.reshape(-1, *(1,) * np.ndim(x))
        # Tiles of one, so that the other tile is tried at the most that fits.
        tried = xp.concatenate([xp.ceil(x[None] / counts), xp.ones_like(x)[None]])
        tile = xp.minimum(tried, x[None])
        fits = xp.floor(self._room(tile, of_x, of_y, of_both, buffers, xp) + 1e-9)
        other = xp.minimum(fits, y[None])
        n_x, n_y = xp.ceil(x[None] / tile), xp.ceil(y[None] / xp.maximum(other, 1.0))
        rest, weights = self.moved(n_y, n_x) if turned else self.moved(n_x, n_y)
        total = xp.where(other >= 1.0, rest + weights, xp.inf)
        at = xp.argmin(total, axis=0)[None]
        weights = xp.where(other >= 1.0, weights, xp.inf)
        least = xp.take_along_axis(total, at, axis=0)[0]
        return least, xp.take_along_axis(weights, at, axis=0)[0]

    def _room(
        self,
        tile: Value,
        of_x: tuple[Value, str],
        of_y: tuple[Value, str],
        of_both: tuple[Value, str],
        buffers: Buffers,
        xp: Any,
    ) -> Value:
        """Return the largest tile of y beside one of x; 0 where that does not fit itself."""
        room: Value = None
        for name in ("input", "weight", "output", "shared"):
            fixed: Value = 0.0
            slope: Value = 0.0
            mine = [part for part in (of_x, of_y, of_both) if _where(part[1], buffers) == name]
            if not mine:
                continue
            for part in mine:
                if part is of_x:
                    fixed = fixed + part[0] * tile
                elif part is of_y:
                    slope = slope + part[0]
                else:
                    slope = slope + part[0] * tile
            size = getattr(buffers, name)
            left = size - fixed
            some = slope + 0.0 * left > 0
            fit = xp.where(some, left / xp.where(some, slope, 1.0), xp.inf)
            fit = xp.where(left < -1e-9, 0.0, fit)
            room = fit if room is None else xp.minimum(room, fit)
        return room


def _where(operand: str, buffers: Buffers) -> str:
    """Return the buffer that an operand lies in."""
    return "shared" if getattr(buffers, operand) is None else operand
