"""Family ``segformer``: SegFormer (Xie et al. 2021, arXiv:2105.15203).

A pyramid of transformers whose keys and values are reduced by a strided convolution and whose
feed-forward networks hold a depthwise one; a head of linear layers. Layers follow Hugging Face.
"""

from __future__ import annotations

from perfmodel.frozen import Count, FrozenModel
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import frames, images
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import Dim, product, symbol

_Four = tuple[Count, Count, Count, Count]


class SegFormerStructure(FrozenModel):
    """Shape of a SegFormer.

    Attributes
    ----------
    widths, depths, heads
        Channels, layers and attention heads of each stage.
    reductions
        Side of the squares of pixels that one key stands for, in each stage.
    head
        Channels of the head.
    classes
        Scores a pixel, at a quarter of the image.
    image_channels
        Channels of the input image.
    """

    widths: _Four = (32, 64, 160, 256)
    depths: _Four = (2, 2, 2, 2)
    heads: _Four = (1, 2, 5, 8)
    reductions: _Four = (8, 4, 2, 1)
    head: Count = 256
    classes: Count = 150
    image_channels: Count = 3


def build(s: SegFormerStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    g = SequenceBuilder("segformer")
    batch = symbol("batch")
    x = g.input("image", (batch, s.image_channels, symbol("height"), symbol("width")))
    maps: list[Tensor] = []
    for i, (width, depth, heads) in enumerate(zip(s.widths, s.depths, s.heads, strict=True)):
        kernel, stride = (7, 4) if i == 0 else (3, 2)
        x = g.conv(x, width, kernel, stride=stride, padding=kernel // 2, name=f"patch{i + 1}")
        size = x.shape[2:]
        x = g.copy([x], (batch, product(*size), width), name=f"tokens{i + 1}")
        x = g.norm(x, "layer_norm", name=f"patch{i + 1}.norm")
        with g.repeat(depth, f"stage{i + 1}"):
            x = _layer(g, x, width, heads, s.reductions[i], size)
        x = g.norm(x, "layer_norm", name=f"stage{i + 1}.norm")
        x = g.copy([x], (batch, width, *size), name=f"map{i + 1}")
        maps.append(x)
    parts: list[Tensor] = []
    quarter = maps[0].shape[2:]
    for i, y in enumerate(maps):
        y = g.conv(y, s.head, 1, name=f"head.linear{i + 1}")
        parts.append(g.resize(y, quarter, name=f"head.up{i + 1}") if i else y)
    y = g.copy(parts[::-1], (batch, 4 * s.head, *quarter), name="head.concat")
    y = g.conv(y, s.head, 1, bias=False, name="head.fuse")
    y = g.norm(y, "batch_norm", name="head.norm")
    y = g.elementwise("relu", y, name="head.relu")
    g.output(g.conv(y, s.classes, 1, name="head.classifier"))
    return g.build(parameters(s))


def _layer(
    g: SequenceBuilder, x: Tensor, width: int, heads: int, reduction: int, size: tuple[Dim, ...]
) -> Tensor:
    batch, tokens, _ = x.shape
    y = g.norm(x, "layer_norm", name="norm1")
    q = g.linear(y, width, name="q_proj", tag="attn_q")
    keys = tokens
    if reduction > 1:
        z = g.copy([y], (batch, width, *size), name="image")
        z = g.conv(z, width, reduction, stride=reduction, name="reduce")
        keys = product(*z.shape[2:])
        z = g.copy([z], (batch, keys, width), name="reduced")
        y = g.norm(z, "layer_norm", name="reduce.norm")
    k = g.linear(y, width, name="k_proj", tag="attn_k")
    v = g.linear(y, width, name="v_proj", tag="attn_v")
    y = g.attention(
        q, batch=batch, queries=tokens, keys=keys, heads=heads, head_dim=width // heads,
        causal=False, key_value=(k, v), write_cache=False,
    )  # fmt: skip
    x = g.elementwise("add", g.linear(y, width, name="o_proj", tag="attn_output"), x, name="add1")
    y = g.norm(x, "layer_norm", name="norm2")
    y = g.linear(y, 4 * width, name="up", tag="ffn_up")
    y = g.copy([y], (batch, 4 * width, *size), name="up.image")
    y = g.conv(y, 4 * width, 3, padding=1, groups=4 * width, name="depthwise")
    y = g.copy([y], (batch, tokens, 4 * width), name="up.tokens")
    y = g.elementwise("gelu", y, name="gelu")
    y = g.linear(y, width, name="down", tag="ffn_down")
    return g.elementwise("add", y, x, name="add2")


parameters = images(512, 512)

FAMILY_SEGFORMER = Family("segformer", SegFormerStructure, parameters, build, frames)
