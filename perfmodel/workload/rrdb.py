"""Family ``rrdb``: ESRGAN's generator (Wang et al. 2018, arXiv:1809.00219).

Residual-in-residual dense blocks at the size of the input, then two doublings and two convolutions.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from perfmodel.frozen import FrozenModel, SmallCount
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, frames, images


class RRDBStructure(FrozenModel):
    """Shape of the generator.

    Attributes
    ----------
    blocks
        Residual-in-residual dense blocks.
    channels, growth
        Channels, and what each convolution of a dense block adds.
    unshuffled
        Side of the squares of pixels that become channels first (2 for a net factor of 2).
    image_channels
        Channels of the image.
    """

    blocks: SmallCount = 23
    channels: SmallCount = 64
    growth: SmallCount = 32
    unshuffled: Annotated[int, Field(gt=0, le=8)] = 1
    image_channels: SmallCount = 3


def build(structure: RRDBStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = ImageBuilder("rrdb")
    x = g.image(s.image_channels)
    if s.unshuffled > 1:
        batch, given, height, width = x.shape
        side = s.unshuffled
        x = g.copy([x], (batch, given * side**2, height / side, width / side), name="unshuffle")
    first = g.conv(x, s.channels, 3, padding=1, name="first")
    x = first
    with g.repeat(s.blocks, "block"):
        y = x
        for i in range(3):
            y = _dense(g, y, s, f"{i}")
        x = g.elementwise("add", y, x, name="add", ops=2)
    x = g.conv(x, s.channels, 3, padding=1, name="body")
    x = g.elementwise("add", x, first, name="skip")
    for i in range(2):
        x = g.resize(x, tuple(2 * n for n in x.shape[2:]), name=f"up{i}", ops=0)
        x = _leaky(g, x, s.channels, f"up{i}.conv")
    x = _leaky(g, x, s.channels, "high")
    g.output(g.conv(x, s.image_channels, 3, padding=1, name="last"))
    return g.build(parameters(s))


def _leaky(g: ImageBuilder, x: Tensor, channels: int, name: str) -> Tensor:
    return g.elementwise("leaky_relu", g.conv(x, channels, 3, padding=1, name=name))


def _dense(g: ImageBuilder, x: Tensor, s: RRDBStructure, name: str) -> Tensor:
    """Add five convolutions, each of which reads all before it."""
    parts = [x]
    for i in range(4):
        y = g.concat(parts, f"{name}.concat{i}")
        parts.append(_leaky(g, y, s.growth, f"{name}.conv{i}"))
    y = g.conv(g.concat(parts, f"{name}.concat"), s.channels, 3, padding=1, name=f"{name}.conv")
    return g.elementwise("add", y, x, name=f"{name}.add", ops=2)


parameters = images(128, 128)

FAMILY_RRDB = Family("rrdb", RRDBStructure, parameters, build, frames)
