"""Family ``segmentation``: FCN and DeepLabV3 on a dilated residual network.

Long et al. 2015 (arXiv:1411.4038) and Chen et al. 2017 (arXiv:1706.05587); layers follow
torchvision, which keeps the last two stages of the backbone at an eighth of the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from perfmodel.frozen import SmallCount
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.convnet import residual_block
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames, images
from perfmodel.workload.symbols import simplify


class SegmentationStructure(ImageStructure):
    """Shape of a segmentation network.

    Attributes
    ----------
    head
        ``fcn``: one 3x3 convolution; ``deeplab``: atrous pyramid pooling, then one.
    depths
        Bottleneck blocks in each stage of the backbone.
    rates
        Dilations of the pyramid's 3x3 convolutions.
    pyramid
        Channels of each branch of the pyramid.
    auxiliary
        Whether the second classifier, on the third stage, runs too.
    """

    head: Literal["fcn", "deeplab"]
    depths: Annotated[tuple[SmallCount, SmallCount, SmallCount, SmallCount], Field()] = (3, 4, 6, 3)
    rates: Annotated[tuple[SmallCount, ...], Field(min_length=1, max_length=8)] = (12, 24, 36)
    pyramid: SmallCount = 256
    auxiliary: bool = False

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield fields that only a DeepLab head has."""
        if data.get("head") == "fcn":
            for key, usual in (("rates", (12, 24, 36)), ("pyramid", 256)):
                given = data.get(key, usual)
                if (tuple(cast("list[Any]", given)) if isinstance(given, list) else given) != usual:
                    yield Flaw((key,), f"an FCN head has no '{key}'", "head: deeplab")


def build(structure: SegmentationStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph: scores of every class at every pixel of the image."""
    del semantics
    s = structure
    g = ImageBuilder("segmentation", folded=s.batch_norm == "folded")
    image = g.image(s.image_channels)
    third, last = _backbone(g, image, s)
    x = _fcn(g, last, s, "head") if s.head == "fcn" else _deeplab(g, last, s)
    outputs = [g.resize(x, image.shape[2:], name="upsample")]
    if s.auxiliary:
        x = _fcn(g, third, s, "auxiliary")
        outputs.append(g.resize(x, image.shape[2:], name="auxiliary.upsample"))
    g.output(*outputs)
    return g.build(parameters(s))


def _backbone(g: ImageBuilder, x: Tensor, s: SegmentationStructure) -> tuple[Tensor, Tensor]:
    """Add the residual network; returns the outputs of its last two stages."""
    x = g.conv_norm(x, 64, 7, stride=2, activation="relu", name="conv1")
    x = g.pool(x, 3, stride=2, padding=1, name="maxpool")
    stages: list[Tensor] = []
    # Where a stride was replaced, the first block keeps the dilation of the stage before.
    for i, (stride, first, rest) in enumerate(((1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4))):
        planes, name = 64 * 2**i, f"layer{i + 1}"
        x = residual_block(
            g, x, planes, "bottleneck", stride=stride, name=f"{name}.0.", dilation=first
        )
        if s.depths[i] > 1:
            with g.repeat(s.depths[i] - 1, f"{name}.1"):
                x = residual_block(g, x, planes, "bottleneck", dilation=rest)
        stages.append(x)
    return stages[-2], stages[-1]


def _fcn(g: ImageBuilder, x: Tensor, s: SegmentationStructure, name: str) -> Tensor:
    inner = simplify(x.shape[1] / 4)
    x = g.conv_norm(x, inner, 3, activation="relu", name=f"{name}.conv")
    return g.conv(x, s.classes, 1, name=f"{name}.classifier")


def pyramid_pooling(g: ImageBuilder, x: Tensor, channels: int, rates: Sequence[int]) -> Tensor:
    """Add 1x1, dilated 3x3 and pooled branches, concatenated and projected (DeepLab, ASPP).

    Parameters
    ----------
    channels
        Of each branch, and of the result.
    rates
        Dilation of each 3x3 branch.
    """
    parts = [g.conv_norm(x, channels, 1, activation="relu", name="aspp.0")]
    parts += [
        g.conv_norm(x, channels, 3, dilation=rate, activation="relu", name=f"aspp.{i + 1}")
        for i, rate in enumerate(rates)
    ]
    y = g.global_pool(x, name="aspp.pool", keep=True)
    y = g.conv_norm(y, channels, 1, activation="relu", name="aspp.pooled")
    parts.append(g.resize(y, x.shape[2:], name="aspp.upsample"))
    x = g.concat(parts, "aspp.concat")
    return g.conv_norm(x, channels, 1, activation="relu", name="aspp.project")


def _deeplab(g: ImageBuilder, x: Tensor, s: SegmentationStructure) -> Tensor:
    """Add pyramid pooling, a convolution and the classifier."""
    x = pyramid_pooling(g, x, s.pyramid, s.rates)
    x = g.conv_norm(x, s.pyramid, 3, activation="relu", name="head.conv")
    return g.conv(x, s.classes, 1, name="head.classifier")


parameters = images(224, 224)

FAMILY_SEGMENTATION = Family("segmentation", SegmentationStructure, parameters, build, frames)
