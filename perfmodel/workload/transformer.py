"""Family ``transformer``: decoders and encoders, dense or with experts, by phase."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import Dim, floor_div, product, simplify, symbol
from perfmodel.workload.transformer_layers import TransformerPass, extent, layer, norm
from perfmodel.workload.transformer_structure import Experts, TransformerStructure

_PARAMETERS: Mapping[str, Mapping[str, float]] = {
    "decode": {"batch": 1, "context": 2048},
    "prefill": {"batch": 1, "prompt": 2048},
    "extend": {"batch": 1, "prompt": 2048, "past": 2048},
    "request": {"batch": 1, "prompt": 2048, "generate": 256},
    "encode": {"batch": 1, "tokens": 128},
}


def build(s: TransformerStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph of a phase.

    Parameters
    ----------
    s
        Structure of the transformer.
    semantics
        With `head_on_every_token`, a prefill scores every token instead of the last. Decode steps
        and encoders with a classifier over the vocabulary always score all of their tokens.
    """
    g, defaults, s = SequenceBuilder("transformer"), parameters(s), s.share(s.tensor)
    batch, every = symbol("batch"), semantics.head_on_every_token

    def run(step: TransformerPass, *, every: bool = True) -> Tensor:
        return forward(g, s, step, every=every)

    if s.phase == "encode":
        tokens = symbol("tokens")
        g.output(run(TransformerPass(batch, tokens, tokens)))
    elif s.phase == "request":
        prompt, generate = symbol("prompt"), symbol("generate")
        mean = simplify(prompt + (generate + 1) * 0.5)
        stored = simplify(prompt + generate)
        with g.phase("prefill"):
            # Its scores are sampled immediately, so they are not live during decoding.
            run(TransformerPass(batch, prompt, prompt, stored=stored), every=every)
        with g.phase("decode", generate):
            g.output(run(TransformerPass(batch, 1, mean, cached=True, stored=stored)))
    else:
        # A single phase is named too, so that its time is reported as TTFT or TPOT.
        with g.phase("decode" if s.phase == "decode" else "prefill", prefix=False):
            if s.phase == "decode":
                step, every = TransformerPass(batch, 1, symbol("context"), cached=True), True
            else:
                prompt, extends = symbol("prompt"), s.phase == "extend"
                keys = simplify(symbol("past") + prompt) if extends else prompt
                step = TransformerPass(batch, prompt, keys, cached=extends)
            g.output(run(step, every=every))
    return g.build(defaults)


def forward(
    g: SequenceBuilder, s: TransformerStructure, step: TransformerPass, *, every: bool
) -> Tensor:
    """Add one pass: embeddings, layers and head."""
    width, vocabulary = extent(s, "width"), extent(s, "vocabulary")
    ids = g.input("ids", (step.batch, step.queries), format="int64")
    table = g.weight("embedding.weight", (vocabulary, width), tag="embedding")
    x = g.embedding(ids, vocabulary, width, weight=table)
    if s.positions:
        x = _add_table(g, x, s.positions, step, "positions")
    if s.token_types:
        x = _add_table(g, x, s.token_types, step, "token_types")
    if s.embedding_norm:
        x = norm(g, x, s, "embedding_norm")
    for group in layer_groups(s):
        with g.repeat(group.layers, group.name):
            x = layer(
                g,
                x,
                s,
                step,
                window=group.window,
                experts=group.experts,
                rotary=group.rotary,
                normed=group.normed,
            )
    return _head(g, x, s, step, table, every=every)


class TransformerLayerGroup(NamedTuple):
    """A group of equal layers.

    Their number, sliding window (0 for none), experts or ``None``, whether heads are rotated, and
    whether the input of attention is normalised.
    """

    name: str
    layers: Dim
    window: int = 0
    experts: Experts | None = None
    rotary: bool = True
    normed: bool = True


def layer_groups(s: TransformerStructure) -> Iterator[TransformerLayerGroup]:
    """Yield groups of equal layers, with a separate first layer if it has one norm less."""
    first = not s.first_norm
    for group in _kinds_of_layers(s):
        if not first or group.window:
            yield group
            continue
        first = False
        yield group._replace(name=f"first_{group.name}", layers=1, normed=False)
        further = simplify(group.layers - 1)
        if further != 0:
            yield group._replace(layers=further)


