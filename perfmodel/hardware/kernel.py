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
