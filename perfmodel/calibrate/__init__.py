"""Constants from measurements: fits, cross-validation over groups, few-shot calibration."""

from typing import TYPE_CHECKING

from perfmodel.calibrate.fit import Constant, CrossValidatedFit, Fit, fit, left_out
from perfmodel.calibrate.nested import NestedFit, PulledConstants, nested_left_out, pooled_fit
from perfmodel.calibrate.overlay import Calibration
from perfmodel.former import former_names

__all__ = [
    "Calibration",
    "Constant",
    "CrossValidatedFit",
    "Fit",
    "NestedFit",
    "PulledConstants",
    "fit",
    "left_out",
    "nested_left_out",
    "pooled_fit",
]

if not TYPE_CHECKING:
    __getattr__ = former_names(__name__, LeftOut="CrossValidatedFit")
