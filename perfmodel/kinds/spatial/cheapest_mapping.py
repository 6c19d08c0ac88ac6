"""Cheapest mapping of each layer on a row-stationary array: branch and bound over a fixed set.

The candidates (`candidates`) are integers, also for fractional layers. The set is independent of
the buffer's capacity, and that of a larger array contains that of a smaller one. Only the number of
filters in the buffer follows from its capacity, and more of them never cost more. Hence neither a
larger buffer nor, at the same costs, a larger array ever increases the cost.

Layers that share their candidates, such as the batches of a sweep, are searched together: bounds
for blocks of them (`candidate_costs`) discard most candidates, bounds for each layer nearly all,
and the rest are priced exactly. `best_mapping` calls `cheapest` once for each distinct layer.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import expanded_ranges
from perfmodel.kinds.distinct_columns import Floats, Places, at, distinct
from perfmodel.kinds.spatial.candidate_costs import (
    CandidateCosts,
    ImagesPerPass,
    candidate_costs,
    images_per_pass,
    is_product,
    prices,
    shares_groups,
    split_columns,
    tie_broken_cost,
)
from perfmodel.kinds.spatial.candidates import (
    Candidates,
    candidates_of,
    filters_that_fit,
    strip_heights,
)
from perfmodel.kinds.spatial.counts import buffer_demand, count, folds, sets_that_fit
from perfmodel.kinds.spatial.repeated_search import (
    CAPACITY_PLACE,
    GROUPS_PLACE,
    IMAGES_PLACE,
    MARGIN,
    MOST_BLOCKS,
    ROW_PLACES,
    cheapest_again,
)
from perfmodel.kinds.spatial.shapes import GroupedConvolution, PeArray, RowMapping, ceil_div

#: Pieces of the output columns.
_BLOCKS = (1.0, 2.0, 4.0, 8.0, MOST_BLOCKS)
#: Layers, besides others of as many images, whose candidates are enumerated at once: few enough
#: for the nearest caches.
_LAYERS = 16
#: Layers of all batches treated together, at least those that share their candidates.
_COLUMNS = 1 << 15
#: Layers x numbers of images whose candidates are bounded together, at first and then.
_WIDE_BLOCK, _BLOCK = 1024, 64
#: Blocks x candidates compared at once.
_PAIRS = 100_000
#: Layers that are compared with those of earlier searches.
_FEW_LAYERS = 64


def cheapest_mappings(columns: Floats, option: int) -> Floats:
    """Return the results of `cheapest`; of few layers from what earlier searches listed.

    Parameters
    ----------
    columns
        As in `cheapest`.
    option
        0 or 1 for `replicate`; 2 more where the same layers are searched with other batches.
    """
    few = 0 < columns.shape[1] <= _FEW_LAYERS and option > 1
    mappings = cheapest_again(columns, option % 2) if few else None
    return cheapest(columns, option % 2) if mappings is None else mappings


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
    alike = _sharing_candidates(columns, replicate)
    # Layers that share their candidates are adjacent, in ascending order of the capacity.
    order = np.lexsort((columns[CAPACITY_PLACE], alike))
    sizes = np.bincount(alike)
    part = np.arange(len(sizes)) // _LAYERS + np.cumsum(sizes) // _COLUMNS
    mappings = np.empty((9, columns.shape[1]))
    for places in np.split(order, np.flatnonzero(np.diff(part[alike[order]])) + 1):
        mappings[:, places] = _cheapest(columns[:, places], alike[places], replicate)
    return mappings


def _sharing_candidates(columns: Floats, replicate: int) -> Places:
    """Return a number for each layer, the same for those that share their candidates."""
    layer, array, _ = split_columns(columns)
    shared = columns.copy()
    shared[[IMAGES_PLACE, CAPACITY_PLACE]] = 0.0
    shared[GROUPS_PLACE, shares_groups(layer, array, replicate)] = 0.0
    shared[ROW_PLACES] *= ~is_product(layer)
    return distinct(shared)[1]


def _cheapest(columns: Floats, alike: Places, replicate: int) -> Floats:
    """Return the mappings of few layers; `alike` numbers those that share their candidates.

    Columns are split into blocks, each with a halo, where not even one row of sums of one filter
    fits with its inputs. The gain of b blocks is limited to the words of that one row, and b times
    as many words hold the same mapping without blocks, so that a larger buffer never costs more.
    """
    layer, array, costs = split_columns(columns)
    least = RowMapping(*np.ones((8, columns.shape[1])))
    demand = buffer_demand(layer, least)
    blocks = np.maximum(ceil_div(demand, 0.5 * array.buffer_words), 1.0)
    blocks = np.where(demand > array.buffer_words, blocks, 1.0)
    blocks = np.minimum(blocks, layer.out_columns)
    best_mapping = np.stack([*least, blocks])
    best = tie_broken_cost(count(layer, least, array, blocks=blocks), costs)
    for cut in _BLOCKS:
        applicable = demand <= array.buffer_words
        words = array.buffer_words
        if cut > 1:
            applicable = (cut <= layer.out_columns) & (words < cut * demand)
            words = np.minimum(words, demand)
        which = np.flatnonzero(applicable)
        if not len(which):
            continue
        tried = columns[:, which]
        tried[CAPACITY_PLACE] = words[which]
        place, price, mapping = _cheapest_candidates(tried, alike[which], cut, replicate)
        better = price < best[which[place]]
        column = which[place[better]]
        best[column] = price[better]
        best_mapping[:-1, column], best_mapping[-1, column] = mapping[:, better], cut
    return best_mapping


def _cheapest_candidates(
    columns: Floats, alike: Places, cut: float, replicate: int
) -> tuple[Places, Floats, Floats]:
    """Return the layers that have candidates, and the cost and the mapping of the cheapest.

    Parameters
    ----------
    columns
        As in `cheapest`.
    alike
        Ascending numbers of the layers that share their candidates.
    cut
        Blocks of the output columns.
    """
    # The largest capacity of those that share candidates is last, and holds the candidates of all.
    last = np.append(np.flatnonzero(np.diff(alike)), len(alike) - 1)
    alike = np.searchsorted(alike[last], alike)
    layer, array, _ = split_columns(columns)
    part = layer._replace(out_columns=layer.out_columns / cut, in_columns=layer.in_columns / cut)
    heights, is_tried = _heights_tried(layer, array, alike)
    tried = candidates_of(at(part, last), at(array, last), heights, replicate=bool(replicate))
    parts = candidate_costs(columns[:, last[tried.layer]], tried.mapping, cut, replicate)
    wide, passes = (
        images_per_pass(layer, array.buffer_words, alike, size) for size in (_WIDE_BLOCK, _BLOCK)
    )
    parted = np.searchsorted(passes.starts, np.append(wide.starts, len(passes.layer)))
    begin = np.searchsorted(tried.layer, np.arange(len(last) + 1))
    group = alike[wide.layer[wide.starts]]
    first, sizes = begin[group], np.diff(begin)[group]
    results: list[Floats] = [np.empty((5, 0))]
    for blocks in _chunks(sizes):
        block, which = expanded_ranges(blocks, first[blocks], sizes[blocks])
        near = _near_in_blocks(layer, wide, parts, is_tried, tried.height, block, which)
        which, block = expanded_ranges(
            which[near], parted[block[near]], np.diff(parted)[block[near]]
        )
        order = np.argsort(block, kind="stable")
        block, which = block[order], which[order]
        near = _near_in_blocks(layer, passes, parts, is_tried, tried.height, block, which)
        block, which = block[near], which[near]
        for pairs in _chunks(passes.sizes[block]):
            pair, place = expanded_ranges(
                pairs, passes.starts[block[pairs]], passes.sizes[block[pairs]]
            )
            eligible = is_tried[passes.layer[place], tried.height[which[pair]]]
            pair, place = pair[eligible], place[eligible]
            near = _near_cheapest(layer, array, passes, at(parts, which[pair]), place)
            results.append(_priced(columns, passes, tried, place[near], which[pair[near]], cut))
    owner, price, rank, which, images = np.concatenate(results, axis=1)
    order = np.lexsort((rank, price, owner))
    order = order[np.flatnonzero(np.diff(owner[order], prepend=-1.0))]
    owner, which = owner[order].astype(np.intp), which[order].astype(np.intp)
    mapping = at(tried.mapping, which)._replace(images=images[order])
    mapping = mapping._replace(filters=filters_that_fit(at(part, owner), mapping, at(array, owner)))
    return owner, price[order], np.stack(mapping)


def _heights_tried(
    layer: GroupedConvolution, array: PeArray, alike: Places
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the heights of strips of layers that share candidates, and which each layer tries.

    Returns
    -------
    heights
        Ascending heights that fit the array, ``(shared, heights)``; 0 for none.
    is_tried
        ``(layers, heights)``
    """
    first, which = distinct(np.stack([alike.astype(float), layer.out_rows]))
    heights = strip_heights(layer.out_rows[first])
    kernel_rows = folds(layer, array).kernel_rows[first, None]
    own = PeArray(*(values[first, None] for values in array))
    heights[sets_that_fit(np.maximum(heights, 1.0), kernel_rows, own) < 1.0] = 0.0
    most = heights.max() + 1.0
    codes, code = np.unique(alike[first, None] * most + heights, return_inverse=True)
    shared = (codes // most).astype(np.intp)
    begin = np.flatnonzero(np.diff(shared, prepend=-1))
    _, index = expanded_ranges(begin, np.zeros_like(begin), np.diff(begin, append=len(shared)))
    by_shared = np.zeros((shared[-1] + 1, index.max() + 1))
    by_shared[shared, index] = codes % most
    is_tried = np.zeros((len(first), by_shared.shape[1]), dtype=bool)
    np.put_along_axis(is_tried, index[code.reshape(heights.shape)], True, axis=1)
    return by_shared, is_tried[which]


def _near_in_blocks(
    layer: GroupedConvolution,
    passes: ImagesPerPass,
    parts: CandidateCosts,
    is_tried: npt.NDArray[np.bool_],
    height: Places,
    block: Places,
    which: Places,
) -> Places:
    """Return the pairs of a candidate and a block in which the candidate may be the cheapest.

    Parameters
    ----------
    parts, height
        Parts of each candidate's cost, and its height.
    is_tried
        Whether each layer tries each height of a strip, ``(layers, heights)``.
    block, which
        Block and candidate of each pair, by block.
    """
    if not len(block):
        return block
    parts, height = at(parts, which), height[which]
    by_all = np.logical_and.reduceat(is_tried[passes.layer], passes.starts, axis=0)
    per_row, per_group = (
        1.0 / np.minimum.reduceat(values[passes.layer], passes.starts)
        for values in (layer.out_rows, layer.groups)
    )
    lower = parts.bound(passes.capacity[1, block], passes.loads[0, block])
    upper = parts.bound(
        passes.capacity[0, block], passes.loads[1, block], per_row[block], per_group[block]
    )
    upper[~by_all[block, height]] = np.inf
    changes = np.flatnonzero(np.diff(block, prepend=-1))
    least = np.repeat(np.minimum.reduceat(upper, changes), np.diff(changes, append=len(block)))
    return np.flatnonzero((lower <= least * (1.0 + MARGIN)) & np.isfinite(lower))


def _near_cheapest(
    layer: GroupedConvolution,
    array: PeArray,
    passes: ImagesPerPass,
    parts: CandidateCosts,
    place: Places,
) -> Places:
    """Return the pairs of a candidate and a pass whose candidate may be the layer's cheapest."""
    owner, images = passes.layer[place], passes.images[place]
    loads = ceil_div(layer.images[owner], images) / layer.images[owner]
    lower = parts.bound(array.buffer_words[owner] / images, loads)
    upper = lower
    for extent, short in (layer.out_rows, parts.short_rows), (layer.groups, parts.short_groups):
        upper = upper * ceil_div(extent[owner], short + 1.0) * (short + 1.0) / extent[owner]
    least = np.full(len(passes.layer), np.inf)
    np.minimum.at(least, place, upper)
    return np.flatnonzero((lower <= least[place] * (1.0 + MARGIN)) & np.isfinite(lower))


def _priced(
    columns: Floats,
    passes: ImagesPerPass,
    tried: Candidates,
    place: Places,
    which: Places,
    cut: float,
) -> Floats:
    """Return layer, cost, rank, candidate and images per pass of each pair, ``(5, pairs)``."""
    owner, images = passes.layer[place], passes.images[place]
    mapping = at(tried.mapping, which)._replace(images=images)
    price = prices(columns[:, owner], mapping, cut)
    rank = tried.rank[which] + 3 * passes.option[place]
    return np.stack([values.astype(float) for values in (owner, price, rank, which, images)])


def _chunks(sizes: Places) -> list[Places]:
    """Return consecutive places whose sizes add to less than `_PAIRS`."""
    of = (np.cumsum(sizes) // _PAIRS).astype(np.intp)
    return np.split(np.arange(len(sizes)), np.flatnonzero(np.diff(of)) + 1)
