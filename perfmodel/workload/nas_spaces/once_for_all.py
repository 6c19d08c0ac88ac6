"""Once-for-all MobileNetV3 (Cai et al. 2020, arXiv:1908.09791): `StagedSpace` at 128 to 224 pixels.

Widths, strides, activations and the squeeze-excitation stages are those of the published supernets
``ofa_mbv3_d234_e346_k357_w1.0`` and ``..._w1.2``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic import Field

from perfmodel.specfile import validate
from perfmodel.workload.graph import Tensor
from perfmodel.workload.image_builder import ImageBuilder, ImageStructure
from perfmodel.workload.nas_spaces.architecture_space import ArchitectureDecision, Choice
from perfmodel.workload.nas_spaces.staged_space import (
    DEPTHS,
    Residual,
    StagedSpace,
    inverted_residual,
    rounded,
    staged_space,
)

NAME = "ofa_mobilenet_v3"

RESOLUTIONS = tuple(range(128, 225, 4))

STEM = 16
#: Stages after the first block.
STAGES = (
    Residual(24, 2, "relu"),
    Residual(40, 2, "relu", squeeze_excite=True),
    Residual(80, 2, "hard_swish"),
    Residual(112, 1, "hard_swish", squeeze_excite=True),
    Residual(160, 2, "hard_swish", squeeze_excite=True),
)
FINAL, LAST = 960, 1280


class OfaSettings(ImageStructure):
    """Classes, batch normalisation, and the width multiplier of the supernet (1.0 or 1.2)."""

    width_multiplier: float = Field(1.0, gt=0, le=10)


def build(**settings: Any) -> StagedSpace:
    """Return the space.

    Parameters
    ----------
    settings
        Fields of `OfaSettings`.

    Raises
    ------
    InputError
        All unknown or invalid settings.
    """
    checked = validate(OfaSettings, settings)
    wide = checked.width_multiplier
    stages = [
        (max(DEPTHS), stage._replace(outputs=rounded(stage.outputs * wide))) for stage in STAGES
    ]
    return staged_space(
        NAME,
        checked,
        {"r": ArchitectureDecision("resolution", RESOLUTIONS)},
        stages,
        partial(_stem, rounded(STEM * wide)),
        partial(_head, rounded(FINAL * wide), rounded(LAST * wide), checked.classes),
    )


def _stem(channels: int, builder: ImageBuilder, x: Tensor, choice: Choice) -> Tensor:
    """Add the first convolution and the first block, which are common to all networks."""
    del choice
    x = builder.conv_norm(x, channels, 3, stride=2, activation="hard_swish", name="conv")
    return inverted_residual(builder, x, 3, 1, Residual(channels, 1, "relu"))


def _head(
    final: int, last: int, classes: int, builder: ImageBuilder, x: Tensor, choice: Choice
) -> Tensor:
    del choice
    y = builder.conv_norm(x, final, 1, activation="hard_swish", name="expand")
    y = builder.global_pool(y, name="avgpool", keep=True)
    y = builder.conv(y, last, 1, bias=False, name="mix")
    y = builder.elementwise("hard_swish", y, name="mix.hard_swish")
    y = builder.view(y, y.shape[:2], name="flatten")
    return builder.linear(y, classes, name="classifier", tag="head")
