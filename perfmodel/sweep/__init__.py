"""Many points: plan, run on an executor, store, resume."""

from typing import TYPE_CHECKING

from perfmodel.former import former_names
from perfmodel.sweep.plan import SweepPlan
from perfmodel.sweep.run import sweep

__all__ = ["SweepPlan", "sweep"]

if not TYPE_CHECKING:
    __getattr__ = former_names(__name__, Plan="SweepPlan")
