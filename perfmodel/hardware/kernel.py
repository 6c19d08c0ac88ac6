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
Number: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=1e6)]
Clocks: TypeAlias = Annotated[Quantity, Of("clocks", ceiling=1e6)]
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
    tile_rows: Number | None = None
    """Pixels, or rows of the left matrix, of the tile of sums in a kernel's registers."""
    tile_vectors: Number | None = None
    """Vectors of output channels, or of columns, of that tile."""
    slice: Number | None = None
    """Input channels, or numbers of the summed dimension, that the kernel takes at once."""
    multiple: Number | None = None
    """Channels must be a multiple of it for the kernel's layout; others take a slow path."""
    tile_clocks: Clocks | None = None
    """Clocks of a tile beside its multiplications, loads and stores."""
    call_clocks: Clocks | None = None
    """Clocks of entering the kernel, once a row of the output or a panel."""
    edge_clocks: Clocks | None = None
    """Clocks from one multiply-accumulate to the next of a single pixel, as at a padded edge: work
    on its neighbours hides part of the unit's latency."""
    plain_clocks: Clocks | None = None
    """Clocks of a multiply-accumulate on the slow path: of channels that fill no block, or of one
    row times a matrix that is not packed."""
    copy_clocks: Clocks | None = None
    """Clocks of moving a number when an operand is packed or unfolded."""
    conflict_share: Share | None = None
    """Share of its speed that is left where the rows of a tile fall on one set of the cache."""
    hidden_share: Portion | None = None
    """Share of the time of cold weights that hides behind arithmetic."""
    rider_share: Share | None = None
    """Share of the vector units' peak of a function that rides on the kernel in a pass of its own
    (every one but those that are applied while sums are stored)."""
    broadcast_clocks: Clocks | None = None
    """Clocks of an element of a product that broadcasts one activation over another (squeeze and
    excite), conversions of layout around it among them."""
