"""Deformable convolutions: each tap reads the image at an offset that depends on the pixel.

``y(p) = sum_k w_k x(p + p_k + o_k(p))`` with taps ``p_k`` and offsets ``o_k``, which a second
convolution computes from ``x`` (Dai et al., "Deformable Convolutional Networks", ICCV 2017,
equation 2). Version 2 multiplies each tap by a further weight ``m_k(p)`` (Zhu et al., CVPR 2019,
equation 1). Offsets that are cheaper in hardware: Huang et al., "CoDeNet", FPGA 2021 (whole pixels,
a bound, one offset for all taps of a square).
"""

from __future__ import annotations

from typing import Final, Literal

from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.graph import Tensor
from perfmodel.workload.sliding_window import SlidingWindow
from perfmodel.workload.symbols import Dim, product

#: Pixels between which a sample at a fractional position is interpolated.
_BILINEAR_PIXELS: Final = 4
#: Operations per sample, ``x(p) = sum_q G(q, p) x(q)`` over these pixels (Dai et al., equation 3):
#: 4 products and 3 sums. The weights G are shared by all channels and not counted.
_BILINEAR_OPS: Final = 2 * _BILINEAR_PIXELS - 1
#: ``free``: two offsets per tap; ``square``: one number per pixel, by which the taps are dilated.
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
        Whether each tap is multiplied by a weight that depends on the pixel (version 2).
    rounded
        Whether offsets are whole pixels, so that a sample is one pixel instead of an interpolation.
    bound
        Largest offset in pixels; 0 if it is unlimited. Rows within a bound can be buffered on chip,
        so that each pixel of `x` is read once; otherwise every sample is a separate read. The
        traffic depends only on whether there is a bound, not on its size.

    Returns
    -------
    Tensor
        Shape ``(batch, channels, height', width')``.
    """
    taps = kernel * kernel
    offsets_per_pixel = 1 if offsets == "square" else 2 * taps
    offset_map = g.conv(
        x,
        offsets_per_pixel + (taps if modulated else 0),
        offset_kernel,
        stride=stride,
        padding=offset_kernel // 2,
        name=f"{name}.offsets",
    )
    window = SlidingWindow.of(x, kernel, stride, kernel // 2)
    out = window.outputs(x.shape[2:])
    samples = product(x.shape[0], x.shape[1], *out, taps)
    pixels_read = x.elements if bound else product(samples, 1 if rounded else _BILINEAR_PIXELS)
    ops_per_sample = (0 if rounded else _BILINEAR_OPS) + (1 if modulated else 0)
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
        reads=[(x, pixels_read), offset_map],
        vector_ops=product(samples, ops_per_sample),
    )
