"""Mapping of loop nests onto accelerators with a separate memory hierarchy for each operand.

`best_mapping` returns the loop order and memory allocation with the least energy, exactly;
`evaluate_mapping` returns the cost of a given mapping. Accesses, energy and cycles follow the
model of ZigZag.
"""

from typing import TYPE_CHECKING

from perfmodel.cost.mapping.energy_by_capacity import CapacityStaircase, capacity_staircase
from perfmodel.cost.mapping.hierarchy import ArrayDimension, Hierarchy, MemoryLevel, Port
from perfmodel.cost.mapping.mappers import best_mapping, evaluate_mapping, loma_mapping
from perfmodel.cost.mapping.network import MappedLayer, MappedNetwork, map_network
from perfmodel.cost.mapping.read_zigzag import KNOWN, from_zigzag, tpu_like
from perfmodel.cost.mapping.result import Mapping, OperandAccesses
from perfmodel.deprecation import deprecated_names

__all__ = [
    "KNOWN",
    "ArrayDimension",
    "CapacityStaircase",
    "Hierarchy",
    "MappedLayer",
    "MappedNetwork",
    "Mapping",
    "MemoryLevel",
    "OperandAccesses",
    "Port",
    "best_mapping",
    "capacity_staircase",
    "evaluate_mapping",
    "from_zigzag",
    "loma_mapping",
    "map_network",
    "tpu_like",
]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(
        __name__,
        Access="OperandAccesses",
        Layer="MappedLayer",
        Memory="MemoryLevel",
        Network="MappedNetwork",
        Spread="ArrayDimension",
    )
