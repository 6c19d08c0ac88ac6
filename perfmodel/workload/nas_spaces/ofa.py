"""Once-for-all MobileNetV3 (Cai et al. 2020, arXiv:1908.09791): `StagedSpace` at 128 to 224 pixels.

Widths, strides, activations, and which stages squeeze and excite are those of the published
supernets ``ofa_mbv3_d234_e346_k357_w1.0`` and ``..._w1.2``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic import Field

from perfmodel.specfile import validate
from perfmodel.workload.graph import Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure
from perfmodel.workload.nas_spaces.base import ArchitectureDecision, Choice, Segment
from perfmodel.workload.nas_spaces.stages import (
    DEPTHS,
    EXPANDS,
    KERNELS,
    Residual,
    StagedSpace,
    inverted_residual,
    rounded,
    staged_decisions,
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
        Every unknown or bad setting.
    """
    checked = validate(OfaSettings, settings)
    wide = checked.width_multiplier
    most = max(DEPTHS)
    layout = staged_decisions(
        [("r", ArchitectureDecision("resolution", RESOLUTIONS))], [most] * len(STAGES)
    )
    segments = [Segment("stem", (), 1, partial(_stem, rounded(STEM * wide)))]
    for place in layout.places:
        stage = STAGES[place.stage]
        block = stage._replace(
            outputs=rounded(stage.outputs * wide), stride=1 if place.position else stage.stride
        )
        segments.append(
            Segment(
                f"stage{place.stage + 1}.block{place.position + 1}",
                (layout.depths[place.stage], place.kernel, place.expand),
                1,
                partial(_block, place.position, block),
            )
        )
    segments.append(
        Segment(
            "head",
            (),
            1,
            partial(_head, rounded(FINAL * wide), rounded(LAST * wide), checked.classes),
        )
    )
    return StagedSpace(
        NAME,
        checked,
        layout.decisions,
        tuple(segments),
        (0,),
        layout.keys,
        layout.depths,
        layout.places,
    )


def _stem(channels: int, g: ImageBuilder, x: Tensor, choice: Choice) -> Tensor:
    """Add the first convolution and the first block, which are the same in every network."""
    del choice
    x = g.conv_norm(x, channels, 3, stride=2, activation="hard_swish", name="conv")
    return inverted_residual(g, x, 3, 1, Residual(channels, 1, "relu"))


def _block(position: int, block: Residual, g: ImageBuilder, x: Tensor, choice: Choice) -> Tensor:
    depth, kernel, expand = choice
    if position >= DEPTHS[depth]:
        return x
    return inverted_residual(g, x, KERNELS[kernel], EXPANDS[expand], block)


def _head(
    final: int, last: int, classes: int, g: ImageBuilder, x: Tensor, choice: Choice
) -> Tensor:
    del choice
    y = g.conv_norm(x, final, 1, activation="hard_swish", name="expand")
    y = g.global_pool(y, name="avgpool", keep=True)
    y = g.conv(y, last, 1, bias=False, name="mix")
    y = g.elementwise("hard_swish", y, name="mix.hard_swish")
    y = g.view(y, y.shape[:2], name="flatten")
    return g.linear(y, classes, name="classifier", tag="head")
