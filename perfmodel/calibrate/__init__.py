"""Calibration: constants of the model fitted to measurements, with cross-validation over groups.

`fit` and `left_out` fit any positive constants; `nested_left_out` also chooses priors inside the
cross-validation; few-shot calibration (`few_shot`, the public function `calibrate`) fits
multipliers of one device to a few rows; `probe` measures the host.
"""

from typing import TYPE_CHECKING

from perfmodel.calibrate.fit import Constant, CrossValidatedFit, Fit, fit, left_out
from perfmodel.calibrate.nested_cross_validation import (
    NestedFit,
    PulledConstants,
    nested_left_out,
    pooled_fit,
)
from perfmodel.calibrate.overlay import Calibration
from perfmodel.deprecation import deprecated_names

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
    __getattr__ = deprecated_names(__name__, LeftOut="CrossValidatedFit")
