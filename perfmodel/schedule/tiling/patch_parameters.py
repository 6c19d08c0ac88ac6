"""Parameters and costs of patch-based (depth-first) execution of a stretch of layers.

The output of the last layer is divided into patches; for each, the layers run one after the other
on only the regions that it needs. Regions of neighbouring patches overlap by the extent of the
kernels (the halo). The three treatments of the overlap are those of DeFiNES (Mei et al., HPCA 2023,
arXiv:2212.05344): recompute it for every patch, cache the columns for the next patch of the row and
recompute rows, or cache both (line buffers). MCUNetV2 (Lin et al., NeurIPS 2021, arXiv:2110.15352)
is the first, starting at the image. Regions are clipped at the borders of each map, so that padding
is neither stored nor computed, unless the same code for all patches computes the full receptive
field of each (``clipped=False``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from perfmodel.schedule.tiling.feature_maps import FeatureMapLayer

#: Treatment of the overlap of neighbouring patches.
Mode = Literal["recompute", "horizontal", "cached"]
MODES: tuple[Mode, ...] = ("recompute", "horizontal", "cached")

#: Location of weights: in another memory; in this one, one filter at a time with the next one
#: loading; or in this one, those of all layers of the stretch for all of its patches.
Weights = Literal["outside", "streamed", "resident"]


@dataclass(frozen=True, slots=True)
class Patches:
    """Execution parameters of a stretch of layers.

    Attributes
    ----------
    start, end
        The stretch consists of layers ``start .. end - 1``.
    grid
        Patches along each spatial axis of `FeatureMapNetwork.gridded`: the last layer's output, or
        the input of a final global pooling.
    mode
        Treatment of the overlap; irrelevant for one patch.
    input_on_chip, output_on_chip
        Whether the complete first map is on chip, and whether the complete last one stays on chip;
        otherwise they are read from, or written to, off-chip memory patch by patch.
    clipped
        Whether a patch at a border stores and computes only positions inside the maps.
    weights
        Location of weights; they are read once per patch unless resident.
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

    @property
    def cached_axes(self) -> tuple[bool, ...]:
        """Whether the overlap along each axis is cached from patch to patch."""
        last = len(self.grid) - 1
        cached, row = self.mode == "cached", self.mode == "horizontal"
        return tuple(cached or (row and axis == last) for axis in range(last + 1))

    def weights_beside(self, layer: FeatureMapLayer) -> int:
        """Return the bytes of weights on chip only while a layer runs: two filters."""
        return 2 * -(-layer.weight_bytes // layer.channels) if self.weights == "streamed" else 0


@dataclass(frozen=True, slots=True)
class PatchStageCost:
    """Memory, work and traffic of a stretch of layers.

    Attributes
    ----------
    peak_bytes
        Peak of the bytes on chip: activations, and weights unless they are outside.
    held_bytes
        Peak of the bytes on chip while each layer runs, over all patches.
    macs, least_macs
        Multiply-accumulates, and those of layer-by-layer execution. Patches skip positions without
        readers (beyond the last window of a stride), so that the former may be smaller.
    loaded_bytes, stored_bytes
        Activation bytes read from and written to off-chip memory.
    weight_bytes
        Bytes of weights read.
    kept_bytes
        Part of the peak that is cached between patches (overlaps).
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
        """Multiply-accumulates in addition to those of layer-by-layer execution."""
        return max(0, self.macs - self.least_macs)

    @property
    def map_bytes(self) -> int:
        """Activation bytes across the chip boundary."""
        return self.loaded_bytes + self.stored_bytes
