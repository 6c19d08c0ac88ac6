"""Family ``deeplab``: DeepLabV3 and V3+ on MobileNetV2 (Chen et al. 2018, arXiv:1802.02611).

The last strides of the backbone are taken out, its later blocks dilated; then branches at several
dilations, one of the pooled image, and, in V3+, a decoder over an early map.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from perfmodel.frozen import Count
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames, images
from perfmodel.workload.mobilenet import InvertedResidualStage, inverted_residual, scaled
from perfmodel.workload.segmentation import pyramid_pooling
from perfmodel.workload.ssd import MOBILENET_V2


class DeepLabStructure(ImageStructure):
    """Shape of a DeepLab on MobileNetV2.

    Attributes
    ----------
    output_stride
        Of the backbone: what is left of its strides.
    rates
        Dilations of the 3x3 branches; the small models have none.
    pyramid
        Channels of each branch.
    decoder
        Channels of V3+'s early map; 0 for none.
    classes
        Classes with the background.
    """

    output_stride: Literal[8, 16, 32] = 16
    rates: tuple[Count, ...] = ()
    pyramid: Count = 256
    decoder: Annotated[int, Field(ge=0, le=10**4)] = 0
    classes: int = Field(21, gt=0, le=10**5)


def build(structure: DeepLabStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph: scores of every class at every pixel of the image."""
    del semantics
    s = structure
    g = ImageBuilder("deeplab", folded=s.batch_norm == "folded")
    image = g.image(s.image_channels)
    low, x = _backbone(g, image, s)
    x = pyramid_pooling(g, x, s.pyramid, s.rates)
    if s.decoder:
        side = g.conv_norm(low, s.decoder, 1, activation="relu", name="decoder.low")
        x = g.resize(x, low.shape[2:], name="decoder.upsample")
        x = g.concat([x, side], "decoder.concat")
        for i in range(2):
            x = g.conv_norm(x, 256, 3, activation="relu", name=f"decoder.conv{i}")
    x = g.conv(x, s.classes, 1, name="classifier")
    g.output(g.resize(x, image.shape[2:], name="upsample"))
    return g.build(parameters(s))


def _backbone(g: ImageBuilder, x: Tensor, s: DeepLabStructure) -> tuple[Tensor, Tensor]:
    """Add MobileNetV2 without its last convolution; returns the map at a quarter and the last."""
    x = g.conv_norm(x, scaled(32), 3, stride=2, activation="relu6", name="stem")
    nominal, reached, dilation, low = 32, 2, 1, x
    for i, (expand, channels, repeats, stride) in enumerate(MOBILENET_V2):
        stage = InvertedResidualStage(
            channels=channels, expand=expand, repeats=repeats, stride=stride
        )
        for j in range(repeats):
            step, spread = (stride if j == 0 else 1), dilation
            if step != 1 and reached * step > s.output_stride:
                step, dilation = 1, dilation * stride
            elif step != 1:
                reached *= step
            # A block that gave up its stride still adds no input.
            inputs = nominal if stride == 1 or j else 0
            x = inverted_residual(
                g, x, inputs, stage, "v2", step, f"stage{i + 1}.{j}.", dilation=spread
            )
            nominal = channels
        if channels == 24:
            low = x
    return low, x


parameters = images(513, 513, width_multiplier=1)

FAMILY_DEEPLAB = Family("deeplab", DeepLabStructure, parameters, build, frames)
