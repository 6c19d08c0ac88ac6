"""Constants of what runs beside an overlay in an FPGA's fabric."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from perfmodel.hardware.quantity import Of, Quantity, Spec

Bandwidth: TypeAlias = Annotated[Quantity, Of("bandwidth", positive=True)]
Rate: TypeAlias = Annotated[Quantity, Of("compute", positive=True)]


class OverlayConstants(Spec):
    """Work of the processor beside an overlay; `perfmodel.kinds.fpga`."""

    host_bandwidth: Bandwidth | None = None
    """Bytes of a network's inputs and outputs that the processor works on in a second (resize,
    scale, quantise; boxes), or that it writes where it moves maps; of class ``copy`` or
    ``resize``."""
    host_compute: Rate | None = None
    """Operations a second of convolutions and pooling that the processor does; of class
    ``conv``."""
