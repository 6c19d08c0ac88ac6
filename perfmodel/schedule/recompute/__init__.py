"""Recomputation (rematerialisation): steps run again instead of spilling their outputs."""

from perfmodel.schedule.recompute.least_cost import recompute
from perfmodel.schedule.recompute.recomputation import Recomputation

__all__ = ["Recomputation", "recompute"]
