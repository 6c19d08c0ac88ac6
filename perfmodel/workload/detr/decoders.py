"""The transformers of DETR, Conditional DETR and Deformable DETR, from maps to boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from perfmodel.workload.detr.heads import DetrBuilder
from perfmodel.workload.graph import Tensor
from perfmodel.workload.symbols import Dim, simplify, symbol

if TYPE_CHECKING:
    from perfmodel.workload.detr import DetrStructure

#: Coordinates of a box.
_BOX = 4


def plain(g: DetrBuilder, s: DetrStructure, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Add the encoder over the last map, and queries that attend to it."""
    memory = _encoded(g, s, maps)
    places = g.learned(s.queries, s.width, symbol("batch"), "queries")
    x = places
    with g.repeat(s.decoder_layers, "decoder_layer"):
        placed = g.elementwise("add", x, places, name="self.placed")
        x = g.joined(g.self_attention(x, placed), x, "self")
        q = g.project(g.elementwise("add", x, places, name="cross.placed"), "cross.query", "attn_q")
        k = g.project(g.positions(memory, "cross.positions"), "cross.key", "attn_k")
        v = g.project(memory, "cross.value", "attn_v")
        x = g.joined(g.attend(q, k, v, "cross"), x, "cross")
        x = g.transform(x, s.ffn_width, "relu")
    return _scored(g, s, g.norm(x, name="decoder_norm"))


def _encoded(g: DetrBuilder, s: DetrStructure, maps: Sequence[Tensor]) -> Tensor:
    x = g.flat(g.conv(maps[-1], s.width, 1, name="input_projection"), "tokens")
    with g.repeat(s.encoder_layers, "encoder_layer"):
        x = g.joined(g.self_attention(x, g.positions(x, "self.positions")), x, "self")
        x = g.transform(x, s.encoder_ffn_width, "relu")
    return x


def _scored(g: DetrBuilder, s: DetrStructure, x: Tensor) -> tuple[Tensor, Tensor]:
    scores = g.linear(x, s.classes, name="classes", tag="head")
    boxes = g.perceptron(x, (s.width, s.width, _BOX), "boxes")
    return scores, g.elementwise("sigmoid", boxes, name="boxes.sigmoid")


def conditional(g: DetrBuilder, s: DetrStructure, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Add the encoder, and queries whose content and place are projected and compared apart."""
    memory = _encoded(g, s, maps)
    places = g.learned(s.queries, s.width, symbol("batch"), "queries")
    x = places
    points = g.perceptron(places, (s.width, 2), "reference")
    batch = x.shape[0]
    sines = g.tensor("reference.sines", (batch, s.queries, s.width))
    g.operator("reference.sines", "elementwise", [points], [sines], vector_ops=12 * sines.elements,
               attributes={"function": "sine"})  # fmt: skip
    # All layers but the first scale the sines by their content, with the same weights.
    scale = [
        (g.weight(f"query_scale.{i}.weight", (s.width, s.width), tag="head"),
         g.weight(f"query_scale.{i}.bias", (s.width,), tag="vector"))
        for i in range(2)
    ]  # fmt: skip
    layers: list[tuple[str, Dim]] = [("first_decoder_layer", 1), ("second_decoder_layer", 1)]
    if s.decoder_layers > 2:
        layers.append(("decoder_layer", s.decoder_layers - 2))
    for name, count in layers:
        with g.repeat(count, name):
            placed = sines
            if name != "first_decoder_layer":
                y = g.shared_linear(x, *scale[0], "query_scale.0")
                y = g.elementwise("relu", y, name="query_scale.relu")
                y = g.shared_linear(y, *scale[1], "query_scale.1")
                placed = g.elementwise("mul", sines, y, name="query_scale.mul")
            x = _conditional_layer(g, s, x, places, placed, memory,
                                   first=name == "first_decoder_layer")  # fmt: skip
    return _scored(g, s, g.norm(x, name="decoder_norm"))


def _conditional_layer(
    g: DetrBuilder, s: DetrStructure, x: Tensor, places: Tensor, sines: Tensor, memory: Tensor, *,
    first: bool,
) -> Tensor:  # fmt: skip
    pair: dict[str, Tensor] = {}
    for part, tag in (("query", "attn_q"), ("key", "attn_k")):
        content = g.project(x, f"self.{part}_content", tag)
        place = g.project(places, f"self.{part}_place", tag)
        pair[part] = g.elementwise("add", content, place, name=f"self.{part}")
    value = g.project(x, "self.value", "attn_v")
    x = g.joined(g.attend(pair["query"], pair["key"], value, "self"), x, "self")
    query = g.project(x, "cross.query_content", "attn_q")
    key = g.project(memory, "cross.key_content", "attn_k")
    table = g.input("cross.positions", memory.shape)
    key_place = g.project(table, "cross.key_place", "attn_k")
    if first:
        place = g.project(places, "cross.query_place", "attn_q")
        query = g.elementwise("add", query, place, name="cross.query_add")
        key = g.elementwise("add", key, key_place, name="cross.key_add")
    sine = g.project(sines, "cross.query_sine", "attn_q")
    twice = 2 * s.width
    query = g.copy([query, sine], (*query.shape[:2], twice), name="cross.query")
    key = g.copy([key, key_place], (*key.shape[:2], twice), name="cross.key")
    value = g.project(memory, "cross.value", "attn_v")
    x = g.joined(g.attend(query, key, value, "cross", wider=2), x, "cross")
    return g.transform(x, s.ffn_width, "relu")


def deformable(g: DetrBuilder, s: DetrStructure, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Add tokens of several maps and queries that read a few places of each."""
    chosen = list(maps[1:])
    tokens: list[Tensor] = []
    below = chosen[-1]
    for i in range(s.levels):
        if i < len(chosen):
            x = g.conv(chosen[i], s.width, 1, name=f"level{i}.projection")
        else:
            x = g.conv(below, s.width, 3, stride=2, padding=1, name=f"level{i}.projection")
            below = x
        x = g.norm(x, "group_norm", name=f"level{i}.norm")
        tokens.append(g.flat(x, f"level{i}.tokens"))
    levels = g.weight("levels.weight", (s.levels, s.width), tag="vector")
    count: Dim = 0
    for part in tokens:
        count = simplify(count + part.shape[1])
    batch = symbol("batch")
    memory = g.copy([*tokens, levels], (batch, count, s.width), name="tokens")
    with g.repeat(s.encoder_layers, "encoder_layer"):
        placed = g.positions(memory, "sampled.positions")
        y = g.sampled_attention(placed, memory, s.levels, s.encoder_points)
        memory = g.transform(g.joined(y, memory, "sampled"), s.encoder_ffn_width, "relu")
    both = g.learned(s.queries, 2 * s.width, batch, "queries")
    half = (batch, s.queries, s.width)
    places, x = g.view(both, half, name="places"), g.view(both, half, name="content")
    reference = g.linear(places, 2, name="reference", tag="head")
    reference = g.elementwise("sigmoid", reference, name="reference.sigmoid")
    with g.repeat(s.decoder_layers, "decoder_layer"):
        placed = g.elementwise("add", x, places, name="self.placed")
        x = g.joined(g.self_attention(x, placed), x, "self")
        placed = g.elementwise("add", x, places, name="sampled.placed")
        y = g.sampled_attention(placed, memory, s.levels, s.points)
        x = g.transform(g.joined(y, x, "sampled"), s.ffn_width, "relu")
    # The same heads score the outputs of all layers.
    every = g.copy([x], (batch, s.decoder_layers * s.queries, s.width), name="every_layer")
    return _scored(g, s, every)
