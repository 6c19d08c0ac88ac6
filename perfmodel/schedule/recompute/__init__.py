"""Recomputation: running a step again instead of keeping or spilling its output."""

from perfmodel.schedule.recompute.method import recompute
from perfmodel.schedule.recompute.repeated import Recomputation

__all__ = ["Recomputation", "recompute"]
