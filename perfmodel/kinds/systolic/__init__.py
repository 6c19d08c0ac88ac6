"""Systolic arrays: folds of matrix products on a grid of processing elements.

`folds` counts cycles and SRAM accesses of output-, weight- and input-stationary arrays, `stalls`
what a slow memory adds, `scalesim` what SCALE-Sim reports; `kind` costs a table with them.
"""

from perfmodel.kinds.systolic.folds import (
    DATAFLOWS,
    ArrayRun,
    Dataflow,
    Replication,
    gemm,
    gemm_cycles,
)
from perfmodel.kinds.systolic.stalls import Windows, double_buffered

__all__ = [
    "DATAFLOWS",
    "ArrayRun",
    "Dataflow",
    "Replication",
    "Windows",
    "double_buffered",
    "gemm",
    "gemm_cycles",
]
