"""Family ``ghostnet``: RepGhostNet as deployed (Chen et al. 2022, arXiv:2211.06088).

A ghost bottleneck makes its channels with a 1x1 convolution and a depthwise one in a row, without
the concatenation of GhostNet (arXiv:1911.11907), whose stages it keeps. Layers follow timm.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames, images

_Width = Annotated[float, Field(gt=0, le=10)]

#: Stages of blocks: kernel, inner channels, channels, squeeze ratio, stride.
_STAGES = (
    ((3, 8, 16, 0.0, 1),),
    ((3, 24, 24, 0.0, 2),),
    ((3, 36, 24, 0.0, 1),),
    ((5, 36, 40, 0.25, 2),),
    ((5, 60, 40, 0.25, 1),),
    ((3, 120, 80, 0.0, 2),),
    ((3, 100, 80, 0.0, 1), (3, 120, 80, 0.0, 1), (3, 120, 80, 0.0, 1), (3, 240, 112, 0.25, 1),
     (3, 336, 112, 0.25, 1)),
    ((5, 336, 160, 0.25, 2),),
    ((5, 480, 160, 0.0, 1), (5, 480, 160, 0.25, 1), (5, 480, 160, 0.0, 1), (5, 480, 160, 0.25, 1)),
)  # fmt: skip


class GhostNetStructure(ImageStructure):
    """Shape of a RepGhostNet.

    Attributes
    ----------
    width_multiple
        Multiple of all channels.
    """

    width_multiple: _Width = 1.0
    batch_norm: Literal["separate", "folded"] = "folded"


def _rounded(channels: float, divisor: int = 4) -> int:
    new = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return new + divisor if new < 0.9 * channels else new


def build(structure: GhostNetStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = ImageBuilder("ghostnet", folded=s.batch_norm == "folded")
    x = g.conv_norm(
        g.image(s.image_channels), _rounded(16 * s.width_multiple), 3, stride=2, activation="relu",
        name="stem",
    )  # fmt: skip
    for i, stage in enumerate(_STAGES):
        for j, (kernel, inner, channels, squeeze, stride) in enumerate(stage):
            sizes = _rounded(inner * s.width_multiple), _rounded(channels * s.width_multiple)
            x = _bottleneck(g, x, kernel, *sizes, squeeze, stride, f"stage{i}.{j}.")
    x = g.conv_norm(x, _rounded(960 * s.width_multiple), 1, activation="relu", name="last")
    x = g.global_pool(x, name="avgpool", keep=True)
    x = g.elementwise("relu", g.conv(x, 1280, 1, name="head"), name="head.relu")
    x = g.view(x, (x.shape[0], 1280), name="flat")
    g.output(g.linear(x, s.classes, name="classifier", tag="head"))
    return g.build(parameters(s))


def _ghost(g: ImageBuilder, x: Tensor, channels: int, name: str, *, act: bool) -> Tensor:
    function = "relu" if act else ""
    y = g.conv_norm(x, channels, 1, activation=function, name=f"{name}.primary")
    return g.conv_norm(y, channels, 3, groups=channels, activation=function, name=f"{name}.cheap")


def _bottleneck(
    g: ImageBuilder, x: Tensor, kernel: int, inner: int, channels: int, squeeze: float, stride: int,
    name: str,
) -> Tensor:  # fmt: skip
    inputs = int(x.shape[1])  # pyright: ignore[reportArgumentType]
    y = _ghost(g, x, inner, f"{name}ghost1", act=True)
    if stride > 1:
        y = g.conv_norm(y, inner, kernel, stride=stride, groups=inner, name=f"{name}depthwise")
    if squeeze:
        y = g.squeeze_excite(
            y, _rounded(inner * squeeze), activation="relu", gate="hard_sigmoid", name=f"{name}se"
        )
    y = _ghost(g, y, channels, f"{name}ghost2", act=False)
    if inputs != channels or stride != 1:
        x = g.conv_norm(
            x, inputs, kernel, stride=stride, groups=inputs, name=f"{name}short.depthwise"
        )
        x = g.conv_norm(x, channels, 1, name=f"{name}short.pointwise")
    return g.elementwise("add", y, x, name=f"{name}add")


parameters = images(224, 224)

FAMILY_GHOSTNET = Family("ghostnet", GhostNetStructure, parameters, build, frames)
