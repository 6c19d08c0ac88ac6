"""Mappings of loop nests onto accelerators in which every operand has memories of its own.

`best_mapping` gives the order of loops and the cuts of least energy, exactly; `evaluate_mapping`
what a given one costs. Accesses, energy and cycles follow ZigZag's model.
"""

from typing import TYPE_CHECKING

from perfmodel.cost.mapping.best import best_mapping, evaluate_mapping, loma_mapping
from perfmodel.cost.mapping.capacity import CapacityStaircase, capacity_staircase
from perfmodel.cost.mapping.hierarchy import ArrayDimension, Hierarchy, MemoryLevel, Port
from perfmodel.cost.mapping.network import MappedLayer, MappedNetwork, map_network
from perfmodel.cost.mapping.read_zigzag import KNOWN, from_zigzag, tpu_like
from perfmodel.cost.mapping.result import Mapping, OperandAccesses
from perfmodel.former import former_names

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
    __getattr__ = former_names(
        __name__,
        Access="OperandAccesses",
        Layer="MappedLayer",
        Memory="MemoryLevel",
        Network="MappedNetwork",
        Spread="ArrayDimension",
    )
