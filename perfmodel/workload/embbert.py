"""Family ``embbert``: encoders for microcontrollers with a factorised embedding.

EmbBERT (Bravin et al., arXiv:2502.10001): tokens and positions are looked up in narrow tables and
expanded; a layer attends with its input as keys and values, beside a depthwise convolution over
time with a contraction, and subtracts the second from the first under learned weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from perfmodel.frozen import FrozenModel
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import Dim, simplify, symbol

_Count = Annotated[int, Field(gt=0, le=10**7)]


class EmbBertStructure(FrozenModel):
    """Shape of an encoder.

    Attributes
    ----------
    layers, width
        Layers, and features of a token.
    reduced
        Features of the narrow tables.
    kernel
        Taps of the convolution over time, causal.
    expansion
        Channels of the convolution for each feature.
    vocabulary, positions, segments
        Rows of the tables.
    classes
        Outputs of a classifier on the first token; 0 for none.
    part
        ``whole``, ``embedding`` (the tables and their expansion) or ``layers`` (the layers alone,
        over embedded tokens), for use by itself.
    kept_format
        Format of what is no linear layer (tables, convolutions, norms, biases) where a deployment
        leaves it unquantised; empty for that of the precision.
    """

    layers: Annotated[int, Field(gt=0, le=1000)]
    width: _Count
    reduced: _Count
    kernel: _Count
    expansion: _Count = 1
    vocabulary: _Count
    positions: _Count
    segments: _Count = 3
    classes: Annotated[int, Field(ge=0, le=10**7)] = 0
    part: Literal["whole", "embedding", "layers"] = "whole"
    kept_format: str = ""

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield a classifier over tokens that no layer has seen."""
        if data.get("part") == "embedding" and data.get("classes"):
            yield Flaw(("classes",), "the tables alone have no classifier", "0")


def build(structure: EmbBertStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = SequenceBuilder("embbert")
    batch, length = symbol("batch"), symbol("tokens")
    x = _embedded(g, s, batch, length)
    if s.part != "embedding":
        with g.repeat(s.layers, "layer"):
            x = _layer(g, x, s, batch, length)
    if s.classes:
        first = g.copy([x], (batch, s.width), read=[batch * s.width], name="first")
        x = _linear(g, first, s.classes, "classifier", s.kept_format)
    g.output(x)
    return g.build(parameters(s))


def _embedded(g: SequenceBuilder, s: EmbBertStructure, batch: Dim, length: Dim) -> Tensor:
    """Add the tables of tokens, positions and segments; of the layers alone, an input."""
    if s.part == "layers":
        return g.input("embedded", (batch, length, s.width))
    kept = s.kept_format
    ids = g.input("ids", (batch, length), format="int32")
    table = g.weight("token.weight", (s.vocabulary, s.reduced), tag="embedding", format=kept)
    x = g.embedding(ids, s.vocabulary, s.reduced, name="token", weight=table)
    x = _linear(g, x, s.width, "token.expand", kept, bias=False)
    p = _positions(g, length, s)
    x = g.elementwise("add", x, _linear(g, p, s.width, "position.expand", kept, bias=False))
    segments = g.weight("segment.weight", (s.segments, s.width), tag="embedding", format=kept)
    y = g.tensor("embedded", x.shape)
    g.operator("add.segment", "elementwise", [x, segments], [y], vector_ops=y.elements, inplace=x)
    return y


def _positions(g: SequenceBuilder, length: Dim, s: EmbBertStructure) -> Tensor:
    """Add the look-up of the first rows of the table of positions."""
    table = g.weight(
        "position.weight", (s.positions, s.reduced), tag="embedding", format=s.kept_format
    )
    y = g.tensor("position.out", (length, s.reduced))
    g.operator("position", "gather", [(table, y.elements)], [y], pair=(table.slot, "activation"))
    return y


def _linear(
    g: SequenceBuilder, x: Tensor, features: int, name: str, kept: str, *, bias: bool = True
) -> Tensor:
    y = g.linear(x, features, name=name, bias=False)
    if not bias:
        return y
    b = g.weight(f"{name}.bias", (features,), tag="vector", format=kept)
    z = g.tensor(f"{name}.biased", y.shape)
    g.operator(
        f"{name}.add_bias", "elementwise", [y, b], [z], vector_ops=z.elements, inplace=y,
        attributes={"function": "add"},
    )  # fmt: skip
    return z


def _layer(g: SequenceBuilder, x: Tensor, s: EmbBertStructure, batch: Dim, length: Dim) -> Tensor:
    """Add a layer: norm, attention over its own input, convolution, weighted difference."""
    kept, inner = s.kept_format, s.width * s.expansion
    scale = g.weight("norm.weight", (s.width,), tag="vector", format=kept)
    normed = g.tensor("norm.out", x.shape)
    g.operator(
        "norm", "norm", [x, scale], [normed], vector_ops=5 * x.elements, inplace=x,
        attributes={"function": "rms_norm"},
    )  # fmt: skip
    query = _linear(g, normed, s.width, "query", kept)
    keys = g.tensor("keys", (batch, s.width, length))
    g.operator("keys", "view", [(normed, 0)], [(keys, 0)], inplace=normed)
    scores = g.matmul(query, keys, name="scores")
    context = g.matmul(g.softmax(scores), normed, name="context")
    attended = _linear(g, context, s.width, "attention.output", kept)
    time = g.tensor("time", (batch, s.width, length))
    g.operator("time", "view", [(normed, 0)], [(time, 0)], inplace=normed)
    taps = g.weight("convolution.weight", (inner, 1, s.kernel), format=kept)
    mixed = g.conv(
        time, inner, s.kernel, padding=(s.kernel - 1, 0), groups=s.width, bias=False,
        weight=taps, name="convolution",
    )  # fmt: skip
    offset = g.weight("convolution.bias", (inner,), tag="vector", format=kept)
    active = g.tensor("silu.out", mixed.shape)
    g.operator(
        "silu", "elementwise", [mixed, offset], [active], vector_ops=8 * mixed.elements,
        inplace=mixed, attributes={"function": "silu"},
    )  # fmt: skip
    tokens = g.view(active, (batch, length, inner), name="tokens")
    other = _linear(g, tokens, s.width, "contract", kept)
    weights = g.weight("lambda", (4, s.width), tag="vector", format=kept)
    y = g.tensor("difference.out", x.shape)
    g.operator(
        "difference", "elementwise", [attended, other, weights], [y], vector_ops=3 * y.elements,
        inplace=attended, attributes={"function": "sub"},
    )  # fmt: skip
    return y


def parameters(structure: EmbBertStructure) -> dict[str, float]:
    """Return the free dimensions and their defaults."""
    return {"batch": 1, "tokens": structure.positions}


def sequences(structure: EmbBertStructure) -> tuple[str, Dim]:
    """Return what a run yields: a sequence each of the batch."""
    del structure
    return "sequences", simplify(symbol("batch"))


FAMILY_EMBBERT = Family("embbert", EmbBertStructure, parameters, build, sequences)
