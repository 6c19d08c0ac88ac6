"""Family ``resnet``: residual networks (He et al. 2016) and ResNeXt (Xie et al. 2017).

Layers and names follow torchvision, which puts the stride of a bottleneck on its 3x3 convolution;
other libraries put it elsewhere (`ResNetStructure.strided`), normalise before the convolutions (He
et al. 2016, "Identity Mappings"), or tweak the stem and the shortcuts (He et al. 2019, "Bag of
Tricks", ResNet-D).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames, images
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
    stem
        ``plain``: one 7x7 convolution; ``deep``: three 3x3 ones of 32, 32 and 64 channels (C, D).
    shortcut
        ``conv``: a 1x1 convolution with the block's stride; ``pooled``: an average over 2x2, then a
        1x1 convolution of stride 1 (D).
    strided
        Where a stage halves the image: the first block's ``kernel`` (3x3, torchvision), its
        ``entry`` (the first 1x1: Caffe, Keras), or the ``last`` block of the stage before
        (TensorFlow-Slim).
    norm_first
        Whether normalisation and ReLU stand before the convolutions (version 2).
    """

    block: Literal["basic", "bottleneck"] = "bottleneck"
    depths: Annotated[tuple[Annotated[int, Field(gt=0, le=1000)], ...],
                      Field(min_length=1, max_length=8)] = (3, 4, 6, 3)  # fmt: skip
    groups: int = Field(1, gt=0, le=4096)
    width_per_group: int = Field(64, gt=0, le=4096)
    stem: Literal["plain", "deep"] = "plain"
    shortcut: Literal["conv", "pooled"] = "conv"
    strided: Literal["kernel", "entry", "last"] = "kernel"
    norm_first: bool = False

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield fields that only bottleneck blocks have, and those that exclude each other."""
        if data.get("block", "bottleneck") == "basic":
            for key, usual in (("groups", 1), ("width_per_group", 64)):
                if data.get(key, usual) != usual:
                    yield Flaw((key,), f"basic blocks have no '{key}'", "block: bottleneck")
            if data.get("norm_first"):
                yield Flaw(("norm_first",), "basic blocks are normalised after their convolutions",
                           "block: bottleneck")  # fmt: skip
            if data.get("strided") == "entry":
                yield Flaw(("strided",), "basic blocks have no 1x1 convolution at their entry",
                           "kernel or last")  # fmt: skip


def build(structure: ResNetStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph; a stage's width is ``divisible(64 * 2**stage * width_multiplier, 8)``."""
    del semantics
    g = ImageBuilder("resnet", folded=structure.batch_norm == "folded")
    x = _stem(g, g.image(structure.image_channels), structure, _width(0))
    last = len(structure.depths) - 1
    for i, depth in enumerate(structure.depths):
        planes, name = _width(i), f"layer{i + 1}"
        if structure.strided == "last":
            first, final = 1, 1 if i == last else 2
        else:
            first, final = (1 if i == 0 else 2), 1
        alone = 1 + (final != 1 and depth > 1)  # blocks that do not repeat
        x = residual_block(
            g, x, planes, structure, stride=first if depth > 1 else first * final, name=f"{name}.0"
        )
        if depth > alone:
            with g.repeat(depth - alone, f"{name}.1"):
                x = residual_block(g, x, planes, structure, stride=1, name="")
        if alone > 1:
            x = residual_block(
                g, x, planes, structure, stride=final, name=f"{name}.{depth - 1}", narrow=True
            )
    if structure.norm_first:
        x = g.elementwise("relu", g.norm(x, "batch_norm", name="postnorm"), name="postnorm.relu")
    x = g.global_pool(x, name="avgpool")
    g.output(g.linear(x, structure.classes, name="fc", tag="head"))
    return g.build(parameters(structure))


def residual_stages(
    g: ImageBuilder, x: Tensor, structure: ResNetStructure, *, project: bool = False
) -> list[Tensor]:
    """Add a residual network of the usual widths without its classifier.

    Parameters
    ----------
    project
        The first block has a convolution in its shortcut also where channels are the same.

    Returns
    -------
    list of Tensor
        The output of each stage.
    """
    x = _stem(g, x, structure, 64)
    maps: list[Tensor] = []
    for i, depth in enumerate(structure.depths):
        planes, name = 64 * 2**i, f"layer{i + 1}"
        x = residual_block(g, x, planes, structure, stride=1 if i == 0 else 2, name=f"{name}.0",
                           project=project and i == 0)  # fmt: skip
        if depth > 1:
            with g.repeat(depth - 1, f"{name}.1"):
                x = residual_block(g, x, planes, structure, stride=1, name="")
        maps.append(x)
    return maps


