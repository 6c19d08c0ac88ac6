"""HiGHS: programmes as matrices, its own status and bound, one thread, silent stdout."""

from perfmodel.schedule.highs.solve import checked, load, new_handle, run_highs

__all__ = ["checked", "load", "new_handle", "run_highs"]
