"""Predictions at many points: plan, run on an executor, store, resume."""

from typing import TYPE_CHECKING

from perfmodel.former import former_names
from perfmodel.sweep.pilot import DryRun, dry_run
from perfmodel.sweep.plan import CHUNK, METRICS, SweepPlan, make_plan
from perfmodel.sweep.run import run_plan, sweep

__all__ = ["CHUNK", "METRICS", "DryRun", "SweepPlan", "dry_run", "make_plan", "run_plan", "sweep"]

if not TYPE_CHECKING:
    __getattr__ = former_names(__name__, Plan="SweepPlan")
