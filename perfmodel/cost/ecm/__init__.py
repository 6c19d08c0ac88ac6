"""Streaming kernels and stencils on a core with caches: the Execution-Cache-Memory model."""

from perfmodel.cost.ecm.layers import kept_share, layer_lines, miss_share
from perfmodel.cost.ecm.model import (
    Core,
    Edge,
    cycles_at_levels,
    cycles_by_size,
    level_parts,
    transfer_cycles,
)
from perfmodel.cost.ecm.ports import Work, core_cycles, store_switches
from perfmodel.cost.ecm.scaling import cores_to_saturate, speedup_of_cores

__all__ = [
    "Core",
    "Edge",
    "Work",
    "core_cycles",
    "cores_to_saturate",
    "cycles_at_levels",
    "cycles_by_size",
    "kept_share",
    "layer_lines",
    "level_parts",
    "miss_share",
    "speedup_of_cores",
    "store_switches",
    "transfer_cycles",
]
