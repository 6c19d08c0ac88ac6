"""FPGAs: time of a design in the fabric, and its look-up tables, DSP slices and memory blocks.

`spec` has the resources of a part, `styles` the styles of design (one module each); the resources
that a design uses are `Prediction.resources`.
"""

from typing import TYPE_CHECKING

from perfmodel.former import former_names
from perfmodel.kinds.fpga.kind import KIND
from perfmodel.kinds.fpga.spec import FpgaSpec
from perfmodel.kinds.fpga.styles import FpgaDesign

__all__ = ["KIND", "FpgaDesign", "FpgaSpec"]

if not TYPE_CHECKING:
    __getattr__ = former_names(__name__, Design="FpgaDesign")
