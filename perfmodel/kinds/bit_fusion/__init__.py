"""Bit-composable arrays: units that multiply few bits fuse to multiply more (Bit Fusion).

`counts` says what a tiling of a layer costs, `tiles` which tilings there are and which of them can
be best at some bandwidth; `kind` costs a table with them.
"""

from typing import TYPE_CHECKING

from perfmodel.former import former_names
from perfmodel.kinds.bit_fusion.counts import BitFusionLayer, BitFusionTiling, count
from perfmodel.kinds.bit_fusion.kind import KIND
from perfmodel.kinds.bit_fusion.spec import BitComposableArray

__all__ = ["KIND", "BitComposableArray", "BitFusionLayer", "BitFusionTiling", "count"]

if not TYPE_CHECKING:
    __getattr__ = former_names(__name__, Layer="BitFusionLayer", Tiling="BitFusionTiling")
