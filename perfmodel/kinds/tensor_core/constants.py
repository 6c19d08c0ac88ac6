"""Constants of GPU kernels: products in tiles and waves, experts, fused attention."""

from __future__ import annotations

from typing import Annotated, ClassVar

from perfmodel.hardware.field_types import Draw, Portion, Time
from perfmodel.hardware.kernel import (
    Blocks,
    Clocks,
    Cost,
    Exponent,
    IdealValue,
    Kernel,
    Number,
    Passes,
    Rows,
    Share,
)


class TensorCoreKernel(Kernel):
    """Constants of products (`gemm`), attention (`attention`) and streaming kernels."""

    KIND: ClassVar[str] = "tensor_core"

    l2_share: Annotated[Share | None, IdealValue(1.0)] = None
    """Share of the L2's bandwidth that the kernel draws."""
    reread_share: Annotated[Portion | None, IdealValue(0.0)] = None
    """Share of the tiles' repeated reads that miss the L2 and come from main memory."""
    draw_bytes_per_clock: Annotated[Draw | None, IdealValue(float("inf"))] = None
    """Bytes per clock that one thread block draws from main memory: few blocks cannot saturate
    it."""
    blocks_per_unit: Annotated[Blocks | None, IdealValue(1.0)] = None
    """Thread blocks that draw from memory on one unit concurrently; 1 if left out."""
    tile_fill: Annotated[Time | None, IdealValue(0.0)] = None
    """Time of a wave of tiles in addition to its arithmetic: first loads and the epilogue."""
    step_clocks: Annotated[Clocks | None, IdealValue(0.0)] = None
    """Lower bound on clocks per step of 64 in the inner loop, for the latency of a tile's
    operands."""
    tile_exponent: Annotated[Exponent | None, IdealValue(0.0)] = None
    """Exponent in the harmonic extent of the rate of tiles smaller than 128 x 256."""
    wave_quantisation: Annotated[Portion | None, IdealValue(1.0)] = None
    """Cost of a partly filled last wave: 0 for its fraction, 1 for a full wave, linear between."""
    split_launch: Annotated[Time | None, IdealValue(0.0)] = None
    """Time to sum the parts of a split sum, in addition to their traffic."""
    quantise_bytes: Annotated[Passes | None, IdealValue(0.0)] = None
    """Bytes that a preceding kernel streams per number of the left factor to quantise it to the
    product's format; 3 and a scale where it reads 16 bits and writes 8."""
    per_group: Annotated[Time | None, IdealValue(0.0)] = None
    """Time per group (expert) in addition to its work."""
    activation_passes: Annotated[Passes | None, IdealValue(1.0)] = None
    """Transfers of the activations of a fused mixture of experts to or from main memory."""
    layout_passes: Annotated[Passes | None, IdealValue(0.0)] = None
    """Transfers of a product's activations by separate kernels that convert its layout: 2 where
    channels come first and the product requires them last."""
    narrow_columns: Number | None = None
    """Columns of the narrowest tile, if fewer than 32: kernels of convolutions whose groups have
    few filters."""
    vector_share: Share | None = None
    """Share of the vector units' peak that a depthwise kernel reaches; it uses them in place of the
    matrix units."""
    exp_cost: Annotated[Cost | None, IdealValue(1.0)] = None
    """Attention: seconds of exponentials that do not overlap with the products, over those at the
    full rate of the special function units; above 1 it includes the rest of the softmax."""
    block_time: Annotated[Time | None, IdealValue(0.0)] = None
    """Attention over a prompt: time per block of queries in addition to its products, at 1.8
    GHz."""
    narrow_slowdown: Annotated[Cost | None, IdealValue(1.0)] = None
    """Attention over a prompt: factor on its arithmetic time with an 8-bit cache."""
    query_rows: Annotated[Rows | None, IdealValue(1.0)] = None
    """Attention over a cache: rows of the query tile, to which heads with shared keys are
    padded."""
    combine: Annotated[Time | None, IdealValue(0.0)] = None
    """Attention over a cache: time to combine a split sequence, per doubling of its blocks."""
