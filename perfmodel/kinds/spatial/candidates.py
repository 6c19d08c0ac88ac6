"""Candidate mappings of layers on a row-stationary array, from a fixed set of integers.

A candidate says how an element interleaves filters and channels (p, q), how sets of elements share
channels, filters and groups (r, t), and how high a strip of output rows is (e); letters as in Chen
et al., JSSC 52(1), 2017. Images per pass (n) and filters in the buffer (m) follow in
`cheapest_mapping`. All layers of a call are enumerated at once, as flat arrays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.kinds.distinct_columns import Floats, Places, at
from perfmodel.kinds.spatial.counts import buffer_demand, folds, sets_that_fit
from perfmodel.kinds.spatial.shapes import GroupedConvolution, PeArray, RowMapping, ceil_div

#: Output rows of a strip, before strips are equalised, and numbers of strips.
_HEIGHTS = (1, 2, 4, 7, 10, 14, 16, 20, 28, 32, 42, 56, 64, 96, 128, 256, 512)
_STRIPS = (1, 2, 3, 4, 5, 6)
#: Sets that process other channels, other filters, and other groups.
_CHANNEL_SETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)
_SETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256, 512, 1024)
#: Filters interleaved in an element, besides the fewest that need no more passes.
_FILTERS = (8.0, 2.0)


class Candidates(NamedTuple):
    """Mappings for one image per pass, in the order of their layers.

    Attributes
    ----------
    layer, height
        Index of the layer of each mapping, and of its height of a strip among those tried.
    mapping
        The mappings, with the most filters that the buffer holds.
    rank
        Order among the candidates of a layer, which decides ties: a multiple of 9 for the sets and
        strips, plus the index of the filters of an element.
    """

    layer: Places
    height: Places
    mapping: RowMapping
    rank: Places


def interleaved_channels(layer: GroupedConvolution, array: PeArray) -> Value:
    """Return the most channels q that the scratchpads of an element hold, in equal pieces.

    17 channels of which at most 12 fit are pieces of 9 and 8.
    """
    xp = namespace(*layer, *array)
    taps = folds(layer, array).kernel_columns
    most = xp.minimum(
        xp.floor(array.input_words / taps + 1e-9), xp.floor(array.filter_words / taps + 1e-9)
    )
    channels = xp.maximum(xp.minimum(most, layer.channels), 1.0)
    return ceil_div(layer.channels, ceil_div(layer.channels, channels))


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


def strip_heights(out_rows: Floats) -> Floats:
    """Return the strip heights tried for numbers of rows, ``(layers, heights)``; 0 for duplicates.

    Strips are equalised: 17 rows in strips of at most 16 are strips of 9 and 8.
    """
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


def candidates_of(
    layer: GroupedConvolution, array: PeArray, heights: Floats, *, replicate: bool
) -> Candidates:
    """Return the mappings that fit each layer.

    Parameters
    ----------
    layer, array
        One entry per layer.
    heights
        Heights of a strip to try, ``(layers, heights)``; 0 for none.
    replicate
        Whether sets may process other groups in parallel.
    """
    taps = folds(layer, array).kernel_columns
    most = interleaved_channels(layer, array)
    # Also fewer channels, if the filter scratchpad then holds as many filters as sums.
    fewer = np.floor(array.filter_words / (taps * array.sum_words) + 1e-9)
    fewer = np.clip(fewer, 1.0, most)
    fewer = ceil_div(layer.channels, ceil_div(layer.channels, fewer))
    channels = np.stack([most, np.where(fewer < most, fewer, 0.0)], axis=1)
    owner, choice, height, sets = _fitting_sets(layer, array, heights, channels, replicate)
    rows, channels = heights[owner, height], channels[owner, choice]
    channel_sets, filter_sets, group_sets = sets
    # Filters of an element: the most that fit, in equal passes, and fewer.
    filters, sum_words = layer.filters[owner], array.sum_words[owner]
    fit = np.floor(array.filter_words[owner] / (channels * taps[owner]) + 1e-9)
    fit = np.maximum(np.minimum(np.minimum(fit, sum_words), filters), 1.0)
    even = ceil_div(filters, filter_sets * ceil_div(filters, filter_sets * fit))
    set_filters = np.stack([even, *(np.where(few < even, few, 0.0) for few in _FILTERS)], axis=1)
    base, choice = np.nonzero(set_filters)
    mapping = RowMapping(
        np.ones(len(base)),
        np.zeros(len(base)),
        rows[base],
        set_filters[base, choice],
        channels[base],
        channel_sets[base],
        filter_sets[base],
        group_sets[base],
    )
    owner = owner[base]
    in_buffer = filters_that_fit(
        at(layer._replace(images=np.ones_like(most)), owner), mapping, at(array, owner)
    )
    fits = np.flatnonzero(in_buffer > 0)
    return Candidates(
        owner[fits],
        height[base[fits]],
        at(mapping._replace(filters=in_buffer), fits),
        (9 * base + choice)[fits],
    )


def _fitting_sets(
    layer: GroupedConvolution,
    array: PeArray,
    heights: Floats,
    channels: Floats,
    replicate: bool,
) -> tuple[Places, Places, Places, Floats]:
    """Return the sets for channels, filters and groups that fit the array beside each other.

    Parameters
    ----------
    channels
        Channels of an element to try, ``(layers, 2)``; 0 for none.

    Returns
    -------
    layer, channels, height
        Index of each combination along these axes.
    sets
        ``(3, combinations)``
    """
    most = sets_that_fit(
        np.maximum(heights, 1.0),
        folds(layer, array).kernel_rows[:, None],
        PeArray(*(values[:, None] for values in array)),
    )
    deepest = ceil_div(layer.channels[:, None], np.maximum(channels, 1.0))
    shares = _shares(float(np.max(most)), replicate and float(np.max(layer.groups)) > 1)
    r, t, g = (np.array(values, dtype=float) for values in zip(*shares, strict=True))
    fewer_r, fewer_t, fewer_g = (
        np.array([0, *steps])[np.searchsorted(steps, values)]
        for steps, values in zip((_CHANNEL_SETS, _SETS, _SETS), (r, t, g), strict=True)
    )
    # A clipped combination is a duplicate if the previous one was clipped too.
    is_new = (fewer_t < layer.filters[:, None]) & (fewer_g < layer.groups[:, None])
    is_new = is_new[:, None] & (fewer_r < deepest[..., None]) & (channels > 0)[..., None]
    r = np.minimum(r, deepest[..., None])
    t = np.minimum(t, np.ceil(layer.filters)[:, None])
    g = np.minimum(g, np.ceil(layer.groups)[:, None])
    fits = (r * (t * g)[:, None])[:, :, None] <= most[:, None, :, None]
    fits &= is_new[:, :, None] & (heights > 0)[:, None, :, None]
    owner, choice, height, share = np.nonzero(fits)
    sets = np.stack([r[owner, choice, share], t[owner, share], g[owner, share]])
    return owner, choice, height, sets


def _shares(most: float, has_groups: bool) -> list[tuple[int, int, int]]:
    """Return sets for channels, filters and groups of which at most so many fit in parallel."""
    groups = [g for g in _SETS if g <= most] if has_groups else [1]
    return [
        (r, t, g)
        for g in groups or [1]
        for t in _SETS
        for r in _CHANNEL_SETS
        if r * t * g <= max(most, 1.0)
    ]
