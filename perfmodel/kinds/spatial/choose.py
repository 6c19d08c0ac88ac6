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
    layer: Layer, array: PeArray, costs: AccessCosts, *, replicate_groups: bool = True
) -> Chosen:
    """Return the cheapest candidate mapping of each layer and its counts.

    Parameters
    ----------
    layer, array, costs
        Numbers or arrays that broadcast to the layers (and points).
    replicate_groups
        Whether sets may work on other groups side by side (not in the chip).

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
    # Nothing fits: one row, one filter, one channel at a time, whatever the buffer holds.
    places = xp.arange(mapping.rows.shape[0]).reshape((-1,) + (1,) * len(shape))
    last = places == mapping.rows.shape[0] - 1
    price = xp.where(fits | last, movement_cost(counts, costs), np.inf)
    price = xp.where(last & ~fits, xp.asarray(1e300), price)
    # Equal cost: the fewer clocks.
    price = price * (1.0 + 1e-9 * counts.cycles / (counts.cycles + 1e9))
    best = xp.argmin(price, axis=0)[None]
    return Chosen(
        RowMapping(*(_pick(v, best, xp, price.shape) for v in mapping)),
        RowCounts(*(_pick(v, best, xp, price.shape) for v in counts)),
        blocks,
    )


def _candidates(layer: Layer, array: PeArray, replicate: bool, xp: Any) -> tuple[RowMapping, Value]:
    cut = folds(layer, array)
    ones = layer.out_rows * 0.0 + 1.0
    tallest = array.width * xp.floor(array.height / cut.kernel_rows + 1e-9) * ones
    narrow = layer.padded_columns
    most_channels, _ = interleaved(layer, array)
    # Fewer channels, where the filter scratchpad then holds as many filters as there are sums.
    fewer = xp.floor(array.filter_words / (cut.kernel_columns * array.sum_words) + 1e-9)
    fewer = xp.clip(fewer, 1.0, most_channels)
    fewer = ceil_div(layer.channels, ceil_div(layer.channels, fewer))
    found: list[RowMapping] = []
    for q, images, share in product((most_channels, fewer), (1.0, np.inf), _CHANNEL_SETS):
        n = xp.minimum(images, layer.images)
        p = xp.minimum(xp.floor(array.filter_words / (q * cut.kernel_columns) + 1e-9),
                       xp.minimum(array.sum_words, layer.filters))  # fmt: skip
        p = xp.maximum(p, 1.0)
        deep = q * xp.minimum(share, ceil_div(layer.channels, q))
        rows = [xp.floor(array.width * b + 1e-9) * ones for b in _BLOCKS]
        # Strips as high as the buffer holds for a whole number of filter groups.
        fixed = n * deep * xp.maximum(layer.reach_rows - layer.row_stride, 0.0) * narrow
        for groups in _GROUPS:
            m = ceil_div(layer.filters, groups)
            each = n * (m * layer.out_columns + deep * layer.row_stride * narrow)
            rows.append(xp.floor((array.buffer_words - fixed) / each + 1e-9) * ones)
        for high in rows:
            e = xp.clip(high, 1.0, xp.minimum(tallest, layer.out_rows))
            e = ceil_div(layer.out_rows, ceil_div(layer.out_rows, e))
            sets = xp.maximum(sets_that_fit(e, cut.kernel_rows, array), 1.0)
            r = xp.minimum(xp.minimum(share, sets), ceil_div(layer.channels, q))
            left = xp.floor(sets / r + 1e-9)
            t = xp.minimum(left, layer.filters)
            g = xp.minimum(xp.floor(left / t + 1e-9), layer.groups) if replicate else ones
            # Filters of the buffer, in equal groups, spread over the sets in equal passes.
            taken = n * q * r * (layer.row_stride * (e - 1.0) + layer.reach_rows) * narrow
            fit = xp.floor((array.buffer_words / g - taken) / (n * e * layer.out_columns))
            fit = xp.clip(fit, 1.0, layer.filters)
            fit = ceil_div(layer.filters, ceil_div(layer.filters, fit))
            each = ceil_div(fit, t * ceil_div(fit, p * t))
            found.append(RowMapping(n * ones, 0.0 * e, e, each, q * ones, r, t, g))
    # One of each at a time, so that something fits in the smallest buffers.
    found.append(RowMapping(ones, ones, ones, ones, ones, ones, ones, ones))
    stacked = RowMapping(*(xp.stack(list(values)) for values in zip(*found, strict=True)))
    filters = filters_that_fit(layer, stacked, array)
    fits = filters > 0.0
    filters = xp.where(fits, filters, stacked.set_filters * stacked.filter_sets)
    return stacked._replace(filters=filters), fits


def _spread(value: Value, shape: tuple[int, ...], xp: Any) -> Value:
    return xp.broadcast_to(xp.asarray(value, dtype=float), shape)


def _pick(value: Value, best: Value, xp: Any, shape: tuple[int, ...]) -> Value:
    full = xp.broadcast_to(xp.asarray(value, dtype=float), shape)
    return xp.take_along_axis(full, best, axis=0)[0]
