"""Arrays that compute in memory: weights lie in cells, inputs go to rows, columns make sums.

`counts` says how a matrix lies in arrays and what a vector goes through, `energies` what that
takes; `matrices` asks both of a table's matrices, `held` whether they stay or are written in turn;
`kind` costs the table.
"""

from typing import TYPE_CHECKING

from perfmodel.former import former_names
from perfmodel.kinds.in_memory.counts import MatrixLayout, layout
from perfmodel.kinds.in_memory.energies import chip_area
from perfmodel.kinds.in_memory.kind import KIND
from perfmodel.kinds.in_memory.spec import InMemoryArrays

__all__ = ["KIND", "InMemoryArrays", "MatrixLayout", "chip_area", "layout"]

if not TYPE_CHECKING:
    __getattr__ = former_names(__name__, Layout="MatrixLayout")
