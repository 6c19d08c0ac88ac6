"""Constants of layers implemented as circuits, and of host work outside an overlay."""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeAlias

from perfmodel.hardware.field_types import Bandwidth, Portion, Time
from perfmodel.hardware.kernel import Clocks, IdealValue, Kernel, Speed
from perfmodel.hardware.quantity import Of, Quantity

Each: TypeAlias = Annotated[Quantity, Of("count", ceiling=1e5)]
Levels: TypeAlias = Annotated[Quantity, Of("count", ceiling=64.0)]


class FpgaKernel(Kernel):
    """Resources per weight and output of a layer, its pipeline depth, and host rates.

    The bits of a sum count both factors together: 16 for products of 8-bit operands.
    """

    KIND: ClassVar[str] = "fpga"

    sum_luts: Annotated[Each | None, IdealValue(1.0)] = None
    """Look-up tables per non-zero weight and bit of its sum: the adder, and the shifts and adds of
    a product with a constant."""
    output_luts: Annotated[Each | None, IdealValue(0.0)] = None
    """Look-up tables per output and bit of its sum (of a softmax: per output)."""
    product_luts: Annotated[Each | None, IdealValue(1.0)] = None
    """Look-up tables per multiplier built from them, per bit of one factor times bit of the other
    (of a softmax: per product)."""
    select_luts: Annotated[Each | None, IdealValue(0.0)] = None
    """Look-up tables that select the factors of a product on a shared multiplier, per bit."""
    interval_luts: Annotated[Each | None, IdealValue(0.0)] = None
    """Look-up tables of the state machine, per clock of the initiation interval."""
    sum_ffs: Annotated[Each | None, IdealValue(1.0)] = None
    """Flip-flops per non-zero weight and bit of its sum."""
    early_ffs: Annotated[Each | None, IdealValue(0.0)] = None
    """Further flip-flops at an initiation interval of one clock; inversely proportional to it."""
    output_ffs: Annotated[Each | None, IdealValue(0.0)] = None
    """Flip-flops per output and bit of its sum (of a softmax: per output)."""
    narrow_share: Annotated[Portion | None, IdealValue(1.0)] = None
    """Share of the weights that require a multiplier where the count is not stated, at six bits
    behind the point: layers of at most 32 inputs."""
    wide_share: Annotated[Portion | None, IdealValue(1.0)] = None
    """The same for wider layers, whose weights are smaller and have fewer digits."""
    slice_bits: Annotated[Levels | None, IdealValue(1.0)] = None
    """Bits of the wider factor from which the tool puts a product into a DSP slice by itself."""
    spread_bits: Annotated[Levels | None, IdealValue(0.0)] = None
    """How far weights may be larger or smaller than those of the layers that the shares were read
    off, as a binary logarithm."""
    sparsest: Annotated[Portion | None, IdealValue(1.0)] = None
    """Share of non-zero weights of the sparsest networks in use."""
    base_clocks: Annotated[Clocks | None, IdealValue(0.0)] = None
    """Clocks of the circuit that do not depend on its size."""
    register_clocks: Annotated[Clocks | None, IdealValue(0.0)] = None
    """Further clocks at an initiation interval of one clock, for a multi-stage circuit."""
    level_delay: Annotated[Time | None, IdealValue(0.0)] = None
    """Time per level of a comparison or adder tree, where it is not a whole number of clocks."""
    adder_delay: Annotated[Time | None, IdealValue(0.0)] = None
    """Time of an adder where sums are chained instead of forming a tree."""
    chained_beyond: Annotated[
        Annotated[Quantity, Of("count", positive=True, integral=True, ceiling=1e9)] | None,
        IdealValue(1e18),
    ] = None
    """Products of a layer above which its sums are chained."""
    multiplier_delay: Annotated[Time | None, IdealValue(0.0)] = None
    """Time of a multiplier in one clock; at a shorter clock period it is pipelined."""
    multiplier_clocks: Annotated[Clocks | None, IdealValue(0.0)] = None
    """Clocks that a pipelined multiplier adds."""
    shared_clocks: Annotated[Clocks | None, IdealValue(0.0)] = None
    """Clocks that the single multiplier of a layer adds where several products share it."""
    drain_share: Annotated[Levels | None, IdealValue(1.0)] = None
    """Share of the tree's levels that remain after the last product on a shared multiplier."""
    drain_levels: Annotated[Levels | None, IdealValue(0.0)] = None
    """Levels subtracted from that remainder."""
    host_bandwidth: Bandwidth | None = None
    """Rate at which the processor handles the bytes of a network's inputs and outputs (resize,
    scale, quantise; boxes), or the bytes that it writes when it copies feature maps; of class
    ``copy`` or ``resize``."""
    host_compute: Speed | None = None
    """Rate of the operations of convolutions and pooling that run on the processor; of class
    ``conv``."""
