"""Family ``mobileone``: MobileOne as deployed (Vasu et al. 2022, arXiv:2206.04040).

Depthwise and pointwise convolutions in a row, every branch of training merged into one: no
normalisation and no residual is left. Layers follow the authors' code.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from perfmodel.frozen import Count
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames, images

_Blocks = Annotated[int, Field(ge=0, le=1000)]


class MobileOneStructure(ImageStructure):
    """Shape of a MobileOne.

    Attributes
    ----------
    stem
        Channels of the first convolution.
    widths, depths
        Channels and blocks of each stage; a stage halves the image.
    squeezed
        Blocks at the end of each stage with squeeze and excitation (to a sixteenth).
    """

    stem: Count = 64
    widths: tuple[Count, Count, Count, Count]
    depths: tuple[Count, Count, Count, Count] = (2, 8, 10, 1)
    squeezed: tuple[_Blocks, _Blocks, _Blocks, _Blocks] = (0, 0, 0, 0)


def build(structure: MobileOneStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = ImageBuilder("mobileone", folded=True)
    x = g.conv_norm(g.image(s.image_channels), s.stem, 3, stride=2, activation="relu", name="stem")
    for i, (width, depth, squeezed) in enumerate(zip(s.widths, s.depths, s.squeezed, strict=True)):
        for j in range(depth):
            name = f"stage{i + 1}.{j}"
            inner, gated = int(x.shape[1]), j >= depth - squeezed  # pyright: ignore[reportArgumentType]
            x = _conv(g, x, inner, 3, 1 if j else 2, inner, gated, f"{name}.depthwise")
            x = _conv(g, x, width, 1, 1, 1, gated, f"{name}.pointwise")
    x = g.global_pool(x, name="pool")
    g.output(g.linear(x, s.classes, name="head", tag="head"))
    return g.build(parameters(s))


def _conv(
    g: ImageBuilder, x: Tensor, channels: int, kernel: int, stride: int, groups: int, gated: bool,
    name: str,
) -> Tensor:  # fmt: skip
    y = g.conv_norm(x, channels, kernel, stride=stride, groups=groups, name=name)
    if gated:
        squeezed = max(channels // 16, 1)
        y = g.squeeze_excite(
            y, squeezed, activation="relu", gate="sigmoid", name=f"{name}.se"
        )  # fmt: skip
    return g.elementwise("relu", y, name=f"{name}.relu")


parameters = images(224, 224)

FAMILY_MOBILEONE = Family("mobileone", MobileOneStructure, parameters, build, frames)
