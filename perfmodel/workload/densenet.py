"""Family ``densenet``: densely connected networks (Huang et al. 2017, arXiv:1608.06993).

Layers and names follow torchvision: each layer concatenates all that came before it in its block.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from perfmodel.frozen import SmallCount
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames, images
from perfmodel.workload.symbols import floor_div, simplify


class DenseNetStructure(ImageStructure):
    """Shape of a densely connected network.

    Attributes
    ----------
    depths
        Layers in each block; a transition halves channels, height and width between blocks.
    growth
        Channels that each layer adds.
    stem
        Channels of the first convolution.
    bottleneck
        Channels of a layer's 1x1 convolution for each channel that it adds.
    """

    depths: Annotated[tuple[SmallCount, ...], Field(min_length=1, max_length=8)] = (6, 12, 24, 16)
    growth: SmallCount = 32
    stem: SmallCount = 64
    bottleneck: SmallCount = 4


def build(structure: DenseNetStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = ImageBuilder("densenet", folded=False)
    folded = s.batch_norm == "folded"
    x = g.conv(g.image(s.image_channels), s.stem, 7, stride=2, padding=3, bias=folded, name="conv0")
    x = x if folded else g.norm(x, "batch_norm", name="norm0")
    x = g.elementwise("relu", x, name="relu0")
    x = g.pool(x, 3, stride=2, padding=1, name="pool0")
    for i, depth in enumerate(s.depths):
        if i:
            name = f"transition{i}"
            x = _norm_relu(g, x, name)
            half = simplify(floor_div(x.shape[1], 2))
            x = g.conv(x, half, 1, bias=False, name=f"{name}.conv")
            x = g.pool(x, 2, name=f"{name}.pool")
        features = [x]
        for j in range(depth):
            name = f"block{i + 1}.{j + 1}"
            y = g.concat(features, f"{name}.concat")
            y = _norm_relu(g, y, f"{name}.1")
            # The second normalisation follows a convolution and may be merged into it.
            y = g.conv(y, s.bottleneck * s.growth, 1, bias=folded, name=f"{name}.conv1")
            y = y if folded else g.norm(y, "batch_norm", name=f"{name}.2.norm")
            y = g.elementwise("relu", y, name=f"{name}.2.relu")
            features.append(g.conv(y, s.growth, 3, padding=1, bias=False, name=f"{name}.conv2"))
        x = g.concat(features, f"block{i + 1}.concat")
    x = _norm_relu(g, x, "final")
    x = g.global_pool(x, name="avgpool")
    g.output(g.linear(x, s.classes, name="classifier", tag="head"))
    return g.build(parameters(s))


def _norm_relu(g: ImageBuilder, x: Tensor, name: str) -> Tensor:
    return g.elementwise("relu", g.norm(x, "batch_norm", name=f"{name}.norm"), name=f"{name}.relu")


parameters = images(224, 224)

FAMILY_DENSENET = Family("densenet", DenseNetStructure, parameters, build, frames)
