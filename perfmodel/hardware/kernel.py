"""Constants of a runtime's kernels, for kinds of hardware that model what a kernel does."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from perfmodel.hardware.quantity import Of, Quantity, Spec

__all__ = ["KERNEL_CLASSES", "Kernel"]

KERNEL_CLASSES: Final = (
    "gemm", "gemv", "conv", "grouped", "depthwise", "attention_prefill", "attention_decode", "moe",
    "batched_gemm", "recurrent", "elementwise", "norm", "softmax", "pool", "copy", "gather",
    "all_reduce", "all_gather", "reduce_scatter", "all_to_all",
)  # fmt: skip
"""Classes of kernels; ``gemm.fp8`` are the constants of one compute or weight format,
``elementwise.gelu_tanh`` those of one function, ``all_reduce.custom`` those of one library beside
another. ``batched_gemm`` are the products of attention whose scores are written to memory."""

Algorithm: TypeAlias = Literal[
    "direct", "im2col", "winograd_2x2", "winograd_4x4", "dense", "per_group"
]
"""How a convolution is computed; see `Kernel.algorithms`."""

Time: TypeAlias = Annotated[Quantity, Of("time")]
Share: TypeAlias = Annotated[Quantity, Of("fraction", positive=True, ceiling=2.0)]
Portion: TypeAlias = Annotated[Quantity, Of("fraction", ceiling=1.0)]
Number: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=1e6)]
Clocks: TypeAlias = Annotated[Quantity, Of("clocks", ceiling=1e6)]
Norm: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=100.0)]
Exponent: TypeAlias = Annotated[Quantity, Of("count", ceiling=4.0)]
Passes: TypeAlias = Annotated[Quantity, Of("count", ceiling=100.0)]
Draw: TypeAlias = Annotated[Quantity, Of("bandwidth_per_clock", positive=True, bare=True)]


Cost: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=20.0)]
Rows: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=1024.0)]


class Kernel(Spec):
    """What a backend's kernels of one class reach and cost.

    A kind that models an effect reads its constants here and takes no efficiency for it; which
    constants a kind reads, and their equations, is in its documentation.
    """

    note: str | None = None
    """What a reader must know: the library, how it was measured."""
    algorithms: tuple[Algorithm, ...] = ()
    """Algorithms of ``conv``, ``grouped`` and ``depthwise``, best first: an operator takes the
    first that fits it, the direct one where none does. ``direct``: as counted. ``im2col``: the
    columns are written and read. ``winograd_2x2``, ``winograd_4x4`` (dense 3 x 3 of stride 1): 4/9
    and 1/4 of the multiplications, and transforms. ``dense`` (groups): one dense convolution over
    zeros. ``per_group``: a kernel a group."""
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
    draw_bytes_per_clock: Draw | None = None
    """Bytes of main memory that one unit can draw a clock: few units cannot draw it all."""
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
    passes: Passes | None = None
    """How often the kernels of this class move the bytes of one: a function that a framework
    composes of several kernels, or passes over attention's scores beside the softmax."""
    exp_cost: Cost | None = None
    """Attention: seconds of exponentials that do not hide behind the products, by those at the full
    rate of the special function units; above 1 it stands for the rest of the softmax."""
    block_time: Time | None = None
    """Attention over a prompt: time of a block of queries beside its products, at 1.8 GHz."""
    narrow_slowdown: Cost | None = None
    """Attention over a prompt: its arithmetic takes so many times as long with an 8-bit cache."""
    narrow_launch: Time | None = None
    """Attention over a cache: further time where the cache is in 8 bits."""
    query_rows: Rows | None = None
    """Attention over a cache: rows of the query tile, which heads that share keys are padded to."""
    combine: Time | None = None
    """Attention over a cache: time of joining a split sequence, for each doubling of its blocks."""
    ramp: Time | None = None
    """Time until the memory, or the link, delivers at its full rate."""
    step: Time | None = None
    """Collective: time of a step of the low-latency protocol."""
    middle_start: Time | None = None
    """Collective: further start of the middle protocol (128 byte lines)."""
    middle_step: Time | None = None
    """Collective: time of a step of the middle protocol."""
    bulk_start: Time | None = None
    """Collective: further start of the bulk protocol."""
    bulk_step: Time | None = None
    """Collective: time of a step of the bulk protocol."""
    low_share: Share | None = None
    """Collective: rate of the low-latency protocol, by that of bulk."""
    middle_share: Share | None = None
    """Collective: rate of the middle protocol, by that of bulk."""
    pair_share: Share | None = None
    """Collective: share of the link's bandwidth in bulk between two devices."""
    eight_share: Share | None = None
    """Collective: share of the link's bandwidth in bulk between eight devices."""
    bridge_share: Share | None = None
    """Collective: what is left of the share where more than two devices meet over PCIe bridges."""
    switch_start: Time | None = None
    """Collective: start of a reduction inside the switch (NVLS)."""
    switch_share: Share | None = None
    """Collective: share of the link's bandwidth of a reduction inside the switch."""
    one_shot_start: Time | None = None
    """Collective: start of one kernel in which every device reads all others."""
    one_shot_share: Share | None = None
    """Collective: share of the link's bandwidth of that kernel."""
    two_shot_start: Time | None = None
    """Collective: start of one kernel that scatters the sums and gathers them."""
    two_shot_share: Share | None = None
    """Collective: share of the link's bandwidth of that kernel."""
    copy_launch: Time | None = None
    """Collective: launch of a copy into a registered buffer."""
    copy_share: Share | None = None
    """Collective: share of main memory's bandwidth of that copy."""
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
