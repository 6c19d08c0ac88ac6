"""Bit-composable arrays: narrow multipliers that fuse for wider operands (Bit Fusion).

`counts` has the cost of a layer under a tiling, `tiles` enumerates tilings, `fastest_tiling`
selects one for each layer, batch and bandwidth, `kind` costs a table with them.
"""

from typing import TYPE_CHECKING

from perfmodel.deprecation import deprecated_names
from perfmodel.kinds.bit_fusion.counts import BitFusionTiling, ComposedArray, count
from perfmodel.kinds.bit_fusion.kind import KIND
from perfmodel.kinds.bit_fusion.spec import BitComposableArray

__all__ = ["KIND", "BitComposableArray", "BitFusionTiling", "ComposedArray", "count"]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Tiling="BitFusionTiling")
