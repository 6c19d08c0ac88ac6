"""The mapping of a layer, chosen by closed forms among a few candidates.

Given how many inputs a pass takes, how high a strip is and how the sets are shared, the best number
of filters in the buffer is the most that fits (main memory sends the inputs again for every group
of filters), and the elements interleave as much as their scratchpads hold. What is left is a short
list, priced at once along a leading axis by the access costs that the array states.
"""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.kinds.spatial.counts import RowCounts, buffer_demand, count, folds, sets_that_fit
from perfmodel.kinds.spatial.shapes import Layer, PeArray, RowMapping, ceil_div

__all__ = ["AccessCosts", "Chosen", "choose", "filters_that_fit", "interleaved", "movement_cost"]

#: Strips a set is wide: whole blocks stacked on the height, or shares of the width.
_BLOCKS = (4.0, 3.0, 2.0, 1.0, 1.0 / 2, 1.0 / 3, 1.0 / 4, 1.0 / 5, 1.0 / 7, 1.0 / 14)
#: Groups that the filters are cut into, for strips as high as the buffer then holds.
_GROUPS = (1.0, 2.0, 3.0, 4.0, 8.0, 16.0, 64.0)
#: Inputs of a pass.
_IMAGES = (1.0, 4.0, np.inf)
#: Shares of the sets that work on other channels.
_CHANNEL_SETS = (1.0, 2.0, 4.0, np.inf)


class AccessCosts(NamedTuple):
    """Energies of what a mapping can change; only their ratios matter to `choose`.

    Attributes
    ----------
    array, buffer, dram
        Joule of a word to or from each level.
    clock
        Joule of a clock: what its network takes, whatever the elements do.
    """

    array: Value
    buffer: Value
    dram: Value
    clock: Value


class Chosen(NamedTuple):
    """A mapping and what it costs; `blocks` as in `count`."""

    mapping: RowMapping
    counts: RowCounts
    blocks: Value


def movement_cost(counts: RowCounts, costs: AccessCosts) -> Value:
    """Return the energy that a mapping can change: words to each level, and clocks."""
    return (
        counts.cycles * costs.clock
        + counts.array_words * costs.array
        + (counts.buffer_input + counts.buffer_sum) * costs.buffer
        + (counts.dram_input + counts.dram_filter + counts.dram_output) * costs.dram
    )


def interleaved(layer: Layer, array: PeArray) -> tuple[Value, Value]:
    """Return the most channels q, then filters p, that the scratchpads of an element hold."""
    xp = namespace(*layer, *array)
    taps = folds(layer, array).kernel_columns
    most = xp.minimum(xp.floor(array.input_words / taps + 1e-9),
                      xp.floor(array.filter_words / taps + 1e-9))  # fmt: skip
    channels = xp.maximum(xp.minimum(most, layer.channels), 1.0)
    # Pieces of the same size: 17 channels of at most 12 are 9 and 8.
    channels = ceil_div(layer.channels, ceil_div(layer.channels, channels))
    fit = xp.floor(array.filter_words / (channels * taps) + 1e-9)
    filters = xp.minimum(xp.minimum(fit, array.sum_words), layer.filters)
    return channels, xp.maximum(filters, 1.0)


def filters_that_fit(layer: Layer, mapping: RowMapping, array: PeArray) -> Value:
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


