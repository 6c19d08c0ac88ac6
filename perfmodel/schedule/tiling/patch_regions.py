"""Regions of each map along one axis that a part of the output needs and computes.

Receptive fields, backwards from the output: to compute positions ``[a, b)``, a layer needs its
input at ``[a * stride - before, (b - 1) * stride - before + dilation * (kernel - 1) + 1)`` (Araujo,
Norris and Sim, "Computing receptive fields of convolutional neural networks", Distill 2019). Axes
are independent, so that a patch is the product of its intervals.
`patch_evaluation` derives memory and work from the regions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from perfmodel.schedule.tiling.feature_maps import FeatureMapNetwork

Ints = NDArray[np.int64]

#: Bound of an empty interval.
_FAR = np.int64(2**62)


@dataclass(frozen=True)
class AxisParts:
    """Regions of one map along one axis, one for each part of the output.

    Attributes
    ----------
    low, high
        Interval that the part needs, shape ``(parts,)``.
    fresh
        Start of the positions that the part computes itself; earlier ones come from earlier parts.
    """

    low: Ints
    fresh: Ints
    high: Ints

    @staticmethod
    @cache
    def complete(extent: int) -> AxisParts:
        """Return the single part that covers a full map."""
        zero = np.zeros(1, dtype=np.int64)
        return AxisParts(zero, zero, zero + extent)

    @cached_property
    def computed(self) -> Ints:
        """Number of positions that each part computes or loads."""
        return self.high - self.fresh

    @cached_property
    def overlap(self) -> int:
        """Maximum number of positions that a part reuses from earlier ones."""
        return int(np.max(self.fresh - self.low, initial=0))

    @cached_property
    def span(self) -> int:
        """Number of positions from the first to the last that any part needs."""
        return int(self.high.max() - self.low.min())

    @cached_property
    def most(self) -> int:
        """Maximum number of positions that a part computes or loads."""
        return int(self.computed.max())

    @cached_property
    def total(self) -> int:
        """Total number of positions that all parts compute or load."""
        return int(self.computed.sum())


def axis_parts(
    network: FeatureMapNetwork,
    start: int,
    end: int,
    axis: int,
    parts: int,
    *,
    cached: bool,
    clipped: bool = True,
) -> dict[int, AxisParts]:
    """Return, for each map that layers ``start .. end - 1`` touch, its regions along an axis.

    Parameters
    ----------
    parts
        Number of near-equal parts of the last layer's output.
    cached
        Whether positions computed by an earlier part are still available.
    clipped
        Whether regions end at the borders of the maps.
    """
    layers, maps = network.layers, network.maps
    # Union of what the readers of each map need, so far.
    low: dict[int, Ints] = {}
    high: dict[int, Ints] = {}
    out, divided = layers[end - 1].writes, network.gridded(end)
    edges = np.arange(parts + 1, dtype=np.int64) * maps[divided].extents[axis] // parts
    low[divided], high[divided] = edges[:-1], edges[1:]
    result: dict[int, AxisParts] = {}
    if divided != out:  # every patch adds to the single output position
        zero = np.zeros(parts, dtype=np.int64)
        result[out] = AxisParts(zero, zero, zero + 1)

    def close(t: int) -> AxisParts:
        """Convert the union of the readers' needs of a map into its regions."""
        first, last = low[t], high[t]
        before = np.concatenate((first[:1], np.maximum.accumulate(last)[:-1]))
        empty = last <= first
        first, last = np.where(empty, before, first), np.where(empty, before, last)
        fresh = np.minimum(np.maximum(first, before), last) if cached else first
        result[t] = AxisParts(first, fresh, last)
        return result[t]

    sources = [divided] if not start <= network.maker[divided] < end else []
    for i in range(end - 1, start - 1, -1):
        layer = layers[i]
        if layer.writes not in low or layer.writes in result:  # without readers in the stretch
            continue
        own = close(layer.writes)
        for t, windows in zip(layer.reads, layer.windows, strict=True):
            window, extent = windows[axis], maps[t].extents[axis]
            is_computed = own.high > own.fresh
            if window.every:
                first, last = np.zeros_like(own.low), np.full_like(own.low, extent)
            else:
                first = own.fresh * window.stride - window.before
                reach = window.dilation * (window.kernel - 1) + 1
                last = (own.high - 1) * window.stride - window.before + reach
                if clipped:
                    first, last = np.maximum(0, first), np.minimum(extent, last)
            first, last = np.where(is_computed, first, _FAR), np.where(is_computed, last, -_FAR)
            if t in low:
                low[t], high[t] = np.minimum(low[t], first), np.maximum(high[t], last)
            else:
                low[t], high[t] = first, last
            if not start <= network.maker[t] < i and t not in sources:
                sources.append(t)
    for t in sources:
        close(t)
    return result
