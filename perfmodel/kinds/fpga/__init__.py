"""FPGAs: what a design in the fabric takes of look-up tables, DSP slices and memory, and its time.

`spec` says what a part has, `styles` which styles of design there are (a file each); what a design
takes of each resource is `Prediction.resources`.
"""

from typing import TYPE_CHECKING

from perfmodel.former import former_names
from perfmodel.kinds.fpga.kind import KIND
from perfmodel.kinds.fpga.spec import FpgaSpec
from perfmodel.kinds.fpga.styles import FpgaDesign

__all__ = ["KIND", "FpgaDesign", "FpgaSpec"]

if not TYPE_CHECKING:
    __getattr__ = former_names(__name__, Design="FpgaDesign")
