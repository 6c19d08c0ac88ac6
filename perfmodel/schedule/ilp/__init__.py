"""Schedules by integer programming: evictions of an order, and order and evictions together."""

from perfmodel.schedule.ilp.full import full, full_size
from perfmodel.schedule.ilp.method import ilp
from perfmodel.schedule.ilp.retention import retention

__all__ = ["full", "full_size", "ilp", "retention"]
