"""Bit-composable arrays: units that multiply few bits fuse to multiply more (Bit Fusion).

`counts` says what a tiling of a layer costs, `tiles` which tilings there are and which of them can
be best at some bandwidth; `kind` costs a table with them.
"""

from perfmodel.kinds.bit_fusion.counts import Layer, TileCounts, Tiling, count, lanes_and_steps
from perfmodel.kinds.bit_fusion.kind import KIND, BitFusion
from perfmodel.kinds.bit_fusion.spec import BitComposableArray
from perfmodel.kinds.bit_fusion.tiles import frontier, layer_cycles

__all__ = [
    "KIND",
    "BitComposableArray",
    "BitFusion",
    "Layer",
    "TileCounts",
    "Tiling",
    "count",
    "frontier",
    "lanes_and_steps",
    "layer_cycles",
]
