"""Schedules: order, retention and spills, addresses, engines, placement and pipelines."""
