"""Minimum peak memory, exactly: the order of steps that needs the least on chip."""

from perfmodel.schedule.peak.minimum import Peak, minimum_peak, peak_of

__all__ = ["Peak", "minimum_peak", "peak_of"]
