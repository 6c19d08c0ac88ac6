"""Family ``yolos``: a vision transformer whose extra tokens are objects (arXiv 2106.00666)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from perfmodel.frozen import FrozenModel
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import frames
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import Dim, floor_div, product, simplify, symbol
from perfmodel.workload.transformer_layers import TransformerPass, layer, norm
from perfmodel.workload.transformer_structure import Count, TransformerStructure, head_faults

#: Operations of a bicubic sample: sixteen products and sums, and the weights of both axes.
_BICUBIC_OPS = 40


class YolosStructure(FrozenModel):
    """Shape of a detector.

    Attributes
    ----------
    layers, width, heads, ffn_width
        As in a transformer encoder.
    patch
        Side of a square patch in pixels.
    image_height, image_width
        Image that the table of positions was made for; it is interpolated for others.
    image_channels
        Channels of the input image.
    objects
        Learned tokens that become boxes.
    classes
        Outputs of the classifier, one for no object included.
    middle_positions
        Every layer but the last is followed by positions of its own.
    qkv_bias
        Whether queries, keys and values have biases.
    """

    layers: Count
    width: Count
    heads: Count
    ffn_width: Count
    patch: Count = 16
    image_height: Count = 800
    image_width: Count = 1344
    image_channels: Count = 3
    objects: Count = 100
    classes: Count = 92
    middle_positions: bool = False
    qkv_bias: bool = True

    @property
    def rows(self) -> int:
        """Rows of a table of positions."""
        return self.image_height // self.patch * (self.image_width // self.patch) + self.objects + 1

    @property
    def middle_rows(self) -> int:
        """Rows of a table of positions between layers, which counts pixels before it divides."""
        return self.image_height * self.image_width // self.patch**2 + self.objects + 1

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield what is wrong across fields."""
        yield from head_faults(data)
        patch = data.get("patch", 16)
        for field in ("image_height", "image_width"):
            side = data.get(field)
            if type(side) is int and type(patch) is int and 0 < side < patch:
                yield Flaw((field,), f"{side} pixels are less than a patch", f"at least {patch}")


def build(s: YolosStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph of an image of ``height x width`` pixels."""
    del semantics
    g = SequenceBuilder("yolos")
    batch, height, width = symbol("batch"), symbol("height"), symbol("width")
    inner = TransformerStructure(
        phase="encode", causal=False, layers=s.layers, width=s.width, heads=s.heads,
        ffn_width=s.ffn_width, gated=False, activation="gelu", norm="layer_norm", rotary=False,
        qkv_bias=s.qkv_bias, output_bias=True, ffn_bias=True, vocabulary=1, head="none",
    )  # fmt: skip
    image = g.input("image", (batch, s.image_channels, height, width))
    x = g.conv(image, s.width, s.patch, stride=s.patch, name="patch_embedding")
    patches = product(floor_div(height, s.patch), floor_div(width, s.patch))
    tokens = simplify(patches + s.objects + 1)
    learned = g.weight("tokens.weight", (s.objects + 1, s.width), tag="vector")
    x = g.copy([x, learned], (batch, tokens, s.width), name="tokens")
    x = _placed(g, x, s.rows, "positions")
    step = TransformerPass(batch, tokens, tokens)
    middle = s.layers - 1 if s.middle_positions else 0
    groups: list[tuple[str, Dim, bool]] = [("layer", s.layers - middle, False)]
    if middle:
        groups.insert(0, ("placed_layer", middle, True))
    for name, count, placed in groups:
        with g.repeat(count, name):
            x = layer(g, x, inner, step)
            if placed:
                x = _placed(g, x, s.middle_rows, "middle_positions")
    x = norm(g, x, inner, "final_norm")
    x = g.copy([x], (batch, s.objects, s.width), name="objects",
               read=[product(batch, s.objects, s.width)])  # fmt: skip
    outputs: list[Tensor] = []
    for name, last in (("classes", s.classes), ("boxes", 4)):
        y = x
        for i, features in enumerate((s.width, s.width, last)):
            y = g.linear(y, features, name=f"{name}.{i}", tag="head")
            y = g.elementwise("relu", y, name=f"{name}.relu{i}") if i < 2 else y
        outputs.append(y)
    g.output(*outputs)
    return g.build(parameters(s))


def _placed(g: SequenceBuilder, x: Tensor, rows: int, name: str) -> Tensor:
    """Add a table of positions, interpolated to the image's size."""
    table = g.weight(f"{name}.weight", (rows, x.shape[-1]), tag="embedding")
    made = g.tensor(f"{name}.resized", x.shape[1:])
    g.operator(f"{name}.resize", "resize", [table], [made], vector_ops=_BICUBIC_OPS * made.elements)
    return g.elementwise("add", x, made, name=name)


def parameters(s: YolosStructure) -> dict[str, float]:
    """Return the free dimensions and their defaults."""
    return {"batch": 1, "height": s.image_height, "width": s.image_width}


FAMILY_YOLOS = Family("yolos", YolosStructure, parameters, build, frames)