def _kinds_of_layers(s: TransformerStructure) -> Iterator[TransformerLayerGroup]:
    """Yield groups of equal layers.

    Layers that alternate between a window and full attention are grouped, because their order does
    not affect the cost.
    """
    layers = extent(s, "layers")
    dense = s.experts.dense_layers if s.experts is not None else 0
    kinds: list[tuple[str, Dim, Experts | None]] = []
    if dense:
        kinds.append(("dense_layer", dense, None))
    further = simplify(layers - dense)
    if further != 0:
        kinds.append(("layer", further, s.experts))
    before: Dim = 0
    for name, count, experts in kinds:
        if not s.window:
            bare = s.unrotated_layers if name == "layer" and s.rotary else 0
            if bare:
                yield TransformerLayerGroup(f"unrotated_{name}", bare, 0, experts, rotary=False)
            if simplify(count - bare) != 0:
                yield TransformerLayerGroup(name, simplify(count - bare), 0, experts, s.rotary)
            continue
        full: Dim = s.full_layers
        if s.full_every:
            full = floor_div(before + count, s.full_every) - floor_div(before, s.full_every)
            full = simplify(full)
        before = before + count
        sliding = simplify(count - full)
        if sliding != 0:
            yield TransformerLayerGroup(f"sliding_{name}", sliding, s.window, experts, s.rotary)
        if full != 0:
            yield TransformerLayerGroup(name, full, 0, experts, s.rotary and not s.unrotated_layers)


def _add_table(
    g: SequenceBuilder, x: Tensor, rows: int, step: TransformerPass, name: str
) -> Tensor:
    """Add a row of a learned table to each token; the batch shares the rows that are read."""
    w = g.weight(f"{name}.weight", (rows, x.shape[-1]), tag="embedding")
    y = g.tensor(f"{name}.out", x.shape)
    read = product(step.queries, x.shape[-1])
    g.operator(
        name,
        "elementwise",
        [x, (w, read)],
        [y],
        vector_ops=y.elements,
        inplace=x,
        attributes={"function": "add"},
    )
    return y


def _head(
    g: SequenceBuilder,
    x: Tensor,
    s: TransformerStructure,
    step: TransformerPass,
    table: Tensor,
    *,
    every: bool,
) -> Tensor:
    width = x.shape[-1]
    if s.head == "pooler":
        x = norm(g, x, s, "final_norm") if s.final_norm else x
        first = g.copy(
            [x], (step.batch, width), name="first_token", read=[product(step.batch, width)]
        )
        return g.elementwise("tanh", g.linear(first, width, name="pooler", tag="head"))
    if s.head == "tokens" and not every and step.queries != 1:
        x = g.copy(
            [x], (step.batch, 1, width), name="last_token", read=[product(step.batch, width)]
        )
    if s.final_norm:
        x = norm(g, x, s, "final_norm")
    if s.head == "none":
        return x
    weight = table if s.tied_embeddings else None
    vocabulary = extent(s, "vocabulary")
    return g.linear(x, vocabulary, name="head", bias=s.head_bias, tag="head", weight=weight)


def parameters(s: TransformerStructure) -> dict[str, float]:
    """Return the free dimensions of a phase and their default numbers."""
    return {**_PARAMETERS[s.phase], **{field: getattr(s, field) for field in s.free}}


def items(s: TransformerStructure) -> tuple[str, Dim]:
    """Return unit and number of results: tokens (generated or prompt), or encoded sequences."""
    batch = symbol("batch")
    if s.phase == "encode":
        return "sequences", batch
    prompt = symbol("prompt")
    each: dict[str, Dim] = {
        "decode": 1,
        "prefill": prompt,
        "extend": prompt,
        "request": symbol("generate"),
    }
    return "tokens", product(batch, each[s.phase])


FAMILY_TRANSFORMER = Family("transformer", TransformerStructure, parameters, build, items)
