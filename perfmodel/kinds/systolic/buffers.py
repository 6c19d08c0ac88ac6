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

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.cost.traffic.nest import TileNest, Widths
from perfmodel.kinds.distinct_columns import (
    Floats,
    Places,
    distinct,
    results_by_column,
    results_of_distinct,
    search_distinct,
)

#: Counts of tiles that are tried, besides tiles of one: all small ones, then coarser steps.
_COUNTS = np.unique(np.round(np.concatenate([np.arange(1, 33), np.geomspace(34, 4096, 40)])))
#: Least count of which not all smaller ones are tried.
_FIRST_GAP: Final = 33.0
_MANY_TILES = np.array([[_FIRST_GAP, 1.0], [1.0, _FIRST_GAP]])
#: Products whose candidates together fit the nearest caches.
_PIECE: Final = 256
#: Products from which on it pays to look for those that differ in M only.
_MANY: Final = 64


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


class _BufferedProduct(NamedTuple):
    """Extents of a product, bytes of an element of each operand, and those of its halo."""

    m: Value
    n: Value
    k: Value
    input: Value
    weight: Value
    output: Value
    partial: Value
    halo: Value

    def traffic(self, counts: _BufferedTiles) -> tuple[Value, Value]:
        """Return bytes of inputs and outputs, and of weights; the same for all classes.

        The operand that stays has one tile along the extent that does not index it.
        """
        m, n, k = self[:3]
        inputs = m * k * self.input + self.halo * (counts.m - 1.0)
        sums = 2.0 * m * n * self.partial * (counts.k - 1.0)
        outputs = m * n * self.output
        return inputs * counts.n + sums + outputs, k * n * self.weight * counts.m


class _BufferedTiles(NamedTuple):
    """Numbers of tiles along the extents of a product, each 1 where it costs nothing."""

    m: Value
    n: Value
    k: Value


class _BufferedCandidates(NamedTuple):
    """Candidates for products of any M: the largest tile along M, and the other counts.

    Attributes
    ----------
    tile
        Infinite where all of M moves past a tile of weights.
    n, k
        Counts; `k` is infinite where no tile fits.
    """

    tile: Value
    n: Value
    k: Value

    def counts(self, m: Value) -> _BufferedTiles:
        """Return the counts at M."""
        return _BufferedTiles(np.ceil(m / np.minimum(self.tile, m)), self.n, self.k)


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
    product = _BufferedProduct(
        *extents, widths.input, widths.weight, widths.output, widths.partial, halo_bytes
    )
    missing = [size is None for size in buffers]
    # Missing buffers are encoded as bits: the search is cached by numbers.
    digits = sum(1 << place for place, absent in enumerate(missing[:3]) if absent)
    sizes = (0.0 if absent else size for size, absent in zip(buffers, missing, strict=True))
    counts = _BufferedTiles(*search_distinct((*product, *sizes), _best_counts, digits, (3,)))
    others, weights = product.traffic(counts)
    fits = counts.k > 0.0
    return xp.where(fits, xp.stack([others + weights, weights + 0.0 * others]), xp.inf)


def _best_counts(columns: Floats, digits: int) -> Floats:
    """Return the counts of tiles with the least traffic, ``(3, products)``; 0 where none fits."""
    count = columns.shape[1]
    if count < _MANY:
        return _with_tiles_of_rows(columns, digits, _best_of_few(columns, digits))
    best = np.empty((4, count))
    alike = distinct(columns[1:])[1]
    order = np.lexsort((columns[0], alike))
    in_sweep = np.bincount(alike)[alike[order]] >= _MANY
    few, sweeps = order[~in_sweep], order[in_sweep]
    for start in range(0, len(few), _PIECE):
        places = few[start : start + _PIECE]
        best[:, places] = _best_of_few(columns[:, places], digits)
    for places in np.split(sweeps, np.flatnonzero(np.diff(alike[sweeps], prepend=-1)))[1:]:
        best[:, places] = _best_of_sweep(columns[:, places], digits)
    return _with_tiles_of_rows(columns, digits, best)