def choose(
    layer: Layer, array: PeArray, costs: AccessCosts, *, replicate_groups: bool = True,
    relaxed: bool = False,
) -> Chosen:  # fmt: skip
    """Return the cheapest candidate mapping of each layer and its counts.

    Parameters
    ----------
    layer, array, costs
        Numbers or arrays that broadcast to the layers (and points).
    replicate_groups
        Whether sets may work on other groups side by side (not in the chip).
    relaxed
        Counts of the chosen mapping as in `count`.

    Notes
    -----
    Where not even one row of sums of one filter fits in the buffer, the columns are cut into as
    many blocks as needed, each with a halo.
    """
    xp = namespace(*layer, *array, *costs)
    shape = np.broadcast_shapes(*(np.shape(v) for v in (*layer, *array, *costs)))
    layer = Layer(*(_spread(v, shape, xp) for v in layer))
    least = RowMapping(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    blocks = xp.maximum(ceil_div(buffer_demand(layer, least), 0.5 * array.buffer_words), 1.0)
    blocks = xp.where(buffer_demand(layer, least) > array.buffer_words, blocks, 1.0)
    blocks = xp.minimum(blocks, layer.out_columns)
    piece = layer._replace(
        out_columns=layer.out_columns / blocks,
        in_columns=layer.in_columns / blocks,
    )
    mapping, fits = _candidates(piece, array, replicate_groups, xp)
    counts = count(layer, mapping, array, blocks=blocks)
    price = xp.where(fits, movement_cost(counts, costs), np.inf)
    # The last candidate is what runs where nothing fits; of equal cost, the fewer clocks.
    places = xp.arange(price.shape[0]).reshape((-1,) + (1,) * len(shape))
    price = xp.where(places < price.shape[0] - 1, price, price * 1e6)
    price = price * (1.0 + 1e-9 * counts.cycles / (counts.cycles + 1e9))
    best = xp.argmin(price, axis=0)[None]
    chosen = RowMapping(*(xp.take_along_axis(v, best, axis=0)[0] for v in mapping))
    return Chosen(chosen, count(layer, chosen, array, blocks=blocks, relaxed=relaxed), blocks)


def _candidates(layer: Layer, array: PeArray, replicate: bool, xp: Any) -> tuple[RowMapping, Value]:
    """Return candidates along a leading axis, and which of them fit."""
    cut = folds(layer, array)
    ones = layer.out_rows * 0.0 + 1.0
    tallest = array.width * xp.floor(array.height / cut.kernel_rows + 1e-9) * ones
    narrow = layer.padded_columns
    most, _ = interleaved(layer, array)
    # Fewer channels, where the filter scratchpad then holds as many filters as there are sums.
    fewer = xp.floor(array.filter_words / (cut.kernel_columns * array.sum_words) + 1e-9)
    fewer = xp.clip(fewer, 1.0, most)
    fewer = ceil_div(layer.channels, ceil_div(layer.channels, fewer))
    options = list(product((most, fewer), _IMAGES, _CHANNEL_SETS))
    q = xp.stack([channels * ones for channels, _, _ in options])
    n = xp.stack([xp.minimum(images, layer.images) * ones for _, images, _ in options])
    share = xp.stack([sets * ones for _, _, sets in options])
    p = xp.floor(array.filter_words / (q * cut.kernel_columns) + 1e-9)
    p = xp.maximum(xp.minimum(p, xp.minimum(array.sum_words, layer.filters)), 1.0)
    deepest = ceil_div(layer.channels, q)
    rows = [xp.floor(array.width * b + 1e-9) + 0.0 * q for b in _BLOCKS]
    # Strips as high as the buffer holds for a whole number of filter groups.
    deep = q * xp.minimum(share, deepest)
    fixed = n * deep * xp.maximum(layer.reach_rows - layer.row_stride, 0.0) * narrow
    for groups in _GROUPS:
        m = ceil_div(layer.filters, groups)
        each = n * (m * layer.out_columns + deep * layer.row_stride * narrow)
        rows.append(xp.floor((array.buffer_words - fixed) / each + 1e-9))
    e = xp.stack(rows)
    e = xp.clip(e, 1.0, xp.minimum(tallest, layer.out_rows))
    e = ceil_div(layer.out_rows, ceil_div(layer.out_rows, e))
    sets = xp.maximum(sets_that_fit(e, cut.kernel_rows, array), 1.0)
    r = xp.minimum(xp.minimum(share, sets), deepest)
    left = xp.floor(sets / r + 1e-9)
    # Filters of the buffer, in equal groups, spread over the sets in equal passes.
    taken = n * q * r * (layer.row_stride * (e - 1.0) + layer.reach_rows) * narrow
    each = n * e * layer.out_columns
    fit = xp.clip(xp.floor((array.buffer_words - taken) / each), 1.0, layer.filters)
    t = xp.minimum(left, fit)
    beside = xp.floor(array.buffer_words / (taken + each * t))
    g = xp.clip(xp.minimum(xp.floor(left / t + 1e-9), beside), 1.0, layer.groups)
    g = g if replicate else 1.0 + 0.0 * t
    room = xp.maximum(xp.floor((array.buffer_words / g - taken) / each), 1.0)
    fit = xp.minimum(room, layer.filters)
    fit = ceil_div(layer.filters, ceil_div(layer.filters, fit))
    t = ceil_div(fit, ceil_div(fit, t))
    each = ceil_div(fit, t * ceil_div(fit, p * t))
    each = xp.clip(each, 1.0, xp.maximum(xp.floor(room / t + 1e-9), 1.0))
    whole = (-1, *ones.shape)
    found = RowMapping(*((v + 0.0 * e).reshape(whole) for v in (n, 0.0, e, each, q, r, t, g)))
    filters = filters_that_fit(layer, found, array)
    fits = filters > 0.0
    filters = xp.where(fits, filters, found.set_filters * found.filter_sets)
    # One of each at a time, so that something fits in the smallest buffers.
    last = ones[None]
    found = found._replace(filters=filters)
    return (
        RowMapping(*(xp.concatenate([v, last]) for v in found)),
        xp.concatenate([fits, last > 0.0]),
    )


def _spread(value: Value, shape: tuple[int, ...], xp: Any) -> Value:
    return xp.broadcast_to(xp.asarray(value, dtype=float), shape)
