"""Integer programmes of scheduling: evictions of a fixed order, and order with evictions."""

from perfmodel.schedule.ilp.full import full, full_lp, full_size
from perfmodel.schedule.ilp.method import ilp
from perfmodel.schedule.ilp.retention import retention, retention_lp

__all__ = ["full", "full_lp", "full_size", "ilp", "retention", "retention_lp"]
