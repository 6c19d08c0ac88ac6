"""Fastest tiling of each layer on a bit-composable array, for all batches of a layer together.

With A clocks of arithmetic, L bits that overlap with nothing and T bits in all, a bandwidth of r
bits per clock requires ``max(A + L / r, T / r)`` clocks (Sharma et al., Bit Fusion, ISCA 2018).

The batches of a sweep share one search. Between the values of v (`tiles`) at which an operand no
longer fits its buffer, A, L and T of a tiling are linear in v. Hence, among tilings with tiles of
as many images, one that is nowhere above another at both ends of the other's range replaces it:
parametric dominance, which leaves some tens of lines to evaluate at every batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value, namespace
from perfmodel.caches import cached
from perfmodel.cost.traffic.nest import TileNest
from perfmodel.cost.traffic.pointwise import columns_of
from perfmodel.kinds.bit_fusion.counts import (
    BitFusionTiling,
    ComposedArray,
    TileCounts,
    count,
    tile_bits,
)
from perfmodel.kinds.bit_fusion.tiles import (
    BufferResidency,
    Tilings,
    fewest_moves,
    in_every_order,
    residency,
    tilings,
)
from perfmodel.kinds.distinct_columns import Floats, Places, at, distinct, search_distinct

_PARTS: Final = len(BitFusionTiling._fields)
_EXTENTS: Final = [field.name for field in fields(TileNest)]
_BATCH: Final = _EXTENTS.index("batch")
_ROWS: Final = _EXTENTS.index("out_rows")
#: Batches from which on it pays to discard dominated lines before they are evaluated.
_MANY_BATCHES: Final = 16
#: Tiles with the least lower bounds that are tried first, for a single batch.
_FEW_TILES: Final = 32
#: Ratio of the last to the first batch of a table that is kept for repeated questions.
_RANGE: Final = 16.0
#: Most layers whose tables are kept together.
_FEW_LAYERS: Final = 256
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
    tiling = BitFusionTiling(*search_distinct(numbers, fastest_tilings, 0, (_PARTS,), repeated=1))
    counts = count(nest, array, tiling, relaxed=relaxed)
    ends = counts.cycles + counts.ends_bits / bits_per_cycle
    return counts, namespace(*numbers).maximum(ends, counts.memory_bits / bits_per_cycle)


def fastest_tilings(columns: Floats, is_repeated: int) -> Floats:
    """Return the fastest tiling of each layer, ``(11, layers)``.

    Parameters
    ----------
    columns
        Fields of `TileNest` and `ComposedArray`, then bits per clock, ``(25, layers)``.
    is_repeated
        Whether the same layers are expected at further batches.
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
    if is_repeated and (columns[_BATCH] >= 1.0).all() and columns.shape[1] <= _FEW_LAYERS:
        layers = columns[:-1].copy()
        layers[_BATCH] = 0.0
        ranges = tuple(map(_range_of, columns[_BATCH].tolist()))
        tables = _tables_of_ranges(layers.tobytes(), ranges)
        fastest[:] = tables.fastest(columns[_BATCH], columns[-1])
        fastest[:2] = np.where(rows_are_images, fastest[1::-1], fastest[:2])
        return fastest
    group = distinct(np.delete(columns, [_BATCH, -1], axis=0))[1]
    by_group = np.argsort(group, kind="stable")
    for places in np.split(by_group, np.flatnonzero(np.diff(group[by_group])) + 1):
        layer, batches, rates = (
            columns[:-1, places[0]],
            columns[_BATCH, places],
            columns[-1, places],
        )
        nest, array = TileNest(*layer[: len(_EXTENTS)]), ComposedArray(*layer[len(_EXTENTS) :])
        fastest[:, places] = _table(nest, array, batches, rates).fastest(batches, rates)
    fastest[:2] = np.where(rows_are_images, fastest[1::-1], fastest[:2])
    return fastest


