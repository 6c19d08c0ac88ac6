"""Family ``ssd``: single-shot detectors on a mobile backbone (Liu et al. 2016, arXiv:1512.02325).

Layers follow TensorFlow's object detection models: SSD on MobileNetV1 and V2, and SSDLite (Sandler
et al. 2018), up to scores and boxes of every anchor; nothing is suppressed.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from perfmodel.frozen import Count
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames, images
from perfmodel.workload.mobilenet import InvertedResidualStage, inverted_residual, scaled

#: MobileNetV1's separable blocks: channels at width 1 and stride.
_V1 = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2),
    (1024, 1),
)  # fmt: skip

#: MobileNetV2's stages: expansion, channels, repeats, stride.
MOBILENET_V2 = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip


class SSDStructure(ImageStructure):
    """Shape of a single-shot detector.

    Attributes
    ----------
    backbone
        ``mobilenet_v1`` or ``mobilenet_v2``.
    classes
        Classes with the background.
    extras
        Channels of the convolutions after the backbone, each at half of the size before.
    anchors
        Anchors a pixel: on the two maps of the backbone, then on the extras.
    kernel
        Of the convolutions that predict.
    separable
        Whether extras and predictions are depthwise-separable (SSDLite).
    """

    backbone: Literal["mobilenet_v1", "mobilenet_v2"]
    classes: Count = 91
    extras: tuple[Count, ...] = (512, 256, 256, 128)
    anchors: tuple[Count, ...] = (3, 6, 6, 6, 6, 6)
    kernel: Annotated[int, Field(gt=0, le=15)] = 1
    separable: bool = False


def build(structure: SSDStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = ImageBuilder("ssd", folded=s.batch_norm == "folded")
    body = _mobilenet_v1 if s.backbone == "mobilenet_v1" else _mobilenet_v2
    maps = body(g, g.image(s.image_channels))
    for i, channels in enumerate(s.extras):
        x = g.conv_norm(maps[-1], channels // 2, 1, activation="relu6", name=f"extra{i}.reduce")
        if s.separable:
            x = g.conv_norm(
                x, channels // 2, 3, stride=2, groups=channels // 2, activation="relu6",
                padding="same", name=f"extra{i}.depthwise",
            )  # fmt: skip
            x = g.conv_norm(x, channels, 1, activation="relu6", name=f"extra{i}.pointwise")
        else:
            x = g.conv_norm(
                x, channels, 3, stride=2, activation="relu6", padding="same", name=f"extra{i}.conv"
            )
        maps.append(x)
    outputs: list[Tensor] = []
    for i, (x, count) in enumerate(zip(maps, s.anchors, strict=True)):
        for what, values in (("box", 4), ("class", s.classes)):
            y = x
            if s.separable:
                y = g.conv_norm(
                    y, y.shape[1], 3, groups=y.shape[1], activation="relu6",
                    name=f"{what}{i}.depthwise",
                )  # fmt: skip
            kernel = 1 if s.separable else s.kernel
            outputs.append(
                g.conv(y, count * values, kernel, padding=kernel // 2, name=f"{what}{i}")
            )
    g.output(*outputs)
    return g.build(parameters(s))


def _mobilenet_v1(g: ImageBuilder, x: Tensor) -> list[Tensor]:
    """Add MobileNetV1; returns its maps at a 16th and a 32nd."""
    x = g.conv_norm(x, scaled(32), 3, stride=2, activation="relu6", padding="same", name="stem")
    maps: list[Tensor] = []
    for i, (channels, stride) in enumerate(_V1):
        if stride == 2 and channels == 1024:
            maps.append(x)
        x = g.conv_norm(
            x, x.shape[1], 3, stride=stride, groups=x.shape[1], activation="relu6", padding="same",
            name=f"block{i + 1}.depthwise",
        )  # fmt: skip
        x = g.conv_norm(x, scaled(channels), 1, activation="relu6", name=f"block{i + 1}.pointwise")
    return [*maps, x]


def _mobilenet_v2(g: ImageBuilder, x: Tensor) -> list[Tensor]:
    """Add MobileNetV2; returns the expansion before its last stride, and its last map."""
    x = g.conv_norm(x, scaled(32), 3, stride=2, activation="relu6", name="stem")
    nominal, taps = 32, list[Tensor]()
    for i, (expand, channels, repeats, stride) in enumerate(MOBILENET_V2):
        stage = InvertedResidualStage(
            channels=channels, expand=expand, repeats=repeats, stride=stride
        )
        for j in range(repeats):
            tapped = taps if channels == 160 and j == 0 else None
            x = inverted_residual(
                g, x, nominal, stage, "v2", stride if j == 0 else 1, f"stage{i + 1}.{j}.",
                taps=tapped,
            )  # fmt: skip
            nominal = channels
    return [*taps, g.conv_norm(x, 1280, 1, activation="relu6", name="head")]


parameters = images(300, 300, width_multiplier=1)

FAMILY_SSD = Family("ssd", SSDStructure, parameters, build, frames)
