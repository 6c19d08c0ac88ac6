"""Family ``levit``: LeViT (Graham et al. 2021, arXiv:2104.01136); layers follow timm.

A pyramid of attention with few keys a head; every linear layer is normalised by batch, which is
folded as deployed.
"""

from __future__ import annotations

from perfmodel.frozen import Count
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageStructure, frames, images
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import Dim, ceil_div, product, symbol

#: Tokens of each stage for images of 224 pixels: rows of its table of relative positions.
_PLACES = (196, 49, 16)


class LeViTStructure(ImageStructure):
    """Shape of a LeViT.

    Attributes
    ----------
    widths, depths, heads
        Channels, blocks and attention heads of each stage.
    keys
        Size of a key; values are twice as wide, four times between stages.
    """

    widths: tuple[Count, Count, Count]
    depths: tuple[Count, Count, Count] = (4, 4, 4)
    heads: tuple[Count, Count, Count]
    keys: Count = 16


class _LeViTBuilder(SequenceBuilder):
    def __init__(self, *, folded: bool) -> None:
        super().__init__("levit")
        self.folded = folded

    def dense(self, x: Tensor, features: Dim, name: str, tag: str = "") -> Tensor:
        """Add a linear layer with batch normalisation."""
        y = self.linear(x, features, name=name, bias=self.folded, tag=tag)
        if self.folded:
            return y
        return self.norm(y, "batch_norm", name=f"{name}.norm", features=features)


def build(structure: LeViTStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph of an image."""
    del semantics
    s = structure
    g = _LeViTBuilder(folded=s.batch_norm == "folded")
    batch, height, width = symbol("batch"), symbol("height"), symbol("width")
    x = g.input("image", (batch, s.image_channels, height, width))
    for i in range(4):
        channels = s.widths[0] // 2 ** (3 - i)
        x = g.conv(x, channels, 3, stride=2, padding=1, bias=g.folded, name=f"stem{i}")
        if not g.folded:
            x = g.norm(x, "batch_norm", name=f"stem{i}.norm")
        if i < 3:
            x = g.elementwise("hard_swish", x, name=f"stem{i}.act")
    rows, columns = x.shape[2:]
    x = g.copy([x], (batch, product(rows, columns), s.widths[0]), name="tokens")
    for i, (channels, depth, heads) in enumerate(zip(s.widths, s.depths, s.heads, strict=True)):
        if i:
            before, (high, wide) = s.widths[i - 1], (rows, columns)
            rows, columns = ceil_div(rows, 2), ceil_div(columns, 2)
            x = _shrink(g, x, s, before, channels, (product(high, wide), product(rows, columns)), i)
            x = _feed_forward(g, x, channels, f"shrink{i}.")
        with g.repeat(depth, f"stage{i + 1}"):
            x = _attention(g, x, s, channels, heads, _PLACES[i])
            x = _feed_forward(g, x, channels, "")
    x = g.reduce(x, (batch, s.widths[-1]), name="avgpool")
    scores: list[Tensor] = []
    for name in ("head", "distilled"):  # two classifiers, averaged
        y = x
        if not g.folded:
            y = g.norm(x, "batch_norm", name=f"{name}.norm", features=s.widths[-1])
        scores.append(g.linear(y, s.classes, name=name, tag="head"))
    g.output(g.elementwise("add", *scores, name="mean", ops=2))
    return g.build(parameters(s))


def _attention(
    g: _LeViTBuilder, x: Tensor, s: LeViTStructure, channels: int, heads: int, places: int
) -> Tensor:
    batch, tokens, _ = x.shape
    value = 2 * s.keys
    qkv = g.dense(x, heads * (2 * s.keys + value), "qkv", "attn_q")
    # A table of relative positions; its use is a view of it that is made once.
    table = g.weight("positions", (heads, places), tag="embedding")
    y = g.attention(
        qkv, batch=batch, queries=tokens, keys=tokens, heads=heads, head_dim=s.keys,
        value_dim=value, causal=False, write_cache=False, bias=table,
    )  # fmt: skip
    y = g.elementwise("hard_swish", y, name="act")
    y = g.dense(y, channels, "proj", "attn_output")
    return g.elementwise("add", y, x, name="add")


def _shrink(
    g: _LeViTBuilder,
    x: Tensor,
    s: LeViTStructure,
    before: int,
    channels: int,
    tokens: tuple[Dim, Dim],
    index: int,
) -> Tensor:
    """Add attention whose queries are a quarter of the tokens: no residual."""
    name, heads, value = f"shrink{index}", before // s.keys, 4 * s.keys
    batch = x.shape[0]
    kv = g.dense(x, heads * (s.keys + value), f"{name}.kv", "attn_k")
    some = g.copy([x], (batch, tokens[1], before), name=f"{name}.sample",
                  read=[product(batch, tokens[1], before)])  # fmt: skip
    q = g.dense(some, heads * s.keys, f"{name}.q", "attn_q")
    table = g.weight(f"{name}.positions", (heads, _PLACES[index - 1]), tag="embedding")
    y = g.attention(
        q, batch=batch, queries=tokens[1], keys=tokens[0], heads=heads, head_dim=s.keys,
        value_dim=value, causal=False, key_value=kv, write_cache=False, bias=table,
        name=f"{name}.attention",
    )  # fmt: skip
    y = g.elementwise("hard_swish", y, name=f"{name}.act")
    return g.dense(y, channels, f"{name}.proj", "attn_output")


def _feed_forward(g: _LeViTBuilder, x: Tensor, channels: int, name: str) -> Tensor:
    y = g.dense(x, 2 * channels, f"{name}up", "ffn_up")
    y = g.elementwise("hard_swish", y, name=f"{name}ffn.act")
    y = g.dense(y, channels, f"{name}down", "ffn_down")
    return g.elementwise("add", y, x, name=f"{name}ffn.add")


parameters = images(224, 224)

FAMILY_LEVIT = Family("levit", LeViTStructure, parameters, build, frames)
