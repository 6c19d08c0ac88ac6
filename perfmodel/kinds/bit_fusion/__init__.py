"""Bit-composable arrays: narrow multipliers that fuse for wider operands (Bit Fusion).

`counts` has the cost of a layer under a tiling, `tiles` enumerates tilings and keeps those that are
optimal at some bandwidth, `kind` costs a table with them.
"""

from typing import TYPE_CHECKING

from perfmodel.former import former_names
from perfmodel.kinds.bit_fusion.counts import BitFusionLayer, BitFusionTiling, count
from perfmodel.kinds.bit_fusion.kind import KIND
from perfmodel.kinds.bit_fusion.spec import BitComposableArray

__all__ = ["KIND", "BitComposableArray", "BitFusionLayer", "BitFusionTiling", "count"]

if not TYPE_CHECKING:
    __getattr__ = former_names(__name__, Layer="BitFusionLayer", Tiling="BitFusionTiling")
