"""Row-stationary arrays: sets of elements that each slide a filter row over an input row.

`counts` says what a mapping costs, `choose` finds one; `kind` costs a table.
"""

from typing import TYPE_CHECKING

from perfmodel.former import former_names
from perfmodel.kinds.spatial.choose import AccessCosts, Chosen, choose
from perfmodel.kinds.spatial.counts import RowCounts, count
from perfmodel.kinds.spatial.kind import KIND, Spatial
from perfmodel.kinds.spatial.shapes import GroupedConvolution, PeArray, RowMapping
from perfmodel.kinds.spatial.spec import RowStationaryArray

__all__ = [
    "KIND",
    "AccessCosts",
    "Chosen",
    "GroupedConvolution",
    "PeArray",
    "RowCounts",
    "RowMapping",
    "RowStationaryArray",
    "Spatial",
    "choose",
    "count",
]

if not TYPE_CHECKING:
    __getattr__ = former_names(__name__, Layer="GroupedConvolution")
