"""Family ``unet``: U-Net (Ronneberger et al. 2015, arXiv:1505.04597).

Two 3x3 convolutions a level, with normalisation and padding, as is usual since; upsampling is a
transposed convolution.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from perfmodel.frozen import SmallCount
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames, images


class UNetStructure(ImageStructure):
    """Shape of a U-Net.

    Attributes
    ----------
    channels
        Channels of the first level; each level below has twice as many.
    levels
        Levels below the first.
    classes
        Scores a pixel.
    """

    channels: SmallCount = 64
    levels: Annotated[int, Field(gt=0, le=10)] = 4
    classes: int = Field(2, gt=0, le=10**5)


def build(structure: UNetStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph, for images whose sides the levels can halve."""
    del semantics
    s = structure
    g = ImageBuilder("unet", folded=s.batch_norm == "folded")
    x = _double(g, g.image(s.image_channels), s.channels, "down0")
    sides: list[Tensor] = []
    for level in range(1, s.levels + 1):
        sides.append(x)
        x = g.pool(x, 2, stride=2, name=f"pool{level}")
        x = _double(g, x, s.channels * 2**level, f"down{level}")
    for level in reversed(range(s.levels)):
        width = s.channels * 2**level
        x = g.conv(x, width, 2, stride=2, transposed=True, name=f"up{level}")
        x = g.concat([sides[level], x], f"join{level}")
        x = _double(g, x, width, f"up{level}.conv")
    g.output(g.conv(x, s.classes, 1, name="classifier"))
    return g.build(parameters(s))


def _double(g: ImageBuilder, x: Tensor, width: int, name: str) -> Tensor:
    x = g.conv_norm(x, width, 3, activation="relu", name=f"{name}.1")
    return g.conv_norm(x, width, 3, activation="relu", name=f"{name}.2")


parameters = images(224, 224)

FAMILY_UNET = Family("unet", UNetStructure, parameters, build, frames)