def _stem(g: ImageBuilder, x: Tensor, structure: ResNetStructure, width: Dim) -> Tensor:
    """Add the convolutions and the pool before the first stage."""
    if structure.stem == "deep":
        half = simplify(width / 2)
        x = g.conv_norm(x, half, 3, stride=2, activation="relu", name="stem.1")
        x = g.conv_norm(x, half, 3, activation="relu", name="stem.2")
        x = g.conv_norm(x, width, 3, activation="relu", name="stem.3")
    elif structure.norm_first:
        x = g.conv(x, width, 7, stride=2, padding=3, name="conv1")
    else:
        x = g.conv_norm(x, width, 7, stride=2, activation="relu", name="conv1")
    return g.pool(x, 3, stride=2, padding=1, name="maxpool")


def _width(stage: int) -> Dim:
    return divisible(64 * 2**stage * symbol("width_multiplier"), 8)


def residual_block(
    g: ImageBuilder, x: Tensor, planes: Dim, structure: ResNetStructure, *, stride: int, name: str,
    dilation: int = 1, narrow: bool = False, project: bool = False,
) -> Tensor:  # fmt: skip
    """Add one residual block; the shortcut is a 1x1 convolution where channels differ.

    `dilation` is that of a bottleneck's 3x3 convolution. A block with a stride has a convolution
    in its shortcut too, unless it is `narrow`: then every other pixel of the input is taken; one
    that is to `project` has it in any case.
    """
    name = f"{name}." if name else ""
    if structure.norm_first:
        return _norm_first(g, x, planes, structure, stride, name)
    if structure.block == "basic":
        out = planes
        y = g.conv_norm(x, planes, 3, stride=stride, activation="relu", name=f"{name}conv1")
        y = g.conv_norm(y, out, 3, name=f"{name}conv2")
    else:
        out, inner = simplify(planes * 4), _inner(planes, structure)
        entry, kernel = (stride, 1) if structure.strided == "entry" else (1, stride)
        y = g.conv_norm(x, inner, 1, stride=entry, activation="relu", name=f"{name}conv1")
        y = g.conv_norm(
            y, inner, 3, stride=kernel, groups=structure.groups, dilation=dilation,
            activation="relu", name=f"{name}conv2",
        )  # fmt: skip
        y = g.conv_norm(y, out, 1, name=f"{name}conv3")
    if narrow and stride != 1:
        x = g.pool(x, 1, stride=stride, name=f"{name}subsample")
    elif project or stride != 1 or x.shape[1] != out:
        if structure.shortcut == "pooled" and stride != 1:
            x, stride = g.pool(x, 2, stride=stride, ceil=True, name=f"{name}avgpool"), 1
        x = g.conv_norm(x, out, 1, stride=stride, name=f"{name}downsample")
    y = g.elementwise("add", y, x, name=f"{name}add")
    return g.elementwise("relu", y, name=f"{name}relu")


def _inner(planes: Dim, structure: ResNetStructure) -> Dim:
    """Return the channels inside a bottleneck."""
    per_group = structure.width_per_group
    inner = planes if per_group == 64 else floor_div(planes * per_group, 64)
    return simplify(inner * structure.groups)


def _norm_first(
    g: ImageBuilder, x: Tensor, planes: Dim, structure: ResNetStructure, stride: int, name: str
) -> Tensor:
    """Add a bottleneck of version 2: normalisation and ReLU, then the convolutions."""
    out, inner = simplify(planes * 4), _inner(planes, structure)
    y = g.elementwise("relu", g.norm(x, "batch_norm", name=f"{name}norm"), name=f"{name}relu")
    if x.shape[1] != out:
        x = g.conv(y, out, 1, stride=stride, name=f"{name}downsample")
    elif stride != 1:
        x = g.pool(x, 1, stride=stride, name=f"{name}subsample")
    y = g.conv_norm(y, inner, 1, activation="relu", name=f"{name}conv1")
    y = g.conv_norm(
        y, inner, 3, stride=stride, groups=structure.groups, activation="relu", name=f"{name}conv2"
    )
    y = g.conv(y, out, 1, name=f"{name}conv3")
    return g.elementwise("add", y, x, name=f"{name}add")


parameters = images(224, 224, width_multiplier=1)

FAMILY_RESNET = Family("resnet", ResNetStructure, parameters, build, frames)
