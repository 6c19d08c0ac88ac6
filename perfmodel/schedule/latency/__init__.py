"""Latency and energy of schedules whose transfers overlap compute."""

from typing import TYPE_CHECKING

from perfmodel.former import former_names
from perfmodel.schedule.latency.face import energy, latency, tradeoff
from perfmodel.schedule.latency.model import (
    Dma,
    PlanActivity,
    ScheduleEnergyModel,
    Timeline,
    TimelineActivity,
)
from perfmodel.schedule.latency.prefetch import prefetch
from perfmodel.schedule.latency.simulate import simulate

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
    __getattr__ = former_names(
        __name__, Move="PlanActivity", Power="ScheduleEnergyModel", Row="TimelineActivity"
    )