class _TilingTable(NamedTuple):
    """Tilings of one layer for a range of batches, with their costs and what they keep."""

    lines: _CostLines
    tilings: Tilings
    resident: BufferResidency

    def fastest(self, batches: Floats, rates: Floats) -> Floats:
        """Return the fastest tiling at each batch and rate, ``(11, batches)``."""
        step = max(_BLOCK // len(self.tilings.orders), 1)
        blocks = [slice(first, first + step) for first in range(0, len(batches), step)]
        which = np.concatenate(
            [_fastest_line(self.lines, batches[each], rates[each]) for each in blocks]
        )
        return _tiling_at(at(self.tilings, which), at(self.resident, which), batches)


class _LayerTables(NamedTuple):
    """Tables of several layers one after the other; `layer` is that of each tiling."""

    layer: Places
    starts: Places
    tables: _TilingTable

    def fastest(self, batches: Floats, rates: Floats) -> Floats:
        """Return the fastest tiling of each layer at its batch and rate, ``(11, layers)``."""

        def least(costs: Floats) -> Floats:
            return np.minimum.reduceat(costs, self.starts)[self.layer]

        lines, tilings, resident = self.tables
        is_fastest = _are_fastest(lines, batches[self.layer], rates[self.layer], least)
        which = np.flatnonzero(is_fastest)
        which = which[np.flatnonzero(np.diff(self.layer[which], prepend=-1))]
        return _tiling_at(at(tilings, which), at(resident, which), batches)


def _tiling_table(
    nest: TileNest,
    array: ComposedArray,
    tiles: Tilings,
    least: float,
    most: float,
    *,
    is_pruned: bool,
) -> _TilingTable:
    """Return tiles of one layer in every order, at batches from `least` to `most`."""
    tried = in_every_order(tiles)
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
    if is_pruned:
        needed = _undominated(lines)
        lines, tried, resident = at(lines, needed), at(tried, needed), at(resident, needed)
    return _TilingTable(lines, tried, resident)


def _range_of(batch: float) -> int:
    """Return the index of the range of batches whose table is kept."""
    return max(math.ceil(math.log(batch, _RANGE)), 1)


@cached()
def _table_of_range(content: bytes, index: int) -> _TilingTable:
    """Return the tilings of a layer for a range of batches."""
    numbers = np.frombuffer(content)
    nest, array = TileNest(*numbers[: len(_EXTENTS)]), ComposedArray(*numbers[len(_EXTENTS) :])
    least, most = _RANGE ** (index - 1), _RANGE**index
    tiles = tilings(nest, array, least, most)
    return _tiling_table(nest, array, tiles, least, most, is_pruned=True)


@cached()
def _tables_of_ranges(content: bytes, ranges: tuple[int, ...]) -> _LayerTables:
    """Return the tables of layers, each for a range of batches; `content` has their columns."""
    columns = np.frombuffer(content).reshape(-1, len(ranges)).T
    tables = [
        _table_of_range(layer.tobytes(), index)
        for layer, index in zip(columns, ranges, strict=True)
    ]
    sizes = [len(table.tilings.orders) for table in tables]
    joined = (
        parts[0]._make(np.concatenate(values, axis=-1) for values in zip(*parts, strict=True))
        for parts in zip(*tables, strict=True)
    )
    starts = np.cumsum([0, *sizes[:-1]])
    return _LayerTables(np.repeat(np.arange(len(sizes)), sizes), starts, _TilingTable(*joined))


def _table(nest: TileNest, array: ComposedArray, batches: Floats, rates: Floats) -> _TilingTable:
    """Return tilings of one layer, among them the fastest at each batch and rate."""
    least, most = batches.min(), batches.max()
    tiles = tilings(nest, array, least, most)
    if len(batches) > 1 or len(tiles.orders) <= _FEW_TILES:
        is_pruned = len(batches) >= _MANY_BATCHES
        return _tiling_table(nest, array, tiles, least, most, is_pruned=is_pruned)
    lower = _fewest_clocks(nest, array, tiles, batches, rates)
    order = np.argsort(lower)
    some = at(tiles, np.sort(order[:_FEW_TILES]))
    table = _tiling_table(nest, array, some, least, most, is_pruned=False)
    which = _fastest_line(table.lines, batches, rates)
    v = at(table.tilings, which).variable(batches)
    if at(table.lines, which).clocks(v, rates) < lower[order[_FEW_TILES]] * (1.0 - 1e-9):
        return table
    return _tiling_table(nest, array, tiles, least, most, is_pruned=False)


def _fewest_clocks(
    nest: TileNest, array: ComposedArray, tiles: Tilings, batch: Floats, rate: Floats
) -> Floats:
    """Return a lower bound on the clocks of each tile, at a single batch and rate.

    No order of loops transfers a tile less than once, nor keeps less of an operand than one tile.
    """
    tiling = BitFusionTiling(
        np.minimum(tiles.tiles[0], batch),
        *tiles.tiles[1:],
        *fewest_moves(nest, tiles, batch[0]),
        *np.ones((3, 1)),
    )
    counts = count(replace(nest, batch=batch), array, tiling)
    return np.maximum(counts.cycles + counts.ends_bits / rate, counts.memory_bits / rate)


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

    def clocks(self, v: Value, rates: Value) -> Value:
        """Return the clocks at v and rates."""
        traffic, arithmetic, ends = self.costs(v)
        return np.maximum(arithmetic + ends / rates, traffic / rates)

    def at_ends(self, above: Value, most: Value) -> Floats:
        """Return T, A and L at both ends of ranges, ``(6, ranges)``."""
        return np.stack([*self.costs(above), *self.costs(most)])


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
    own = np.stack([lines.above, lines.most, *lines.at_ends(lines.above, lines.most)])
    # Lines with a wide range and low costs dominate many others: they come first.
    images = np.where(np.isinf(lines.images), 0.0, lines.images)
    order = np.lexsort((own[5], own[6], -lines.most, images))
    undominated: list[int] = []
    for alike in np.split(order, np.flatnonzero(np.diff(images[order])) + 1):
        queue, ranges = alike, own[:, alike]
        while queue.size:
            line, (above, most, *costs) = at(lines, queue[0]), ranges
            differences = costs - line.at_ends(above, most)
            dominated = (
                (differences >= 0.0).all(axis=0) & (above >= line.above) & (most <= line.most)
            )
            equal = dominated & (above == line.above) & (most == line.most)
            equal &= (differences == 0.0).all(axis=0)
            undominated.append(int(queue[equal].min()))
            queue, ranges = queue[~dominated], ranges[:, ~dominated]
    return np.sort(np.array(undominated))


def _fastest_line(lines: _CostLines, batches: Floats, rates: Floats) -> Places:
    """Return the line with the fewest clocks at each batch and rate, the first of equal ones."""
    upright = _CostLines(*(values[:, None] for values in lines))
    is_fastest = _are_fastest(upright, batches, rates, lambda costs: costs.min(axis=0))
    return is_fastest.argmax(axis=0)


def _are_fastest(
    lines: _CostLines, batches: Floats, rates: Floats, least: Callable[[Floats], Floats]
) -> npt.NDArray[np.bool_]:
    """Return which lines have the fewest clocks; ties go to the least T, then A, then L.

    Parameters
    ----------
    lines, batches, rates
        Arrays that broadcast.
    least
        Costs -> the least among those that compete with each.
    """
    holds_batch = np.isinf(lines.images)
    v = np.where(holds_batch, batches, np.ceil(batches / lines.images - 1e-9))
    eligible = (v > lines.above) & (v <= lines.most)
    eligible &= holds_batch | (batches > lines.images)
    traffic, arithmetic, ends = lines.costs(v)
    for cost in (lines.clocks(v, rates), traffic, arithmetic, ends):
        eligible &= cost == least(np.where(eligible, cost, np.inf))
    return eligible


def _tiling_at(tiling: Tilings, resident: BufferResidency, batches: Floats) -> Floats:
    """Return the fields of `BitFusionTiling` for a tiling per batch, ``(11, batches)``."""
    v = tiling.variable(batches)
    moves = resident.moves * np.where(resident.moves_vary, v, 1.0)
    together = resident.resident * np.where(resident.resident_varies, v, 1.0)
    images = np.minimum(tiling.tiles[:1], batches)
    return np.concatenate([images, tiling.tiles[1:], moves, together])
