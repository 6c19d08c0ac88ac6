"""The cheapest of a fixed set of mappings of each layer, priced at once.

Mappings are whole numbers, of fractional layers too. The set does not depend on the capacity of the
buffer, and that of a larger array contains that of a smaller one. The filters in the buffer alone
follow from its capacity, and more of them never cost. So neither a larger buffer nor, at the same
costs, a larger array is ever dearer.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value, namespace
from perfmodel.kinds.spatial.counts import RowCounts, buffer_demand, count, folds, sets_that_fit
from perfmodel.kinds.spatial.shapes import (
    AccessCosts,
    GroupedConvolution,
    PeArray,
    RowMapping,
    ceil_div,
)

Floats: TypeAlias = npt.NDArray[np.float64]
Places: TypeAlias = npt.NDArray[np.intp]

#: Output rows of a strip, before strips are made equal, and numbers of strips.
_HEIGHTS = (1, 2, 4, 7, 10, 14, 16, 20, 28, 32, 42, 56, 64, 96, 128, 256, 512)
_STRIPS = (1, 2, 3, 4, 5, 6)
#: Sets that work on other channels, on other filters, and on other groups.
_CHANNEL_SETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)
_SETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256, 512, 1024)
#: Filters interleaved in an element, beside the fewest that need no more passes.
_FILTERS = (8.0, 2.0)
#: Pieces of the output columns.
_BLOCKS = (1.0, 2.0, 4.0, 8.0, 16.0)
#: Layers that are priced at once: few enough for the nearest caches.
_BLOCK = 16
#: Mappings x capacities that are compared at once.
_PAIRS = 200_000
_CAPACITY = len(GroupedConvolution._fields) + PeArray._fields.index("buffer_words")


def movement_cost(counts: RowCounts, costs: AccessCosts) -> Value:
    """Return the energy that a mapping can change: words to each level, and clocks."""
    return (
        counts.cycles * costs.clock
        + counts.array_words * costs.array
        + (counts.buffer_input + counts.buffer_sum) * costs.buffer
        + (counts.dram_input + counts.dram_filter + counts.dram_output) * costs.dram
    )


def interleaved(layer: GroupedConvolution, array: PeArray) -> tuple[Value, Value]:
    """Return the most channels q, then filters p, that the scratchpads of an element hold."""
    xp = namespace(*layer, *array)
    taps = folds(layer, array).kernel_columns
    most = xp.minimum(
        xp.floor(array.input_words / taps + 1e-9), xp.floor(array.filter_words / taps + 1e-9)
    )
    channels = xp.maximum(xp.minimum(most, layer.channels), 1.0)
    # Pieces of the same size: 17 channels of at most 12 are 9 and 8.
    channels = ceil_div(layer.channels, ceil_div(layer.channels, channels))
    fit = xp.floor(array.filter_words / (channels * taps) + 1e-9)
    filters = xp.minimum(xp.minimum(fit, array.sum_words), layer.filters)
    return channels, xp.maximum(filters, 1.0)


def filters_that_fit(layer: GroupedConvolution, mapping: RowMapping, array: PeArray) -> Value:
    """Return the most filters m, in whole passes, whose sums fit beside the inputs; 0 where none.

    The groups are then made equal: 96 filters of which 40 fit are three groups of 32.
    """
    xp = namespace(*layer, *mapping, *array)
    inputs = buffer_demand(layer, mapping._replace(filters=0.0))
    each = mapping.group_sets * mapping.images * mapping.rows * layer.out_columns
    once = mapping.set_filters * mapping.filter_sets
    fit = xp.floor((array.buffer_words - inputs) / (each * once) + 1e-9)
    passes = ceil_div(layer.filters, once)
    fit = xp.clip(fit, 0.0, passes)
    return once * ceil_div(passes, ceil_div(passes, xp.maximum(fit, 1.0))) * (fit >= 1.0)


def cheapest(columns: Floats, *, replicate: bool) -> Floats:
    """Return the mapping of each layer and its blocks.

    Parameters
    ----------
    columns
        Fields of `GroupedConvolution`, `PeArray` and `AccessCosts`, ``(27, layers)``.
    replicate
        Whether sets may work on other groups side by side.

    Returns
    -------
    ndarray
        Fields of `RowMapping`, then the blocks that the output columns are cut into, ``(9,
        layers)``.
    """
    if not columns.shape[1]:
        return np.empty((9, 0))
    # Layers that differ in the capacity alone are side by side, and priced once.
    order = np.lexsort((columns[_CAPACITY], *np.delete(columns, _CAPACITY, axis=0)))
    columns = columns[:, order]
    changes = np.delete(columns[:, 1:] != columns[:, :-1], _CAPACITY, axis=0).any(axis=0)
    starts = np.flatnonzero(np.concatenate([[True], changes]))
    found = np.empty((9, columns.shape[1]))
    for first in range(0, len(starts), _BLOCK):
        own = starts[first : first + _BLOCK]
        end = starts[first + _BLOCK] if first + _BLOCK < len(starts) else columns.shape[1]
        part = slice(own[0], end)
        alike = np.zeros(end - own[0], dtype=np.intp)
        alike[own[1:] - own[0]] = 1
        found[:, part] = _cheapest(columns[:, part], np.cumsum(alike), replicate)
    back = np.empty_like(found)
    back[:, order] = found
    return back


def _cheapest(columns: Floats, alike: Places, replicate: bool) -> Floats:
    """Return what `cheapest` does, of few layers; `alike` numbers those that differ in capacity.

    Columns are cut into blocks, each with a halo, where not even one row of sums of one filter
    fits beside its inputs. What b blocks gain is confined to the words of that one row; b times as
    many hold the same mapping uncut. So a buffer above that row never costs either.
    """
    layer, array, costs = _split(columns)
    least = RowMapping(*np.ones((8, columns.shape[1])))
    demand = buffer_demand(layer, least)
    blocks = np.maximum(ceil_div(demand, 0.5 * array.buffer_words), 1.0)
    blocks = np.where(demand > array.buffer_words, blocks, 1.0)
    blocks = np.minimum(blocks, layer.out_columns)
    chosen = np.stack([*least, blocks])
    best = _cost(count(layer, least, array, blocks=blocks), costs)
    for cut in _BLOCKS:
        there = demand <= array.buffer_words
        words = array.buffer_words
        if cut > 1:
            there = (cut <= layer.out_columns) & (words < cut * demand)
            words = np.minimum(words, demand)
        which = np.flatnonzero(there)
        if not len(which):
            continue
        # The largest capacity of each group comes last, and holds what any of them does.
        last = which[np.append(np.flatnonzero(np.diff(alike[which])), len(which) - 1)]
        part, own, _ = _split(columns[:, last])
        part = part._replace(out_columns=part.out_columns / cut, in_columns=part.in_columns / cut)
        whose, found = _candidates(part, own._replace(buffer_words=words[last]), replicate)
        whole, own, each = _split(columns[:, last[whose]])
        part = GroupedConvolution(*(v[whose] for v in part))
        # Filters in one group first; each further group reads the inputs again.
        counts = count(whole, found._replace(filters=whole.filters), own, blocks=cut)
        once = _cost(counts, each)
        again = counts.dram_input * each.dram
        group = np.searchsorted(alike[last], alike[which])
        begin = np.searchsorted(whose, np.arange(len(last)))
        count_of = np.searchsorted(whose, np.arange(len(last)), side="right") - begin
        for some in _chunks(count_of[group]):
            sizes = count_of[group[some]]
            column = np.repeat(which[some], sizes)
            offset = np.arange(len(column)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            at = np.repeat(begin[group[some]], sizes) + offset
            mapping = RowMapping(*(v[at] for v in found))
            here = GroupedConvolution(*(v[at] for v in part))
            held = filters_that_fit(here, mapping, array._replace(buffer_words=words[column]))
            groups = ceil_div(here.filters, np.maximum(held, 1.0))
            price = once[at] + again[at] * (groups - 1.0)
            price = np.where(held > 0.0, price, np.inf)
            before = best.copy()
            np.minimum.at(best, column, price)
            # The first of those that cost the same: written last.
            hit = np.flatnonzero((price <= best[column]) & (price < before[column]))[::-1]
            chosen[:-1, column[hit]] = np.stack(mapping._replace(filters=held))[:, hit]
            chosen[-1, column[hit]] = cut
    return chosen


def _chunks(sizes: Places) -> list[Places]:
    """Return places whose sizes together stay below `_PAIRS`, in order."""
    of = (np.cumsum(sizes) // _PAIRS).astype(np.intp)
    return np.split(np.arange(len(sizes)), np.flatnonzero(np.diff(of)) + 1)


def _split(columns: Floats) -> tuple[GroupedConvolution, PeArray, AccessCosts]:
    a, b = len(GroupedConvolution._fields), len(GroupedConvolution._fields) + len(PeArray._fields)
    return GroupedConvolution(*columns[:a]), PeArray(*columns[a:b]), AccessCosts(*columns[b:])


def _cost(counts: RowCounts, costs: AccessCosts) -> Floats:
    """Return the cost; of equal ones the fewer clocks."""
    return movement_cost(counts, costs) * (1.0 + 1e-9 * counts.cycles / (counts.cycles + 1e9))


def _candidates(
    layer: GroupedConvolution, array: PeArray, replicate: bool
) -> tuple[Places, RowMapping]:
    """Return mappings that fit, flat and in order of their layers, and the layer of each."""
    cut = folds(layer, array)
    rows = _heights(layer.out_rows)
    sets = sets_that_fit(np.maximum(rows, 1.0), cut.kernel_rows[:, None], _column(array))
    most, _ = interleaved(layer, array)
    # Fewer channels, where the filter scratchpad then holds as many filters as there are sums.
    fewer = np.floor(array.filter_words / (cut.kernel_columns * array.sum_words) + 1e-9)
    fewer = np.clip(fewer, 1.0, most)
    fewer = ceil_div(layer.channels, ceil_div(layer.channels, fewer))
    q = np.stack([most, np.where(fewer < most, fewer, 0.0)], axis=1)
    deepest = ceil_div(layer.channels[:, None], np.maximum(q, 1.0))
    shares = _shares(float(np.max(sets)), replicate and float(np.max(layer.groups)) > 1)
    r, t, g = (np.array(v, dtype=float) for v in zip(*shares, strict=True))
    before = [
        np.array([0, *steps])[np.searchsorted(steps, column)]
        for steps, column in zip((_CHANNEL_SETS, _SETS, _SETS), (r, t, g), strict=True)
    ]
    # One that was clipped is there already where the share before it was too.
    new_t_g = (before[1] < layer.filters[:, None]) & (before[2] < layer.groups[:, None])
    new_r = before[0] < deepest[..., None]
    r = np.minimum(r, deepest[..., None])
    t = np.minimum(t, np.ceil(layer.filters)[:, None])
    g = np.minimum(g, np.ceil(layer.groups)[:, None])
    there = (q > 0)[..., None] & new_r & new_t_g[:, None]
    fits = (r * (t * g)[:, None])[:, :, None] <= sets[:, None, :, None]
    fits &= there[:, :, None] & (rows > 0)[:, None, :, None]
    a, b, c, d = np.nonzero(fits)
    base = np.stack([rows[a, c], q[a, b], r[a, b, d], t[a, d], g[a, d]])
    # Inputs of a pass and filters of an element, to those.
    images = np.ceil(layer.images)
    n = np.stack(
        [np.ones_like(images), np.where(images > 4, 4.0, 0.0), np.where(images > 1, images, 0.0)],
        axis=1,
    )[a]
    hold = np.floor(array.filter_words[a] / (base[1] * cut.kernel_columns[a]) + 1e-9)
    hold = np.maximum(np.minimum(np.minimum(hold, array.sum_words[a]), layer.filters[a]), 1.0)
    even = ceil_div(layer.filters[a], base[3] * ceil_div(layer.filters[a], base[3] * hold))
    p = np.stack([even, *(np.where(v < even, v, 0.0) for v in _FILTERS)], axis=1)
    i, j, k = np.nonzero((n > 0)[:, :, None] & (p > 0)[:, None, :])
    whose = a[i]
    e, q, r, t, g = base[:, i]
    found = RowMapping(n[i, j], np.zeros(len(i)), e, p[i, k], q, r, t, g)
    here = _at(layer, whose), PeArray(*(v[whose] for v in array))
    filters = filters_that_fit(here[0], found, here[1])
    keep = np.flatnonzero(filters > 0)
    found = RowMapping(*(v[keep] for v in found._replace(filters=filters)))
    return whose[keep], found


def _heights(out_rows: Floats) -> Floats:
    """Return the heights of strips of each layer, ``(layers, heights)``; 0 where there already."""
    whole = out_rows[:, None]
    strips = np.concatenate(
        [
            ceil_div(whole, np.array(_HEIGHTS, dtype=float)),
            np.broadcast_to(np.array(_STRIPS, dtype=float), (len(out_rows), len(_STRIPS))),
        ],
        axis=1,
    )
    heights = np.sort(ceil_div(whole, strips), axis=1)
    heights[:, 1:][heights[:, 1:] == heights[:, :-1]] = 0.0
    return heights


def _shares(most: float, replicate: bool) -> list[tuple[int, int, int]]:
    groups = [g for g in _SETS if g <= most] if replicate else [1]
    return [
        (r, t, g)
        for g in groups or [1]
        for t in _SETS
        for r in _CHANNEL_SETS
        if r * t * g <= max(most, 1.0)
    ]


def _column(array: PeArray) -> PeArray:
    return PeArray(*(v[:, None] for v in array))


def _at(layer: GroupedConvolution, places: Places) -> Any:
    return GroupedConvolution(*(v[places] for v in layer))
