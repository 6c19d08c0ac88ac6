"""Family ``clip``: a tower for images and one for texts, compared by the product of their outputs.

CLIP (Radford et al. 2021, arXiv 2103.00020), SigLIP (Zhai et al. 2023, arXiv 2303.15343); and
detectors that compare every patch with every text, OWL-ViT (arXiv 2205.06230) and OWLv2 (arXiv
2306.09683). Layers follow the classes of transformers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel

from perfmodel.frozen import FrozenModel
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import Dim, product, simplify, symbol
from perfmodel.workload.transformer_layers import TransformerPass, layer, norm
from perfmodel.workload.transformer_structure import (
    Count,
    CountOrNone,
    TransformerStructure,
    head_faults,
)
from perfmodel.workload.vit import ViTStructure, tower


class TextTower(FrozenModel):
    """Shape of the tower for texts.

    Attributes
    ----------
    layers, width, heads, ffn_width
        As in a transformer.
    positions, vocabulary
        Rows of the tables of positions and tokens.
    causal
        Whether a token attends to earlier ones alone (CLIP).
    projection, projection_bias
        Features that the last token is projected to (0 for none), and whether with a bias.
    """

    layers: Count
    width: Count
    heads: Count
    ffn_width: Count
    positions: Count = 77
    vocabulary: Count = 49408
    causal: bool = True
    projection: CountOrNone = 0
    projection_bias: bool = False


class ClipStructure(FrozenModel):
    """Shape of a network of two towers.

    Attributes
    ----------
    towers
        ``both``, or ``text`` alone; images alone are the family ``vit``.
    image, text
        The towers.
    scales
        Learned numbers that scale and shift the products.
    detector
        ``none``: one product for each image and text; ``owlvit``, ``owlv2``: every patch has a box
        and a score for each text, and in ``owlv2`` whether there is an object.
    """

    towers: Literal["both", "text"] = "both"
    image: ViTStructure | None = None
    text: TextTower
    scales: CountOrNone = 1
    detector: Literal["none", "owlvit", "owlv2"] = "none"

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield what is wrong across fields."""
        for name in ("image", "text"):
            part = data.get(name)
            given = part.model_dump() if isinstance(part, BaseModel) else part
            if isinstance(given, Mapping):
                for flaw in head_faults(given):  # pyright: ignore[reportUnknownArgumentType]
                    yield Flaw((name, *flaw.path), flaw.message, flaw.expected, flaw.suggestion)
        if data.get("towers", "both") == "both" and data.get("image") is None:
            yield Flaw((), "missing key 'image'", "the tower for images, or 'towers: text'",
                       on_key=True)  # fmt: skip


