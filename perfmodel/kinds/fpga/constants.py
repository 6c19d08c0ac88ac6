"""Constants of layers that are circuits of their own, and of what runs beside an overlay."""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeAlias

from perfmodel.hardware.kernel import (
    Bandwidth,
    Clocks,
    Kernel,
    Portion,
    Speed,
    Time,
)
from perfmodel.hardware.quantity import Of, Quantity

Each: TypeAlias = Annotated[Quantity, Of("count", ceiling=1e5)]
Products: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=1e9)]
Levels: TypeAlias = Annotated[Quantity, Of("count", ceiling=64.0)]


class FpgaKernel(Kernel):
    """What a layer takes of an FPGA, how deep its pipeline is, and the work of the processor.

    A bit of a sum is a bit of both factors together: 16 for products of 8 bits.
    """

    KIND: ClassVar[str] = "fpga"

    sum_luts: Each | None = None
    """Look-up tables of a weight that is not zero, for each bit of its sum: the adder, and what
    shifts and adds for a product with a constant."""
    output_luts: Each | None = None
    """Look-up tables of an output, for each bit of its sum (of a softmax: altogether)."""
    product_luts: Each | None = None
    """Look-up tables of a multiplier made of them, for each bit of one factor times each of the
    other (of a softmax: altogether)."""
    select_luts: Each | None = None
    """Look-up tables that choose the factors of a product on a shared multiplier, for each bit."""
    interval_luts: Each | None = None
    """Look-up tables of the state machine, for each clock of the initiation interval."""
    sum_ffs: Each | None = None
    """Flip-flops of a weight that is not zero, for each bit of its sum."""
    early_ffs: Each | None = None
    """Further ones at an initiation interval of one clock; they fall with the interval."""
    output_ffs: Each | None = None
    """Flip-flops of an output, for each bit of its sum (of a softmax: altogether)."""
    narrow_share: Portion | None = None
    """Share of the weights that need a multiplier where the count is not given: of layers of at
    most 32 inputs."""
    wide_share: Portion | None = None
    """The same of wider layers: their weights are smaller, and have fewer digits."""
    base_clocks: Clocks | None = None
    """Clocks of the circuit beside what follows from its size."""
    register_clocks: Clocks | None = None
    """Further clocks at an initiation interval of one clock, of a circuit with several stages."""
    level_delay: Time | None = None
    """Time of a level of a tree of comparisons or sums, where it is no whole number of clocks."""
    adder_delay: Time | None = None
    """Time of an adder where sums are chained instead of a tree."""
    chained_beyond: Products | None = None
    """Products of a layer beyond which its sums are chained."""
    multiplier_delay: Time | None = None
    """Time of a multiplier in one clock; a shorter clock cuts it in stages."""
    multiplier_clocks: Clocks | None = None
    """Clocks that a multiplier cut in stages adds."""
    shared_clocks: Clocks | None = None
    """Clocks that the only multiplier of a layer adds where several products share it."""
    drain_share: Levels | None = None
    """Share of a tree's levels that still lie ahead of the last product on a shared multiplier."""
    drain_levels: Levels | None = None
    """Levels less that they take."""
    host_bandwidth: Bandwidth | None = None
    """Bytes of a network's inputs and outputs that the processor works on in a second (resize,
    scale, quantise; boxes), or that it writes where it moves maps; of class ``copy`` or
    ``resize``."""
    host_compute: Speed | None = None
    """Operations a second of convolutions and pooling that the processor does; of class
    ``conv``."""
