"""Patch-based (depth-first) execution of a stretch of layers: peak memory, recomputation, traffic.

The output of the last layer is cut into patches; for each, the layers run one after the other on
just the regions that it needs. Regions of neighbouring patches overlap by the reach of the kernels
(the halo). The three ways to treat the overlap are those of DeFiNES (Mei et al., HPCA 2023,
arXiv:2212.05344): compute it again for every patch, keep the columns for the next patch of the row
and compute rows again, or keep both (line buffers). MCUNetV2 (Lin et al., NeurIPS 2021,
arXiv:2110.15352) is the first, from the image on. Regions are clipped at the borders of each map,
so that what padding fills is neither held nor computed, unless code of one shape for all patches
computes the full receptive field of each (``clipped=False``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from perfmodel.schedule.tiling.layers import FeatureMap, FeatureMapLayer, FeatureMapNetwork
from perfmodel.schedule.tiling.regions import AxisParts, Ints, axis_parts

#: What happens to the overlap of neighbouring patches.
Mode = Literal["recompute", "horizontal", "cached"]
MODES: tuple[Mode, ...] = ("recompute", "horizontal", "cached")

#: Where weights are: in another memory; in this one a filter at a time, the next one loading; or
#: here, those of all layers of the stretch for all of its patches.
Weights = Literal["outside", "streamed", "resident"]


@dataclass(frozen=True, slots=True)
class Patches:
    """How a stretch of layers runs.

    Attributes
    ----------
    start, end
        Layers ``start .. end - 1``.
    grid
        Patches along each spatial axis of `FeatureMapNetwork.gridded`: the last layer's output, or
        what a global pooling at the end reads.
    mode
        What happens to the overlap; without meaning for one patch.
    input_on_chip, output_on_chip
        Whether the first map lies there whole, and whether the last one stays there whole;
        otherwise they are read from, or written to, off-chip memory patch by patch.
    clipped
        Whether a patch at a border holds and computes only what lies inside the maps.
    weights
        Where weights are; read once a patch unless they are resident.
    """

    start: int
    end: int
    grid: tuple[int, ...]
    mode: Mode = "recompute"
    input_on_chip: bool = True
    output_on_chip: bool = True
    clipped: bool = True
    weights: Weights = "outside"

    @property
    def count(self) -> int:
        """Number of patches."""
        return math.prod(self.grid)


@dataclass(frozen=True, slots=True)
class PatchStageCost:
    """What a stretch of layers costs.

    Attributes
    ----------
    peak_bytes
        Most bytes on chip at once: activations, and weights unless they lie outside.
    held_bytes
        For each layer, the most that is on chip while it runs on any patch.
    macs, least_macs
        Multiply-accumulates, and those of layer by layer. Patches skip positions that nothing
        reads (beyond the last window of a stride), so the first may be the smaller.
    loaded_bytes, stored_bytes
        Activations read from and written to off-chip memory.
    weight_bytes
        Weights read.
    kept_bytes
        Of the peak, what is kept between patches (overlaps).
    """

    patches: Patches
    peak_bytes: int
    held_bytes: tuple[int, ...]
    macs: int
    least_macs: int
    loaded_bytes: int
    stored_bytes: int
    weight_bytes: int
    kept_bytes: int

    @property
    def extra_macs(self) -> int:
        """Multiply-accumulates beyond those of layer by layer."""
        return max(0, self.macs - self.least_macs)

    @property
    def map_bytes(self) -> int:
        """Activations that cross the boundary of the chip."""
        return self.loaded_bytes + self.stored_bytes


def _all_positions(extent: int) -> AxisParts:
    zero = np.zeros(1, dtype=np.int64)
    return AxisParts(zero, zero, zero + extent)


def _bytes(bits: int, positions: Ints) -> Ints:
    return -(-positions * bits // 8)


def run_stage(
    network: FeatureMapNetwork,
    patches: Patches,
    *,
    in_place_depthwise: bool = False,
    axes: Sequence[dict[int, AxisParts]] | None = None,
) -> PatchStageCost:
    """Count what a stretch of layers needs and does, patch by patch.

    Within a patch the layers run in their order; a map lives until its last reader in the stretch.
    The output map is filled patch by patch, the input map lies there for all of them.

    Parameters
    ----------
    in_place_depthwise
        A depthwise convolution overwrites its input channel by channel, with one channel of output
        as workspace, where nothing else reads the input (TinyEngine).
    axes
        `axis_parts` of each axis, where they are known.

    Raises
    ------
    ValueError
        More patches along an axis than the output is long, no layer, or patches of a stretch in
        which a map on the way leaves the network.
    """
    return _PatchEvaluation(network, patches, in_place_depthwise, axes).stage()


def keeps(patches: Patches) -> tuple[bool, ...]:
    """Tell, for each axis, whether the overlap along it is kept from patch to patch."""
    last = len(patches.grid) - 1
    mode = patches.mode
    return tuple(mode == "cached" or (mode == "horizontal" and a == last) for a in range(last + 1))


def weights_beside(weights: Weights, layer: FeatureMapLayer) -> int:
    """Return the bytes of weights that lie in memory only while a layer runs: two filters."""
    return 2 * -(-layer.weight_bytes // layer.channels) if weights == "streamed" else 0


def tile(shape: FeatureMap, regions: Sequence[AxisParts]) -> Ints:
    """Return the bytes that a map takes in each patch, shape of the grid."""
    count = regions[0].computed
    for parts in regions[1:]:
        count = np.multiply.outer(count, parts.computed)
    return _bytes(shape.bits, count)


def kept_bytes(patches: Patches, shape: FeatureMap, regions: Sequence[AxisParts]) -> int:
    """Return bytes of a map that are kept between patches, as allocated for the whole stretch."""
    positions = 0
    for a, cached in enumerate(keeps(patches)):
        if not cached or patches.grid[a] == 1 or not regions[a].overlap:
            continue
        size = regions[a].overlap
        for b, others in enumerate(regions):
            if b != a:
                size *= others.most if b < a else others.span
        positions += size
    return -(-positions * shape.bits // 8)


def shared_bytes(
    patches: Patches,
    layer: FeatureMapLayer,
    at: int,
    tiles: Mapping[int, Ints],
    last: Mapping[int, int],
    axes: Sequence[dict[int, AxisParts]],
    *,
    depthwise: bool,
) -> Ints | int:
    """Return what a layer saves in each patch by writing its output over an input.

    Parameters
    ----------
    at
        Its place in the network.
    tiles
        Bytes in each patch of what does not lie there whole.
    last
        The last layer that reads each map.
    """
    out = layer.writes
    if out not in tiles:
        return 0
    best: Ints | int = 0
    for i in (*layer.over, *((0,) if depthwise and layer.depthwise else ())):
        t = layer.reads[i]
        if t not in tiles or last[t] != at:
            continue
        if any(k and parts[t].overlap for k, parts in zip(keeps(patches), axes, strict=True)):
            continue  # part of it is kept for later patches
        saved = np.minimum(tiles[t], tiles[out])
        if i not in layer.over:
            saved = np.maximum(0, saved - -(-tiles[out] // layer.channels))
        best = np.maximum(best, saved)
    return best


def live_bytes(
    layers: range,
    grid: tuple[int, ...],
    tiles: Mapping[int, Ints],
    first: Mapping[int, int],
    last: Mapping[int, int],
) -> list[Ints]:
    """Return the bytes that live in each patch while each layer runs, outputs and inputs apart.

    Parameters
    ----------
    layers
        Their numbers.
    tiles
        Bytes of each map in each patch.
    first, last
        The layers at which each map must be there, and after which it may go.
    """
    born: dict[int, list[int]] = {}
    dies: dict[int, list[int]] = {}
    for t in tiles:
        born.setdefault(first[t], []).append(t)
        dies.setdefault(last[t], []).append(t)
    live = np.zeros(grid, dtype=np.int64)
    by_layer: list[Ints] = []
    for i in layers:
        for t in born.get(i, ()):
            live = live + tiles[t]
        by_layer.append(live)
        for t in dies.get(i, ()):
            live = live - tiles[t]
    return by_layer


class _PatchEvaluation:
    def __init__(
        self,
        network: FeatureMapNetwork,
        patches: Patches,
        in_place_depthwise: bool,
        axes: Sequence[dict[int, AxisParts]] | None,
    ) -> None:
        layers, p = network.layers, patches
        if not 0 <= p.start < p.end <= len(layers):
            raise ValueError(f"no layers {p.start} to {p.end} among {len(layers)}")
        self.network, self.patches, self.depthwise = network, p, in_place_depthwise
        self.out = layers[p.end - 1].writes
        extents = network.maps[network.gridded(p.end)].extents
        if len(p.grid) != len(extents) or any(
            not 1 <= g <= n for g, n in zip(p.grid, extents, strict=True)
        ):
            raise ValueError(f"a grid of {p.grid} patches over an output of {extents}")
        if p.count > 1 and network.leaves_inside(p.start, p.end):
            raise ValueError(f"layers {p.start} to {p.end} make a network output on the way")
        self.axes = axes or [
            axis_parts(network, p.start, p.end, a, g, cached=cached, clipped=p.clipped)
            for a, (g, cached) in enumerate(zip(p.grid, keeps(p), strict=True))
        ]
        if p.count == 1:  # layer by layer makes complete maps, whatever of them is read
            self.axes = [
                {t: _all_positions(network.maps[t].extents[a]) for t in parts}
                for a, parts in enumerate(self.axes)
            ]
        touched = self.axes[0]
        # A dictionary for its order.
        self.outputs = dict.fromkeys(t for t in touched if p.start <= network.maker[t] < p.end)
        self.sources = [t for t in touched if t not in self.outputs]
        self.last = {t: network.maker[t] for t in self.outputs}
        for i in range(p.start, p.end):
            for t in layers[i].reads:
                self.last[t] = i
        # What leaves the stretch, or the network, stays to its end.
        staying = [*self.outputs, *(self.sources if p.input_on_chip else ())]
        self.last |= {t: p.end for t in staying if t == self.out or t in network.outputs}

    def tile(self, t: int) -> Ints:
        """Bytes that a map takes in each patch, shape of the grid."""
        return tile(self.network.maps[t], [parts[t] for parts in self.axes])

    def kept_bytes(self, t: int) -> int:
        """Bytes of a map that are kept from patch to patch."""
        return kept_bytes(self.patches, self.network.maps[t], [parts[t] for parts in self.axes])

    def stage(self) -> PatchStageCost:
        network, p = self.network, self.patches
        layers, maps, patched = network.layers, network.maps, p.count > 1
        resident = 0
        if patched and p.input_on_chip:
            resident += sum(maps[t].size_bytes() for t in self.sources)
        if patched and p.output_on_chip:
            resident += maps[self.out].size_bytes()
        streamed = [] if p.input_on_chip and patched else self.sources
        tiles = {t: self.tile(t) for t in (*self.outputs, *streamed)}
        if patched and p.output_on_chip:
            tiles.pop(self.out)
        cached = sum(self.kept_bytes(t) for t in tiles if t != self.out) if patched else 0
        if p.weights == "resident":
            resident += sum(layer.weight_bytes for layer in layers[p.start : p.end])
        first = {t: self._arrives(t) for t in tiles}
        numbers = range(p.start, p.end)
        by_layer: list[int] = []
        macs = least = weights = 0
        by_number = live_bytes(numbers, p.grid, tiles, first, self.last)
        for i, live in zip(numbers, by_number, strict=True):
            layer = layers[i]
            shared = shared_bytes(
                p, layer, i, tiles, self.last, self.axes, depthwise=self.depthwise
            )
            beside = weights_beside(p.weights, layer)
            by_layer.append(resident + cached + beside + int(np.max(live - shared)))
            if layer.writes in self.axes[0]:
                computed = math.prod(parts[layer.writes].total for parts in self.axes)
                macs += layer.macs * computed
                least += layer.macs * math.prod(maps[layer.writes].extents)
                weights += layer.weight_bytes * (1 if p.weights == "resident" else p.count)
        loaded = 0
        for t in self.sources:
            if maps[t].external or not p.input_on_chip:
                once = p.input_on_chip or not patched
                loaded += maps[t].size_bytes() if once else int(self.tile(t).sum())
        return PatchStageCost(
            patches=p,
            peak_bytes=max(by_layer),
            held_bytes=tuple(by_layer),
            macs=macs,
            least_macs=least,
            loaded_bytes=loaded,
            stored_bytes=0 if p.output_on_chip else maps[self.out].size_bytes(),
            weight_bytes=weights,
            kept_bytes=cached,
        )

    def _arrives(self, t: int) -> int:
        """First layer at which a map must be there: the first for one that is on chip before."""
        if t in self.outputs:
            return self.network.maker[t]
        if self.network.maps[t].external or not self.patches.input_on_chip:
            return max(self.network.first[t], self.patches.start)
        return self.patches.start
