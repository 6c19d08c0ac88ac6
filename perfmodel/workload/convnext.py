"""Family ``convnext``: ConvNeXt (Liu et al. 2022, arXiv:2201.03545); layers follow torchvision."""

from __future__ import annotations

from perfmodel.frozen import Count
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames, images
from perfmodel.workload.symbols import simplify


class ConvNeXtStructure(ImageStructure):
    """Shape of a ConvNeXt.

    Attributes
    ----------
    depths, widths
        Blocks and channels of each stage.
    """

    depths: tuple[Count, Count, Count, Count] = (3, 3, 9, 3)
    widths: tuple[Count, Count, Count, Count] = (96, 192, 384, 768)


def build(structure: ConvNeXtStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph; normalisations are over the channels of a pixel."""
    del semantics
    s = structure
    g = ImageBuilder("convnext")
    x = g.conv(g.image(s.image_channels), s.widths[0], 4, stride=4, name="stem")
    x = _norm(g, x, "stem.norm")
    for i, (depth, width) in enumerate(zip(s.depths, s.widths, strict=True)):
        if i:
            x = _norm(g, x, f"down{i}.norm")
            x = g.conv(x, width, 2, stride=2, name=f"down{i}")
        with g.repeat(depth, f"stage{i + 1}"):
            x = _block(g, x, width)
    x = g.global_pool(x, name="avgpool")
    x = g.norm(x, "layer_norm", name="norm")
    g.output(g.linear(x, s.classes, name="head", tag="head"))
    return g.build(parameters(s))


def _norm(g: ImageBuilder, x: Tensor, name: str) -> Tensor:
    return g.norm(x, "layer_norm", name=name, features=x.shape[1])


def _block(g: ImageBuilder, x: Tensor, width: int) -> Tensor:
    """Add depthwise 7x7, normalisation, two pointwise layers, a scale and the input."""
    y = g.conv(x, width, 7, padding=3, groups=width, name="depthwise")
    y = _norm(g, y, "norm")
    y = g.conv(y, simplify(4 * width), 1, name="expand")
    y = g.elementwise("gelu", y, name="gelu")
    y = g.conv(y, width, 1, name="project")
    scale = g.weight("scale", (width, 1, 1), tag="vector")
    y = g.elementwise("mul", y, scale, name="scaled")
    return g.elementwise("add", y, x, name="add")


parameters = images(224, 224)

FAMILY_CONVNEXT = Family("convnext", ConvNeXtStructure, parameters, build, frames)
