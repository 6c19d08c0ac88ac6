"""Family ``codenet``: CoDeNet (Huang et al., FPGA 2021, arXiv:2006.08357), a detector for an FPGA.

ShuffleNetV2, three deformable convolutions each followed by an upsampling, and three heads of
CenterNet; layers after Zhen-Dong/CoDeNet, and as its accelerator runs them after hqjenny/CoDeNet.
"""

from __future__ import annotations

from typing import Literal

from perfmodel.workload.deformable import deformable_conv
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames, images
from perfmodel.workload.symbols import simplify

_CHANNELS = {
    ("1x", "published"): (24, 116, 232, 464, 1024),
    ("2x", "published"): (24, 244, 488, 976, 2153),
    ("1x", "deployed"): (32, 128, 256, 512, 1024),
    ("2x", "deployed"): (32, 256, 512, 1024, 2048),
}
_REPEATS = (3, 7, 3)
#: Largest dilation that the accelerator's 15 lines hold.
_BOUND = 7


class CoDeNetStructure(ImageStructure):
    """Shape of a CoDeNet.

    Attributes
    ----------
    size
        ``1x`` or ``2x`` the channels of ShuffleNetV2.
    stem
        What takes the image down by four: one convolution of ``stride4``, or one of stride 2 and a
        ``maxpool``.
    widths
        ``published``: channels as trained; ``deployed``: rounded up as the accelerator runs them,
        with its last stage and heads.
    """

    size: Literal["1x", "2x"] = "1x"
    stem: Literal["stride4", "maxpool"] = "stride4"
    widths: Literal["published", "deployed"] = "published"
    classes: int = 20
    batch_norm: Literal["separate", "folded"] = "folded"


def build(structure: CoDeNetStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = ImageBuilder("codenet", folded=s.batch_norm == "folded")
    channels = _CHANNELS[s.size, s.widths]
    stride = 4 if s.stem == "stride4" else 2
    x = g.conv_norm(
        g.image(s.image_channels), channels[0], 3, stride=stride, activation="relu", name="stem"
    )
    if s.stem == "maxpool":
        x = g.pool(x, 3, stride=2, padding=1, name="stem.pool")
    for i, repeats in enumerate(_REPEATS):
        x = _node(g, x, channels[i + 1], 2, f"stage{i + 1}.0")
        with g.repeat(repeats, f"stage{i + 1}.1"):
            x = _node(g, x, channels[i + 1], 1, "")
    x = g.conv_norm(x, channels[4], 1, activation="relu", name="last")
    deployed = s.widths == "deployed"
    for i, planes in enumerate((256, 128, 128 if deployed else 64)):
        inputs = x.shape[1]
        x = deformable_conv(
            g, x, inputs, groups=inputs, offsets="square", offset_kernel=1, rounded=True,
            bound=_BOUND, name=f"up{i + 1}.deformable",
        )  # fmt: skip
        if not deployed or inputs != planes:
            x = g.conv_norm(x, planes, 1, name=f"up{i + 1}.project")
        size = [simplify(2 * n) for n in x.shape[2:]]
        x = g.resize(x, size, ops=0, name=f"up{i + 1}.nearest")
    for name, outputs in (("heat", s.classes), ("size", 2), ("offset", 2)):
        g.output(_head(g, x, outputs, name, deployed))
    return g.build(parameters(s))


def _head(g: ImageBuilder, x: Tensor, outputs: int, name: str, deployed: bool) -> Tensor:
    """Add a head: pointwise, depthwise, pointwise; as deployed, without the last."""
    inner = outputs if deployed else 64
    y = g.conv_norm(x, inner, 1, activation="relu", name=f"{name}.in")
    y = g.conv_norm(y, inner, 3, groups=inner, name=f"{name}.depthwise")
    if deployed:
        return y
    y = g.elementwise("relu", y, name=f"{name}.relu")
    return g.conv(y, outputs, 1, name=f"{name}.out")


def _node(g: ImageBuilder, x: Tensor, channels: int, stride: int, name: str) -> Tensor:
    """Add a node of ShuffleNetV2: half the channels pass, or both halves are halved in size."""
    name = f"{name}." if name else ""
    half = channels // 2
    batch, _, *size = x.shape
    if stride == 1:
        # Halves are strided views of the whole.
        kept = g.view(x, (batch, half, *size), name=f"{name}keep")
        y = g.view(x, (batch, half, *size), name=f"{name}take")
    else:
        ins = x.shape[1]
        kept = g.conv_norm(x, ins, 3, stride=2, groups=ins, name=f"{name}b1.depthwise")
        kept = g.conv_norm(kept, half, 1, activation="relu", name=f"{name}b1.project")
        y = x
    y = g.conv_norm(y, half, 1, activation="relu", name=f"{name}b2.expand")
    y = g.conv_norm(y, half, 3, stride=stride, groups=half, name=f"{name}b2.depthwise")
    y = g.conv_norm(y, half, 1, activation="relu", name=f"{name}b2.project")
    return g.concat([kept, y], f"{name}shuffle")


parameters = images(256, 256)

FAMILY_CODENET = Family("codenet", CoDeNetStructure, parameters, build, frames)
