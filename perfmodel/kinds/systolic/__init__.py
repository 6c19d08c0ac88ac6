"""Systolic arrays: folds of matrix products on a grid of processing elements.

`folds` counts cycles and SRAM accesses of output-, weight- and input-stationary arrays, `stalls`
what a slow memory adds; `kind` costs a table with them.
"""

from perfmodel.kinds.systolic.folds import (
    DATAFLOWS,
    ArrayRun,
    Dataflow,
    Replication,
    gemm,
    gemm_cycles,
)
from perfmodel.kinds.systolic.kind import KIND, Systolic
from perfmodel.kinds.systolic.spec import SystolicArray
from perfmodel.kinds.systolic.stalls import Windows, double_buffered

__all__ = [
    "DATAFLOWS",
    "KIND",
    "ArrayRun",
    "Dataflow",
    "Replication",
    "Systolic",
    "SystolicArray",
    "Windows",
    "double_buffered",
    "gemm",
    "gemm_cycles",
]
