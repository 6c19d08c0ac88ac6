"""Arrays that compute in memory: weights lie in cells, inputs go to rows, columns make sums.

`counts` says how a matrix lies in arrays and what a vector goes through, `energies` what that
takes; `matrices` asks both of a table's matrices, `held` whether they stay or are written in turn;
`kind` costs the table.
"""

from perfmodel.kinds.in_memory.counts import (
    Layout,
    Steps,
    copies_of,
    layout,
    speed,
    steps_of,
    vector_seconds,
)
from perfmodel.kinds.in_memory.energies import chip_area, vector_joules
from perfmodel.kinds.in_memory.kind import KIND, InMemory
from perfmodel.kinds.in_memory.spec import InMemoryArrays

__all__ = [
    "KIND",
    "InMemory",
    "InMemoryArrays",
    "Layout",
    "Steps",
    "chip_area",
    "copies_of",
    "layout",
    "speed",
    "steps_of",
    "vector_joules",
    "vector_seconds",
]
