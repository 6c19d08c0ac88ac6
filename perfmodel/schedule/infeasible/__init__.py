"""Why there is no schedule, or no proof, and what would help: as data, levers tried."""

from perfmodel.schedule.infeasible.levers import Lever, Term
from perfmodel.schedule.infeasible.why import (
    Infeasible,
    Unproved,
    over_peak,
    over_working_set,
    unpacked,
    unproved,
)

__all__ = [
    "Infeasible",
    "Lever",
    "Term",
    "Unproved",
    "over_peak",
    "over_working_set",
    "unpacked",
    "unproved",
]
