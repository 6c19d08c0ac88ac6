"""The residual network in front of other networks (He et al. 2016), at its usual widths.

Layers and names follow torchvision, which puts the stride of a bottleneck on its 3x3 convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from perfmodel.workload.graph import Tensor
from perfmodel.workload.image import ImageBuilder

ResidualKind: TypeAlias = Literal["basic", "bottleneck"]


def residual_stages(
    g: ImageBuilder, x: Tensor, kind: ResidualKind, depths: Sequence[int], *, tweaked: bool = False
) -> list[Tensor]:
    """Add a residual network without its classifier.

    Parameters
    ----------
    kind
        Two 3x3 convolutions, or a 1x1, a 3x3 and a 1x1 with four times the width out.
    depths
        Blocks in each stage.
    tweaked
        The stem is three 3x3 convolutions, a shortcut with a stride an average and a convolution
        (He et al. 2019, ResNet-D), and the first of the basic blocks has a convolution in its
        shortcut as well.

    Returns
    -------
    list of Tensor
        The output of each stage.
    """
    if tweaked:
        x = g.conv_norm(x, 64 / 2, 3, stride=2, activation="relu", name="stem.1")
        x = g.conv_norm(x, 64 / 2, 3, activation="relu", name="stem.2")
        x = g.conv_norm(x, 64, 3, activation="relu", name="stem.3")
    else:
        x = g.conv_norm(x, 64, 7, stride=2, activation="relu", name="conv1")
    x = g.pool(x, 3, stride=2, padding=1, name="maxpool")
    maps: list[Tensor] = []
    for i, depth in enumerate(depths):
        planes, name = 64 * 2**i, f"layer{i + 1}"
        x = residual_block(
            g, x, planes, kind, stride=1 if i == 0 else 2, name=f"{name}.0.", pooled=tweaked,
            project=tweaked and kind == "basic" and i == 0,
        )  # fmt: skip
        if depth > 1:
            with g.repeat(depth - 1, f"{name}.1"):
                x = residual_block(g, x, planes, kind)
        maps.append(x)
    return maps


def residual_block(
    g: ImageBuilder, x: Tensor, planes: int, kind: ResidualKind, *, stride: int = 1,
    name: str = "", dilation: int = 1, pooled: bool = False, project: bool = False,
) -> Tensor:  # fmt: skip
    """Add one residual block; the shortcut is a 1x1 convolution where shapes differ.

    `dilation` is that of a bottleneck's 3x3 convolution. `pooled` shortcuts with a stride average
    first; one that is to `project` has a convolution in any case.
    """
    if kind == "basic":
        out = planes
        y = g.conv_norm(x, planes, 3, stride=stride, activation="relu", name=f"{name}conv1")
        y = g.conv_norm(y, out, 3, name=f"{name}conv2")
    else:
        out = 4 * planes
        y = g.conv_norm(x, planes, 1, activation="relu", name=f"{name}conv1")
        y = g.conv_norm(
            y, planes, 3, stride=stride, dilation=dilation, activation="relu", name=f"{name}conv2"
        )
        y = g.conv_norm(y, out, 1, name=f"{name}conv3")
    if project or stride != 1 or x.shape[1] != out:
        if pooled and stride != 1:
            x, stride = g.pool(x, 2, stride=stride, ceil=True, name=f"{name}avgpool"), 1
        x = g.conv_norm(x, out, 1, stride=stride, name=f"{name}downsample")
    y = g.elementwise("add", y, x, name=f"{name}add")
    return g.elementwise("relu", y, name=f"{name}relu")
