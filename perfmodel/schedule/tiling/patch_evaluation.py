"""Peak memory, recomputation and traffic of stretches of layers that run in patches.

Called by `patch_plan_search` with the regions of each map (`patch_regions`):

* memory while layer l runs on patch p, in bytes: complete input and output maps on chip, plus the
  regions of p that are live at l, plus cached overlaps; the peak is the maximum over l and p;
* work: ``sum over layers of macs per position * computed positions``, where the halo counts again
  for each patch that recomputes it;
* traffic: off-chip maps in bytes, and weights once per patch unless they are resident.

Within a patch the layers run in their order; a map is live until its last reader in the stretch.
The output map is filled patch by patch, and an on-chip input map is resident for all patches.

Regions do not depend on the start of a stretch, since every reader of the single map that is live
there comes after it. Hence live ranges, cached overlaps and computed regions are evaluated once for
all stretches with the same end, and the start only determines where sums and maxima begin.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import accumulate

import numpy as np

from perfmodel.schedule.tiling.feature_maps import FeatureMapNetwork
from perfmodel.schedule.tiling.patch_parameters import Patches, PatchStageCost
from perfmodel.schedule.tiling.patch_regions import AxisParts, Ints, axis_parts


def run_stage(
    network: FeatureMapNetwork, patches: Patches, *, in_place_depthwise: bool = False
) -> PatchStageCost:
    """Evaluate memory, work and traffic of a stretch of layers, patch by patch.

    Parameters
    ----------
    in_place_depthwise
        Let a depthwise convolution overwrite its input channel by channel, with one channel of
        output as workspace, if its input has no other reader (TinyEngine).

    Raises
    ------
    ValueError
        More patches along an axis than output positions, no layer, or patches of a stretch in which
        an intermediate map is a network output.
    """
    p, count = patches, len(network.layers)
    if not 0 <= p.start < p.end <= count:
        raise ValueError(f"no layers {p.start} to {p.end} among {count}")
    extents = network.maps[network.gridded(p.end)].extents
    if len(p.grid) != len(extents) or any(
        not 1 <= g <= n for g, n in zip(p.grid, extents, strict=True)
    ):
        raise ValueError(f"a grid of {p.grid} patches over an output of {extents}")
    if p.count > 1 and network.leaves_inside(p.start, p.end):
        raise ValueError(f"layers {p.start} to {p.end} make a network output on the way")
    return PatchEvaluation(network, p, _axes(network, p), in_place_depthwise).stage(p)


def layer_shares(network: FeatureMapNetwork, patches: Patches) -> list[float]:
    """Return the positions that all patches compute, over those of its map, for each layer."""
    stage = PatchEvaluation(network, patches, _axes(network, patches), False)
    return [
        math.prod(parts[t].total for parts in stage.axes) / math.prod(network.maps[t].extents)
        if t in stage.axes[0]
        else 0.0
        for t in (layer.writes for layer in stage.layers)
    ]


def _axes(network: FeatureMapNetwork, p: Patches) -> list[Mapping[int, AxisParts]]:
    """Return the regions of each map along each axis."""
    return [
        axis_parts(network, p.start, p.end, a, g, cached=cached, clipped=p.clipped)
        for a, (g, cached) in enumerate(zip(p.grid, p.cached_axes, strict=True))
    ]


class PatchEvaluation:
    """Evaluation of all stretches with a common end, in one grid and mode.

    Parameters
    ----------
    longest
        The longest of these stretches; with one patch (layer by layer) the only one.
    axes
        Regions along each axis.
    depthwise
        Whether a depthwise convolution overwrites its input, as in `run_stage`.
    """

    def __init__(
        self,
        network: FeatureMapNetwork,
        longest: Patches,
        axes: Sequence[Mapping[int, AxisParts]],
        depthwise: bool,
    ) -> None:
        self.network, self.longest, self.depthwise = network, longest, depthwise
        self.layers = network.layers[longest.start : longest.end]
        self.out = self.layers[-1].writes
        touched = {t for layer in self.layers for t in (*layer.reads, layer.writes)}
        self.axes = [{t: part for t, part in parts.items() if t in touched} for parts in axes]
        if longest.count == 1:  # layer by layer computes complete maps
            self.axes = [
                {t: AxisParts.complete(network.maps[t].extents[a]) for t in parts}
                for a, parts in enumerate(self.axes)
            ]
        #: Axes along which the overlap of patches is cached.
        self.cached = [a for a, is_cached in enumerate(longest.cached_axes) if is_cached]
        self._tiles: dict[int, Ints] = {}
        macs: list[int] = []
        least: list[int] = []
        weights: list[int] = []
        for layer in self.layers:
            t = layer.writes
            runs = t in self.axes[0]  # layers without readers in the stretch do not run
            computed = math.prod(parts[t].total for parts in self.axes) if runs else 0
            macs.append(layer.macs * computed)
            least.append(layer.macs * math.prod(network.maps[t].extents) * runs)
            weights.append(layer.weight_bytes * runs)
        #: Suffix sums over layers: multiply-accumulates, those of layer by layer, weights per
        #: patch.
        self.macs, self.least_macs, self.weights = map(_to_end, (macs, least, weights))

    def tile(self, t: int) -> Ints:
        """Return the bytes of a map in each patch, with the shape of the grid."""
        if t not in self._tiles:
            count = self.axes[0][t].computed
            for parts in self.axes[1:]:
                count = np.multiply.outer(count, parts[t].computed)
            self._tiles[t] = -(-count * self.network.maps[t].bits // 8)
        return self._tiles[t]

    def price(self, p: Patches) -> tuple[int, int, int]:
        """Return bytes of maps off chip, extra multiply-accumulates and weight bytes.

        Extra work is ``sum_l macs_l * (positions computed by all patches - positions of the map)``.
        """
        at = p.start - self.longest.start
        return (
            sum(self._crossing(p)),
            max(0, self.macs[at] - self.least_macs[at]),
            self._weight_bytes(p),
        )

    def peak(self, p: Patches) -> int:
        """Return the peak of the bytes on chip: the ``peak_bytes`` of `stage`, but faster."""
        network, last = self.network, p.end - 1
        # From this layer on, the bytes do not depend on the start of the stretch.
        first_independent = 1 + max(
            self.last[t] if p.input_on_chip else network.first[t] - 1 for t in self._sources(p)
        )
        first_independent = max(p.start, first_independent)
        layers = (*range(p.start, min(first_independent, last)), last)
        highest = max(self._layer_bytes(i, p) for i in layers)
        if first_independent < last:
            highest = max(highest, self._highest[p.weights == "streamed"][first_independent])
        return highest + self._resident(p) + self._overlap(p)

    def stage(self, p: Patches) -> PatchStageCost:
        """Return the complete cost of a stretch."""
        at, overlap = p.start - self.longest.start, self._overlap(p)
        resident = self._resident(p) + overlap
        by_layer = tuple(resident + self._layer_bytes(i, p) for i in range(p.start, p.end))
        loaded, stored = self._crossing(p)
        return PatchStageCost(
            patches=p,
            peak_bytes=max(by_layer),
            held_bytes=by_layer,
            macs=self.macs[at],
            least_macs=self.least_macs[at],
            loaded_bytes=loaded,
            stored_bytes=stored,
            weight_bytes=self._weight_bytes(p),
            kept_bytes=overlap,
        )

    def _sources(self, p: Patches) -> list[int]:
        """Return the maps that a stretch reads but does not compute."""
        return [t for t in self.network.sources(p.start, p.end) if t in self.axes[0]]

    def _weight_bytes(self, p: Patches) -> int:
        """Return the bytes of weights read: once per patch, unless they are resident."""
        reads = 1 if p.weights == "resident" else p.count
        return self.weights[p.start - self.longest.start] * reads

    def _crossing(self, p: Patches) -> tuple[int, int]:
        """Return the bytes of maps that are loaded and stored."""
        maps, loaded = self.network.maps, 0
        for t in self._sources(p):
            if p.input_on_chip or p.count == 1:
                loaded += maps[t].size_bytes() if maps[t].external or not p.input_on_chip else 0
            else:
                loaded += int(self.tile(t).sum())
        return loaded, 0 if p.output_on_chip else maps[self.out].size_bytes()

    def _resident(self, p: Patches) -> int:
        """Return the bytes on chip during all patches: complete maps, resident weights."""
        maps, size = self.network.maps, 0
        if p.weights == "resident":
            size = sum(layer.weight_bytes for layer in self.network.layers[p.start : p.end])
        if p.count > 1 and p.input_on_chip:
            size += sum(maps[t].size_bytes() for t in self._sources(p))
        return size + (maps[self.out].size_bytes() if p.count > 1 and p.output_on_chip else 0)

    def _overlap(self, p: Patches) -> int:
        """Return the cached overlap in bytes, allocated for the full stretch."""
        size = self._overlap_to_end[p.start - self.longest.start]
        if not p.input_on_chip:
            size += sum(self._overlap_bytes(t) for t in self._sources(p))
        return size

    def _overlap_bytes(self, t: int) -> int:
        """Return the bytes of a map that are cached between patches.

        Rows: overlap of rows times the width of the map; columns: overlap of columns times the
        height of a patch (the line buffers of DeFiNES).
        """
        regions, positions = [parts[t] for parts in self.axes], 0
        for a in self.cached if t != self.out else ():
            size = regions[a].overlap
            for b, others in enumerate(regions):
                if b != a:
                    size *= others.most if b < a else others.span
            positions += size
        return -(-positions * self.network.maps[t].bits // 8)

    @cached_property
    def _overlap_to_end(self) -> list[int]:
        """Suffix sums over layers of the cached bytes of their outputs."""
        written = (layer.writes for layer in self.layers)
        return _to_end(self._overlap_bytes(t) if t in self.axes[0] else 0 for t in written)

    @cached_property
    def last(self) -> dict[int, int]:
        """Last layer for which each map must be kept."""
        network, p = self.network, self.longest
        last = {t: network.maker[t] for t in self.axes[0]}
        for i, layer in enumerate(self.layers, p.start):
            last |= {t: i for t in layer.reads if t in last}
        # Layer by layer, network outputs are kept to the end of the stretch.
        leaving = network.outputs if p.count == 1 else frozenset[int]()
        live_to_end = leaving | {self.out}
        return last | {
            t: p.end for t in last if t in live_to_end and (p.input_on_chip or self._is_computed(t))
        }

    def _is_computed(self, t: int) -> bool:
        """Return whether the stretch computes a map."""
        return self.network.maker[t] >= self.longest.start

    @cached_property
    def first(self) -> dict[int, int]:
        """First layer at which each map must be present."""
        network, p, first = self.network, self.longest, dict[int, int]()
        for t in self.axes[0]:
            waits = network.maps[t].external or not p.input_on_chip or p.count > 1
            arrives = max(network.first[t], p.start) if waits else p.start
            first[t] = network.maker[t] if self._is_computed(t) else arrives
        return first

    @cached_property
    def _live(self) -> list[Ints]:
        """Bytes of the live maps in each patch while each layer runs."""
        born: dict[int, list[int]] = {}
        dies: dict[int, list[int]] = {}
        for t in self.axes[0]:
            born.setdefault(self.first[t], []).append(t)
            dies.setdefault(self.last[t], []).append(t)
        live = np.zeros(self.longest.grid, dtype=np.int64)
        by_layer: list[Ints] = []
        for i in range(self.longest.start, self.longest.end):
            for t in born.get(i, ()):
                live = live + self.tile(t)
            by_layer.append(live)
            for t in dies.get(i, ()):
                live = live - self.tile(t)
        return by_layer

    @cached_property
    def _highest(self) -> tuple[list[int], list[int]]:
        """Suffix maxima of the bytes per layer but the last, without and with streamed weights."""
        inner = range(self.longest.start, self.longest.end - 1)
        live = [int(np.max(self._patch_bytes(i, ()))) for i in inner]
        filters = [2 * -(-x.weight_bytes // x.channels) for x in self.layers[:-1]]
        streamed = [maps + weights for maps, weights in zip(live, filters, strict=True)]
        return _to_end(live, max), _to_end(streamed, max)

    def _layer_bytes(self, i: int, p: Patches) -> int:
        """Return the peak bytes of maps and streamed weights while a layer runs on any patch."""
        absent: list[int] = []
        if p.count > 1:
            # Complete maps count as resident; an off-chip input arrives with its first reader.
            absent = [
                t
                for t in self._sources(p)
                if (p.input_on_chip or i < self.network.first[t])
                and self.first[t] <= i <= self.last[t]
            ]
            absent += [self.out] if p.output_on_chip and i == p.end - 1 else []
        weights = p.weights_beside(self.network.layers[i])
        return int(np.max(self._patch_bytes(i, absent))) + weights

    def _patch_bytes(self, i: int, absent: Sequence[int]) -> Ints:
        """Return the bytes of maps in each patch while a layer runs, without the given ones."""
        live = self._live[i - self.longest.start] - self._shared_bytes(i, absent)
        for t in absent:
            live = live - self.tile(t)
        return live

    def _shared_bytes(self, i: int, absent: Sequence[int]) -> Ints | int:
        """Return the bytes saved in each patch by writing a layer's output over an input."""
        layer = self.network.layers[i]
        out = layer.writes
        if out not in self.axes[0] or out in absent:
            return 0
        shared: Ints | int = 0
        for k in (*layer.over, *((0,) if self.depthwise and layer.depthwise else ())):
            t = layer.reads[k]
            if t not in self.axes[0] or t in absent or self.last[t] != i:
                continue
            if any(self.axes[a][t].overlap for a in self.cached):
                continue  # part of it is cached for later patches
            saved = np.minimum(self.tile(t), self.tile(out))
            if k not in layer.over:
                saved = np.maximum(0, saved - -(-self.tile(out) // layer.channels))
            shared = np.maximum(shared, saved)
        return shared


def _to_end(amounts: Iterable[int], add: Callable[[int, int], int] = operator.add) -> list[int]:
    """Return the suffix sums (or maxima), with a final 0."""
    return [*accumulate(reversed(list(amounts)), add, initial=0)][::-1]
