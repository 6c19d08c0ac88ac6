"""Family ``efficientformer``: EfficientFormer (Li et al. 2022, arXiv:2206.01191).

Four stages of pooling mixers (4D blocks) and, at the end of the last, attention blocks (3D blocks)
over the remaining pixels. Layers follow the authors' code.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from perfmodel.frozen import Count
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames, images
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import product, simplify


class EfficientFormerStructure(ImageStructure):
    """Shape of an EfficientFormer.

    Attributes
    ----------
    widths, depths
        Channels and blocks of each of the four stages.
    attention_blocks
        Blocks with attention at the end of the last stage.
    heads, key_dim, value_ratio
        Attention heads, size of a query or key head, and of a value head relative to it.
    mlp_ratio
        Hidden channels of the MLP for each channel.
    distillation
        Whether the classifier that learned from the teacher runs too; the outputs are averaged.
    """

    widths: tuple[Count, Count, Count, Count]
    depths: tuple[Count, Count, Count, Count]
    attention_blocks: Annotated[int, Field(ge=0, le=1000)] = 1
    heads: Count = 8
    key_dim: Count = 32
    value_ratio: Count = 4
    mlp_ratio: Count = 4
    distillation: bool = True


class _EfficientFormerBuilder(ImageBuilder, SequenceBuilder):
    """Image and attention operators together."""


def build(structure: EfficientFormerStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = _EfficientFormerBuilder("efficientformer", folded=s.batch_norm == "folded")
    x = g.image(s.image_channels)
    for i, channels in enumerate((max(s.widths[0] // 2, 1), s.widths[0])):
        x = g.conv_norm(
            x, channels, 3, stride=2, activation="relu", bias=True, name=f"stem.conv{i + 1}"
        )
    attention = min(s.attention_blocks, s.depths[3])
    for i, (width, depth) in enumerate(zip(s.widths, s.depths, strict=True)):
        if i:
            x = g.conv_norm(x, width, 3, stride=2, bias=True, name=f"embed{i}")
        pooling = depth - attention if i == 3 else depth
        if pooling:
            with g.repeat(pooling, f"stage{i + 1}.pool"):
                x = _pooling_block(g, x, s)
    batch, channels, height, width = x.shape
    x = g.copy([x], (batch, product(height, width), channels), name="flatten")
    if attention:
        with g.repeat(attention, "stage4.attention"):
            x = _attention_block(g, x, s)
    x = g.norm(x, name="norm")
    x = g.reduce(x, (batch, channels), name="mean")
    return classified(g, x, s.classes, distillation=s.distillation)


def classified(g: ImageBuilder, x: Tensor, classes: int, *, distillation: bool) -> Graph:
    """Add the classifier, and beside it the one that a teacher trained, and return the graph."""
    y = g.linear(x, classes, name="head", tag="head")
    if distillation:
        other = g.linear(x, classes, name="dist_head", tag="head")
        y = g.elementwise("add", y, other, name="average", ops=2)
    g.output(y)
    return g.build(parameters(None))


def _pooling_block(g: _EfficientFormerBuilder, x: Tensor, s: EfficientFormerStructure) -> Tensor:
    """Add a 4D block: average pooling minus itself, then an MLP of 1x1 convolutions."""
    channels = x.shape[1]
    hidden = simplify(channels * s.mlp_ratio)
    pooled = g.pool(x, 3, stride=1, padding=1, name="pool")
    x = _scaled_add(g, x, g.elementwise("sub", pooled, x, name="mixer"), "scale1")
    y = g.conv_norm(x, hidden, 1, activation="gelu", bias=True, name="fc1")
    y = g.conv_norm(y, channels, 1, bias=True, name="fc2")
    return _scaled_add(g, x, y, "scale2")


def _attention_block(g: _EfficientFormerBuilder, x: Tensor, s: EfficientFormerStructure) -> Tensor:
    """Add a 3D block: attention with a learned bias for each offset, then an MLP."""
    batch, tokens, channels = x.shape
    keys, values = s.heads * s.key_dim, s.heads * s.key_dim * s.value_ratio
    y = g.norm(x, name="norm1")
    qkv = g.linear(y, 2 * keys + values, name="qkv", tag="attn_qkv")
    # One table entry a head and absolute offset; there are as many offsets as pixels.
    table = g.weight("attention_bias", (s.heads, tokens), tag="vector")
    y = g.attention(
        g.view(qkv, (batch, tokens, keys), name="query"),
        key_value=g.view(qkv, (batch, tokens, keys + values), name="key_value"),
        batch=batch, queries=tokens, keys=tokens, heads=s.heads, head_dim=s.key_dim,
        value_dim=s.key_dim * s.value_ratio, causal=False, write_cache=False, bias=table,
    )  # fmt: skip
    y = g.linear(y, channels, name="proj", tag="attn_output")
    x = _scaled_add(g, x, y, "scale1", axis=-1)
    y = g.norm(x, name="norm2")
    y = g.linear(y, simplify(channels * s.mlp_ratio), name="fc1", tag="ffn_up")
    y = g.elementwise("gelu", y)
    y = g.linear(y, channels, name="fc2", tag="ffn_down")
    return _scaled_add(g, x, y, "scale2", axis=-1)


def _scaled_add(
    g: _EfficientFormerBuilder, x: Tensor, y: Tensor, name: str, axis: int = 1
) -> Tensor:
    """Add ``x + scale * y`` with a learned scale a channel."""
    channels = x.shape[axis]
    shape = (channels,) if axis == -1 else (channels, 1, 1)
    y = g.elementwise("mul", y, g.weight(name, shape, tag="vector"), name=name)
    return g.elementwise("add", x, y, name=f"{name}.add")


parameters = images(224, 224)

FAMILY_EFFICIENTFORMER = Family(
    "efficientformer", EfficientFormerStructure, parameters, build, frames
)
