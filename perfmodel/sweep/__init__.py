"""Many points: plan, run on an executor, store, resume."""

from perfmodel.sweep.pilot import DryRun, dry_run
from perfmodel.sweep.plan import CHUNK, METRICS, Plan, make_plan
from perfmodel.sweep.run import run_plan, sweep

__all__ = ["CHUNK", "METRICS", "DryRun", "Plan", "dry_run", "make_plan", "run_plan", "sweep"]
