"""Family ``resnet``: residual networks (He et al. 2016) and ResNeXt (Xie et al. 2017).

Layers and names follow torchvision, which puts the stride of a bottleneck on its 3x3 convolution.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.families import Family, Semantics
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames
from perfmodel.workload.symbols import Dim, divisible, floor_div, simplify, symbol


class ResNetStructure(ImageStructure):
    """Shape of a residual network.

    Attributes
    ----------
    block
        ``basic`` (two 3x3) or ``bottleneck`` (1x1, 3x3, 1x1 with four times the width out).
    depths
        Blocks in each stage.
    groups
        Groups of the 3x3 convolution (ResNeXt's cardinality).
    width_per_group
        Channels a group for each 64 of the stage's width.
    """

    block: Literal["basic", "bottleneck"] = "bottleneck"
    depths: Annotated[tuple[Annotated[int, Field(gt=0, le=1000)], ...],
                      Field(min_length=1, max_length=8)] = (3, 4, 6, 3)  # fmt: skip
    groups: int = Field(1, gt=0, le=4096)
    width_per_group: int = Field(64, gt=0, le=4096)

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield fields that only bottleneck blocks have."""
        if data.get("block", "bottleneck") == "basic":
            for key, usual in (("groups", 1), ("width_per_group", 64)):
                if data.get(key, usual) != usual:
                    yield Flaw((key,), f"basic blocks have no '{key}'", "block: bottleneck")


def build(structure: ResNetStructure, semantics: Semantics) -> Graph:
    """Build the graph; a stage's width is ``divisible(64 * 2**stage * width_multiplier, 8)``."""
    del semantics
    g = ImageBuilder("resnet", folded=structure.batch_norm == "folded")
    x = g.conv_norm(
        g.image(structure.image_channels), _width(0), 7, stride=2, activation="relu", name="conv1"
    )
    x = g.pool(x, 3, stride=2, padding=1, name="maxpool")
    for i, depth in enumerate(structure.depths):
        planes, name = _width(i), f"layer{i + 1}"
        x = residual_block(g, x, planes, structure, stride=1 if i == 0 else 2, name=f"{name}.0")
        if depth > 1:
            with g.repeat(depth - 1, f"{name}.1"):
                x = residual_block(g, x, planes, structure, stride=1, name="")
    x = g.global_pool(x, name="avgpool")
    g.output(g.linear(x, structure.classes, name="fc", tag="head"))
    return g.build(parameters(structure))


def _width(stage: int) -> Dim:
    return divisible(64 * 2**stage * symbol("width_multiplier"), 8)


def residual_block(
    g: ImageBuilder, x: Tensor, planes: Dim, structure: ResNetStructure, *, stride: int, name: str,
    dilation: int = 1,
) -> Tensor:  # fmt: skip
    """Add one residual block; the shortcut is a 1x1 convolution where shapes differ.

    `dilation` is that of a bottleneck's 3x3 convolution.
    """
    name = f"{name}." if name else ""
    if structure.block == "basic":
        out = planes
        y = g.conv_norm(x, planes, 3, stride=stride, activation="relu", name=f"{name}conv1")
        y = g.conv_norm(y, out, 3, name=f"{name}conv2")
    else:
        out, groups, per_group = simplify(planes * 4), structure.groups, structure.width_per_group
        inner = planes if per_group == 64 else floor_div(planes * per_group, 64)
        inner = simplify(inner * groups)
        y = g.conv_norm(x, inner, 1, activation="relu", name=f"{name}conv1")
        y = g.conv_norm(
            y, inner, 3, stride=stride, groups=groups, dilation=dilation, activation="relu",
            name=f"{name}conv2",
        )  # fmt: skip
        y = g.conv_norm(y, out, 1, name=f"{name}conv3")
    if stride != 1 or x.shape[1] != out:
        x = g.conv_norm(x, out, 1, stride=stride, name=f"{name}downsample")
    y = g.elementwise("add", y, x, name=f"{name}add")
    return g.elementwise("relu", y, name=f"{name}relu")


def parameters(structure: ResNetStructure) -> dict[str, float]:
    """Return the free dimensions and their defaults."""
    del structure
    return {"batch": 1, "height": 224, "width": 224, "width_multiplier": 1}


FAMILY_RESNET = Family("resnet", ResNetStructure, parameters, build, frames)
