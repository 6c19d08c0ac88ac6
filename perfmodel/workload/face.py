"""Family ``face``: embeddings of faces: ArcFace's residual network, MobileFaceNet.

Deng et al. 2019 (arXiv:1801.07698): improved residual units, PReLU, no pool before the embedding;
Chen et al. 2018 (arXiv:1804.07573). Layers follow insightface's recognition models.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from perfmodel.frozen import Count
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames, images
from perfmodel.workload.symbols import product

#: MobileFaceNet's stages: expanded channels, channels, blocks; the first block of each strides.
_MOBILE = ((128, 64, 0, 2), (128, 64, 4, 1), (256, 128, 0, 2), (256, 128, 6, 1), (512, 128, 0, 2),
           (256, 128, 2, 1))  # fmt: skip


class FaceStructure(ImageStructure):
    """Shape of an embedding network.

    Attributes
    ----------
    model
        ``iresnet`` or ``mobilefacenet``.
    depths
        Units of each stage of the residual network.
    classes
        Features of the embedding.
    dense
        Whether the residual network ends in its dense layer on all pixels.
    scale
        Multiple of MobileFaceNet's channels between its expansions (2 in insightface).
    """

    model: Literal["iresnet", "mobilefacenet"]
    depths: tuple[Count, Count, Count, Count] = (3, 4, 14, 3)
    classes: int = Field(512, gt=0, le=10**5)
    dense: bool = True
    scale: Annotated[int, Field(gt=0, le=16)] = 1


def build(structure: FaceStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = ImageBuilder(s.model, folded=s.batch_norm == "folded")
    x = g.image(s.image_channels)
    x = _iresnet(g, x, s) if s.model == "iresnet" else _mobilefacenet(g, x, s)
    g.output(x)
    return g.build(parameters(s))


def _prelu(g: ImageBuilder, x: Tensor, name: str) -> Tensor:
    slope = g.weight(f"{name}.weight", (x.shape[1], 1, 1), tag="vector")
    return g.elementwise("prelu", x, slope, name=name)


def _conv(
    g: ImageBuilder, x: Tensor, channels: int, kernel: int, name: str, *, stride: int = 1,
    depthwise: bool = False, act: bool = True,
) -> Tensor:  # fmt: skip
    groups = x.shape[1] if depthwise else 1
    x = g.conv_norm(x, channels, kernel, stride=stride, groups=groups, name=name)
    return _prelu(g, x, f"{name}.prelu") if act else x


def _iresnet(g: ImageBuilder, x: Tensor, s: FaceStructure) -> Tensor:
    x = _conv(g, x, 64, 3, "stem")
    for i, depth in enumerate(s.depths):
        channels = 64 * 2**i
        x = _unit(g, x, channels, 2, f"layer{i + 1}.0.")
        if depth > 1:
            with g.repeat(depth - 1, f"layer{i + 1}.1"):
                x = _unit(g, x, channels, 1, "")
    x = g.norm(x, "batch_norm", name="norm")
    if not s.dense:
        return x
    x = g.view(x, (x.shape[0], product(*x.shape[1:])), name="flat")
    return g.linear(x, s.classes, name="embedding", tag="head")


def _unit(g: ImageBuilder, x: Tensor, channels: int, stride: int, name: str) -> Tensor:
    """Add normalisation, 3x3, PReLU, strided 3x3, and the input."""
    y = g.norm(x, "batch_norm", name=f"{name}norm")
    y = _conv(g, y, channels, 3, f"{name}conv1")
    y = g.conv_norm(y, channels, 3, stride=stride, name=f"{name}conv2")
    if stride != 1:
        x = g.conv_norm(x, channels, 1, stride=stride, name=f"{name}downsample")
    return g.elementwise("add", y, x, name=f"{name}add")


def _mobilefacenet(g: ImageBuilder, x: Tensor, s: FaceStructure) -> Tensor:
    x = _conv(g, x, 64 * s.scale, 3, "stem", stride=2)
    x = _conv(g, x, 64 * s.scale, 3, "stem.depthwise", depthwise=True)
    for i, (inner, narrow, repeats, stride) in enumerate(_MOBILE):
        channels = narrow * s.scale
        if stride == 2:
            x = _bottleneck(g, x, inner, channels, 2, f"stage{i}.")
        else:
            with g.repeat(repeats, f"stage{i}"):
                x = _bottleneck(g, x, inner, channels, 1, "")
    x = _conv(g, x, 512, 1, "head")
    x = g.conv_norm(x, 512, 7, groups=512, padding=0, name="global")
    x = g.view(x, (x.shape[0], product(*x.shape[1:])), name="flat")
    return g.linear(x, s.classes, name="embedding", bias=False, tag="head")


def _bottleneck(
    g: ImageBuilder, x: Tensor, inner: int, channels: int, stride: int, name: str
) -> Tensor:
    y = _conv(g, x, inner, 1, f"{name}expand")
    y = _conv(g, y, inner, 3, f"{name}depthwise", stride=stride, depthwise=True)
    y = _conv(g, y, channels, 1, f"{name}project", act=False)
    return g.elementwise("add", y, x, name=f"{name}add") if stride == 1 else y


parameters = images(112, 112)

FAMILY_FACE = Family("face", FaceStructure, parameters, build, frames)
