"""Family ``vit``: vision transformers (Dosovitskiy et al. 2021, arXiv 2010.11929)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.families import Family, Semantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.image import frames
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import Dim, floor_div, product, simplify, symbol
from perfmodel.workload.transformer_layers import Step, layer, norm
from perfmodel.workload.transformer_structure import (
    Count,
    CountOrNone,
    TransformerStructure,
    head_faults,
)


class ViTStructure(BaseModel):
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
    free
        Fields kept as symbols, among `FREE`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
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
        free=s.free,
    )  # fmt: skip


def build(s: ViTStructure, semantics: Semantics) -> Graph:
    """Build the graph; an image of ``height x width`` becomes its patches and a class token."""
    del semantics
    g = SequenceBuilder("vit")
    batch, height, width = symbol("batch"), symbol("height"), symbol("width")
    inner = encoder(s)
    image = g.input("image", (batch, s.image_channels, height, width))
    x = g.conv(image, s.width, s.patch, stride=s.patch, name="patch_embedding")
    patches = product(floor_div(height, s.patch), floor_div(width, s.patch))
    tokens = simplify(patches + 1)
    shape = (batch, tokens, s.width)
    cls = g.weight("class_token", (s.width,), tag="vector")
    x = g.copy([x, cls], shape, name="tokens")
    table = g.weight("positions.weight", ((s.image_size // s.patch) ** 2 + 1, s.width),
                     tag="embedding")  # fmt: skip
    y = g.tensor("positions.out", shape)
    g.operator("positions", "elementwise", [x, (table, product(tokens, s.width))], [y],
               vector_ops=y.elements, inplace=x, attributes={"function": "add"})  # fmt: skip
    x = y
    layers: Dim = symbol("layers") if "layers" in s.free else s.layers
    with g.repeat(layers, "layer"):
        x = layer(g, x, inner, Step(batch, tokens, tokens))
    x = norm(g, x, inner, "final_norm")
    if s.classes or s.pooler:
        x = g.copy([x], (batch, s.width), name="class_token", read=[product(batch, s.width)])
    if s.pooler:
        x = g.elementwise("tanh", g.linear(x, s.width, name="pooler", tag="head"))
    if s.classes:
        x = g.linear(x, s.classes, name="head", tag="head")
    g.output(x)
    return g.build(parameters(s))


def parameters(s: ViTStructure) -> dict[str, float]:
    """Return the free dimensions and their defaults."""
    size = s.image_size
    free = {field: getattr(s, field) for field in s.free}
    return {"batch": 1, "height": size, "width": size, **free}


FAMILY_VIT = Family("vit", ViTStructure, parameters, build, frames)
