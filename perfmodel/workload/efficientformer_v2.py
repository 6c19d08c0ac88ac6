"""Family ``efficientformer_v2``: EfficientFormerV2 (Li et al. 2022, arXiv:2212.08059).

Four stages of inverted bottlenecks with a depthwise convolution inside; in the last two, the last
blocks mix tokens by attention, at half the resolution in the third. Layers follow the authors' code
(through timm); every projection is a 1x1 convolution, and scores pass two convolutions over heads.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from perfmodel.frozen import Count
from perfmodel.workload.efficientformer import classified
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames, images
from perfmodel.workload.symbols import product, simplify

_Ratios = Annotated[tuple[Count, ...], Field(min_length=1, max_length=100)]


class EfficientFormerV2Structure(ImageStructure):
    """Shape of an EfficientFormerV2.

    Attributes
    ----------
    widths
        Channels of each of the four stages.
    expansions
        Hidden channels for each channel, of every block of a stage.
    attention_blocks
        Blocks with attention at the end of each of the last two stages.
    heads, key_dim, value_ratio
        Attention heads, size of a query or key head (half of it where the image is halved), and of
        a value head relative to it.
    distillation
        Whether the classifier that learned from the teacher runs too; the outputs are averaged.
    """

    widths: tuple[Count, Count, Count, Count]
    expansions: tuple[_Ratios, _Ratios, _Ratios, _Ratios]
    attention_blocks: Annotated[int, Field(ge=0, le=1000)] = 2
    heads: Count = 8
    key_dim: Annotated[int, Field(ge=2, le=10**5)] = 32
    value_ratio: Count = 4
    distillation: bool = True


def build(structure: EfficientFormerV2Structure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = ImageBuilder("efficientformer_v2", folded=s.batch_norm == "folded")
    x = g.image(s.image_channels)
    for i, channels in enumerate((max(s.widths[0] // 2, 1), s.widths[0])):
        x = g.conv_norm(
            x, channels, 3, stride=2, activation="gelu", bias=True, name=f"stem.conv{i + 1}"
        )
    for i, (width, ratios) in enumerate(zip(s.widths, s.expansions, strict=True)):
        if i:
            before = x
            x = g.conv_norm(x, width, 3, stride=2, bias=True, name=f"down{i}")
            if i == 3:
                y = _attention(g, before, s, f"down{i}.attention", width, s.key_dim // 2, down=True)
                x = g.elementwise("add", y, x, name=f"down{i}.add")
        for j, ratio in enumerate(ratios):
            name = f"stage{i + 1}.{j}"
            if i >= 2 and j >= len(ratios) - s.attention_blocks:
                y = _attention(g, x, s, f"{name}.attention", width, s.key_dim, halved=i == 2)
                x = _scaled_add(g, x, y, f"{name}.scale1")
            x = _scaled_add(g, x, _mlp(g, x, ratio, name), f"{name}.scale2")
    if s.batch_norm == "separate":
        x = g.norm(x, "batch_norm", name="norm")
    x = g.global_pool(x, name="pool")
    return classified(g, x, s.classes, distillation=s.distillation)


def _mlp(g: ImageBuilder, x: Tensor, ratio: int, name: str) -> Tensor:
    channels = x.shape[1]
    hidden = simplify(channels * ratio)
    y = g.conv_norm(x, hidden, 1, activation="gelu", bias=True, name=f"{name}.fc1")
    y = g.conv_norm(
        y, hidden, 3, groups=hidden, activation="gelu", bias=True, name=f"{name}.mid"
    )  # fmt: skip
    return g.conv_norm(y, channels, 1, bias=True, name=f"{name}.fc2")


def _attention(
    g: ImageBuilder, x: Tensor, s: EfficientFormerV2Structure, name: str, out: int, key_dim: int,
    *, halved: bool = False, down: bool = False,
) -> Tensor:  # fmt: skip
    """Add attention over pixels: on half the image and scaled up again, or with fewer queries."""
    full = x.shape
    if halved:
        x = g.conv_norm(x, x.shape[1], 3, stride=2, groups=x.shape[1], bias=True,
                        name=f"{name}.stride")  # fmt: skip
    keys, values = s.heads * key_dim, s.heads * key_dim * s.value_ratio
    stride = 2 if down else 1
    asked = x
    if down:
        local = g.conv(x, x.shape[1], 3, stride=2, padding=1, groups=x.shape[1],
                       name=f"{name}.local")  # fmt: skip
        asked = g.elementwise(
            "add", local, g.pool(x, 1, stride=2, name=f"{name}.global"), name=f"{name}.query"
        )
    q = g.conv_norm(asked, keys, 1, bias=True, name=f"{name}.q")
    k = g.conv_norm(x, keys, 1, bias=True, name=f"{name}.k")
    v = g.conv_norm(x, values, 1, bias=True, name=f"{name}.v")
    near = g.conv_norm(
        v, values, 3, stride=stride, groups=values, bias=True, name=f"{name}.v_local"
    )
    batch, _, height, width = q.shape
    queries, pixels = product(height, width), product(x.shape[2], x.shape[3])
    heads = [
        g.copy([q], (batch, s.heads, queries, key_dim), name=f"{name}.queries", order=(0, 1, 3, 2)),
        g.view(k, (batch, s.heads, key_dim, pixels), name=f"{name}.keys"),
        g.copy([v], (batch, s.heads, pixels, key_dim * s.value_ratio), name=f"{name}.values",
               order=(0, 1, 3, 2)),
    ]  # fmt: skip
    scores = g.matmul(heads[0], heads[1], name=f"{name}.scores")
    table = g.weight(f"{name}.bias", (s.heads, pixels), tag="vector")
    # The table holds an entry an offset; each score reads one of them.
    biased = g.tensor(f"{name}.biased.out", scores.shape)
    g.operator(f"{name}.biased", "elementwise", [scores, table], [biased],
               vector_ops=2 * scores.elements, inplace=scores,
               attributes={"function": "add"})  # fmt: skip
    y = biased if down else g.conv(biased, s.heads, 1, name=f"{name}.talking1")
    y = g.softmax(y, name=f"{name}.softmax")
    y = y if down else g.conv(y, s.heads, 1, name=f"{name}.talking2")
    y = g.matmul(y, heads[2], name=f"{name}.mixed")
    y = g.copy([y], (batch, values, height, width), name=f"{name}.back", order=(0, 1, 3, 2))
    y = g.elementwise("add", y, near, name=f"{name}.near")
    if halved:
        y = g.resize(y, full[2:], name=f"{name}.upsample")
    y = g.elementwise("gelu", y, name=f"{name}.gelu")
    return g.conv_norm(y, out, 1, bias=True, name=f"{name}.proj")


def _scaled_add(g: ImageBuilder, x: Tensor, y: Tensor, name: str) -> Tensor:
    """Add ``x + scale * y`` with a learned scale a channel."""
    scale = g.weight(name, (x.shape[1], 1, 1), tag="vector")
    return g.elementwise("add", x, g.elementwise("mul", y, scale, name=name), name=f"{name}.add")


parameters = images(224, 224)

FAMILY_EFFICIENTFORMER_V2 = Family(
    "efficientformer_v2", EfficientFormerV2Structure, parameters, build, frames
)
