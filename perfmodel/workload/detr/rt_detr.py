"""Family ``rt_detr``: RT-DETR (Zhao et al. 2024, arXiv 2304.08069) and RT-DETRv2 (2407.17140).

A residual network with a deep stem, attention over its smallest map, a pyramid of convolutions, and
queries that start from the best tokens and read a few places of each map. Layers follow the classes
of transformers, which score the outputs of every decoder layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.convnet import residual_stages
from perfmodel.workload.detr.heads import DetrBuilder
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageStructure, frames, images
from perfmodel.workload.symbols import Dim, simplify, symbol
from perfmodel.workload.transformer_structure import Count, head_faults


class RtDetrStructure(ImageStructure):
    """Shape of a detector.

    Attributes
    ----------
    block, depths
        The residual network (stem and shortcuts of ResNet-D).
    width, heads
        Channels of the pyramid and of the transformer, and its heads.
    encoder_layers, encoder_ffn_width
        Layers over the smallest map, and their hidden width.
    block_width
        Channels inside the blocks of the pyramid.
    decoder_layers, ffn_width, points
        Layers of the decoder, their hidden width, and places read of each map.
    queries
        Objects looked for.
    classes
        Outputs of the classifier.
    """

    block: Literal["basic", "bottleneck"] = "bottleneck"
    depths: Annotated[tuple[Annotated[int, Field(gt=0, le=1000)], ...],
                      Field(min_length=4, max_length=4)] = (3, 4, 6, 3)  # fmt: skip
    width: Count = 256
    heads: Count = 8
    encoder_layers: Count = 1
    encoder_ffn_width: Count = 1024
    block_width: Count = 256
    decoder_layers: Count = 6
    ffn_width: Count = 1024
    points: Count = 4
    queries: Count = 300
    classes: int = Field(80, gt=0, le=10**7)

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield what is wrong across fields."""
        yield from head_faults({"width": 256, "heads": 8} | dict(data))


