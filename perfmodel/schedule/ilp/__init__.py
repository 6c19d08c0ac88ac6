"""Integer programmes of scheduling: evictions of a fixed order, and order with evictions."""

from perfmodel.schedule.ilp.ilp_method import ilp
from perfmodel.schedule.ilp.order_and_retention import full, full_lp, full_size
from perfmodel.schedule.ilp.retention import retention, retention_lp

__all__ = ["full", "full_lp", "full_size", "ilp", "retention", "retention_lp"]
