"""Family ``cura``: small gated networks for devices (Seo, Salman and Caceres-Najarro 2025).

The block of arXiv:2509.24601: a gate ``sigmoid(W_g x)`` on a projection ``r = W_r x`` that is added
back, ``r g + r``; a linear layer with a ReLU; a convolution of three taps. Over a window of samples
it works on each, and the convolution runs over time; over a flattened window, or features, the
convolution runs over the features themselves, with one channel. In an encoder of text it takes the
place of the feed-forward network.
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
from perfmodel.workload.symbols import Dim, product, symbol

_Width = Annotated[int, Field(gt=0, le=10**7)]


class CuraStructure(FrozenModel):
    """Shape of a network of such blocks.

    Attributes
    ----------
    form
        ``window`` (samples of `inputs` channels in a window, one block, the mean over time),
        ``flat`` (`inputs` numbers, projected to `hidden`, `blocks` blocks), ``text`` (an encoder)
        or ``block`` (one block over a window, for use by itself).
    inputs
        Channels of a sample, or numbers of a flat input; of an encoder, features of a token.
    hidden
        Width of a block.
    outputs
        Numbers of the linear layer at the end.
    blocks, heads
        Blocks of a flat network or an encoder; heads of its attention.
    rank
        Of an encoder, features of the narrow table of tokens.
    vocabulary, positions
        Rows of an encoder's tables.
    length
        Samples or tokens; a free dimension, this is its default.
    """

    form: Literal["window", "flat", "text", "block"]
    inputs: _Width
    hidden: _Width
    outputs: Annotated[int, Field(ge=0, le=10**6)] = 1
    blocks: Annotated[int, Field(gt=0, le=1000)] = 1
    heads: Annotated[int, Field(gt=0, le=1000)] = 1
    rank: _Width | None = None
    vocabulary: _Width | None = None
    positions: _Width | None = None
    length: _Width = 128

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield tables that an encoder lacks, and heads that do not divide its features."""
        if data.get("form") != "text":
            return
        for name in ("rank", "vocabulary", "positions"):
            if data.get(name) is None:
                yield Flaw((name,), "an encoder of text has tables", "a number above 0")
        inputs, heads = data.get("inputs"), data.get("heads", 1)
        if isinstance(inputs, int) and isinstance(heads, int) and heads > 0 and inputs % heads:
            yield Flaw(("heads",), f"{heads} heads do not divide {inputs} features",
                       f"a divisor of {inputs}")  # fmt: skip


def build(structure: CuraStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = SequenceBuilder("cura")
    batch = symbol("batch")
    if s.form == "text":
        y = _encoder(g, s, batch)
    elif s.form == "flat":
        x = g.linear(g.input("x", (batch, s.inputs)), s.hidden, name="project")
        with g.repeat(s.blocks, "block"):
            x = _gated(g, x, s.hidden)
            x = g.view(x, (batch, 1, s.hidden), name="line")
            x = g.conv(x, 1, 3, padding=1, name="conv")
            x = g.view(x, (batch, s.hidden), name="features")
        y = g.linear(x, s.outputs, name="output", tag="head") if s.outputs else x
    else:
        x = g.input("x", (batch, symbol("length"), s.inputs))
        y = _over_time(g, _gated(g, x, s.hidden), s.hidden)
        if s.form == "window":
            y = g.global_pool(y, name="mean")
            y = g.linear(y, s.outputs, name="output", tag="head") if s.outputs else y
    g.output(y)
    return g.build(parameters(s))


def _gated(g: SequenceBuilder, x: Tensor, hidden: int) -> Tensor:
    """Add the gate, the projection that is added back, and the linear layer with its ReLU."""
    gate = g.elementwise("sigmoid", g.linear(x, hidden, name="gate"), name="gate.sigmoid")
    projected = g.linear(x, hidden, name="residual")
    x = g.elementwise("mul", gate, projected, name="gated")
    x = g.elementwise("add", x, projected, name="added")
    return g.elementwise("relu", g.linear(x, hidden, name="mix"), name="mix.relu")


def _over_time(g: SequenceBuilder, x: Tensor, hidden: int) -> Tensor:
    """Add the convolution over time: ``(batch, hidden, time)``."""
    batch, time, _ = x.shape
    x = g.copy([x], (batch, hidden, time), name="to_channels", order=(0, 2, 1))
    return g.conv(x, hidden, 3, padding=1, name="conv")


def _encoder(g: SequenceBuilder, s: CuraStructure, batch: Dim) -> Tensor:
    """Add tables, blocks with attention, a pooling that attends, and a classifier."""
    length, width = symbol("length"), s.inputs
    ids = g.input("ids", (batch, length), format="int32")
    x = g.embedding(ids, s.vocabulary or 1, s.rank or 1, name="token")
    x = g.linear(x, width, name="token.expand")
    table = g.weight("positions", (s.positions or 1, width), tag="embedding")
    y = g.tensor("embedded", x.shape)
    g.operator(
        "add.positions", "elementwise", [x, (table, product(length, width))], [y],
        vector_ops=y.elements, inplace=x, attributes={"function": "add"},
    )  # fmt: skip
    x = y
    with g.repeat(s.blocks, "block"):
        qkv = g.linear(x, 3 * width, name="attention.in")
        mixed = g.attention(
            qkv, batch=batch, queries=length, keys=length, heads=s.heads,
            head_dim=width // s.heads, causal=False, write_cache=False, key_value=qkv,
        )  # fmt: skip
        x = g.elementwise("add", x, g.linear(mixed, width, name="attention.out"), name="add.1")
        x = g.norm(x, "layer_norm", name="norm.1")
        y = _over_time(g, _gated(g, x, s.hidden), s.hidden)
        y = g.copy([y], (batch, length, s.hidden), name="to_tokens", order=(0, 2, 1))
        x = g.elementwise("add", x, g.linear(y, width, name="feed.out"), name="add.2")
        x = g.norm(x, "layer_norm", name="norm.2")
    scores = g.elementwise("tanh", g.linear(x, width, name="pool.hidden"), name="pool.tanh")
    scores = g.linear(scores, 1, name="pool.score")
    weights = g.softmax(g.view(scores, (batch, 1, length), name="row"), name="pool.softmax")
    pooled = g.view(g.matmul(weights, x, name="pool.sum"), (batch, width), name="pooled")
    return g.linear(pooled, s.outputs, name="output", tag="head") if s.outputs else pooled


def parameters(structure: CuraStructure) -> dict[str, float]:
    """Return the free dimensions and their defaults."""
    if structure.form == "flat":
        return {"batch": 1}
    return {"batch": 1, "length": structure.length}


def windows(structure: CuraStructure) -> tuple[str, Dim]:
    """Return what a run yields: a window, or a sequence, each of the batch."""
    return "sequences" if structure.form == "text" else "windows", symbol("batch")


FAMILY_CURA = Family("cura", CuraStructure, parameters, build, windows)
