"""Schedules of least latency or energy, with transfers that overlap compute."""

from typing import TYPE_CHECKING

from perfmodel.deprecation import deprecated_names
from perfmodel.schedule.latency.least_latency import energy, latency, tradeoff
from perfmodel.schedule.latency.prefetch import prefetch
from perfmodel.schedule.latency.simulate import simulate
from perfmodel.schedule.latency.timeline import (
    Dma,
    PlanActivity,
    ScheduleEnergyModel,
    Timeline,
    TimelineActivity,
)

__all__ = [
    "Dma",
    "PlanActivity",
    "ScheduleEnergyModel",
    "Timeline",
    "TimelineActivity",
    "energy",
    "latency",
    "prefetch",
    "simulate",
    "tradeoff",
]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(
        __name__, Move="PlanActivity", Power="ScheduleEnergyModel", Row="TimelineActivity"
    )
