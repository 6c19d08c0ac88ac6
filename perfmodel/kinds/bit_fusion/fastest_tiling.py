"""Fastest tiling of each layer on a bit-composable array, for all batches of a layer together.

With A clocks of arithmetic, L bits that overlap with nothing and T bits in all, a bandwidth of r
bits per clock requires ``max(A + L / r, T / r)`` clocks (Sharma et al., Bit Fusion, ISCA 2018).

The batches of a sweep share one search. Between the values of v (`tiles`) at which an operand no
longer fits its buffer, A, L and T of a tiling are linear in v. Hence, among tilings with tiles of
as many images, one that is nowhere above another at both ends of the other's range replaces it:
parametric dominance, which leaves some tens of lines to evaluate at every batch.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Final, NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.traffic.nest import TileNest
from perfmodel.cost.traffic.pointwise import columns_of
from perfmodel.kinds.bit_fusion.counts import (
    BitFusionTiling,
    ComposedArray,
    TileCounts,
    count,
    tile_bits,
)
from perfmodel.kinds.bit_fusion.tiles import BufferResidency, Tilings, residency, tilings
from perfmodel.kinds.distinct_columns import Floats, Places, at, distinct, search_distinct

_PARTS: Final = len(BitFusionTiling._fields)
_EXTENTS: Final = [field.name for field in fields(TileNest)]
_BATCH: Final = _EXTENTS.index("batch")
_ROWS: Final = _EXTENTS.index("out_rows")
#: Batches from which on it pays to discard dominated lines before they are evaluated.
_MANY_BATCHES: Final = 16
#: Lines x batches evaluated together: few enough for the nearest caches.
_BLOCK: Final = 1 << 16


def layer_cycles(
    nest: TileNest, array: ComposedArray, bits_per_cycle: Value, *, relaxed: bool = False
) -> tuple[TileCounts, Value]:
    """Return the cost of each layer under its fastest tiling, and its clocks.

    Parameters
    ----------
    nest, array
        Numbers or arrays that broadcast to the layers (and points); one group.
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
    numbers = (*columns_of(nest), *array, bits_per_cycle)
    tiling = BitFusionTiling(*search_distinct(numbers, _fastest_tilings, 0, (_PARTS,)))
    counts = count(nest, array, tiling, relaxed=relaxed)
    ends = counts.cycles + counts.ends_bits / bits_per_cycle
    return counts, namespace(*numbers).maximum(ends, counts.memory_bits / bits_per_cycle)


def _fastest_tilings(columns: Floats, unused_option: int) -> Floats:
    """Return the fastest tiling of each layer, ``(11, layers)``.

    Parameters
    ----------
    columns
        Fields of `TileNest` and `ComposedArray`, then bits per clock, ``(25, layers)``.
    """
    fastest = np.empty((_PARTS, columns.shape[1]))
    if not columns.shape[1]:
        return fastest
    nest = TileNest(*columns[: len(_EXTENTS)])
    # The rows of a matrix product are tiled, and loaded, like images.
    rows_are_images = (
        (nest.batch == 1.0)
        & (nest.out_columns == 1.0)
        & (nest.taps == 1.0)
        & (nest.row_stride == 1.0)
    )
    columns = columns.copy()
    columns[[_BATCH, _ROWS]] = np.where(
        rows_are_images, columns[[_ROWS, _BATCH]], columns[[_BATCH, _ROWS]]
    )
    group = distinct(np.delete(columns, [_BATCH, -1], axis=0))[1]
    by_group = np.argsort(group, kind="stable")
    for places in np.split(by_group, np.flatnonzero(np.diff(group[by_group])) + 1):
        *layer, _ = columns[:, places[0]]
        fastest[:, places] = _fastest(
            TileNest(*layer[: len(_EXTENTS)]),
            ComposedArray(*layer[len(_EXTENTS) :]),
            columns[_BATCH, places],
            columns[-1, places],
        )
    fastest[:2] = np.where(rows_are_images, fastest[1::-1], fastest[:2])
    return fastest


