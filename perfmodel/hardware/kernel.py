"""Constants of a runtime's kernels, for kinds of hardware that model what a kernel does."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from perfmodel.hardware.quantity import Of, Quantity, Spec

__all__ = ["KERNEL_CLASSES", "Kernel"]

KERNEL_CLASSES: Final = (
    "gemm", "gemv", "conv", "grouped", "depthwise", "attention_prefill", "attention_decode", "moe",
    "recurrent", "elementwise", "norm", "softmax", "pool", "copy", "all_reduce", "all_gather",
    "reduce_scatter", "all_to_all",
)  # fmt: skip
"""Classes of kernels; ``gemm.fp8`` are the constants of one compute or weight format."""

Time: TypeAlias = Annotated[Quantity, Of("time")]
Share: TypeAlias = Annotated[Quantity, Of("fraction", positive=True, ceiling=2.0)]
Portion: TypeAlias = Annotated[Quantity, Of("fraction", ceiling=1.0)]
Norm: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=100.0)]
Exponent: TypeAlias = Annotated[Quantity, Of("count", ceiling=4.0)]
Blocks: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=32.0)]
Passes: TypeAlias = Annotated[Quantity, Of("count", ceiling=100.0)]
Draw: TypeAlias = Annotated[Quantity, Of("bandwidth_per_clock", positive=True, bare=True)]


class Kernel(Spec):
    """What a backend's kernels of one class reach and cost.

    A kind that models an effect reads its constants here and takes no efficiency for it; which
    constants a kind reads, and their equations, is in its documentation.
    """

    note: str | None = None
    """What a reader must know: the library, how it was measured."""
    launch: Time | None = None
    """Time of a kernel beside its work, that nothing overlaps."""
    host_floor: Time | None = None
    """Time that the host takes for a kernel; hidden where the device takes longer."""
    peak_share: Share | None = None
    """Share of the engine's peak that the inner loop reaches."""
    bandwidth_share: Share | None = None
    """Share of main memory's bandwidth that the kernel draws when all units read."""
    pnorm: Norm | None = None
    """Exponent that joins the times of arithmetic and memories; large is their maximum."""
    l2_share: Share | None = None
    """Share of the L2's bandwidth that the kernel draws."""
    reread_share: Portion | None = None
    """Share of what tiles read again that has left the L2 and comes from main memory."""
    draw_bytes_per_clock: Draw | None = None
    """Bytes of main memory that one thread block draws a clock: few blocks cannot draw it all."""
    blocks_per_unit: Blocks | None = None
    """Thread blocks that draw from memory on one unit at a time; 1 where left out."""
    tile_fill: Time | None = None
    """Time of a wave of tiles beside its arithmetic: first loads and the epilogue."""
    tile_exponent: Exponent | None = None
    """How the rate of a tile smaller than 128 x 256 falls with its harmonic extent."""
    wave_quantisation: Portion | None = None
    """How far a last, partly filled wave costs a whole one: 0 not at all, 1 wholly."""
    split_launch: Time | None = None
    """Time of summing the parts of a split sum, beside their traffic."""
    per_group: Time | None = None
    """Time that each group (expert) costs beside its work."""
    activation_passes: Passes | None = None
    """How often the activations of a fused mixture of experts cross main memory's boundary."""