def build(s: RtDetrStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph of an image of ``height x width`` pixels."""
    del semantics
    g = DetrBuilder("rt_detr", s.width, s.heads, folded=s.batch_norm == "folded")
    stages = residual_stages(g, g.image(s.image_channels), s.block, s.depths, tweaked=True)
    maps = [
        g.conv_norm(x, s.width, 1, name=f"level{i}.projection") for i, x in enumerate(stages[1:])
    ]
    maps[-1] = _attended(g, s, maps[-1])
    maps = _pyramid(g, s, maps)
    g.output(*_decoded(g, s, maps))
    return g.build(parameters(s))


def _attended(g: DetrBuilder, s: RtDetrStructure, x: Tensor) -> Tensor:
    """Add attention among the pixels of the smallest map."""
    shape = x.shape
    x = g.flat(x, "tokens")
    with g.repeat(s.encoder_layers, "encoder_layer"):
        x = g.joined(g.self_attention(x, g.positions(x, "self.positions")), x, "self")
        x = g.transform(x, s.encoder_ffn_width, "gelu")
    return g.copy([x], shape, name="attended")


def _pyramid(g: DetrBuilder, s: RtDetrStructure, maps: Sequence[Tensor]) -> list[Tensor]:
    """Add the way down from small maps to large ones, and the way up again."""
    down = [maps[-1]]
    for i, below in enumerate(reversed(maps[:-1])):
        down[-1] = g.conv_norm(down[-1], s.width, 1, activation="silu", name=f"lateral{i}")
        up = g.resize(down[-1], below.shape[2:], name=f"down{i}.resize", ops=0)
        down.append(_block(g, s, g.concat([up, below], f"down{i}.concat"), f"down{i}"))
    down.reverse()
    made = [down[0]]
    for i, beside in enumerate(down[1:]):
        x = g.conv_norm(made[-1], s.width, 3, stride=2, activation="silu", name=f"up{i}.entry")
        made.append(_block(g, s, g.concat([x, beside], f"up{i}.concat"), f"up{i}"))
    return made


def _block(g: DetrBuilder, s: RtDetrStructure, x: Tensor, name: str) -> Tensor:
    """Add a cross-stage partial block of three RepVGG blocks, unmerged as trained."""
    y = g.conv_norm(x, s.block_width, 1, activation="silu", name=f"{name}.conv1")
    beside = g.conv_norm(x, s.block_width, 1, activation="silu", name=f"{name}.conv2")
    for i in range(3):
        three = g.conv_norm(y, s.block_width, 3, name=f"{name}.rep{i}.conv1")
        one = g.conv_norm(y, s.block_width, 1, name=f"{name}.rep{i}.conv2")
        y = g.elementwise("add", three, one, name=f"{name}.rep{i}.add")
        y = g.elementwise("silu", y, name=f"{name}.rep{i}.silu")
    y = g.elementwise("add", y, beside, name=f"{name}.add")
    if s.block_width == s.width:
        return y
    return g.conv_norm(y, s.width, 1, activation="silu", name=f"{name}.conv3")


def _decoded(g: DetrBuilder, s: RtDetrStructure, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Add the choice of tokens, and the decoder whose boxes each layer refines."""
    batch, box = symbol("batch"), (s.width, s.width, 4)
    tokens = [
        g.flat(g.conv_norm(x, s.width, 1, name=f"decoder{i}.projection"), f"decoder{i}.tokens")
        for i, x in enumerate(maps)
    ]
    count: Dim = 0
    for part in tokens:
        count = simplify(count + part.shape[1])
    memory = g.copy(tokens, (batch, count, s.width), name="memory")
    chosen = g.norm(g.linear(memory, s.width, name="choice", tag="head"), name="choice.norm")
    scores = g.linear(chosen, s.classes, name="choice.classes", tag="head")
    g.perceptron(chosen, box, "choice.boxes")
    top = g.tensor("queries.indices", (batch, s.queries), format="int64")
    g.operator("queries.top", "pool", [scores], [top], vector_ops=scores.elements)
    x = g.tensor("queries.out", (batch, s.queries, s.width))
    g.operator("queries", "gather", [top, (chosen, x.elements)], [x],
               pair=("activation", "activation"))  # fmt: skip
    boxes = g.tensor("queries.boxes", (batch, s.queries, 4))
    g.operator("queries.boxes", "gather", [top], [boxes], pair=("activation", "activation"))
    # Every layer places its queries with the same weights.
    hidden = 2 * s.width
    place = [
        (g.weight(f"place.{i}.weight", (rows, columns), tag="head"),
         g.weight(f"place.{i}.bias", (rows,), tag="vector"))
        for i, (rows, columns) in enumerate(((hidden, 4), (s.width, hidden)))
    ]  # fmt: skip
    layers: list[tuple[str, Dim]] = [("first_decoder_layer", 1)]
    if s.decoder_layers > 1:
        layers.append(("decoder_layer", s.decoder_layers - 1))
    for name, times in layers:
        with g.repeat(times, name):
            y = g.elementwise(
                "relu", g.shared_linear(boxes, *place[0], "place.0"), name="place.act"
            )
            places = g.shared_linear(y, *place[1], "place.1")
            placed = g.elementwise("add", x, places, name="self.placed")
            x = g.joined(g.self_attention(x, placed), x, "self")
            placed = g.elementwise("add", x, places, name="sampled.placed")
            y = g.sampled_attention(placed, memory, len(maps), s.points)
            x = g.transform(g.joined(y, x, "sampled"), s.ffn_width, "relu")
            moved = g.perceptron(x, box, "boxes")
            boxes = g.elementwise("refine", moved, boxes, name="boxes.refine", ops=18)
            scores = g.linear(x, s.classes, name="classes", tag="head")
    return scores, boxes


parameters = images(640, 640)

FAMILY_RT_DETR = Family("rt_detr", RtDetrStructure, parameters, build, frames)
