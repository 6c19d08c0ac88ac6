"""Arrays that compute in memory: weights in cells, inputs on rows, sums on columns.

`counts` has the layout of a matrix in arrays and the steps of a vector, `energies` their joules;
`matrices` applies both to a table's matrices, `residency` decides whether these stay in the arrays
or are written in turn; `kind` costs the table.
"""

from typing import TYPE_CHECKING

from perfmodel.deprecation import deprecated_names
from perfmodel.kinds.in_memory.counts import MatrixLayout, layout
from perfmodel.kinds.in_memory.energies import chip_area
from perfmodel.kinds.in_memory.kind import KIND
from perfmodel.kinds.in_memory.spec import InMemoryArrays

__all__ = ["KIND", "InMemoryArrays", "MatrixLayout", "chip_area", "layout"]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Layout="MatrixLayout")
