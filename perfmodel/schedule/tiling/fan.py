"""Costs of every stretch with one end, one grid and one mode at once.

Regions do not depend on where a stretch begins, since every reader of the one map that is live
there comes after it. So what lives, what is cached and what is computed are worked out once, and
the beginning decides only where sums and maxima start. `patches.run_stage` is the same by
definition.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from perfmodel.schedule.tiling.layers import FeatureMapNetwork
from perfmodel.schedule.tiling.patches import (
    Patches,
    Weights,
    kept_bytes,
    live_bytes,
    shared_bytes,
    tile,
    weights_beside,
)
from perfmodel.schedule.tiling.regions import AxisParts, Ints


def has_one_source(network: FeatureMapNetwork) -> bool:
    """Tell whether a network has one input, read first; then each stretch has one source."""
    outside = [t for t, maker in enumerate(network.maker) if maker < 0]
    return len(outside) == 1 and network.first[outside[0]] == 0


class Fan:
    """Stretches that end together, in one grid and mode of several patches.

    Parameters
    ----------
    patches
        The longest of them, from the network's first layer.
    axes
        Its regions along each axis.
    """

    def __init__(
        self,
        network: FeatureMapNetwork,
        patches: Patches,
        axes: Sequence[dict[int, AxisParts]],
        in_place_depthwise: bool,
    ) -> None:
        self.network, self.patches, self.axes = network, patches, axes
        self.depthwise = in_place_depthwise
        self.end, self.out = patches.end, network.layers[patches.end - 1].writes
        again, weights = [0], [0]
        for layer in reversed(network.layers[: self.end]):
            t = layer.writes
            if t in axes[0]:
                computed = math.prod(parts[t].total for parts in axes)
                more = computed - math.prod(network.maps[t].extents)
                again.append(again[-1] + layer.macs * more)
                weights.append(weights[-1] + layer.weight_bytes * patches.count)
            else:
                again.append(again[-1])
                weights.append(weights[-1])
        self.again, self.weights = again[::-1], weights[::-1]
        self.live: list[Ints] = []

    def price(
        self, start: int, inside: bool, outside: bool, weights: Weights = "outside"
    ) -> tuple[int, int, int]:
        """Return bytes off chip, extra multiply-accumulates and weight bytes of a stretch."""
        maps, t = self.network.maps, self.network.entering[start]
        across = 0 if outside else maps[self.out].size_bytes()
        if not inside:
            across += int(tile(maps[t], [parts[t] for parts in self.axes]).sum())
        elif maps[t].external:
            across += maps[t].size_bytes()
        read = self.weights[start] // (self.patches.count if weights == "resident" else 1)
        return across, max(0, self.again[start]), read

    def peak(self, start: int, inside: bool, outside: bool, weights: Weights = "outside") -> int:
        """Return the peak of a stretch."""
        if not self.live:
            self._lay_out()
        network, t, end = self.network, self.network.entering[start], self.end
        last = min(self.last[t], end - 1)
        resident = network.maps[self.out].size_bytes() if outside else 0
        cached = self.cached_since[start]
        if weights == "resident":
            resident += sum(layer.weight_bytes for layer in network.layers[start:end])
        if inside:
            resident += network.maps[t].size_bytes()
        else:
            cached += self.cached[t]
        highest = 0
        first = start
        if inside:  # without the tile of the source, which lies there complete
            first = last + 1
            for i in range(start, min(last + 1, end - 1)):
                live = self.live[i] - self.tiles[t] - self._shared(i, t, -1)
                beside = weights_beside(weights, network.layers[i])
                highest = max(highest, int(np.max(live)) + beside)
        if first < end - 1:
            highest = max(highest, self.highest_since[weights == "streamed"][first])
        gone = t if inside and last == end - 1 else -1
        live = self.live[end - 1] - self._shared(end - 1, gone, self.out if outside else -1)
        if gone >= 0:
            live = live - self.tiles[gone]
        if outside:
            live = live - self.tiles[self.out]
        beside = weights_beside(weights, network.layers[end - 1])
        return resident + cached + max(highest, int(np.max(live)) + beside)

    def _lay_out(self) -> None:
        """Work out what lives while each layer runs."""
        network, end = self.network, self.end
        touched = list(self.axes[0])
        self.last = {t: network.maker[t] for t in touched}
        for i, layer in enumerate(network.layers[:end]):
            for t in layer.reads:
                self.last[t] = i
        self.last[self.out] = end
        regions = {t: [parts[t] for parts in self.axes] for t in touched}
        self.tiles = {t: tile(network.maps[t], regions[t]) for t in touched}
        self.cached = {
            t: kept_bytes(self.patches, network.maps[t], regions[t]) if t != self.out else 0
            for t in touched
        }
        first = {t: max(0, network.maker[t]) for t in touched}
        self.live = live_bytes(range(end), self.patches.grid, self.tiles, first, self.last)
        self.cached_since = [0] * (end + 1)
        # Without weights, and with those of the layer that runs.
        self.highest_since = ([0] * (end + 1), [0] * (end + 1))
        for i in range(end - 1, -1, -1):
            t = network.layers[i].writes
            self.cached_since[i] = self.cached_since[i + 1] + self.cached.get(t, 0)
            if i < end - 1:
                live = int(np.max(self.live[i] - self._shared(i, -1, -1)))
                beside = weights_beside("streamed", network.layers[i])
                for since, more in zip(self.highest_since, (0, beside), strict=True):
                    since[i] = max(since[i + 1], live + more)

    def _shared(self, i: int, resident: int, out: int) -> Ints | int:
        """Bytes saved by writing over an input; nothing over, or of, what lies there complete."""
        layer = self.network.layers[i]
        tiles = {
            t: self.tiles[t]
            for t in (*layer.reads, layer.writes)
            if t in self.tiles and t not in (resident, out)
        }
        return shared_bytes(
            self.patches, layer, i, tiles, self.last, self.axes, depthwise=self.depthwise
        )
