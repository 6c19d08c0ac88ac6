"""Minimum peak memory, exactly: the order of steps that needs the least on chip."""

from typing import TYPE_CHECKING

from perfmodel.former import former_names
from perfmodel.schedule.peak.minimum import PeakMemoryResult, minimum_peak

__all__ = ["PeakMemoryResult", "minimum_peak"]

if not TYPE_CHECKING:
    __getattr__ = former_names(__name__, Peak="PeakMemoryResult")
