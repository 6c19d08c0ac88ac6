"""When operators alone do not fit: patches, depth-first execution, streamed operators."""

from perfmodel.schedule.tiling.choose import PatchPlan, layer_by_layer, patch_plan
from perfmodel.schedule.tiling.layers import Network, network
from perfmodel.schedule.tiling.patches import MODES, Patches, Stage, run_stage
from perfmodel.schedule.tiling.streamed import Streamed, Tiling, streamed

__all__ = [
    "MODES",
    "Network",
    "PatchPlan",
    "Patches",
    "Stage",
    "Streamed",
    "Tiling",
    "layer_by_layer",
    "network",
    "patch_plan",
    "run_stage",
    "streamed",
]
