"""Constants of kernels on a microcontroller: clocks per multiply-accumulate on a reference core."""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeAlias

from perfmodel.hardware.field_types import Portion
from perfmodel.hardware.kernel import Clocks, Kernel
from perfmodel.hardware.quantity import Of, Quantity

MacClocks: TypeAlias = Annotated[Quantity, Of("clocks", positive=True, ceiling=1e4)]


class MicrocontrollerKernel(Kernel):
    """Clocks of a library's kernels on a Cortex-M4.

    On another core they are multiplied by the factor of its spec (`relative_conv`).
    """

    KIND: ClassVar[str] = "mcu"

    mac_clocks: MacClocks | None = None
    """Clocks of a multiply-accumulate, including its loads, its share of loop overhead, and of
    requantising sums to the format of the output."""
    narrow_mac_clocks: MacClocks | None = None
    """Clocks of a multiply-accumulate of a convolution over fewer than four channels, whose windows
    contain no whole words to load; as `mac_clocks` if left out."""
    edge_tap_clocks: Clocks | None = None
    """Further clocks per tap of a window that overlaps the image's edge: bounds test or padding."""
    operation_clocks: Clocks | None = None
    """Clocks per arithmetic operation of an elementwise function, a pooling or a softmax."""
    parallel_share: Portion | None = None
    """Share of its clocks that is parallel over several cores (Amdahl's law); all if left out."""
