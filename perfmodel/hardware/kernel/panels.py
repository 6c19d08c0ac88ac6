"""Constants of convolutions that are products of matrices packed in panels of columns."""

from __future__ import annotations

from perfmodel.hardware.kernel.ranges import Clocks, Number
from perfmodel.hardware.quantity import Spec


class PanelConstants(Spec):
    """Panels of a convolution's product, on rooflines; `perfmodel.kinds.dispatched`.

    The product is of filters with a matrix of windows, one column a pixel; `copy_clocks` are those
    of a number that is unfolded into it.
    """

    panel: Number | None = None
    """Columns that the last tile of a product is padded to a multiple of. Where it is left out
    nothing is padded, unfolded or packed."""
    panel_depth: Number | None = None
    """Numbers of the summed dimension after which sums are stored, to be added to."""
    pack_clocks: Clocks | None = None
    """Clocks of a number that is packed for the product."""
    row_clocks: Clocks | None = None
    """Clocks of a row of an image that is unfolded for one tap, beside its numbers."""
    strided_clocks: Clocks | None = None
    """Clocks of a number that is unfolded where windows stride: one by one, not by vectors."""
    store_clocks: Clocks | None = None
    """Clocks of a sum that is stored."""
