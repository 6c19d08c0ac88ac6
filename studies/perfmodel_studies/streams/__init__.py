"""Orders in which experts are fetched: rules, bounds, and the best by enumeration."""

from perfmodel_studies.streams.optimal import best_order
from perfmodel_studies.streams.order import (
    LowerBounds,
    hottest_first,
    johnson,
    johnson_makespan,
    lower_bounds,
)
from perfmodel_studies.streams.slices import bit_slices

__all__ = [
    "LowerBounds",
    "best_order",
    "bit_slices",
    "hottest_first",
    "johnson",
    "johnson_makespan",
    "lower_bounds",
]
