"""Systolic arrays: folds of matrix products on a grid of processing elements.

`folds` counts cycles and SRAM accesses of output-, weight- and input-stationary arrays, `stalls`
the waits for a slow memory; `kind` costs a table with them.
"""

from perfmodel.kinds.systolic.folds import gemm, gemm_cycles
from perfmodel.kinds.systolic.kind import KIND
from perfmodel.kinds.systolic.spec import SystolicArray
from perfmodel.kinds.systolic.stalls import double_buffered

__all__ = ["KIND", "SystolicArray", "double_buffered", "gemm", "gemm_cycles"]