def _best_of_few(columns: Floats, digits: int) -> Floats:
    """Return best counts and traffic of products, from their candidates at any M."""
    results = results_by_column if columns.shape[1] < _MANY else results_of_distinct
    tables = results(columns[1:], _candidates_at_any_rows, digits)
    return _cheapest(_product_of(columns), _BufferedCandidates(*tables))


def _best_of_sweep(columns: Floats, digits: int) -> Floats:
    """Return best counts and traffic of products that differ in M only, in its ascending order.

    The traffic of a candidate does not decrease with M, so that its traffic at the ends of a block
    of products bounds it in the block.
    """
    table = _candidates_at_any_rows(columns[1:, :1], digits)
    best = np.empty((4, columns.shape[1]))
    starts: Places = np.arange(0, columns.shape[1], _PIECE, dtype=np.intp)
    ends = np.minimum(starts + _PIECE, columns.shape[1]) - 1
    lower, upper = (
        _total(
            product := _product_of(columns[:, places]),
            _BufferedCandidates(*table).counts(product.m),
        )
        for places in (starts, ends)
    )
    near = lower <= upper.min(axis=0)
    for block, start in enumerate(range(0, columns.shape[1], _PIECE)):
        part = slice(start, start + _PIECE)
        product = _product_of(columns[:, part])
        best[:, part] = _cheapest(product, _BufferedCandidates(*table[:, near[:, block]]))
    return best


def _with_tiles_of_rows(columns: Floats, digits: int, best: Floats) -> Floats:
    """Return the best counts, of candidates that choose the tile along M first as well.

    Such a tile matters only where M is no integer, so that a tile of all of it is none either, or
    where another extent is cut into so many tiles that not all smaller counts are tried.
    """
    product = _product_of(columns)
    total = _total(product, _BufferedTiles(1.0, _MANY_TILES[:, :1], _MANY_TILES[:, 1:]))
    bound = np.where(columns[1:3] > _FIRST_GAP, total, np.inf).min(axis=0) * (1.0 - 1e-9)
    needed = np.flatnonzero((best[3] >= bound) | (product.m != np.floor(product.m)))
    for start in range(0, len(needed), _PIECE):
        places = needed[start : start + _PIECE]
        part = columns[:, places]
        product = _product_of(part)
        tried = _cheapest(product, _candidates_by_rows(product, _buffers_of(part, digits)))
        best[:, places] = np.where(tried[3] < best[3, places], tried, best[:, places])
    return np.where(np.isfinite(best[3]), best[:3], 0.0)


def _cheapest(product: _BufferedProduct, candidates: _BufferedCandidates) -> Floats:
    """Return counts and traffic of the candidate with the least traffic, the first of several."""
    counts = candidates.counts(product.m)
    total = _total(product, counts)
    at = total.argmin(axis=0)[None]
    return np.concatenate(
        [
            np.take_along_axis(np.broadcast_to(values, total.shape), at, axis=0)
            for values in (*counts, total)
        ]
    )


def _total(product: _BufferedProduct, counts: _BufferedTiles) -> Floats:
    others, weights = product.traffic(counts)
    return others + weights


def _product_of(columns: Floats) -> _BufferedProduct:
    return _BufferedProduct(*columns[: len(_BufferedProduct._fields)])


def _buffers_of(columns: Floats, digits: int) -> Buffers:
    *own, shared = columns[len(_BufferedProduct._fields) :]
    x, w, y = (None if digits >> place & 1 else size for place, size in enumerate(own))
    return Buffers(x, w, y, shared)


