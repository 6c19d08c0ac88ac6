"""FPGAs: what a design in the fabric takes of look-up tables, DSP slices and memory, and its time.

`spec` says what a part has, `styles` which styles of design there are (a file each); what a design
takes of each resource is `Prediction.resources`.
"""

from perfmodel.kinds.fpga.kind import KIND, Fpga
from perfmodel.kinds.fpga.resources import RESOURCES
from perfmodel.kinds.fpga.spec import FpgaSpec
from perfmodel.kinds.fpga.styles import STYLES, Design

__all__ = ["KIND", "RESOURCES", "STYLES", "Design", "Fpga", "FpgaSpec"]