def build(s: ClipStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph: `batch` images and `texts` texts of `tokens` tokens."""
    del semantics
    g = SequenceBuilder("clip")
    text = text_tower(g, s.text)
    if s.towers == "text" or s.image is None:
        g.output(text)
        return g.build(parameters(s))
    image = tower(g, s.image, "image_layer")
    if s.detector != "none":
        g.output(*_detect(g, s, s.image, image, text))
        return g.build(parameters(s))
    image, text = _unit(g, image, "image_unit"), _unit(g, text, "text_unit")
    columns = g.copy([image], (image.shape[-1], image.shape[0]), name="image_columns")
    scores = g.matmul(text, columns, name="similarity")
    g.output(_scaled(g, scores, s.scales))
    return g.build(parameters(s))


def text_tower(g: SequenceBuilder, s: TextTower) -> Tensor:
    """Add the tower for texts; returns one vector a text, or all tokens without a projection."""
    texts, tokens = symbol("texts"), symbol("tokens")
    inner = TransformerStructure(
        phase="prefill" if s.causal else "encode", causal=s.causal, layers=s.layers, width=s.width,
        heads=s.heads, ffn_width=s.ffn_width, gated=False, activation="gelu", norm="layer_norm",
        rotary=False, qkv_bias=True, output_bias=True, ffn_bias=True, vocabulary=s.vocabulary,
        head="none",
    )  # fmt: skip
    ids = g.input("ids", (texts, tokens), format="int64")
    x = g.embedding(ids, s.vocabulary, s.width, name="token_embedding")
    table = g.weight("token_positions.weight", (s.positions, s.width), tag="embedding")
    y = g.tensor("token_positions.out", x.shape)
    g.operator("token_positions", "elementwise", [x, (table, product(tokens, s.width))], [y],
               vector_ops=y.elements, inplace=x, attributes={"function": "add"})  # fmt: skip
    with g.repeat(s.layers, "text_layer"):
        x = layer(g, y, inner, TransformerPass(texts, tokens, tokens, kept=False))
    x = norm(g, x, inner, "text_norm")
    if not s.projection:
        return x
    x = g.copy([x], (texts, s.width), name="text_token", read=[product(texts, s.width)])
    return g.linear(x, s.projection, name="text_projection", bias=s.projection_bias, tag="head")


def _unit(g: SequenceBuilder, x: Tensor, name: str) -> Tensor:
    """Divide vectors by their length."""
    return g.norm(x, "rms_norm", name=name, affine=0)


def _scaled(g: SequenceBuilder, scores: Tensor, scales: int) -> Tensor:
    if not scales:
        return scores
    w = g.weight("scales", (scales,), tag="vector")
    return g.elementwise("scale", scores, w, name="scale", ops=scales)


def _detect(
    g: SequenceBuilder, s: ClipStructure, image: ViTStructure, x: Tensor, text: Tensor
) -> tuple[Tensor, ...]:
    """Add the heads of OWL-ViT on every patch."""
    batch, width = symbol("batch"), image.width
    patches = simplify(x.shape[1] - 1)
    inner = TransformerStructure(
        phase="encode", causal=False, layers=1, width=width, heads=1, ffn_width=width,
        norm="layer_norm", vocabulary=1,
    )  # fmt: skip
    x = norm(g, x, inner, "final_norm")
    cls = g.copy([x], (batch, 1, width), name="class_token", read=[product(batch, width)])
    rest = g.copy([x], (batch, patches, width), name="patches",
                  read=[product(batch, patches, width)])  # fmt: skip
    x = norm(g, g.elementwise("mul", rest, cls, name="merge"), inner, "merge_norm")
    classes = g.linear(x, s.text.width, name="class_dense", tag="head")
    classes, text = _unit(g, classes, "class_unit"), _unit(g, text, "text_unit")
    columns = g.copy([text], (text.shape[-1], text.shape[0]), name="text_columns")
    scores = g.matmul(classes, columns, name="similarity")
    shift = g.linear(x, 1, name="class_shift", tag="head")
    scale = g.elementwise("elu", g.linear(x, 1, name="class_scale", tag="head"))
    scores = g.elementwise("scale", scores, shift, scale, name="scale", ops=3)
    boxes = _perceptron(g, x, (width, width, 4), "box")
    boxes = g.elementwise("sigmoid", boxes, name="box_sigmoid", ops=7)
    if s.detector == "owlvit":
        return scores, boxes
    return scores, boxes, _perceptron(g, x, (width, width, 1), "objectness")


def _perceptron(g: SequenceBuilder, x: Tensor, widths: tuple[int, ...], name: str) -> Tensor:
    for i, width in enumerate(widths):
        x = g.linear(x, width, name=f"{name}_dense{i}", tag="head")
        if i < len(widths) - 1:
            x = g.elementwise("gelu", x, name=f"{name}_gelu{i}")
    return x


def parameters(s: ClipStructure) -> dict[str, float]:
    """Return the free dimensions and their defaults."""
    texts: dict[str, float] = {"texts": 1, "tokens": s.text.positions}
    if s.towers == "text" or s.image is None:
        return texts
    return {"batch": 1, "height": s.image.image_size, "width": s.image.image_size, **texts}


def items(s: ClipStructure) -> tuple[str, Dim]:
    """Return what a run yields: images, or texts of the tower for texts."""
    return ("sequences", symbol("texts")) if s.towers == "text" else ("frames", symbol("batch"))


FAMILY_CLIP = Family("clip", ClipStructure, parameters, build, items)
