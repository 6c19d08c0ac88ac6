"""Cheapest of a fixed set of mappings of each layer, all priced at once.

Mappings are integers, also for fractional layers. The set is independent of the buffer's capacity,
and that of a larger array contains that of a smaller one. Only the number of filters in the buffer
follows from its capacity, and more of them never cost more. Hence neither a larger buffer nor, at
the same costs, a larger array ever increases the cost.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.kinds.distinct import Floats, Places
from perfmodel.kinds.spatial.counts import RowCounts, buffer_demand, count, folds, sets_that_fit
from perfmodel.kinds.spatial.shapes import (
    AccessCosts,
    GroupedConvolution,
    PeArray,
    RowMapping,
    ceil_div,
)

T = TypeVar("T", GroupedConvolution, PeArray, RowMapping)

#: Output rows of a strip, before strips are equalised, and numbers of strips.
_HEIGHTS = (1, 2, 4, 7, 10, 14, 16, 20, 28, 32, 42, 56, 64, 96, 128, 256, 512)
_STRIPS = (1, 2, 3, 4, 5, 6)
#: Sets that process other channels, other filters, and other groups.
_CHANNEL_SETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)
_SETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256, 512, 1024)
#: Filters interleaved in an element, besides the fewest that need no more passes.
_FILTERS = (8.0, 2.0)
#: Pieces of the output columns.
_BLOCKS = (1.0, 2.0, 4.0, 8.0, 16.0)
#: Layers priced at once: few enough for the nearest caches.
_BLOCK = 16
#: Mappings x capacities compared at once.
_PAIRS = 200_000
_CAPACITY = len(GroupedConvolution._fields) + PeArray._fields.index("buffer_words")


def movement_cost(counts: RowCounts, costs: AccessCosts) -> Value:
    """Return the energy that depends on the mapping: words to each level, and clocks."""
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
    # Equal pieces: 17 channels of at most 12 are 9 and 8.
    channels = ceil_div(layer.channels, ceil_div(layer.channels, channels))
    fit = xp.floor(array.filter_words / (channels * taps) + 1e-9)
    filters = xp.minimum(xp.minimum(fit, array.sum_words), layer.filters)
    return channels, xp.maximum(filters, 1.0)


def filters_that_fit(layer: GroupedConvolution, mapping: RowMapping, array: PeArray) -> Value:
    """Return the most filters m, in full passes, whose sums fit with the inputs; 0 if none.

    The groups are then equalised: 96 filters of which 40 fit are three groups of 32.
    """
    xp = namespace(*layer, *mapping, *array)
    inputs = buffer_demand(layer, mapping._replace(filters=0.0))
    each = mapping.group_sets * mapping.images * mapping.rows * layer.out_columns
    once = mapping.set_filters * mapping.filter_sets
    fit = xp.floor((array.buffer_words - inputs) / (each * once) + 1e-9)
    passes = ceil_div(layer.filters, once)
    fit = xp.clip(fit, 0.0, passes)
    return once * ceil_div(passes, ceil_div(passes, xp.maximum(fit, 1.0))) * (fit >= 1.0)


def cheapest(columns: Floats, replicate: int) -> Floats:
    """Return the mapping of each layer and its blocks.

    Parameters
    ----------
    columns
        Fields of `GroupedConvolution`, `PeArray` and `AccessCosts`, ``(27, layers)``.
    replicate
        Whether sets may process other groups in parallel.

    Returns
    -------
    ndarray
        Fields of `RowMapping`, then the number of blocks of the output columns, ``(9, layers)``.
    """
    if not columns.shape[1]:
        return np.empty((9, 0))
    # Layers that differ only in the capacity are adjacent, and priced once.
    order = np.lexsort((columns[_CAPACITY], *np.delete(columns, _CAPACITY, axis=0)))
    columns = columns[:, order]
    changes = np.delete(columns[:, 1:] != columns[:, :-1], _CAPACITY, axis=0).any(axis=0)
    starts = np.flatnonzero(np.concatenate([[True], changes]))
    mappings = np.empty((9, columns.shape[1]))
    for first in range(0, len(starts), _BLOCK):
        own = starts[first : first + _BLOCK]
        end = starts[first + _BLOCK] if first + _BLOCK < len(starts) else columns.shape[1]
        part = slice(own[0], end)
        alike = np.zeros(end - own[0], dtype=np.intp)
        alike[own[1:] - own[0]] = 1
        mappings[:, part] = _cheapest(columns[:, part], np.cumsum(alike), replicate)
    back = np.empty_like(mappings)
    back[:, order] = mappings
    return back


def _cheapest(columns: Floats, alike: Places, replicate: int) -> Floats:
    """Return the mappings of few layers; `alike` groups those that differ only in capacity.

    Columns are split into blocks, each with a halo, where not even one row of sums of one filter
    fits with its inputs. The gain of b blocks is limited to the words of that one row, and b times
    as many words hold the same mapping without blocks, so that a larger buffer never costs more.
    """
    layer, array, costs = _split(columns)
    least = RowMapping(*np.ones((8, columns.shape[1])))
    demand = buffer_demand(layer, least)
    blocks = np.maximum(ceil_div(demand, 0.5 * array.buffer_words), 1.0)
    blocks = np.where(demand > array.buffer_words, blocks, 1.0)
    blocks = np.minimum(blocks, layer.out_columns)
    best_mapping = np.stack([*least, blocks])
    best = _cost(count(layer, least, array, blocks=blocks), costs)
    for cut in _BLOCKS:
        applicable = demand <= array.buffer_words
        words = array.buffer_words
        if cut > 1:
            applicable = (cut <= layer.out_columns) & (words < cut * demand)
            words = np.minimum(words, demand)
        which = np.flatnonzero(applicable)
        if not len(which):
            continue
        # The largest capacity of each group is last, and holds the candidates of all others.
        last = which[np.append(np.flatnonzero(np.diff(alike[which])), len(which) - 1)]
        part, own, _ = _split(columns[:, last])
        part = part._replace(out_columns=part.out_columns / cut, in_columns=part.in_columns / cut)
        owner, candidates = _candidates(part, own._replace(buffer_words=words[last]), replicate)
        uncut, own, each = _split(columns[:, last[owner]])
        part = _at(part, owner)
        # First as one group of filters; each further group reads the inputs again.
        counts = count(uncut, candidates._replace(filters=uncut.filters), own, blocks=cut)
        once = _cost(counts, each)
        again = counts.dram_input * each.dram
        group = np.searchsorted(alike[last], alike[which])
        begin = np.searchsorted(owner, np.arange(len(last)))
        count_of = np.searchsorted(owner, np.arange(len(last)), side="right") - begin
        for some in _chunks(count_of[group]):
            sizes = count_of[group[some]]
            column = np.repeat(which[some], sizes)
            offset = np.arange(len(column)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            at = np.repeat(begin[group[some]], sizes) + offset
            mapping = _at(candidates, at)
            layer_at = _at(part, at)
            filters = filters_that_fit(
                layer_at, mapping, array._replace(buffer_words=words[column])
            )
            groups = ceil_div(layer_at.filters, np.maximum(filters, 1.0))
            price = once[at] + again[at] * (groups - 1.0)
            price = np.where(filters > 0.0, price, np.inf)
            before = best.copy()
            np.minimum.at(best, column, price)
            # Ties go to the first candidate: written last.
            hit = np.flatnonzero((price <= best[column]) & (price < before[column]))[::-1]
            best_mapping[:-1, column[hit]] = np.stack(mapping._replace(filters=filters))[:, hit]
            best_mapping[-1, column[hit]] = cut
    return best_mapping


def _chunks(sizes: Places) -> list[Places]:
    """Return consecutive places whose sizes add to less than `_PAIRS`."""
    of = (np.cumsum(sizes) // _PAIRS).astype(np.intp)
    return np.split(np.arange(len(sizes)), np.flatnonzero(np.diff(of)) + 1)


def _split(columns: Floats) -> tuple[GroupedConvolution, PeArray, AccessCosts]:
    a, b = len(GroupedConvolution._fields), len(GroupedConvolution._fields) + len(PeArray._fields)
    return GroupedConvolution(*columns[:a]), PeArray(*columns[a:b]), AccessCosts(*columns[b:])


def _cost(counts: RowCounts, costs: AccessCosts) -> Floats:
    """Return the cost; fewer clocks break ties."""
    return movement_cost(counts, costs) * (1.0 + 1e-9 * counts.cycles / (counts.cycles + 1e9))


def _candidates(
    layer: GroupedConvolution, array: PeArray, replicate: int
) -> tuple[Places, RowMapping]:
    """Return mappings that fit, flattened in the order of their layers, and the layer of each."""
    cut = folds(layer, array)
    rows = _heights(layer.out_rows)
    sets = sets_that_fit(
        np.maximum(rows, 1.0), cut.kernel_rows[:, None], _at(array, (slice(None), None))
    )
    most, _ = interleaved(layer, array)
    # Also fewer channels, if the filter scratchpad then holds as many filters as sums.
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
    # A clipped candidate is a duplicate if the previous one was clipped too.
    new_t_g = (before[1] < layer.filters[:, None]) & (before[2] < layer.groups[:, None])
    new_r = before[0] < deepest[..., None]
    r = np.minimum(r, deepest[..., None])
    t = np.minimum(t, np.ceil(layer.filters)[:, None])
    g = np.minimum(g, np.ceil(layer.groups)[:, None])
    valid = (q > 0)[..., None] & new_r & new_t_g[:, None]
    fits = (r * (t * g)[:, None])[:, :, None] <= sets[:, None, :, None]
    fits &= valid[:, :, None] & (rows > 0)[:, None, :, None]
    a, b, c, d = np.nonzero(fits)
    base = np.stack([rows[a, c], q[a, b], r[a, b, d], t[a, d], g[a, d]])
    # Extend them by inputs of a pass and filters of an element.
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
    owner = a[i]
    e, q, r, t, g = base[:, i]
    mappings = RowMapping(n[i, j], np.zeros(len(i)), e, p[i, k], q, r, t, g)
    filters = filters_that_fit(_at(layer, owner), mappings, _at(array, owner))
    keep = np.flatnonzero(filters > 0)
    mappings = _at(mappings._replace(filters=filters), keep)
    return owner[keep], mappings


def _heights(out_rows: Floats) -> Floats:
    """Return the strip heights of each layer, ``(layers, heights)``; 0 for duplicates."""
    extent = out_rows[:, None]
    strips = np.concatenate(
        [
            ceil_div(extent, np.array(_HEIGHTS, dtype=float)),
            np.broadcast_to(np.array(_STRIPS, dtype=float), (len(out_rows), len(_STRIPS))),
        ],
        axis=1,
    )
    heights = np.sort(ceil_div(extent, strips), axis=1)
    heights[:, 1:][heights[:, 1:] == heights[:, :-1]] = 0.0
    return heights


def _shares(most: float, replicate: int) -> list[tuple[int, int, int]]:
    groups = [g for g in _SETS if g <= most] if replicate else [1]
    return [
        (r, t, g)
        for g in groups or [1]
        for t in _SETS
        for r in _CHANNEL_SETS
        if r * t * g <= max(most, 1.0)
    ]


def _at(fields: T, places: Any) -> T:
    """Return the array fields at the given places."""
    return fields._make(values[places] for values in fields)
