"""FPGAs: time of a design in the fabric, and its look-up tables, DSP slices and memory blocks.

`spec` has the resources of a part, `design_styles` lists the styles of design, one module each;
the resources that a design uses are `Prediction.resources`.
"""

from typing import TYPE_CHECKING

from perfmodel.deprecation import deprecated_names
from perfmodel.kinds.fpga.design_styles import FpgaDesign
from perfmodel.kinds.fpga.kind import KIND
from perfmodel.kinds.fpga.spec import FpgaSpec

__all__ = ["KIND", "FpgaDesign", "FpgaSpec"]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Design="FpgaDesign")
