"""Constants of kernels on a microcontroller: clocks per multiply-accumulate on a reference core."""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeAlias

from perfmodel.hardware.kernel import (
    Clocks,
    Kernel,
    Portion,
)
from perfmodel.hardware.quantity import Of, Quantity

MacClocks: TypeAlias = Annotated[Quantity, Of("clocks", positive=True, ceiling=1e4)]


class MicrocontrollerKernel(Kernel):
    """Clocks of a library's kernels on a Cortex-M4.

    Another core takes as many times more as its spec says (`relative_conv`).
    """

    KIND: ClassVar[str] = "mcu"

    mac_clocks: MacClocks | None = None
    """Clocks of a multiply-accumulate, with its loads, its share of the loop, and of bringing sums
    to the format of the output."""
    narrow_mac_clocks: MacClocks | None = None
    """Clocks of a multiply-accumulate of a convolution over fewer than four channels, whose windows
    have no whole words to load; as `mac_clocks` where left out."""
    edge_tap_clocks: Clocks | None = None
    """Further clocks of a tap of a window that reaches beyond the image: tested, or padded."""
    operation_clocks: Clocks | None = None
    """Clocks of an arithmetic operation of an elementwise function, a pooling, a softmax."""
    parallel_share: Portion | None = None
    """Share of its clocks that several cores divide (Amdahl's law); all where left out."""
