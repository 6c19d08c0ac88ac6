"""Family ``shufflenet``: ShuffleNetV2 (Ma et al. 2018, arXiv:1807.11164).

Layers follow torchvision: a unit splits its channels, works on one half, joins and shuffles.
"""

from __future__ import annotations

from perfmodel.frozen import Count
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames, images
from perfmodel.workload.symbols import product


class ShuffleNetStructure(ImageStructure):
    """Shape of a ShuffleNetV2.

    Attributes
    ----------
    depths, widths
        Units and channels of each stage.
    stem, head
        Channels of the first and the last convolution.
    """

    depths: tuple[Count, Count, Count] = (4, 8, 4)
    widths: tuple[Count, Count, Count] = (116, 232, 464)
    stem: Count = 24
    head: Count = 1024


def build(structure: ShuffleNetStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = ImageBuilder("shufflenet", folded=s.batch_norm == "folded")
    x = g.conv_norm(g.image(s.image_channels), s.stem, 3, stride=2, activation="relu", name="stem")
    x = g.pool(x, 3, stride=2, padding=1, name="maxpool")
    for i, (depth, width) in enumerate(zip(s.depths, s.widths, strict=True)):
        name = f"stage{i + 2}"
        x = _unit(g, x, width, 2, f"{name}.0.")
        if depth > 1:
            with g.repeat(depth - 1, f"{name}.1"):
                x = _unit(g, x, width, 1, "")
    x = g.conv_norm(x, s.head, 1, activation="relu", name="head")
    x = g.global_pool(x, name="avgpool")
    g.output(g.linear(x, s.classes, name="fc", tag="head"))
    return g.build(parameters(s))


def _unit(g: ImageBuilder, x: Tensor, width: int, stride: int, name: str) -> Tensor:
    half = width // 2
    batch, channels, *size = x.shape
    if stride == 1:
        part = (batch, half, *size)
        y = g.copy([x], part, name=f"{name}half", read=[product(*part)])
        side = g.copy([x], part, name=f"{name}kept", read=[product(*part)])
    else:
        y = x
        side = g.conv_norm(
            x, channels, 3, stride=stride, groups=channels, name=f"{name}side.depthwise"
        )
        side = g.conv_norm(side, half, 1, activation="relu", name=f"{name}side.pointwise")
    y = g.conv_norm(y, half, 1, activation="relu", name=f"{name}conv1")
    y = g.conv_norm(y, half, 3, stride=stride, groups=half, name=f"{name}depthwise")
    y = g.conv_norm(y, half, 1, activation="relu", name=f"{name}conv2")
    y = g.concat([side, y], f"{name}concat")
    return g.copy([y], y.shape, name=f"{name}shuffle")


parameters = images(224, 224)

FAMILY_SHUFFLENET = Family("shufflenet", ShuffleNetStructure, parameters, build, frames)
