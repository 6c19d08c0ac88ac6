"""Row-stationary arrays: sets of elements, each sliding a filter row over an input row.

`counts` has the cost of a mapping, `candidates` enumerates mappings, `candidate_costs` bounds their
costs, `cheapest_mapping` searches them, `best_mapping` is the entry; `kind` costs a table.
"""

from typing import TYPE_CHECKING

from perfmodel.deprecation import deprecated_names
from perfmodel.kinds.spatial.best_mapping import AccessCosts, choose
from perfmodel.kinds.spatial.counts import count
from perfmodel.kinds.spatial.kind import KIND
from perfmodel.kinds.spatial.shapes import GroupedConvolution, PeArray
from perfmodel.kinds.spatial.spec import RowStationaryArray

__all__ = [
    "KIND",
    "AccessCosts",
    "GroupedConvolution",
    "PeArray",
    "RowStationaryArray",
    "choose",
    "count",
]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Layer="GroupedConvolution")
