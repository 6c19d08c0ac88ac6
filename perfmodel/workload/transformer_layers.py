"""Layers of transformers: attention, latent attention, feed-forward networks, experts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perfmodel.workload.graph import Tensor
from perfmodel.workload.nest import LoopNest, Operand, indexed
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import Dim, distinct_experts, minimum, product, simplify, symbol
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


def extent(s: TransformerStructure, field: str) -> Dim:
    """Return a width or count of the structure, as a symbol if it is free."""
    return symbol(field) if field in s.free else getattr(s, field)


def norm(g: SequenceBuilder, x: Tensor, s: TransformerStructure, name: str) -> Tensor:
    """Add the structure's normalisation."""
    usual = 1 if s.norm == "rms_norm" else 2
    affine = usual if s.norm_vectors is None else s.norm_vectors
    return g.norm(x, s.norm, name=name, affine=affine)


def layer(
    g: SequenceBuilder,
    x: Tensor,
    s: TransformerStructure,
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
    rotated = s.rotary if rotary is None else rotary
    entry = x

    def attend(y: Tensor) -> Tensor:
        return self_attention(g, y, s, step, window, rotary=rotated)

    def transform(y: Tensor) -> Tensor:
        if experts is None:
            return feed_forward(g, y, s, extent(s, "ffn_width"))
        return mixture(g, y, s, step, experts, entry if experts.router_first else y)

    if s.parallel != "no":
        y = norm(g, x, s, "attention_norm")
        z = norm(g, x, s, "ffn_norm") if s.parallel == "two_norms" else y
        both = g.elementwise("add", attend(y), transform(z), name="parallel_add")
        return g.elementwise("add", both, x, name="layer_add")
    if normed:
        x = residual(g, x, s, "attention", attend)
    else:
        x = g.elementwise("add", attend(x), x, name="attention_add")
    return residual(g, x, s, "ffn", transform)


def residual(
    g: SequenceBuilder,
    x: Tensor,
    s: TransformerStructure,
    name: str,
    block: Callable[[Tensor], Tensor],
) -> Tensor:
    """Add ``x + block(x)``, with normalisations at the structure's positions."""
    y = norm(g, x, s, f"{name}_norm") if s.norm_position in {"before", "both"} else x
    y = block(y)
    if s.norm_position in {"both", "output"}:
        y = norm(g, y, s, f"{name}_post_norm")
    if s.layer_scale:
        scale = g.weight(f"{name}_scale.weight", (y.shape[-1],), tag="vector")
        y = g.elementwise("mul", y, scale, name=f"{name}_scale")
    y = g.elementwise("add", y, x, name=f"{name}_add")
    return norm(g, y, s, f"{name}_norm") if s.norm_position == "after" else y


def self_attention(
    g: SequenceBuilder,
    x: Tensor,
    s: TransformerStructure,
    step: TransformerPass,
    window: int = 0,
    *,
    rotary: bool = True,
) -> Tensor:
    """Add self-attention with its input projections, positions and output projection."""
    if s.latent is not None:
        return latent_attention(g, x, s, step, s.latent)
    size = s.head_size
    q = g.linear(x, s.heads * size, name="q_proj", bias=s.qkv_bias, tag="attn_q")
    k = g.linear(x, s.groups * size, name="k_proj", bias=s.qkv_bias, tag="attn_k")
    v = g.linear(x, s.groups * size, name="v_proj", bias=s.qkv_bias, tag="attn_v")
    if s.qk_norm:
        all_heads = s.qk_norm == "whole"
        q = g.norm(
            q, "rms_norm", name="q_norm", affine=1, features=s.heads * size if all_heads else size
        )
        k = g.norm(
            k, "rms_norm", name="k_norm", affine=1, features=s.groups * size if all_heads else size
        )
    if rotary:
        ops = VECTOR_OPS["rope"] * (s.rotary_dim / size if s.rotary_dim else 1)
        q = g.elementwise("rope", q, name="q_rope", ops=ops)
        k = g.elementwise("rope", k, name="k_rope", ops=ops)
    keys = step.keys
    if window and step.cached and step.queries != 1:
        # The window of the first of several new tokens starts ``queries - 1`` tokens earlier.
        keys = minimum(keys, simplify(step.queries + (window - 1)))
        window = 0
    y = g.attention(
        q,
        batch=step.batch,
        queries=step.queries,
        keys=keys,
        heads=s.heads,
        head_dim=size,
        kv_heads=s.groups,
        causal=s.causal,
        window=window or None,
        cached=step.cached,
        key_value=(k, v),
        stored_keys=step.stored,
        write_cache=s.causal,
        sinks=g.weight("sinks", (s.heads,), tag="vector") if s.sinks else None,
    )
    if s.sub_norms:
        y = g.norm(y, s.norm, name="attention_sub_norm", affine=1)
    return g.linear(y, extent(s, "width"), name="o_proj", bias=s.output_bias, tag="attn_output")


def latent_attention(
    g: SequenceBuilder, x: Tensor, s: TransformerStructure, step: TransformerPass, m: Latent
) -> Tensor:
    """Add multi-head latent attention.

    A prefill expands the keys and values of all heads. A decode step instead absorbs the
    up-projections into the query and the output, and attends to the compressed cache (DeepSeek-V2,
    arXiv 2405.04434, section 2.1.2).
    """
    bias = s.qkv_bias
    head = m.plain_dim + m.rope_dim
    if m.query_rank:
        down = g.linear(x, m.query_rank, name="q_down", bias=bias, tag="attn_q")
        down = g.norm(down, s.norm, name="q_down_norm", affine=1)
        q = g.linear(down, s.heads * head, name="q_up", bias=False, tag="attn_q")
    else:
        q = g.linear(x, s.heads * head, name="q_proj", bias=False, tag="attn_q")
    q = g.elementwise("rope", q, name="q_rope", ops=VECTOR_OPS["rope"] * m.rope_dim / head)
    kv = g.linear(x, m.rank + m.rope_dim, name="kv_down", bias=bias, tag="attn_k")
    kv = g.norm(kv, s.norm, name="kv_down_norm", affine=1, features=m.rank)
    per_token = m.rank + m.rope_dim
    kv = g.elementwise("rope", kv, name="k_rope", ops=VECTOR_OPS["rope"] * m.rope_dim / per_token)
    if step.cached:
        q = _per_head(g, q, s.heads, (m.plain_dim, m.rank), m.rope_dim, "k_up", "attn_k")
        y = g.attention(
            q,
            batch=step.batch,
            queries=step.queries,
            keys=step.keys,
            heads=s.heads,
            head_dim=per_token,
            value_dim=m.rank,
            kv_heads=1,
            cached=True,
            key_value=kv,
            latent=per_token,
            stored_keys=step.stored,
        )
        y = _per_head(g, y, s.heads, (m.rank, m.value_dim), 0, "v_up", "attn_v")
    else:
        # The rotary part of the key is not expanded: the up-projections read the compressed part.
        low = g.view(kv, (*kv.shape[:-1], m.rank), name="kv_low")
        k = g.linear(low, s.heads * m.plain_dim, name="k_up", bias=False, tag="attn_k")
        v = g.linear(low, s.heads * m.value_dim, name="v_up", bias=False, tag="attn_v")
        y = g.attention(
            q,
            batch=step.batch,
            queries=step.queries,
            keys=step.keys,
            heads=s.heads,
            head_dim=head,
            value_dim=m.value_dim,
            key_value=(k, kv, v),
            latent=per_token,
            stored_keys=step.stored,
        )
    return g.linear(y, extent(s, "width"), name="o_proj", bias=s.output_bias, tag="attn_output")


def _per_head(
    g: SequenceBuilder,
    x: Tensor,
    heads: int,
    sizes: tuple[int, int],
    beside: int,
    name: str,
    tag: str,
) -> Tensor:
    """Add ``y[head] = x[head] W[head]``; `beside` further elements per head are passed through."""
    size_in, size_out = sizes
    w = g.weight(
        f"{name}.weight",
        (heads * size_in, size_out) if name == "k_up" else (heads * size_out, size_in),
        tag=tag,
    )
    batch, queries = x.shape[:2]
    y = g.tensor(f"{name}.out", (batch, queries, heads * (size_out + beside)))
    nest = LoopNest(
        (("h", heads), ("m", product(batch, queries)), ("n", size_out), ("k", size_in)),
        (
            Operand(x.name, "input", indexed("mhk")),
            Operand(w.name, "weight", indexed("hkn")),
            Operand(y.name, "output", indexed("mhn")),
        ),
    )
    g.operator(name, "gemm", [x, w], [y], nests=[nest], pair=(w.slot, x.slot))
    return y


def feed_forward(
    g: SequenceBuilder, x: Tensor, s: TransformerStructure, hidden: Dim, prefix: str = "ffn"
) -> Tensor:
    """Add the feed-forward network, gated or plain."""
    up = g.linear(x, hidden, name=f"{prefix}_up", bias=s.ffn_bias, tag="ffn_up")
    if s.gated:
        gate = g.linear(x, hidden, name=f"{prefix}_gate", bias=s.ffn_bias, tag="ffn_gate")
        ops = VECTOR_OPS[s.activation] + 1
        up = g.elementwise(f"{s.activation}_gate", gate, up, name=f"{prefix}_act", ops=ops)
    else:
        up = g.elementwise(s.activation, up, name=f"{prefix}_act")
    if s.sub_norms:
        up = g.norm(up, s.norm, name=f"{prefix}_sub_norm", affine=1)
    width = extent(s, "width")
    return g.linear(up, width, name=f"{prefix}_down", bias=s.ffn_bias, tag="ffn_down")


def mixture(
    g: SequenceBuilder,
    x: Tensor,
    s: TransformerStructure,
    step: TransformerPass,
    e: Experts,
    routed: Tensor,
) -> Tensor:
    """Add the router, which reads `routed`, the routed experts, and the shared expert."""
    width, tokens = extent(s, "width"), step.tokens
    scores = g.linear(routed, e.count, name="router", bias=e.router_bias, tag="router")
    scores = g.softmax(scores, name="router_softmax")
    # If neurons are skipped, the gate comes first, as it determines which of the others are read.
    apart = s.gated and e.live < 1
    parts: list[Tensor] = []
    for name, live in (("experts_gate", 1.0), ("experts_up", e.live))[not apart :]:
        y = g.experts(
            x,
            tokens,
            e.ffn_width,
            count=e.count,
            per_token=e.per_token,
            live=live,
            name=name,
            matrices=1 if apart or not s.gated else 2,
        )
        parts.append(_expert_bias(g, y, tokens, e, name) if e.bias else y)
    ops = VECTOR_OPS[s.activation] + s.gated
    rows = (product(tokens, e.per_token), e.ffn_width)
    hidden = _pointwise(g, "experts_act", parts, rows, s.activation, ops)
    y = g.experts(
        hidden,
        tokens,
        width,
        count=e.count,
        per_token=e.per_token,
        name="experts_down",
        gathered=False,
        live=e.live,
    )
    if e.bias:
        y = _expert_bias(g, y, tokens, e, "experts_down")
    # Weighted by their scores, the outputs of a token's experts are summed to one row.
    out = _pointwise(g, "experts_sum", [y, scores], x.shape, "weighted_sum", 2, of=y)
    if e.shared_width:
        shared = feed_forward(g, x, s, e.shared_width, prefix="shared")
        if e.shared_gate:
            gate = g.linear(x, 1, name="shared_gate_proj", bias=False, tag="router")
            gate = g.elementwise("sigmoid", gate, name="shared_sigmoid")
            shared = g.elementwise("mul", shared, gate, name="shared_scale")
        out = g.elementwise("add", out, shared, name="experts_add")
    return out


def _pointwise(
    g: SequenceBuilder,
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
    y = g.tensor(f"{name}.out", shape)
    work, attributes = ops * (of or y).elements, {"function": function}
    g.operator(
        name, "elementwise", reads, [y], vector_ops=work, inplace=inplace, attributes=attributes
    )
    return y


def _expert_bias(g: SequenceBuilder, y: Tensor, tokens: Dim, e: Experts, name: str) -> Tensor:
    width = y.shape[-1]
    w = g.weight(f"{name}.bias", (e.count, width), tag="vector")
    touched = simplify(product(distinct_experts(e.count, e.per_token, tokens), width))
    return _pointwise(g, f"{name}_bias", [y, (w, touched)], y.shape, "add", 1, inplace=y)
