"""Execution of operators larger than memory: patches, depth-first order, streamed tiles."""

from typing import TYPE_CHECKING

from perfmodel.former import former_names
from perfmodel.schedule.tiling.choose import layer_by_layer, patch_plan
from perfmodel.schedule.tiling.evaluation import run_stage
from perfmodel.schedule.tiling.layers import FeatureMapNetwork, network
from perfmodel.schedule.tiling.patches import Patches, PatchStageCost
from perfmodel.schedule.tiling.streamed import StepTiling, streamed

__all__ = [
    "FeatureMapNetwork",
    "PatchStageCost",
    "Patches",
    "StepTiling",
    "layer_by_layer",
    "network",
    "patch_plan",
    "run_stage",
    "streamed",
]

if not TYPE_CHECKING:
    __getattr__ = former_names(
        __name__, Network="FeatureMapNetwork", Stage="PatchStageCost", Tiling="StepTiling"
    )
