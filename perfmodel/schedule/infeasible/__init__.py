"""Explanations of infeasible or unproved schedules as data, with remedies that were tried."""

from typing import TYPE_CHECKING

from perfmodel.deprecation import deprecated_names
from perfmodel.schedule.infeasible.explanations import (
    Infeasible,
    Unproved,
    over_peak,
    over_working_set,
    unpacked,
    unproved,
)
from perfmodel.schedule.infeasible.levers import DemandTerm, Lever

__all__ = [
    "DemandTerm",
    "Infeasible",
    "Lever",
    "Unproved",
    "over_peak",
    "over_working_set",
    "unpacked",
    "unproved",
]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Term="DemandTerm")
