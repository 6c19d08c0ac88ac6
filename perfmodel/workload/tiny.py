"""Family ``tiny``: the four reference networks of MLPerf Tiny (Banbury et al. 2021).

Layers follow the benchmark's training code; as deployed, batch normalisation is folded.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from perfmodel.frozen import Count
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames
from perfmodel.workload.symbols import Dim, symbol

#: Defaults of the free image dimensions: height and width, or time steps and features.
_SIZES = {
    "resnet8": (32, 32),
    "mobilenet_v1": (96, 96),
    "fd_mobilenet": (224, 224),
    "ds_cnn": (49, 10),
}

#: MobileNetV1's separable blocks: channels as multiples of the stem's, and the depthwise stride.
_MOBILENET_V1 = (
    (2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), (16, 1), (16, 1), (16, 1), (16, 1), (16, 1),
    (32, 2), (32, 1),
)  # fmt: skip

#: FD-MobileNet (Qin et al. 2018, arXiv:1802.03750): down to a thirty-second of the image early.
_FD_MOBILENET = (
    (2, 2), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), (16, 1), (16, 1), (16, 1), (16, 1), (32, 1),
)  # fmt: skip


class TinyStructure(ImageStructure):
    """Which network, and its widths.

    Attributes
    ----------
    model
        ``resnet8`` (image classification), ``mobilenet_v1`` (visual wake words), ``ds_cnn``
        (keyword spotting) or ``autoencoder`` (anomaly detection); beside them ``fd_mobilenet``.
    channels
        Channels of the first convolution; hidden features of the autoencoder.
    features, bottleneck
        Inputs and narrowest layer of the autoencoder.
    blocks
        Separable blocks of the DS-CNN.
    """

    model: Literal["resnet8", "mobilenet_v1", "ds_cnn", "autoencoder", "fd_mobilenet"]
    channels: Count
    features: Count = 640
    bottleneck: Count = 8
    blocks: Annotated[int, Field(gt=0, le=1000)] = 4
    batch_norm: Literal["separate", "folded"] = "folded"


def build(structure: TinyStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = ImageBuilder(s.model, folded=s.batch_norm == "folded")
    if s.model == "autoencoder":
        g.output(_autoencoder(g, s))
        return g.build(parameters(s))
    x = g.image(s.image_channels)
    body = {"resnet8": _resnet8, "ds_cnn": _ds_cnn}.get(s.model, _separable)
    x = body(g, x, s)
    x = g.global_pool(x, name="avgpool")
    g.output(g.softmax(g.linear(x, s.classes, name="dense", tag="head")))
    return g.build(parameters(s))


def _resnet8(g: ImageBuilder, x: Tensor, s: TinyStructure) -> Tensor:
    """Add a stem and three residual stacks of two convolutions, for 32x32 images."""
    x = _same(g, x, s.channels, 3, name="stem")
    for i, factor in enumerate((1, 2, 4)):
        channels, stride, name = s.channels * factor, 1 if i == 0 else 2, f"stack{i + 1}"
        y = _same(g, x, channels, 3, stride=stride, name=f"{name}.conv1")
        y = _same(g, y, channels, 3, activation="", name=f"{name}.conv2")
        if stride != 1:
            x = g.conv(x, channels, 1, stride=stride, name=f"{name}.downsample")
        x = g.elementwise("relu", g.elementwise("add", x, y, name=f"{name}.add"))
    return x


def _separable(g: ImageBuilder, x: Tensor, s: TinyStructure) -> Tensor:
    """Add a stem and depthwise-separable convolutions (Howard et al. 2017): 13, or 11."""
    x = _same(g, x, s.channels, 3, stride=2, name="stem")
    for i, (factor, stride) in enumerate(
        _MOBILENET_V1 if s.model == "mobilenet_v1" else _FD_MOBILENET
    ):
        name = f"block{i + 1}"
        x = _same(g, x, x.shape[1], 3, stride=stride, groups=x.shape[1], name=f"{name}.depthwise")
        x = _same(g, x, s.channels * factor, 1, name=f"{name}.pointwise")
    return x


def _ds_cnn(g: ImageBuilder, x: Tensor, s: TinyStructure) -> Tensor:
    """Add the DS-CNN over MFCC features (Zhang et al. 2017, "Hello Edge")."""
    x = _same(g, x, s.channels, (10, 4), stride=2, name="stem")
    with g.repeat(s.blocks, "block"):
        x = _same(g, x, s.channels, 3, groups=s.channels, name="depthwise")
        x = _same(g, x, s.channels, 1, name="pointwise")
    return x


def _same(
    g: ImageBuilder, x: Tensor, channels: Dim, kernel: int | tuple[int, int], *,
    stride: int = 1, groups: Dim = 1, activation: str = "relu", name: str,
) -> Tensor:  # fmt: skip
    """Add a convolution as Keras does: padding ``same``, and a bias beside the normalisation."""
    return g.conv_norm(
        x, channels, kernel, stride=stride, groups=groups, activation=activation, padding="same",
        bias=True, name=name,
    )  # fmt: skip


def _autoencoder(g: ImageBuilder, s: TinyStructure) -> Tensor:
    """Add dense layers down to the bottleneck and back, normalised but for the last."""
    x = g.input("features", (symbol("batch"), s.features))
    widths = (*[s.channels] * 4, s.bottleneck, *[s.channels] * 4)
    for i, width in enumerate(widths):
        x = g.linear(x, width, name=f"dense{i + 1}")
        if not g.folded:
            x = g.norm(x, "batch_norm", name=f"dense{i + 1}.norm", features=width)
        x = g.elementwise("relu", x, name=f"dense{i + 1}.relu")
    return g.linear(x, s.features, name="reconstruction", tag="head")


def parameters(structure: TinyStructure) -> dict[str, float]:
    """Return the free dimensions and their defaults."""
    if structure.model == "autoencoder":
        return {"batch": 1}
    height, width = _SIZES[structure.model]
    return {"batch": 1, "height": height, "width": width}


FAMILY_TINY = Family("tiny", TinyStructure, parameters, build, frames)
