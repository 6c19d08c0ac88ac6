"""Explanations of infeasible or unproved schedules as data, with remedies that were tried."""

from typing import TYPE_CHECKING

from perfmodel.former import former_names
from perfmodel.schedule.infeasible.levers import DemandTerm, Lever
from perfmodel.schedule.infeasible.why import (
    Infeasible,
    Unproved,
    over_peak,
    over_working_set,
    unpacked,
    unproved,
)

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
    __getattr__ = former_names(__name__, Term="DemandTerm")