def _fastest(nest: TileNest, array: ComposedArray, batches: Floats, rates: Floats) -> Floats:
    """Return the fastest tiling of one layer at each batch and rate, ``(11, batches)``."""
    least, most = batches.min(), batches.max()
    tried = tilings(nest, array, least, most)
    lowest = np.maximum(tried.variable(least), 2.0 * ~tried.holds_batch)
    highest = np.maximum(np.minimum(tried.variable(most), tried.fitting), lowest)
    above = lowest * (1.0 - 1e-9)
    resident = residency(nest, array, tried, lowest)
    if most > least:
        # Cut the range of v wherever an operand no longer fits.
        limits = np.concatenate([resident.limits.reshape(-1, len(highest)), highest[None]])
        ends = np.sort(np.clip(limits, above, highest), axis=0)
        starts = np.concatenate([above[None], ends[:-1]])
        tiling, piece = np.nonzero((ends > starts).T)
        above, highest = starts[piece, tiling], ends[piece, tiling]
        tried = at(tried, tiling)
        resident = residency(nest, array, tried, highest)
    lines = _lines(nest, array, tried, resident, above, highest)
    if len(batches) >= _MANY_BATCHES:
        needed = _undominated(lines)
        lines, tried, resident = at(lines, needed), at(tried, needed), at(resident, needed)
    step = max(_BLOCK // len(tried.orders), 1)
    blocks = [slice(first, first + step) for first in range(0, len(batches), step)]
    which = np.concatenate([_fastest_line(lines, batches[each], rates[each]) for each in blocks])
    return _tiling_at(at(tried, which), at(resident, which), batches)


class _CostLines(NamedTuple):
    """Costs of tilings over ranges of v in which the same operands fit their buffers.

    Attributes
    ----------
    images
        Images of a tile; infinite for a tile of the whole batch.
    above, most
        The range: ``above < v <= most``.
    cycles, bits, bits_each, ends, ends_each
        ``A = cycles v``, ``T = bits + bits_each v``, ``L = ends + ends_each v``.
    """

    images: Value
    above: Value
    most: Value
    cycles: Value
    bits: Value
    bits_each: Value
    ends: Value
    ends_each: Value

    def costs(self, v: Value) -> tuple[Value, Value, Value]:
        """Return T, A and L at v."""
        return self.bits + self.bits_each * v, self.cycles * v, self.ends + self.ends_each * v

    def at_ends(self, above: Value, most: Value) -> Floats:
        """Return T, A and L at both ends of ranges, ``(6, ranges)``."""
        both = (*self.costs(above), *self.costs(most))
        return np.stack([np.broadcast_to(cost, np.shape(above)) for cost in both])


def _lines(
    nest: TileNest,
    array: ComposedArray,
    tried: Tilings,
    resident: BufferResidency,
    above: Floats,
    most: Floats,
) -> _CostLines:
    """Return the costs of tilings as lines, from those at ``v = 1``."""
    tile = (tried.images, *tried.tiles[1:])
    tiling = BitFusionTiling(*tile, *resident.moves, *resident.resident)
    counts = count(replace(nest, batch=tried.images), array, tiling)
    traffic = np.stack([counts.input_bits, counts.weight_bits, counts.output_bits])
    x, w, y = tile_bits(nest, array, *tile)
    # The last tile of sums is read at the start and written at the end.
    ends = np.stack([x, w, 2.0 * y]) * resident.resident
    traffic_varies = resident.moves_vary | resident.size_varies
    ends_vary = resident.resident_varies | resident.size_varies
    return _CostLines(
        tried.tiles[0],
        above,
        most,
        counts.cycles,
        (traffic * ~traffic_varies).sum(axis=0),
        (traffic * traffic_varies).sum(axis=0),
        (ends * ~ends_vary).sum(axis=0),
        (ends * ends_vary).sum(axis=0),
    )


def _undominated(lines: _CostLines) -> Places:
    """Return the lines that no other dominates, in ascending order; of equal lines the first.

    A line dominates those with tiles of as many images, of whose range it covers all, and at
    neither end of which its T, A or L is larger.
    """
    own = lines.at_ends(lines.above, lines.most)
    # Lines with a wide range and low costs dominate many others: they come first.
    queue = np.lexsort((own[3], own[4], -lines.most, lines.images))
    undominated: list[int] = []
    while queue.size:
        line = at(lines, queue[0])
        above, most = lines.above[queue], lines.most[queue]
        costs = line.at_ends(above, most)
        same_range = (above == line.above) & (most == line.most)
        dominated = (
            (costs <= own[:, queue]).all(axis=0)
            & (above >= line.above)
            & (most <= line.most)
            & (lines.images[queue] == line.images)
        )
        equal = dominated & same_range & (costs == own[:, queue]).all(axis=0)
        undominated.append(int(queue[equal].min()))
        queue = queue[~dominated]
    return np.sort(np.array(undominated))


def _fastest_line(lines: _CostLines, batches: Floats, rates: Floats) -> Places:
    """Return the line with the fewest clocks at each batch and rate.

    Ties go to the least T, then A, then L, then to the first line.
    """
    upright = _CostLines(*(values[:, None] for values in lines))
    holds_batch = np.isinf(upright.images)
    v = np.where(holds_batch, batches, np.ceil(batches / upright.images - 1e-9))
    eligible = (v > upright.above) & (v <= upright.most)
    eligible &= holds_batch | (batches > upright.images)
    traffic, arithmetic, ends = upright.costs(v)
    clocks = np.maximum(arithmetic + ends / rates, traffic / rates)
    for cost in (clocks, traffic, arithmetic, ends):
        eligible &= cost == np.where(eligible, cost, np.inf).min(axis=0)
    return eligible.argmax(axis=0)


def _tiling_at(tiling: Tilings, resident: BufferResidency, batches: Floats) -> Floats:
    """Return the fields of `BitFusionTiling` for a tiling per batch, ``(11, batches)``."""
    v = tiling.variable(batches)
    moves = resident.moves * np.where(resident.moves_vary, v, 1.0)
    together = resident.resident * np.where(resident.resident_varies, v, 1.0)
    images = np.minimum(tiling.tiles[:1], batches)
    return np.concatenate([images, tiling.tiles[1:], moves, together])
