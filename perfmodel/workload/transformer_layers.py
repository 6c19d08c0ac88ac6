"""Layers of transformers: attention, latent attention, feed-forward networks, experts.

Each function adds the operators of one part of a layer (Vaswani et al. 2017, and the variants that
`TransformerStructure` lists) to a graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from perfmodel.workload.graph import Tensor
from perfmodel.workload.nest import LoopNest, Operand, indexed
from perfmodel.workload.sequence_builder import SequenceBuilder
from perfmodel.workload.symbols import (
    Dim,
    busiest_device,
    distinct_experts,
    minimum,
    product,
    simplify,
    symbol,
)
from perfmodel.workload.vector_functions import VECTOR_OPS

if TYPE_CHECKING:
    from perfmodel.workload.transformer_structure import (
        Experts,
        Latent,
        TransformerStructure,
    )


@dataclass(frozen=True, slots=True)
class TransformerPass:
    """Sizes of one pass over the layers.

    Attributes
    ----------
    batch, queries
        Number of sequences, and of new tokens in each.
    keys
        Number of tokens that the last query attends to, including itself.
    cached
        Whether keys and values of earlier tokens are read from the cache.
    stored
        Final number of tokens in the cache.
    """

    batch: Dim
    queries: Dim
    keys: Dim
    cached: bool = False
    stored: Dim | None = None

    @property
    def tokens(self) -> Dim:
        """Number of new tokens over all sequences."""
        return product(self.batch, self.queries)


def extent(structure: TransformerStructure, field: str) -> Dim:
    """Return a width or count of the structure, as a symbol if it is free."""
    return symbol(field) if field in structure.free else getattr(structure, field)


def norm(builder: SequenceBuilder, x: Tensor, structure: TransformerStructure, name: str) -> Tensor:
    """Add the structure's normalisation."""
    usual = 1 if structure.norm == "rms_norm" else 2
    affine = usual if structure.norm_vectors is None else structure.norm_vectors
    return builder.norm(x, structure.norm, name=name, affine=affine)


def layer(
    builder: SequenceBuilder,
    x: Tensor,
    structure: TransformerStructure,
    step: TransformerPass,
    *,
    window: int = 0,
    experts: Experts | None = None,
    rotary: bool | None = None,
    normed: bool = True,
) -> Tensor:
    """Add one layer: attention and a feed-forward network, each with a residual sum.

    Without `normed`, the input of attention is normalised already.
    """
    rotated = structure.rotary if rotary is None else rotary
    entry = x

    def attend(y: Tensor) -> Tensor:
        return self_attention(builder, y, structure, step, window, rotary=rotated)

    def transform(y: Tensor) -> Tensor:
        if experts is None:
            return feed_forward(builder, y, structure, extent(structure, "ffn_width"))
        return mixture(builder, y, structure, step, experts, entry if experts.router_first else y)

    if structure.parallel != "no":
        y = norm(builder, x, structure, "attention_norm")
        z = norm(builder, x, structure, "ffn_norm") if structure.parallel == "two_norms" else y
        both = builder.elementwise("add", attend(y), transform(z), name="parallel_add")
        return builder.elementwise("add", both, x, name="layer_add")
    if normed:
        x = residual(builder, x, structure, "attention", attend)
    else:
        x = builder.elementwise("add", attend(x), x, name="attention_add")
    return residual(builder, x, structure, "ffn", transform)


def residual(
    builder: SequenceBuilder,
    x: Tensor,
    structure: TransformerStructure,
    name: str,
    block: Callable[[Tensor], Tensor],
) -> Tensor:
    """Add ``x + block(x)``, with normalisations at the structure's positions."""
    y = (
        norm(builder, x, structure, f"{name}_norm")
        if structure.norm_position in {"before", "both"}
        else x
    )
    y = block(y)
    if structure.norm_position in {"both", "output"}:
        y = norm(builder, y, structure, f"{name}_post_norm")
    if structure.layer_scale:
        scale = builder.weight(f"{name}_scale.weight", (y.shape[-1],), tag="vector")
        y = builder.elementwise("mul", y, scale, name=f"{name}_scale")
    y = builder.elementwise("add", y, x, name=f"{name}_add")
    return norm(builder, y, structure, f"{name}_norm") if structure.norm_position == "after" else y


