"""Exact minimum peak memory: the order of steps that needs the fewest bytes on chip."""

from typing import TYPE_CHECKING

from perfmodel.deprecation import deprecated_names
from perfmodel.optimise.certified import Certified
from perfmodel.schedule.peak.least_peak import minimum_peak

__all__ = ["Certified", "minimum_peak"]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Peak="Certified", PeakMemoryResult="Certified")
