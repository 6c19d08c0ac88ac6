"""Family ``vit``: vision transformers (Dosovitskiy et al. 2021, arXiv 2010.11929).

With the image towers of CLIP (Radford et al. 2021, arXiv 2103.00020), which normalise the tokens
first and project the class token, and of SigLIP (Zhai et al. 2023, arXiv 2303.15343), which have no
class token and pool by attention.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from perfmodel.frozen import FrozenModel
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import frames
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import Dim, floor_div, product, simplify, symbol
from perfmodel.workload.transformer_layers import TransformerPass, feed_forward, layer, norm
from perfmodel.workload.transformer_structure import (
    Count,
    CountOrNone,
    TransformerStructure,
    head_faults,
)


class ViTStructure(FrozenModel):
    """Shape of a vision transformer.

    Attributes
    ----------
    layers, width, heads, ffn_width
        As in a transformer encoder.
    patch
        Side of a square patch in pixels.
    image_size
        Side of the images the table of positions was made for.
    image_channels
        Channels of the input image.
    classes
        Outputs of the classifier on the class token; 0 for none.
    qkv_bias
        Whether queries, keys and values have biases.
    pooler
        A dense layer with tanh on the class token instead of a classifier.
    projection
        Features that the class token is projected to, without a bias; 0 for none (CLIP).
    patch_bias, token_norm
        Whether patches are embedded with a bias; whether tokens are normalised before the layers.
    pooling
        ``token``: the class token is the image; ``attention``: there is none, a learned query
        attends to the patches and goes through a feed-forward network (SigLIP); ``patches``: all
        tokens as they leave the last layer.
    extra_tokens
        Learned tokens beside the class token (distillation in DeiT).
    layer_scale
        The output of each block is scaled by a learned vector (DINOv2).
    free
        Fields kept as symbols, among `FREE`.
    """

    FREE: ClassVar[tuple[str, ...]] = ("layers", "ffn_width")

    layers: Count
    width: Count
    heads: Count
    ffn_width: Count
    patch: Count = 16
    image_size: Count = 224
    image_channels: Count = 3
    classes: CountOrNone = 1000
    qkv_bias: bool = True
    pooler: bool = False
    projection: CountOrNone = 0
    patch_bias: bool = True
    token_norm: bool = False
    pooling: Literal["token", "attention", "patches"] = "token"
    extra_tokens: CountOrNone = 0
    layer_scale: bool = False
    free: tuple[Literal["layers", "ffn_width"], ...] = ()

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield what is wrong across fields."""
        sizes = {k: v for k, v in data.items() if type(v) is int and v > 0}
        yield from head_faults(data)
        if sizes.get("patch", 16) > sizes.get("image_size", 224):
            yield Flaw(("patch",), "a patch is larger than the image", "at most the image")


def encoder(s: ViTStructure) -> TransformerStructure:
    """Return the encoder inside as a transformer's structure."""
    return TransformerStructure(
        phase="encode", causal=False, layers=s.layers, width=s.width, heads=s.heads,
        ffn_width=s.ffn_width, gated=False, activation="gelu", norm="layer_norm", rotary=False,
        qkv_bias=s.qkv_bias, output_bias=True, ffn_bias=True, vocabulary=1, head="none",
        layer_scale=s.layer_scale, free=s.free,
    )  # fmt: skip


def build(s: ViTStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph; an image of ``height x width`` becomes its patches and a class token."""
    del semantics
    g = SequenceBuilder("vit")
    x = tower(g, s)
    g.output(x)
    return g.build(parameters(s))


def tower(g: SequenceBuilder, s: ViTStructure, layer_name: str = "layer") -> Tensor:
    """Add the network to a graph; returns its last output."""
    batch = symbol("batch")
    x = embed(g, s)
    inner = encoder(s)
    if s.token_norm:
        x = norm(g, x, inner, "token_norm")
    tokens = x.shape[1]
    layers: Dim = symbol("layers") if "layers" in s.free else s.layers
    with g.repeat(layers, layer_name):
        x = layer(g, x, inner, TransformerPass(batch, tokens, tokens))
    if s.pooling == "patches":
        return x
    x = norm(g, x, inner, "final_norm")
    if s.pooling == "attention":
        x = _attention_pool(g, x, s, inner, batch, tokens)
    elif s.classes or s.pooler or s.projection:
        x = g.copy([x], (batch, s.width), name="class_token", read=[product(batch, s.width)])
    if s.pooler:
        x = g.elementwise("tanh", g.linear(x, s.width, name="pooler", tag="head"))
    if s.projection:
        x = g.linear(x, s.projection, name="projection", bias=False, tag="head")
    if s.classes:
        x = g.linear(x, s.classes, name="head", tag="head")
    return x


def embed(g: SequenceBuilder, s: ViTStructure) -> Tensor:
    """Add patches, the class token and others, and their positions."""
    batch, height, width = symbol("batch"), symbol("height"), symbol("width")
    image = g.input("image", (batch, s.image_channels, height, width))
    x = g.conv(image, s.width, s.patch, stride=s.patch, bias=s.patch_bias, name="patch_embedding")
    patches = product(floor_div(height, s.patch), floor_div(width, s.patch))
    first = int(s.pooling != "attention") + s.extra_tokens
    tokens = simplify(patches + first)
    shape = (batch, tokens, s.width)
    if first:
        rows = () if first == 1 else (first,)
        cls = g.weight("class_token", (*rows, s.width), tag="vector")
        x = g.copy([x, cls], shape, name="tokens")
    else:
        x = g.copy([x], shape, name="tokens")
    table = g.weight("positions.weight", ((s.image_size // s.patch) ** 2 + first, s.width),
                     tag="embedding")  # fmt: skip
    y = g.tensor("positions.out", shape)
    g.operator("positions", "elementwise", [x, (table, product(tokens, s.width))], [y],
               vector_ops=y.elements, inplace=x, attributes={"function": "add"})  # fmt: skip
    return y


def _attention_pool(
    g: SequenceBuilder, x: Tensor, s: ViTStructure, inner: TransformerStructure, batch: Dim,
    tokens: Dim,
) -> Tensor:  # fmt: skip
    """Add a learned query that attends to all patches, and a feed-forward network."""
    probe = g.weight("pool.probe", (s.width,), tag="vector")
    query = g.copy([probe], (1, 1, s.width), name="pool.query")
    q = g.linear(query, s.width, name="pool.q_proj", tag="attn_q")
    k = g.linear(x, s.width, name="pool.k_proj", tag="attn_k")
    v = g.linear(x, s.width, name="pool.v_proj", tag="attn_v")
    y = g.attention(
        q, batch=batch, queries=1, keys=tokens, heads=s.heads, head_dim=s.width // s.heads,
        causal=False, key_value=(k, v), write_cache=False, name="pool.attention",
    )  # fmt: skip
    y = g.linear(y, s.width, name="pool.o_proj", tag="attn_output")
    z = feed_forward(g, norm(g, y, inner, "pool.norm"), inner, inner.ffn_width, prefix="pool.ffn")
    return g.elementwise("add", y, z, name="pool.add")


def parameters(s: ViTStructure) -> dict[str, float]:
    """Return the free dimensions and their defaults."""
    size = s.image_size
    free = {field: getattr(s, field) for field in s.free}
    return {"batch": 1, "height": size, "width": size, **free}


FAMILY_VIT = Family("vit", ViTStructure, parameters, build, frames)
