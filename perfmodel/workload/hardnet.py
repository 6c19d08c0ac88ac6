"""Family ``hardnet``: HarDNet (Chao et al. 2019, arXiv:1909.00948), as its authors code it.

A layer reads those before it at distances that are powers of two; layers that more of the others
read are wider. Half of a block's layers, every other one and the last, are its output.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from perfmodel.frozen import Count
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames, images


class HarDNetStructure(ImageStructure):
    """Shape of a HarDNet.

    Attributes
    ----------
    stem
        Channels of the first two convolutions.
    widths, growth, layers
        Channels after each block, growth and layers of each.
    multiplier
        How much wider a layer gets for each layer that will read it.
    halved
        Whether the image halves after a block.
    separable
        Whether 3x3 convolutions are a 1x1 and a depthwise one (the ``ds`` models).
    """

    stem: tuple[Count, Count]
    widths: tuple[Count, ...]
    growth: tuple[Count, ...]
    layers: tuple[Count, ...]
    multiplier: Annotated[float, Field(gt=1, le=4)]
    halved: tuple[bool, ...]
    separable: bool = False


def link(layer: int, base: int, growth: int, multiplier: float) -> tuple[int, list[int]]:
    """Return the channels of a block's layer and which ones it reads (0: the block's input)."""
    if layer == 0:
        return base, []
    channels, sources = float(growth), list[int]()
    for power in range(10):
        step = 2**power
        if layer % step == 0:
            sources.append(layer - step)
            if power:
                channels *= multiplier
    return int(int(channels + 1) / 2) * 2, sources


def build(structure: HarDNetStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = ImageBuilder("hardnet", folded=s.batch_norm == "folded")
    first, second = s.stem
    x = g.conv_norm(g.image(s.image_channels), first, 3, stride=2, activation="relu6", name="stem1")
    kernel = 1 if s.separable else 3
    x = g.conv_norm(x, second, kernel, activation="relu6", name="stem2")
    x = _halve(g, x, s.separable, "stem3")
    for i, width in enumerate(s.widths):
        x = _block(g, x, s, i)
        x = g.conv_norm(x, width, 1, activation="relu6", name=f"join{i}")
        if s.halved[i]:
            x = _halve(g, x, s.separable, f"down{i}")
    x = g.global_pool(x, name="avgpool")
    g.output(g.linear(x, s.classes, name="fc", tag="head"))
    return g.build(parameters(s))


def _halve(g: ImageBuilder, x: Tensor, separable: bool, name: str) -> Tensor:
    if separable:
        return g.conv_norm(x, x.shape[1], 3, stride=2, groups=x.shape[1], name=name)
    pads = 1 if name.startswith("stem") else 0
    kernel = 3 if name.startswith("stem") else 2
    return g.pool(x, kernel, stride=2, padding=pads, name=name)


def _block(g: ImageBuilder, x: Tensor, s: HarDNetStructure, index: int) -> Tensor:
    base = int(x.shape[1])  # pyright: ignore[reportArgumentType]
    made = [x]
    count = s.layers[index]
    for layer in range(1, count + 1):
        channels, sources = link(layer, base, s.growth[index], s.multiplier)
        name = f"block{index}.{layer}"
        y = g.concat([made[j] for j in sources], f"{name}.concat")
        if s.separable:
            y = g.conv_norm(y, channels, 1, activation="relu6", name=f"{name}.pointwise")
            y = g.conv_norm(y, channels, 3, groups=channels, name=f"{name}.depthwise")
        else:
            y = g.conv_norm(y, channels, 3, activation="relu6", name=name)
        made.append(y)
    kept = [made[j] for j in range(1, count + 1) if j == count or j % 2 == 1]
    return g.concat(kept, f"block{index}.out")


parameters = images(224, 224)

FAMILY_HARDNET = Family("hardnet", HarDNetStructure, parameters, build, frames)
