"""Execution-Cache-Memory (ECM) model of streaming kernels and stencils on a core with caches."""

from typing import TYPE_CHECKING

from perfmodel.cost.ecm.layers import layer_lines, miss_share
from perfmodel.cost.ecm.model import (
    CacheBoundary,
    EcmCore,
    cycles_at_levels,
    cycles_by_size,
    level_parts,
)
from perfmodel.cost.ecm.ports import Work
from perfmodel.deprecation import deprecated_names

__all__ = [
    "CacheBoundary",
    "EcmCore",
    "Work",
    "cycles_at_levels",
    "cycles_by_size",
    "layer_lines",
    "level_parts",
    "miss_share",
]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Core="EcmCore", Edge="CacheBoundary")
