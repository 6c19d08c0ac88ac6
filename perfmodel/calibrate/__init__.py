"""Constants from measurements: what is fitted, on which rows, and what it says of the others."""

from perfmodel.calibrate.fit import Constant, Fit, LeftOut, fit, left_out
from perfmodel.calibrate.overlay import Calibration, Overlay, read_overlay

__all__ = [
    "Calibration", "Constant", "Fit", "LeftOut", "Overlay", "fit", "left_out", "read_overlay",
]  # fmt: skip
