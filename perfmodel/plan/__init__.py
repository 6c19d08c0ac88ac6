"""Plans: execution order, placement on engines and memory allocation for one graph.

Schedulers create plans and predictions read them. A plan is a frozen value that can be compared and
serialised as JSON. `Plan.check` validates it against a graph.
"""

from perfmodel.plan.records import (
    Capacity,
    Move,
    Placement,
    Plan,
    Residency,
    TiledKernel,
    TiledTensor,
    Transfer,
)

__all__ = [
    "Capacity",
    "Move",
    "Placement",
    "Plan",
    "Residency",
    "TiledKernel",
    "TiledTensor",
    "Transfer",
]
