"""A patch plan: stretches of layers with their costs, and the totals that follow.

`patch_plan_search.patch_plan` returns the best plan, and `layer_by_layer` the plan without patches
that it is compared with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from perfmodel.optimise.certified import Certified
from perfmodel.schedule.tiling.feature_maps import FeatureMapNetwork
from perfmodel.schedule.tiling.patch_evaluation import run_stage
from perfmodel.schedule.tiling.patch_parameters import Patches, PatchStageCost, Weights


@dataclass(frozen=True, kw_only=True)
class PatchPlan(Certified[tuple[PatchStageCost, ...]]):
    """Stretches in execution order, as `Certified`.

    The solution consists of stages with their costs; the value is that of the objective: bytes or
    multiply-accumulates. The bound holds for all plans over the given grids and modes; if time ran
    out it is trivial.
    """

    network: FeatureMapNetwork

    @property
    def stages(self) -> tuple[PatchStageCost, ...]:
        """Stretches in execution order."""
        return self.solution or ()

    def worth(self, value: int, *, proved: bool = True) -> PatchPlan:
        """Return the plan with its value by another objective."""
        return replace(self, value=value, bound=value if proved else -math.inf)

    @property
    def peak_bytes(self) -> int:
        """Peak of the activation bytes on chip."""
        return max(s.peak_bytes for s in self.stages)

    @property
    def macs(self) -> int:
        """Multiply-accumulates, including recomputation."""
        return sum(s.macs for s in self.stages)

    @property
    def extra_macs(self) -> int:
        """Multiply-accumulates in addition to those of layer-by-layer execution."""
        return sum(s.extra_macs for s in self.stages)

    @property
    def map_bytes(self) -> int:
        """Activation bytes across the chip boundary: network inputs, and off-chip maps at cuts."""
        return sum(s.map_bytes for s in self.stages)

    @property
    def input_bytes(self) -> int:
        """Bytes of the network inputs, once each: the minimum of `map_bytes`."""
        return sum(m.size_bytes() for m in self.network.maps if m.external)

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights read, once per patch."""
        return sum(s.weight_bytes for s in self.stages)

    @property
    def offchip_bytes(self) -> int:
        """Total bytes across the chip boundary, as for a schedule: maps, outputs, weights."""
        stored = {
            self.network.layers[s.patches.end - 1].writes
            for s in self.stages
            if not s.patches.output_on_chip
        }
        left = sum(self.network.maps[t].size_bytes() for t in self.network.outputs - stored)
        return self.map_bytes + left + self.weight_bytes

    @property
    def compulsory_bytes(self) -> int:
        """Bytes of inputs, outputs and weights, once each: a lower bound for any schedule."""
        maps = self.network.maps
        outputs = sum(maps[t].size_bytes() for t in self.network.outputs)
        return self.input_bytes + outputs + layer_by_layer(self.network).weight_bytes

    @property
    def held_bytes(self) -> tuple[int, ...]:
        """Peak of the activation bytes on chip while each layer runs."""
        return tuple(layer for s in self.stages for layer in s.held_bytes)


def layer_by_layer(
    network: FeatureMapNetwork, *, in_place_depthwise: bool = False, weights: Weights = "outside"
) -> PatchPlan:
    """Return the plan without patches: every layer over full maps, in the network's order."""
    every = Patches(0, len(network.layers), single_patch(network), weights=weights)
    stage = run_stage(network, every, in_place_depthwise=in_place_depthwise)
    return PatchPlan((stage,), 0, 0, network=network)


def single_patch(network: FeatureMapNetwork) -> tuple[int, ...]:
    """Return the grid of one patch."""
    return (1,) * len(network.maps[0].extents)
