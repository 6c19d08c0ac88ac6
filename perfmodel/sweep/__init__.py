"""Predictions at many points: a grid or a Sobol sample, in memory, in processes or on a cluster.

A sweep is planned (`plan`: axes -> cases -> chunks), executed (`run`, `executor`), stored (`store`)
and summarised (`summary`). The public function is `sweep`; ``perfmodel sweep`` calls the same
steps.
"""

from typing import TYPE_CHECKING

from perfmodel.deprecation import deprecated_names
from perfmodel.sweep.pilot import DryRun, dry_run
from perfmodel.sweep.plan import CHUNK, METRICS, SweepPlan, make_plan
from perfmodel.sweep.run import run_plan, sweep

__all__ = ["CHUNK", "METRICS", "DryRun", "SweepPlan", "dry_run", "make_plan", "run_plan", "sweep"]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Plan="SweepPlan")
