"""Deformable convolutions: taps are read at offsets that a second convolution computes.

Dai et al., "Deformable Convolutional Networks", ICCV 2017; hardware-friendly offsets: Huang et al.,
"CoDeNet", FPGA 2021 (whole pixels, a bound, one offset for all taps of a square).
"""

from __future__ import annotations

from typing import Final, Literal

from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.graph import Tensor
from perfmodel.workload.sliding_window import SlidingWindow
from perfmodel.workload.symbols import Dim, product

#: Operations to interpolate between four pixels.
BILINEAR_OPS: Final = 7
#: ``free``: two offsets per tap; ``square``: one for all taps, a separate dilation per pixel.
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
    """Add the convolution that computes the offsets, and the one that samples at them.

    Parameters
    ----------
    x
        Shape ``(batch, channels, height, width)``.
    groups
        Groups of channels; equal to the channels for a depthwise convolution.
    offset_kernel
        Kernel size of the convolution that computes the offsets (3; CoDeNet 1).
    modulated
        Whether each tap also has a separate weight at each pixel (version 2).
    rounded
        Whether offsets are whole pixels: a sample then reads one pixel, not four with 7 operations.
    bound
        Largest offset in pixels; 0 for none. Rows within the bound can be buffered on chip, so
        that each pixel of `x` is read once; without a bound every sample is a separate read.

    Returns
    -------
    Tensor
        Shape ``(batch, channels, height', width')``.
    """
    taps = kernel * kernel
    per_pixel = 1 if offsets == "square" else 2 * taps
    moves = g.conv(
        x,
        per_pixel + (taps if modulated else 0),
        offset_kernel,
        stride=stride,
        padding=offset_kernel // 2,
        name=f"{name}.offsets",
    )
    window = SlidingWindow.of(x, kernel, stride, kernel // 2)
    out = window.outputs(x.shape[2:])
    samples = product(x.shape[0], x.shape[1], *out, taps)
    read = x.elements if bound else product(samples, 1 if rounded else 4)
    each = (0 if rounded else BILINEAR_OPS) + (1 if modulated else 0)
    attributes = {
        "kernel": window.kernel,
        "stride": window.stride,
        "padding": (kernel // 2,) * 4,
        "dilation": window.dilation,
        "groups": groups,
        "deformable": offsets,
    }
    return g.convolution(
        x,
        channels,
        out,
        attributes,
        bias=bias,
        name=name,
        reads=[(x, read), moves],
        vector_ops=product(samples, each),
    )
