"""Execution of operators that are larger than the memory: in patches, or in streamed tiles.

Patches run several layers depth first on one part of the image after another (`patch_plan_search`
finds the best plan, `patches_question` is the entry point); tiles run one operator in pieces
(`streamed_tiles`).
"""

from typing import TYPE_CHECKING

from perfmodel.deprecation import deprecated_names
from perfmodel.schedule.tiling.feature_maps import FeatureMapNetwork, network
from perfmodel.schedule.tiling.patch_evaluation import run_stage
from perfmodel.schedule.tiling.patch_parameters import Patches, PatchStageCost
from perfmodel.schedule.tiling.patch_plan_result import layer_by_layer
from perfmodel.schedule.tiling.patch_plan_search import patch_plan
from perfmodel.schedule.tiling.streamed_tiles import StepTiling, streamed

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
    __getattr__ = deprecated_names(
        __name__, Network="FeatureMapNetwork", Stage="PatchStageCost", Tiling="StepTiling"
    )
