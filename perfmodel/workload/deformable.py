"""Deformable convolutions: taps are read where offsets say, which a convolution of its own makes.

Dai et al., "Deformable Convolutional Networks", ICCV 2017; what hardware wants of the offsets:
Huang et al., "CoDeNet", FPGA 2021 (whole pixels, a bound, one offset for all taps of a square).
"""

from __future__ import annotations

from typing import Final, Literal

from perfmodel.workload.builder import GraphBuilder, conv_size
from perfmodel.workload.graph import Tensor
from perfmodel.workload.nest import conv_nest
from perfmodel.workload.symbols import Dim, constant, product, simplify

#: Operations of a sample between four pixels.
BILINEAR_OPS: Final = 7
#: ``free``: two offsets a tap; ``square``: one for all taps, a dilation of each pixel's own.
OffsetKind = Literal["free", "square"]


def deformable_conv(
    g: GraphBuilder,
    x: Tensor,
    channels: Dim,
    kernel: int = 3,
    *,
    stride: int = 1,
    groups: Dim = 1,
    offsets: OffsetKind = "free",
    offset_kernel: int = 3,
    modulated: bool = False,
    rounded: bool = False,
    bound: int = 0,
    bias: bool = False,
    name: str = "deformable",
) -> Tensor:
    """Add the convolution that makes the offsets, and the one whose taps are read there.

    Parameters
    ----------
    x
        Shape ``(batch, channels, height, width)``.
    groups
        Equal to the channels makes it depthwise.
    offset_kernel
        Of the convolution that makes the offsets (3; CoDeNet 1).
    modulated
        Each tap also has a weight of its own at each pixel (version 2).
    rounded
        Offsets are whole pixels: a sample is one pixel, not four and 7 operations.
    bound
        Largest offset in pixels; 0 for none. Rows within it can wait on the chip, so that each
        pixel of `x` is read once; without a bound every sample is a read of its own.

    Returns
    -------
    Tensor
        Shape ``(batch, channels, height', width')``.
    """
    taps = kernel * kernel
    many = 1 if offsets == "square" else 2 * taps
    batch, ins, *spatial = x.shape
    moves = g.conv(
        x,
        many + (taps if modulated else 0),
        offset_kernel,
        stride=stride,
        padding=offset_kernel // 2,
        name=f"{name}.offsets",
    )
    pads = (kernel // 2, kernel // 2)
    out = [conv_size(n, kernel, stride, pads, 1) for n in spatial]
    w = g.weight(f"{name}.weight", (channels, simplify(ins / groups), kernel, kernel))
    y = g.tensor(f"{name}.out", (batch, channels, *out))
    nest = conv_nest(
        batch,
        groups,
        simplify(channels / groups),
        simplify(ins / groups),
        out,
        (kernel, kernel),
        (stride, stride),
        (1, 1),
        spatial,
        (x.name, w.name, y.name),
    )
    samples = product(batch, ins, *out, taps)
    read = x.elements if bound else product(samples, 1 if rounded else 4)
    each = (0 if rounded else BILINEAR_OPS) + (1 if modulated else 0)
    reads: list[Tensor | tuple[Tensor, Dim]] = [(x, read), w, moves]
    if bias:
        reads.append(g.weight(f"{name}.bias", (channels,), tag="vector"))
    depthwise = groups == ins and constant(groups) != 1
    g.operator(
        name,
        "depthwise" if depthwise else "conv",
        reads,
        [y],
        nests=[nest],
        vector_ops=product(samples, each) + (y.elements if bias else 0),
        pair=(w.slot, x.slot),
        attributes={
            "kernel": (kernel, kernel),
            "stride": (stride, stride),
            "padding": pads * 2,
            "dilation": (1, 1),
            "groups": groups,
            "deformable": offsets,
        },
    )
    return y
