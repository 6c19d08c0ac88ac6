"""Constants of kernels on many units: products in tiles and waves, experts, fused attention."""

from __future__ import annotations

from typing import ClassVar

from perfmodel.hardware.kernel import (
    Blocks,
    Clocks,
    Cost,
    Draw,
    Exponent,
    Kernel,
    Number,
    Passes,
    Portion,
    Rows,
    Share,
    Time,
)


class TensorCoreKernel(Kernel):
    """What products (`gemm`), attention (`attention`) and streams reach and cost."""

    KIND: ClassVar[str] = "tensor_core"

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
    step_clocks: Clocks | None = None
    """Least clocks of a step of 64 in the inner loop: a tile waits that long for its operands,
    however little it computes."""
    tile_exponent: Exponent | None = None
    """How the rate of a tile smaller than 128 x 256 falls with its harmonic extent."""
    wave_quantisation: Portion | None = None
    """How far a last, partly filled wave costs a whole one: 0 not at all, 1 wholly."""
    split_launch: Time | None = None
    """Time of summing the parts of a split sum, beside their traffic."""
    quantise_bytes: Passes | None = None
    """Bytes that a kernel before the product streams for each number of its left factor, which it
    quantises to the product's format; 3 and a scale where it reads 16 bits and writes 8."""
    per_group: Time | None = None
    """Time that each group (expert) costs beside its work."""
    activation_passes: Passes | None = None
    """How often the activations of a fused mixture of experts cross main memory's boundary."""
    layout_passes: Passes | None = None
    """How often kernels beside the product move its activations, to lay them out as it takes and
    gives them: 2 where channels come first and the product wants them last."""
    narrow_columns: Number | None = None
    """Columns of the narrowest tile, where they are fewer than 32: kernels of convolutions whose
    groups have few filters."""
    vector_share: Share | None = None
    """Share of the vector units' peak that a depthwise kernel reaches; they take the place of the
    matrix units."""
    exp_cost: Cost | None = None
    """Attention: seconds of exponentials that do not hide behind the products, by those at the full
    rate of the special function units; above 1 it stands for the rest of the softmax."""
    block_time: Time | None = None
    """Attention over a prompt: time of a block of queries beside its products, at 1.8 GHz."""
    narrow_slowdown: Cost | None = None
    """Attention over a prompt: its arithmetic takes so many times as long with an 8-bit cache."""
    query_rows: Rows | None = None
    """Attention over a cache: rows of the query tile, which heads that share keys are padded to."""
    combine: Time | None = None
    """Attention over a cache: time of joining a split sequence, for each doubling of its blocks."""
