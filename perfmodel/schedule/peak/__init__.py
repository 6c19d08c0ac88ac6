"""Exact minimum peak memory: the order of steps that needs the fewest bytes on chip."""

from typing import TYPE_CHECKING

from perfmodel.former import former_names
from perfmodel.optimise.certified import Certified
from perfmodel.schedule.peak.minimum import minimum_peak

__all__ = ["Certified", "minimum_peak"]

if not TYPE_CHECKING:
    __getattr__ = former_names(__name__, Peak="Certified", PeakMemoryResult="Certified")
