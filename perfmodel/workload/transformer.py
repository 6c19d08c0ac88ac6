"""Family ``transformer``: graphs of decoders and encoders, dense or with experts, by phase.

`build` adds one pass over all layers for a phase (``decode``, ``prefill``, ``encode``), or a
prefill and its decode steps for a ``request``. Layers of one kind are a block with a count; their
contents are in `perfmodel.workload.transformer_layers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.sequence_builder import SequenceBuilder
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


def build(structure: TransformerStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph of a phase.

    Parameters
    ----------
    structure
        Structure of the transformer.
    semantics
        With `head_on_every_token`, a prefill scores every token instead of the last. Decode steps
        and encoders with a classifier over the vocabulary always score all of their tokens.
    """
    builder, defaults, structure = (
        SequenceBuilder("transformer"),
        parameters(structure),
        structure.share(structure.tensor),
    )
    batch, every = symbol("batch"), semantics.head_on_every_token

    def run(step: TransformerPass, *, every: bool = True) -> Tensor:
        return forward(builder, structure, step, every=every)

    if structure.phase == "encode":
        tokens = symbol("tokens")
        builder.output(run(TransformerPass(batch, tokens, tokens)))
    elif structure.phase == "request":
        prompt, generate = symbol("prompt"), symbol("generate")
        mean = simplify(prompt + (generate + 1) * 0.5)
        stored = simplify(prompt + generate)
        with builder.phase("prefill"):
            # Its scores are sampled immediately, so they are not live during decoding.
            run(TransformerPass(batch, prompt, prompt, stored=stored), every=every)
        with builder.phase("decode", generate):
            builder.output(run(TransformerPass(batch, 1, mean, cached=True, stored=stored)))
    else:
        # A single phase is named too, so that its time is reported as TTFT or TPOT.
        with builder.phase("decode" if structure.phase == "decode" else "prefill", prefix=False):
            if structure.phase == "decode":
                step, every = TransformerPass(batch, 1, symbol("context"), cached=True), True
            else:
                prompt, extends = symbol("prompt"), structure.phase == "extend"
                keys = simplify(symbol("past") + prompt) if extends else prompt
                step = TransformerPass(batch, prompt, keys, cached=extends)
            builder.output(run(step, every=every))
    return builder.build(defaults)


def forward(
    builder: SequenceBuilder, structure: TransformerStructure, step: TransformerPass, *, every: bool
) -> Tensor:
    """Add one pass: embeddings, layers and head."""
    width, vocabulary = extent(structure, "width"), extent(structure, "vocabulary")
    ids = builder.input("ids", (step.batch, step.queries), format="int64")
    table = builder.weight("embedding.weight", (vocabulary, width), tag="embedding")
    x = builder.embedding(ids, vocabulary, width, weight=table)
    if structure.positions:
        x = _add_table(builder, x, structure.positions, step, "positions")
    if structure.token_types:
        x = _add_table(builder, x, structure.token_types, step, "token_types")
    if structure.embedding_norm:
        x = norm(builder, x, structure, "embedding_norm")
    for group in layer_groups(structure):
        with builder.repeat(group.layers, group.name):
            x = layer(
                builder,
                x,
                structure,
                step,
                window=group.window,
                experts=group.experts,
                rotary=group.rotary,
                normed=group.normed,
            )
    return _head(builder, x, structure, step, table, every=every)


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


def layer_groups(structure: TransformerStructure) -> Iterator[TransformerLayerGroup]:
    """Yield groups of equal layers, with a separate first layer if it has one norm less."""
    first = not structure.first_norm
    for group in _kinds_of_layers(structure):
        if not first or group.window:
            yield group
            continue
        first = False
        yield group._replace(name=f"first_{group.name}", layers=1, normed=False)
        further = simplify(group.layers - 1)
        if further != 0:
            yield group._replace(layers=further)


def _kinds_of_layers(structure: TransformerStructure) -> Iterator[TransformerLayerGroup]:
    """Yield groups of equal layers.

    Layers that alternate between a window and full attention are grouped, because their order does
    not affect the cost.
    """
    layers = extent(structure, "layers")
    dense = structure.experts.dense_layers if structure.experts is not None else 0
    kinds: list[tuple[str, Dim, Experts | None]] = []
    if dense:
        kinds.append(("dense_layer", dense, None))
    further = simplify(layers - dense)
    if further != 0:
        kinds.append(("layer", further, structure.experts))
    before: Dim = 0
    for name, count, experts in kinds:
        if not structure.window:
            bare = structure.unrotated_layers if name == "layer" and structure.rotary else 0
            if bare:
                yield TransformerLayerGroup(f"unrotated_{name}", bare, 0, experts, rotary=False)
            if simplify(count - bare) != 0:
                yield TransformerLayerGroup(
                    name, simplify(count - bare), 0, experts, structure.rotary
                )
            continue
        full: Dim = structure.full_layers
        if structure.full_every:
            full = floor_div(before + count, structure.full_every) - floor_div(
                before, structure.full_every
            )
            full = simplify(full)
        before = before + count
        sliding = simplify(count - full)
        if sliding != 0:
            yield TransformerLayerGroup(
                f"sliding_{name}", sliding, structure.window, experts, structure.rotary
            )
        if full != 0:
            yield TransformerLayerGroup(
                name, full, 0, experts, structure.rotary and not structure.unrotated_layers
            )


def _add_table(
    builder: SequenceBuilder, x: Tensor, rows: int, step: TransformerPass, name: str
) -> Tensor:
    """Add a row of a learned table to each token; the batch shares the rows that are read."""
    w = builder.weight(f"{name}.weight", (rows, x.shape[-1]), tag="embedding")
    y = builder.tensor(f"{name}.out", x.shape)
    read = product(step.queries, x.shape[-1])
    builder.operator(
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
    builder: SequenceBuilder,
    x: Tensor,
    structure: TransformerStructure,
    step: TransformerPass,
    table: Tensor,
    *,
    every: bool,
) -> Tensor:
    width = x.shape[-1]
    if structure.head == "pooler":
        x = norm(builder, x, structure, "final_norm") if structure.final_norm else x
        first = builder.copy(
            [x], (step.batch, width), name="first_token", read=[product(step.batch, width)]
        )
        return builder.elementwise("tanh", builder.linear(first, width, name="pooler", tag="head"))
    if structure.head == "tokens" and not every and step.queries != 1:
        x = builder.copy(
            [x], (step.batch, 1, width), name="last_token", read=[product(step.batch, width)]
        )
    if structure.final_norm:
        x = norm(builder, x, structure, "final_norm")
    if structure.head == "none":
        return x
    weight = table if structure.tied_embeddings else None
    vocabulary = extent(structure, "vocabulary")
    return builder.linear(
        x, vocabulary, name="head", bias=structure.head_bias, tag="head", weight=weight
    )


def parameters(structure: TransformerStructure) -> dict[str, float]:
    """Return the free dimensions of a phase and their default numbers."""
    return {
        **_PARAMETERS[structure.phase],
        **{field: getattr(structure, field) for field in structure.free},
    }


def items(structure: TransformerStructure) -> tuple[str, Dim]:
    """Return unit and number of results: tokens (generated or prompt), or encoded sequences."""
    batch = symbol("batch")
    if structure.phase == "encode":
        return "sequences", batch
    prompt = symbol("prompt")
    each: dict[str, Dim] = {
        "decode": 1,
        "prefill": prompt,
        "extend": prompt,
        "request": symbol("generate"),
    }
    return "tokens", product(batch, each[structure.phase])


FAMILY_TRANSFORMER = Family("transformer", TransformerStructure, parameters, build, items)
