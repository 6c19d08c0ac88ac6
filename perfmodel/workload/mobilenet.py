"""Family ``mobilenet``: inverted residuals: MobileNetV2, V3, EfficientNet V1, V2, Lite, EdgeTPU.

Sandler et al. 2018, Howard et al. 2019, Tan and Le 2019 and 2021, Gupta and Akin 2020; layers and
roundings follow torchvision and timm.
Which blocks expand and which add their input follows the nominal channels, so a width multiplier
never changes the operators, only their sizes.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from perfmodel.frozen import FrozenModel
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames, images
from perfmodel.workload.symbols import Dim, divisible, floor_div, maximum, simplify, symbol

Activation = Literal["relu", "relu6", "hard_swish", "silu"]
_Channels = Annotated[int, Field(gt=0, le=10**6)]


class InvertedResidualStage(FrozenModel):
    """Inverted residual blocks of one shape.

    Attributes
    ----------
    channels
        Output channels at width 1.
    expand
        Expanded channels for each input channel.
    expanded
        Expanded channels at width 1, where they are listed (V3); replaces `expand`.
    kernel, stride
        Of the depthwise convolution; the stride is the first block's.
    repeats
        Blocks at depth 1.
    squeeze_excite
        Whether a squeeze-and-excitation follows the depthwise convolution.
    fused
        Whether one full convolution replaces the expansion and the depthwise one (EdgeTPU, V2); at
        an expansion of 1 it is the whole block.
    late_stride
        Whether a fused block strides in its projection (TensorFlow's EdgeTPU models) and not in its
        first convolution.
    expand_from
        Channels at width 1 that `expand` multiplies, where they are not the block's input.
    skip
        Whether blocks of equal shape add their input.
    """

    channels: _Channels
    expand: Annotated[int, Field(gt=0, le=100)] = 6
    expanded: _Channels | None = None
    kernel: Annotated[int, Field(gt=0, le=99)] = 3
    stride: Annotated[int, Field(gt=0, le=16)] = 1
    repeats: Annotated[int, Field(gt=0, le=1000)] = 1
    squeeze_excite: bool = False
    fused: bool = False
    late_stride: bool = False
    expand_from: _Channels | None = None
    skip: bool = True
    activation: Activation = "relu6"


class MobileNetStructure(ImageStructure):
    """Shape of a network of inverted residuals.

    Attributes
    ----------
    variant
        ``v2``, ``v3``, ``efficientnet`` or ``lite``: what squeezes, how it ends. A ``lite`` network
        scales neither its ends nor the repeats of its first and last stage.
    stem, stem_activation
        The first convolution.
    stages
        Its blocks in order.
    head
        Channels of the last convolution at width 1 (V2, Lite), or their ratio to its input (V3: 6,
        EfficientNet: 4); 0 for a network without one.
    head_channels
        Channels of the last convolution at width 1, scaled; replaces `head`.
    hidden
        Features of the hidden classifier layer at width 1 (V3); 0 for none.
    depth_multiplier
        Scales the repeats, rounded up (EfficientNet's compound scaling).
    """

    variant: Literal["v2", "v3", "efficientnet", "lite"]
    stem: _Channels = 32
    stem_activation: Activation = "relu6"
    stages: Annotated[tuple[InvertedResidualStage, ...], Field(min_length=1, max_length=200)]
    head: Annotated[int, Field(ge=0, le=10**6)] = 1280
    head_channels: _Channels | None = None
    hidden: Annotated[int, Field(ge=0, le=10**6)] = 0
    depth_multiplier: Annotated[float, Field(gt=0, le=100)] = 1.0


def scaled(channels: int) -> Dim:
    """Return channels under the width multiplier, rounded to a multiple of 8."""
    return divisible(channels * symbol("width_multiplier"), 8)


def build(structure: MobileNetStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = ImageBuilder("mobilenet", folded=s.batch_norm == "folded")
    x = g.conv_norm(
        g.image(s.image_channels), s.stem if s.variant == "lite" else scaled(s.stem), 3, stride=2,
        activation=s.stem_activation, name="stem",
    )  # fmt: skip
    nominal = s.stem
    for i, stage in enumerate(s.stages):
        name, repeats = f"stage{i + 1}", math.ceil(stage.repeats * s.depth_multiplier)
        if s.variant == "lite" and i in (0, len(s.stages) - 1):
            repeats = stage.repeats
        x = inverted_residual(g, x, nominal, stage, s.variant, stage.stride, f"{name}.0.")
        if repeats > 1:
            with g.repeat(repeats - 1, f"{name}.1"):
                x = inverted_residual(g, x, stage.channels, stage, s.variant, 1, "")
        nominal = stage.channels
    last = s.stages[-1].activation
    width: Dim
    if s.head_channels is not None:
        width = scaled(s.head_channels)
    elif s.variant == "lite":
        width = s.head
    elif s.variant == "v2":
        width = divisible(s.head * maximum(1, symbol("width_multiplier")), 8)
    else:
        width = simplify(x.shape[1] * s.head)
    if s.head or s.head_channels is not None:
        x = g.conv_norm(x, width, 1, activation=last, name="head")
    x = g.global_pool(x, name="avgpool")
    if s.hidden:
        x = g.linear(x, scaled(s.hidden), name="classifier.hidden")
        x = g.elementwise(last, x, name=f"classifier.{last}")
    g.output(g.linear(x, s.classes, name="classifier", tag="head"))
    return g.build(parameters(s))


def inverted_residual(
    g: ImageBuilder,
    x: Tensor,
    nominal: int,
    stage: InvertedResidualStage,
    variant: str,
    stride: int,
    name: str,
    *,
    dilation: int = 1,
    taps: list[Tensor] | None = None,
) -> Tensor:
    """Add one block: expand, depthwise, squeeze and excite, project, add.

    `dilation` is that of the depthwise convolution; the expanded tensor is appended to `taps`.
    """
    inputs = x.shape[1]
    act = stage.activation
    adds = stage.skip and stride == 1 and nominal == stage.channels
    if stage.expanded is None:
        source = inputs if stage.expand_from is None else scaled(stage.expand_from)
        inner, wider = simplify(source * stage.expand), stage.expand != 1
    else:
        inner, wider = scaled(stage.expanded), stage.expanded != nominal
    if stage.fused:
        if not wider:
            y = g.conv_norm(
                x, scaled(stage.channels), stage.kernel, stride=stride, activation=act,
                name=f"{name}conv",
            )  # fmt: skip
            return g.elementwise("add", y, x, name=f"{name}add") if adds else y
        y = g.conv_norm(
            x, inner, stage.kernel, stride=1 if stage.late_stride else stride, dilation=dilation,
            activation=act, name=f"{name}expand",
        )  # fmt: skip
    else:
        y = g.conv_norm(x, inner, 1, activation=act, name=f"{name}expand") if wider else x
        if taps is not None:
            taps.append(y)
        y = g.conv_norm(
            y, inner, stage.kernel, stride=stride, groups=inner, dilation=dilation, activation=act,
            name=f"{name}depthwise",
        )  # fmt: skip
    if stage.squeeze_excite:
        if variant == "efficientnet":  # a quarter of the block's input
            y = g.squeeze_excite(
                y, floor_div(inputs, 4), activation="silu", gate="sigmoid", name=f"{name}se"
            )
        else:  # a quarter of the expanded channels
            squeezed = divisible(simplify(inner / 4), 8)
            y = g.squeeze_excite(
                y, squeezed, activation="relu", gate="hard_sigmoid", name=f"{name}se"
            )
    last = stride if stage.fused and stage.late_stride else 1
    y = g.conv_norm(y, scaled(stage.channels), 1, stride=last, name=f"{name}project")
    if adds:
        y = g.elementwise("add", y, x, name=f"{name}add")
    return y


parameters = images(224, 224, width_multiplier=1)

FAMILY_MOBILENET = Family("mobilenet", MobileNetStructure, parameters, build, frames)