def _candidates_at_any_rows(columns: Floats, digits: int) -> Floats:
    """Return the candidates of products without their M, ``(3, candidates, products)``.

    They are in the order in which they are preferred at equal traffic: fewer tiles along M first.
    """
    product = _product_of(np.concatenate([columns[:1], columns]))
    buffers = _buffers_of(np.concatenate([columns[:1], columns]), digits)
    x, w, y = ("input", product.input), ("weight", product.weight), ("output", product.partial)
    across, depth = _tiles(product.n), _tiles(product.k)
    n, k = np.ceil(product.n / across), np.ceil(product.k / depth)
    rows = _largest(across, (_double(w), _double(x), y), buffers)
    rows_of_depth = _largest(depth, (_double(w), _double(y), x), buffers)
    other_k = _count(product.k, _largest(across, (_double(y), _double(x), w), buffers))
    other_n = _count(product.n, _largest(depth, (_double(x), _double(y), w), buffers))
    useful = [_improves(rows)[::-1], _improves(rows_of_depth)[::-1]]
    useful += [_improves(-other_k), _improves(-other_n)]
    ones, endless = np.ones_like, np.full_like
    groups = [
        (rows[::-1], n[::-1], ones(n)),
        (rows_of_depth[::-1], ones(k), k[::-1]),
        (endless(n, np.inf), n, other_k),
        (endless(k, np.inf), other_n, k),
    ]
    table = np.stack([np.concatenate(parts) for parts in zip(*groups, strict=True)])
    table[:, (table[0] < 1.0) | ~np.isfinite(table[1])] = np.array([[np.inf], [1.0], [np.inf]])
    if columns.shape[1] >= _MANY:
        return table
    is_useful = np.concatenate(useful)
    first = np.argsort(~is_useful, axis=0, kind="stable")[: is_useful.sum(axis=0).max()]
    return np.take_along_axis(table, first[None], axis=1)


def _candidates_by_rows(product: _BufferedProduct, buffers: Buffers) -> _BufferedCandidates:
    """Return candidates that choose the tile along M first."""
    x, w, y = ("input", product.input), ("weight", product.weight), ("output", product.partial)
    rows = _tiles(product.m)
    n = _count(product.n, _largest(rows, (_double(x), _double(w), y), buffers))
    k = _count(product.k, _largest(rows, (_double(y), _double(w), x), buffers))
    ones = np.ones_like(rows)
    return _BufferedCandidates(
        np.concatenate([rows, rows]),
        np.concatenate([np.where(np.isfinite(n), n, 1.0), ones]),
        np.concatenate([np.where(np.isfinite(n), 1.0, np.inf), k]),
    )


def _improves(values: Floats) -> npt.NDArray[np.bool_]:
    """Return which values are above all before them."""
    most = np.maximum.accumulate(values, axis=0)
    return np.concatenate([np.ones_like(most[:1], dtype=bool), most[1:] > most[:-1]])


def _tiles(extent: Floats) -> Floats:
    """Return the tiles that are tried, descending, those of one included."""
    # As many tiles as the extent, or more, are tiles of one, which come last.
    counts = _COUNTS[np.max(extent) > _COUNTS]
    tiles = np.ceil(extent / counts.reshape(-1, *(1,) * np.ndim(extent)))
    return np.minimum(np.concatenate([tiles, np.ones((1, *extent.shape))]), extent)


def _count(extent: Floats, tile: Floats) -> Floats:
    """Return the number of tiles along an extent; infinite where not even one of 1 fits."""
    tile = np.minimum(tile, extent)
    return np.where(tile >= 1.0, np.ceil(extent / np.maximum(tile, 1.0)), np.inf)


def _double(operand: tuple[str, Floats]) -> tuple[str, Floats]:
    """Return an operand with two buffers."""
    name, size = operand
    return name, 2.0 * size


def _largest(tile: Floats, operands: Sequence[tuple[str, Floats]], buffers: Buffers) -> Floats:
    """Return the largest other tile that fits beside each tile; 0 where it does not fit itself.

    Parameters
    ----------
    operands
        Name of an operand, and its bytes in the buffers per unit of the tile, per unit of the other
        tile, and per unit of both.
    """
    names = ["shared" if getattr(buffers, name) is None else name for name, _ in operands]
    along_tile, along_other, along_both = (size for _, size in operands)
    most: Value = np.inf
    for name in Buffers._fields:
        if name not in names:
            continue
        of_tile, of_other, of_both = (name == each for each in names)
        fixed = along_tile * tile if of_tile else 0.0
        slope = along_other if of_other else 0.0
        slope = slope + along_both * tile if of_both else slope
        left = getattr(buffers, name) - fixed
        fit = np.where(slope > 0.0, left / np.where(slope > 0.0, slope, 1.0), np.inf)
        most = np.minimum(most, np.where(left < -1e-9, 0.0, fit))
    return np.floor(most + 1e-9)
