"""HiGHS: programmes as matrices, its own status and bound, one thread setting, silent stdout."""

from perfmodel.schedule.highs.solve import (
    SolverError,
    as_minimum,
    checked,
    held_matrix,
    load,
    new_handle,
    run_highs,
    running,
    set_threads,
    wake,
)

__all__ = [
    "SolverError",
    "as_minimum",
    "checked",
    "held_matrix",
    "load",
    "new_handle",
    "run_highs",
    "running",
    "set_threads",
    "wake",
]
