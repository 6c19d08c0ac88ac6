"""Family ``repvgg``: RepVGG as deployed (Ding et al. 2021, arXiv:2101.03697).

Every block of training, three branches, has become one 3x3 convolution with a bias and a ReLU.
"""

from __future__ import annotations

from typing import Literal

from perfmodel.frozen import Count
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames, images


class RepVGGStructure(ImageStructure):
    """Shape of a RepVGG.

    Attributes
    ----------
    depths, widths
        Convolutions and channels of each stage; a stage halves the image.
    stem
        Channels of the first convolution.
    """

    depths: tuple[Count, Count, Count, Count]
    widths: tuple[Count, Count, Count, Count]
    stem: Count
    batch_norm: Literal["separate", "folded"] = "folded"


def build(structure: RepVGGStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = ImageBuilder("repvgg", folded=s.batch_norm == "folded")
    x = repvgg_stages(g, g.image(s.image_channels), s)[-1]
    x = g.global_pool(x, name="avgpool")
    g.output(g.linear(x, s.classes, name="fc", tag="head"))
    return g.build(parameters(s))


def repvgg_stages(g: ImageBuilder, x: Tensor, s: RepVGGStructure) -> list[Tensor]:
    """Add stem and stages; returns the output of each stage."""
    x = g.conv_norm(x, s.stem, 3, stride=2, activation="relu", name="stem")
    stages: list[Tensor] = []
    for i, (depth, width) in enumerate(zip(s.depths, s.widths, strict=True)):
        name = f"stage{i + 1}"
        x = g.conv_norm(x, width, 3, stride=2, activation="relu", name=f"{name}.0.conv")
        if depth > 1:
            with g.repeat(depth - 1, f"{name}.1"):
                x = g.conv_norm(x, width, 3, activation="relu", name="conv")
        stages.append(x)
    return stages


parameters = images(224, 224)

FAMILY_REPVGG = Family("repvgg", RepVGGStructure, parameters, build, frames)
