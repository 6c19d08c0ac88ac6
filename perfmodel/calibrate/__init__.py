"""Constants from measurements: what is fitted, on which rows, and what it says of the others."""

from perfmodel.calibrate.fit import Constant, Fit, LeftOut, fit, left_out

__all__ = ["Constant", "Fit", "LeftOut", "fit", "left_out"]