def self_attention(
    builder: SequenceBuilder,
    x: Tensor,
    structure: TransformerStructure,
    step: TransformerPass,
    window: int = 0,
    *,
    rotary: bool = True,
) -> Tensor:
    """Add self-attention with its input projections, positions and output projection.

    ``softmax(Q K^T / sqrt(d)) V`` for each head (Vaswani et al. 2017, equation 1).
    """
    if structure.latent is not None:
        return latent_attention(builder, x, structure, step, structure.latent)
    size = structure.head_size
    heads = {"q": structure.heads, "k": structure.groups, "v": structure.groups}
    q, k, v = [
        builder.linear(
            x, count * size, name=f"{part}_proj", bias=structure.qkv_bias, tag=f"attn_{part}"
        )
        for part, count in heads.items()
    ]
    if structure.qk_norm:
        features = None if structure.qk_norm == "whole" else size
        q = builder.norm(q, "rms_norm", name="q_norm", affine=1, features=features)
        k = builder.norm(k, "rms_norm", name="k_norm", affine=1, features=features)
    if rotary:
        ops = VECTOR_OPS["rope"] * (structure.rotary_dim / size if structure.rotary_dim else 1)
        q = builder.elementwise("rope", q, name="q_rope", ops=ops)
        k = builder.elementwise("rope", k, name="k_rope", ops=ops)
    keys = step.keys
    if window and step.cached and step.queries != 1:
        # The window of the first of several new tokens starts ``queries - 1`` tokens earlier.
        keys = minimum(keys, simplify(step.queries + (window - 1)))
        window = 0
    y = builder.attention(
        q,
        batch=step.batch,
        queries=step.queries,
        keys=keys,
        heads=structure.heads,
        head_dim=size,
        kv_heads=structure.groups,
        causal=structure.causal,
        window=window or None,
        cached=step.cached,
        key_value=(k, v),
        stored_keys=step.stored,
        write_cache=structure.causal,
        sinks=builder.weight("sinks", (structure.heads,), tag="vector")
        if structure.sinks
        else None,
    )
    if structure.sub_norms:
        y = builder.norm(y, structure.norm, name="attention_sub_norm", affine=1)
    return builder.linear(
        y, extent(structure, "width"), name="o_proj", bias=structure.output_bias, tag="attn_output"
    )


def latent_attention(
    builder: SequenceBuilder,
    x: Tensor,
    structure: TransformerStructure,
    step: TransformerPass,
    latent: Latent,
) -> Tensor:
    """Add multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1.2).

    Instead of keys and values, the cache stores for each token a compressed vector ``c = W_DKV x``
    of `latent.rank` elements (equation 9), and one rotary key for all heads. A prefill expands the
    keys ``W_UK c`` and the values ``W_UV c`` of all heads. A decode step instead absorbs ``W_UK``
    into the query and ``W_UV`` into the output, and attends to the compressed vectors.
    """
    bias, heads = structure.qkv_bias, structure.heads
    head = latent.plain_dim + latent.rope_dim
    if latent.query_rank:
        down = builder.linear(x, latent.query_rank, name="q_down", bias=bias, tag="attn_q")
        down = builder.norm(down, structure.norm, name="q_down_norm", affine=1)
        q = builder.linear(down, heads * head, name="q_up", bias=False, tag="attn_q")
    else:
        q = builder.linear(x, heads * head, name="q_proj", bias=False, tag="attn_q")
    q = builder.elementwise(
        "rope", q, name="q_rope", ops=VECTOR_OPS["rope"] * latent.rope_dim / head
    )
    per_token = latent.rank + latent.rope_dim
    kv = builder.linear(x, per_token, name="kv_down", bias=bias, tag="attn_k")
    kv = builder.norm(kv, structure.norm, name="kv_down_norm", affine=1, features=latent.rank)
    kv = builder.elementwise(
        "rope", kv, name="k_rope", ops=VECTOR_OPS["rope"] * latent.rope_dim / per_token
    )
    attend = partial(
        builder.attention,
        batch=step.batch,
        queries=step.queries,
        keys=step.keys,
        heads=heads,
        latent=per_token,
        stored_keys=step.stored,
    )
    if step.cached:
        sizes = (latent.plain_dim, latent.rank)
        q = _per_head(builder, q, heads, sizes, latent.rope_dim, "k_up", "attn_k")
        y = attend(
            q, head_dim=per_token, value_dim=latent.rank, kv_heads=1, cached=True, key_value=kv
        )
        y = _per_head(builder, y, heads, (latent.rank, latent.value_dim), 0, "v_up", "attn_v")
    else:
        # The rotary part of the key is not expanded: the up-projections read the compressed part.
        low = builder.view(kv, (*kv.shape[:-1], latent.rank), name="kv_low")
        k = builder.linear(low, heads * latent.plain_dim, name="k_up", bias=False, tag="attn_k")
        v = builder.linear(low, heads * latent.value_dim, name="v_up", bias=False, tag="attn_v")
        y = attend(q, head_dim=head, value_dim=latent.value_dim, key_value=(k, kv, v))
    return builder.linear(
        y, extent(structure, "width"), name="o_proj", bias=structure.output_bias, tag="attn_output"
    )


def _per_head(
    builder: SequenceBuilder,
    x: Tensor,
    heads: int,
    sizes: tuple[int, int],
    passed_through: int,
    name: str,
    tag: str,
) -> Tensor:
    """Add ``y[head] = x[head] W[head]``; further elements per head are `passed_through`."""
    size_in, size_out = sizes
    w = builder.weight(
        f"{name}.weight",
        (heads * size_in, size_out) if name == "k_up" else (heads * size_out, size_in),
        tag=tag,
    )
    batch, queries = x.shape[:2]
    y = builder.tensor(f"{name}.out", (batch, queries, heads * (size_out + passed_through)))
    nest = LoopNest(
        (("h", heads), ("m", product(batch, queries)), ("n", size_out), ("k", size_in)),
        (
            Operand(x.name, "input", indexed("mhk")),
            Operand(w.name, "weight", indexed("hkn")),
            Operand(y.name, "output", indexed("mhn")),
        ),
    )
    builder.operator(name, "gemm", [x, w], [y], nests=[nest], pair=(w.slot, x.slot))
    return y


