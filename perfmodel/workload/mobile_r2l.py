"""Family ``mobile_r2l``: MobileR2L, a neural light field (Cao et al. 2022, arXiv:2212.08057).

1x1 convolutions over a small grid of rays, then transposed convolutions up to the image. Layers
follow the authors' code.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from perfmodel.frozen import Count
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, frames, images
from perfmodel.workload.image import ImageStructure as _Image


class MobileR2LStructure(_Image):
    """Shape of a MobileR2L.

    Attributes
    ----------
    image_channels
        Encoded numbers of a ray: points x 3 x (2 x frequencies + 1).
    body_width, body_blocks
        Channels and residual blocks of two 1x1 convolutions before anything is scaled up.
    up_widths, up_kernels, up_strides
        Channels, kernel and stride of each transposed convolution.
    up_blocks
        Residual blocks after each of them.
    classes
        Colours of a pixel.
    """

    image_channels: int = Field(312, gt=0, le=10**4)
    body_width: Count = 256
    body_blocks: Count = 29
    up_widths: tuple[Count, ...] = (64, 64, 16)
    up_kernels: tuple[Count, ...] = (4, 4, 3)
    up_strides: tuple[Count, ...] = (2, 2, 3)
    up_blocks: Annotated[int, Field(ge=0, le=100)] = 2
    classes: int = Field(3, gt=0, le=10**7)


def build(structure: MobileR2LStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = ImageBuilder("mobile_r2l", folded=s.batch_norm == "folded")
    x = g.conv(g.image(s.image_channels), s.body_width, 1, name="head")
    x = head = g.elementwise("gelu", x, name="head.gelu")
    for i in range(s.body_blocks):
        x = _residual(g, x, f"body.{i}")
    x = g.elementwise("add", x, head, name="body.add")
    ups = zip(s.up_widths, s.up_kernels, s.up_strides, strict=True)
    for i, (width, kernel, stride) in enumerate(ups):
        x = g.conv(
            x, width, kernel, stride=stride, padding=(kernel - stride) // 2, transposed=True,
            name=f"up{i + 1}",
        )  # fmt: skip
        for j in range(s.up_blocks):
            x = _residual(g, x, f"up{i + 1}.{j}")
    x = g.conv(x, s.classes, 1, name="colours")
    g.output(g.elementwise("sigmoid", x, name="colours.sigmoid"))
    return g.build(parameters(s))


def _residual(g: ImageBuilder, x: Tensor, name: str) -> Tensor:
    channels = x.shape[1]
    y = g.conv_norm(x, channels, 1, activation="gelu", bias=True, name=f"{name}.conv1")
    y = g.conv_norm(y, channels, 1, bias=True, name=f"{name}.conv2")
    return g.elementwise("add", x, y, name=f"{name}.add")


parameters = images(63, 84)

FAMILY_MOBILE_R2L = Family("mobile_r2l", MobileR2LStructure, parameters, build, frames)
