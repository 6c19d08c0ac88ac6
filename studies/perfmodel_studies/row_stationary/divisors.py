"""The mapping of a layer that moves least to and from main memory, over all divisors: slow, exact.

For layers of which it is known how many channels a pass takes, and as the check on closed forms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from perfmodel.arrays import Value
from perfmodel.kinds.spatial.candidate_costs import movement_cost
from perfmodel.kinds.spatial.candidates import filters_that_fit
from perfmodel.kinds.spatial.counts import buffer_demand, count, folds, sets_that_fit
from perfmodel.kinds.spatial.shapes import AccessCosts, GroupedConvolution, PeArray, RowMapping

__all__ = ["cheapest_of_all", "least_dram"]


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def _heights(rows: int) -> list[int]:
    """Return the lowest strip of each number of strips."""
    return sorted({-(-rows // strips) for strips in range(1, rows + 1)})


def least_dram(layer: GroupedConvolution, array: PeArray, channels: int) -> RowMapping:
    """Return the mapping that moves least to and from main memory, at `channels` a pass.

    Uncompressed words decide, since a mapping is made before its data; then words of the buffer,
    then clocks. Images, filters in the buffer, filters and channels of an element and of sets are
    divisors; strips are of any height.

    Parameters
    ----------
    layer, array
        Plain numbers.
    channels
        Channels of a pass, q x r.

    Raises
    ------
    ValueError
        Nothing fits in the buffer.
    """
    taps = int(folds(layer, array).kernel_columns)
    rows = folds(layer, array).kernel_rows
    candidates: list[tuple[float, ...]] = []
    for e in _heights(int(layer.out_rows)):
        sets = int(sets_that_fit(float(e), rows, array))
        for r in _divisors(channels):
            q = channels // r
            if r > sets or q * taps > array.input_words:
                continue
            for m in _divisors(int(layer.filters)):
                t = max(d for d in _divisors(m) if d * r <= sets)
                most = min(array.sum_words, array.filter_words // (q * taps))
                p = max((d for d in _divisors(m // t) if d <= most), default=0)
                if not p:
                    continue
                candidates += [(n, m, e, p, q, r, t, 1) for n in _divisors(int(layer.images))]
    grid = RowMapping(*np.array(candidates, dtype=float).T.reshape(8, -1))
    fits = buffer_demand(layer, grid) <= array.buffer_words
    if not np.any(fits):
        raise ValueError(f"no strip of {channels} channels a pass fits in the buffer")
    grid = RowMapping(*(np.asarray(v)[fits] for v in grid))
    costs = count(layer, grid, array)
    dram_words = costs.dram_input + costs.dram_filter + costs.dram_output
    order = np.lexsort((costs.cycles, costs.buffer_input + costs.buffer_sum, dram_words))
    return RowMapping(*(float(np.asarray(v)[order[0]]) for v in grid))


def cheapest_of_all(
    layer: GroupedConvolution, array: PeArray, costs: AccessCosts
) -> tuple[RowMapping, Value]:
    """Return the cheapest mapping of one layer of one group and its cost, every one tried.

    Every strip height, number of images, interleaving and split of the sets, each with the most
    filters that fit; a second a layer.
    """
    taps, rows = folds(layer, array).kernel_columns, folds(layer, array).kernel_rows
    deepest = int(min(array.input_words // taps, layer.channels))
    candidates: list[np.ndarray[Any, Any]] = []
    for e in range(1, int(layer.out_rows) + 1):
        sets = int(sets_that_fit(float(e), rows, array))
        for q in range(1, deepest + 1):
            most = int(min(array.filter_words // (q * taps), array.sum_words, layer.filters))
            axes = (
                np.arange(1, most + 1),
                np.arange(1, min(sets, -(-int(layer.channels) // q)) + 1),
                np.arange(1, sets + 1),
                np.arange(1, int(layer.images) + 1),
            )
            p, r, t, n = (axis.reshape(-1) for axis in np.meshgrid(*axes, indexing="ij"))
            there = (r * t <= sets) & ((t - 1) * p < layer.filters)
            one, p, r, t, n = np.ones(there.sum()), p[there], r[there], t[there], n[there]
            candidates.append(np.stack([n, 0 * one, e * one, p, q * one, r, t, one]))
    grid = RowMapping(*np.concatenate(candidates, axis=1))
    filters = filters_that_fit(layer, grid, array)
    grid = RowMapping(*(v[filters > 0] for v in grid._replace(filters=filters)))
    price = movement_cost(count(layer, grid, array), costs)
    best = int(np.argmin(price))
    return RowMapping(*(float(v[best]) for v in grid)), float(price[best])