def feed_forward(
    builder: SequenceBuilder,
    x: Tensor,
    structure: TransformerStructure,
    hidden: Dim,
    prefix: str = "ffn",
) -> Tensor:
    """Add the feed-forward network, gated or plain."""
    up = builder.linear(x, hidden, name=f"{prefix}_up", bias=structure.ffn_bias, tag="ffn_up")
    if structure.gated:
        gate = builder.linear(
            x, hidden, name=f"{prefix}_gate", bias=structure.ffn_bias, tag="ffn_gate"
        )
        ops = VECTOR_OPS[structure.activation] + 1
        up = builder.elementwise(
            f"{structure.activation}_gate", gate, up, name=f"{prefix}_act", ops=ops
        )
    else:
        up = builder.elementwise(structure.activation, up, name=f"{prefix}_act")
    if structure.sub_norms:
        up = builder.norm(up, structure.norm, name=f"{prefix}_sub_norm", affine=1)
    width = extent(structure, "width")
    return builder.linear(up, width, name=f"{prefix}_down", bias=structure.ffn_bias, tag="ffn_down")


def mixture(
    builder: SequenceBuilder,
    x: Tensor,
    structure: TransformerStructure,
    step: TransformerPass,
    experts: Experts,
    routed: Tensor,
) -> Tensor:
    """Add the router, which reads `routed`, the routed experts, and the shared expert."""
    width, tokens, per_token = extent(structure, "width"), step.tokens, experts.per_token
    if experts.devices > 1:  # each visit is a token that takes one of this device's experts
        tokens, per_token = busiest_device(product(tokens, per_token), experts.devices), 1
    scores = builder.linear(
        routed, experts.count, name="router", bias=experts.router_bias, tag="router"
    )
    scores = builder.softmax(scores, name="router_softmax")
    # If neurons are skipped, the gate comes first, as it determines which of the others are read.
    is_gate_separate = structure.gated and experts.live < 1
    projected: list[Tensor] = []
    for name, live in (("experts_gate", 1.0), ("experts_up", experts.live))[not is_gate_separate :]:
        y = builder.experts(
            x,
            tokens,
            experts.ffn_width,
            count=experts.count,
            per_token=per_token,
            live=live,
            name=name,
            matrices=1 if is_gate_separate or not structure.gated else 2,
        )
        projected.append(_expert_bias(builder, y, tokens, experts, name) if experts.bias else y)
    ops = VECTOR_OPS[structure.activation] + structure.gated
    rows = (product(tokens, per_token), experts.ffn_width)
    hidden = _pointwise(builder, "experts_act", projected, rows, structure.activation, ops)
    y = builder.experts(
        hidden,
        tokens,
        width,
        count=experts.count,
        per_token=per_token,
        name="experts_down",
        gathered=False,
        live=experts.live,
    )
    if experts.bias:
        y = _expert_bias(builder, y, tokens, experts, "experts_down")
    # Weighted by their scores, the outputs of a token's experts are summed to one row.
    out = _pointwise(builder, "experts_sum", [y, scores], x.shape, "weighted_sum", 2, of=y)
    if experts.shared_width:
        shared = feed_forward(builder, x, structure, experts.shared_width, prefix="shared")
        if experts.shared_gate:
            gate = builder.linear(x, 1, name="shared_gate_proj", bias=False, tag="router")
            gate = builder.elementwise("sigmoid", gate, name="shared_sigmoid")
            shared = builder.elementwise("mul", shared, gate, name="shared_scale")
        out = builder.elementwise("add", out, shared, name="experts_add")
    return out


def _pointwise(
    builder: SequenceBuilder,
    name: str,
    reads: Sequence[Tensor | tuple[Tensor, Dim]],
    shape: Sequence[Dim],
    function: str,
    ops: float,
    *,
    of: Tensor | None = None,
    inplace: Tensor | None = None,
) -> Tensor:
    """Add a function with `ops` operations per element of its result, or of `of`."""
    y = builder.tensor(f"{name}.out", shape)
    work, attributes = ops * (of or y).elements, {"function": function}
    builder.operator(
        name, "elementwise", reads, [y], vector_ops=work, inplace=inplace, attributes=attributes
    )
    return y


def _expert_bias(
    builder: SequenceBuilder, y: Tensor, tokens: Dim, experts: Experts, name: str
) -> Tensor:
    width = y.shape[-1]
    w = builder.weight(f"{name}.bias", (experts.count, width), tag="vector")
    per_token = 1 if experts.devices > 1 else experts.per_token
    touched = simplify(product(distinct_experts(experts.count, per_token, tokens), width))
    return _pointwise(builder, f"{name}_bias", [y, (w, touched)], y.shape, "add", 1, inplace=y)
