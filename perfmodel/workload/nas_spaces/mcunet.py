"""A space similar to MCUNet's TinyNAS (Lin et al. 2020, arXiv:2007.10319), for microcontrollers.

The outer decisions are the width multiplier (0.2 to 1.0) and the resolution (48 to 224) of the
paper's 108 search spaces. Inside, there are six stages of inverted residuals with ReLU6, the last
with one block, as in the published MCUNet code: no squeeze-excitation, and by default no 1x1
convolution before the classifier (its weights would fill a microcontroller's flash). Networks are
intended for int8; the precision is chosen with the prediction.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

from perfmodel.specfile import validate
from perfmodel.workload.graph import Tensor
from perfmodel.workload.image_builder import ImageBuilder, ImageStructure
from perfmodel.workload.nas_spaces.architecture_space import ArchitectureDecision, Choice
from perfmodel.workload.nas_spaces.staged_space import (
    Residual,
    StagedSpace,
    rounded,
    staged_space,
)

NAME = "mcunet"

WIDTHS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
RESOLUTIONS = tuple(range(48, 225, 16))

#: Channels of stem, first block and six stages at width 1.
CHANNELS: Mapping[str, tuple[int, ...]] = {
    "proxyless": (32, 16, 24, 40, 80, 96, 192, 320),
    "mobilenet_v2": (32, 16, 24, 32, 64, 96, 160, 320),
}
STRIDES = (2, 2, 2, 1, 2, 1)
BLOCKS = (4, 4, 4, 4, 4, 1)
MIX = 1280


class McunetSettings(ImageStructure):
    """Classes, batch normalisation, and the skeleton.

    Attributes
    ----------
    channels
        Widths of the stages at width multiplier 1: those of ProxylessNAS, on which MCUNet is based,
        or of MobileNetV2.
    mix
        Whether a 1x1 convolution to 1280 channels precedes the last pooling.
    """

    channels: Literal["proxyless", "mobilenet_v2"] = "proxyless"
    mix: bool = False


def build(**settings: Any) -> StagedSpace:
    """Return the space.

    Parameters
    ----------
    settings
        Fields of `McunetSettings`.

    Raises
    ------
    InputError
        All unknown or invalid settings.
    """
    checked = validate(McunetSettings, settings)
    channels = CHANNELS[checked.channels]
    stages = [
        (most, Residual(outputs, stride, "relu6"))
        for most, outputs, stride in zip(BLOCKS, channels[2:], STRIDES, strict=True)
    ]
    return staged_space(
        NAME,
        checked,
        {
            "w": ArchitectureDecision("width", WIDTHS),
            "r": ArchitectureDecision("resolution", RESOLUTIONS),
        },
        stages,
        partial(_stem, channels),
        partial(_head, MIX if checked.mix else 0, checked.classes),
    )


def _stem(channels: tuple[int, ...], builder: ImageBuilder, x: Tensor, choice: Choice) -> Tensor:
    """Add the first convolution and the first block, which has no residual sum."""
    wide = WIDTHS[choice[0]]
    x = builder.conv_norm(
        x, rounded(channels[0] * wide), 3, stride=2, activation="relu6", name="conv"
    )
    inner = x.shape[1]
    y = builder.conv_norm(x, inner, 3, groups=inner, activation="relu6", name="depthwise")
    return builder.conv_norm(y, rounded(channels[1] * wide), 1, name="project")


def _head(mix: int, classes: int, builder: ImageBuilder, x: Tensor, choice: Choice) -> Tensor:
    del choice
    y = builder.conv_norm(x, mix, 1, activation="relu6", name="mix") if mix else x
    y = builder.global_pool(y, name="avgpool")
    return builder.linear(y, classes, name="classifier", tag="head")
