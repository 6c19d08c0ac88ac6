"""Family ``dense_heads``: a residual network with a head that predicts at every pixel.

FCN-8s (Long et al. 2015, arXiv:1411.4038) and CenterNet (Zhou et al. 2019, arXiv:1904.07850, as
GluonCV builds it: a 3x3 convolution and a transposed one at each of three scales).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from perfmodel.frozen import SmallCount
from perfmodel.workload.convnet import ResNetStructure, residual_stages
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames, images


class DenseHeadsStructure(ImageStructure):
    """Shape of a residual network with a dense head.

    Attributes
    ----------
    block, depths
        The backbone, as in the family ``resnet``.
    head
        ``fcn8`` or ``centernet``.
    upsampled
        Channels of CenterNet's three scales.
    head_channels
        Channels of CenterNet's heads.
    """

    block: Literal["basic", "bottleneck"] = "basic"
    depths: tuple[SmallCount, SmallCount, SmallCount, SmallCount] = (2, 2, 2, 2)
    head: Literal["fcn8", "centernet"]
    classes: int = Field(19, gt=0, le=10**5)
    upsampled: tuple[SmallCount, SmallCount, SmallCount] = (256, 128, 64)
    head_channels: SmallCount = 64


def build(structure: DenseHeadsStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph: scores at every pixel (FCN-8s), or at a quarter of them (CenterNet)."""
    del semantics
    s = structure
    g = ImageBuilder("dense_heads", folded=s.batch_norm == "folded")
    image = g.image(s.image_channels)
    shape = ResNetStructure.model_validate({"block": s.block, "depths": s.depths})
    maps = residual_stages(g, image, shape)
    if s.head == "fcn8":
        x = g.conv(maps[-1], s.classes, 1, name="score32")
        for i, side in ((16, maps[-2]), (8, maps[-3])):
            x = g.resize(x, side.shape[2:], name=f"up{i}")
            y = g.conv(side, s.classes, 1, name=f"score{i}")
            x = g.elementwise("add", x, y, name=f"sum{i}")
        g.output(g.resize(x, image.shape[2:], name="up"))
        return g.build(parameters(s))
    x = maps[-1]
    for i, channels in enumerate(s.upsampled):
        x = g.conv_norm(x, channels, 3, activation="relu", name=f"scale{i}.conv")
        x = g.conv(x, channels, 4, stride=2, padding=1, transposed=True, bias=False,
                   name=f"scale{i}.up")  # fmt: skip
        if not g.folded:
            x = g.norm(x, "batch_norm", name=f"scale{i}.norm")
        x = g.elementwise("relu", x, name=f"scale{i}.relu")
    outputs: list[Tensor] = []
    for what, channels in (("heat", s.classes), ("size", 2), ("offset", 2)):
        y = g.conv(x, s.head_channels, 3, padding=1, name=f"{what}.conv")
        y = g.elementwise("relu", y, name=f"{what}.relu")
        outputs.append(g.conv(y, channels, 1, name=f"{what}.out"))
    g.output(*outputs)
    return g.build(parameters(s))


parameters = images(512, 512)

FAMILY_DENSE_HEADS = Family("dense_heads", DenseHeadsStructure, parameters, build, frames)
