"""Builder of sequence models: embedding, attention, mixture of experts, recurrence, scan.

Each method states its multiply-accumulates and data movement in closed form, such as
``B H Q K (d + v)`` multiply-accumulates of attention, with extents that may be free dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.graph import Tensor
from perfmodel.workload.nest import LoopNest, Operand, gemm_nest, indexed
from perfmodel.workload.symbols import (
    Dim,
    distinct_experts,
    maximum,
    minimum,
    power_of_two,
    product,
    simplify,
)
from perfmodel.workload.vector_functions import VECTOR_OPS


def attended_pairs(queries: Dim, keys: Dim, window: int | None = None) -> Dim:
    """Return the query-key pairs under a causal mask; the queries are the last of the keys.

    Query i of Q attends to ``K - Q + i`` keys, at most `window` W of them. Without a window these
    are ``Q (K - Q) + Q (Q + 1) / 2`` pairs; with one ``min(K, W)`` for a single query, otherwise
    ``R (R + 1) / 2 + (Q - R) W`` with ``R = min(Q, W)``.
    """
    if window is None:
        return simplify(queries * (keys - queries) + queries * (queries + 1) * 0.5)
    if queries == 1:
        return minimum(keys, window)
    # Rows that attend to fewer than `window` keys form a triangle above the full band.
    ramp = minimum(queries, window)
    return simplify(ramp * (ramp + 1) * 0.5 + (queries - ramp) * window)


def attention_nests(
    extents: tuple[Dim, Dim, Dim, Dim, Dim],
    sizes: tuple[Dim, Dim],
    tensors: tuple[str, str, str, str],
    scores: str,
) -> tuple[LoopNest, LoopNest]:
    """Return the two products of attention: queries by keys, and scores by values.

    Parameters
    ----------
    extents
        Batch, key heads, query heads per key head, queries and keys.
    sizes
        Width of a head of queries and keys, and of a head of values.
    tensors, scores
        Names of queries, keys, values and result, and of the scores.
    """
    dims = tuple(zip("bghqs", extents, strict=True))
    query, key, value, out = tensors
    return (
        LoopNest(
            (*dims, ("d", sizes[0])),
            (
                Operand(query, "input", indexed("bqghd")),
                Operand(key, "input", indexed("bsgd")),
                Operand(scores, "output", indexed("bqghs")),
            ),
        ),
        LoopNest(
            (*dims, ("d", sizes[1])),
            (
                Operand(scores, "input", indexed("bqghs")),
                Operand(value, "input", indexed("bsgd")),
                Operand(out, "output", indexed("bqghd")),
            ),
        ),
    )


class SequenceBuilder(GraphBuilder):
    """A `GraphBuilder` with the operators of sequence models."""

    def embedding(
        self,
        ids: Tensor,
        vocabulary: Dim,
        features: Dim,
        *,
        name: str = "embedding",
        tag: str = "embedding",
        weight: Tensor | None = None,
    ) -> Tensor:
        """Gather one row of the table per index; only those rows are transferred."""
        w = weight or self.weight(f"{name}.weight", (vocabulary, features), tag=tag)
        y = self.tensor(f"{name}.out", (*ids.shape, features))
        self.operator(name, "gather", [ids, (w, y.elements)], [y], pair=(w.slot, "activation"))
        return y

    def attention(
        self,
        query: Tensor,
        *,
        batch: Dim,
        queries: Dim,
        keys: Dim,
        heads: int,
        head_dim: int,
        kv_heads: int | None = None,
        value_dim: int | None = None,
        causal: bool = True,
        window: int | None = None,
        cached: bool = False,
        name: str = "attention",
        key_value: Tensor | Sequence[Tensor] | None = None,
        latent: int = 0,
        cache: Tensor | None = None,
        stored_keys: Dim | None = None,
        write_cache: bool = True,
        bias: Tensor | None = None,
        sinks: Tensor | None = None,
    ) -> Tensor:
        """Add scaled dot-product attention: ``B H Q K (d + v)`` multiply-accumulates.

        B is the batch, H `heads`, Q `queries`, K `keys`, d `head_dim` and v `value_dim`.

        Parameters
        ----------
        query
            Queries, ``batch x queries x heads x head_dim`` in any layout.
        queries, keys
            Extents of the two sequences; for decoding ``queries`` is 1 and ``keys`` the context.
        kv_heads
            Key and value heads (grouped-query attention); `heads` by default.
        value_dim
            Size of a value head if it differs (latent attention: the latent rank).
        window
            Sliding window in tokens; limits keys and cache. Without a causal mask, or without a
            cache, each query is compared with `window` keys.
        cached
            Whether keys and values are read from the KV cache, to which the new ones are appended.
        key_value
            Tensor with the new keys and values, or one of each, which a prefill reads.
        latent
            Elements per token that the cache stores instead of keys and values (MLA).
        stored_keys
            Number of tokens in the cache, if it differs from `keys`.
        write_cache
            Whether the new keys and values are stored; without it and `cached` there is no cache.
        bias
            Learned table of relative positions, added to every score.
        sinks
            Learned scores, one per head, that take part in the softmax.
        """
        groups, value_dim = kv_heads or heads, value_dim or head_dim
        if window is not None and (cached or not causal):
            keys = minimum(keys, window)
        per_token = latent or groups * (head_dim + value_dim)
        if cache is None and (cached or write_cache):
            stored = keys if stored_keys is None else stored_keys
            stored = stored if window is None else minimum(stored, window)
            cache = self.tensor(f"{name}.kv", (batch, stored, per_token), role="kv")
        y = self.tensor(f"{name}.out", (batch, queries, heads * value_dim))
        new = (key_value,) if isinstance(key_value, Tensor) else tuple(key_value or ())
        token_elements = product(batch, per_token)
        cache_read = [(cache, product(keys, token_elements))] if cache and cached else []
        cache_written = [(cache, product(queries, token_elements))] if cache and write_cache else []
        # Of the new tensors the first holds the keys and the last the values.
        factors = new if new and not cache_read else (cache or query,)
        nests = attention_nests(
            (batch, groups, heads // groups, queries, keys),
            (head_dim, value_dim),
            (query.name, factors[0].name, factors[-1].name, y.name),
            f"{name}.scores",
        )
        scores = product(batch, heads, queries, keys)
        sink_scores = 0 if sinks is None else product(batch, heads, queries)
        # Pairs of a query and a key that the causal mask or the window discards.
        is_masked = causal and queries != 1
        masked = keys * queries - attended_pairs(queries, keys, window) if is_masked else 0
        self.operator(
            name,
            "attention",
            [query, *cache_read, *new, *filter(None, (bias, sinks))],
            [y, *cache_written],
            nests=nests,
            scores=scores,
            vector_ops=VECTOR_OPS["softmax"] * (scores + sink_scores) + (bias is not None) * scores,
            masked_macs=masked * batch * heads * (head_dim + value_dim),
            pair=(cache.slot if cache_read and cache else "activation", "activation"),
            attributes={"causal": causal, "window": window, "cached": cached},
        )
        return y

    def experts(
        self,
        x: Tensor,
        tokens: Dim,
        features: Dim,
        *,
        count: int,
        per_token: int,
        matrices: int = 1,
        name: str = "experts",
        tag: str = "expert",
        gathered: bool = True,
        live: float = 1.0,
    ) -> Tensor:
        """Add the grouped GEMM of a mixture of experts.

        Reads the weights of the experts that the tokens touch, ``E (1 - (1 - k/E)**tokens)`` of
        them under uniform routing; stores the weights of all.

        Parameters
        ----------
        x
            Shape ``(..., k)``; one row per token, or per token and expert if not `gathered`.
        features
            Output features of one matrix; `matrices` of them are fused (gate and up: 2).
        live
            Share of hidden neurons that are read and multiplied for a token; the neurons are the
            outputs if the rows are gathered and the inputs otherwise. Tokens select theirs
            independently: of an expert visited by t tokens, ``1 - (1 - live)**t`` are read.
        """
        k = x.shape[-1]
        width = simplify(features * matrices)
        rows = product(tokens, per_token)
        w = self.weight(f"{name}.weight", (count, k, width), tag=tag)
        y = self.tensor(f"{name}.out", (rows, width))
        out: Dim = width
        touched = product(distinct_experts(count, per_token, tokens), k, width)
        if live < 1:
            visits = maximum(1, simplify(product(tokens, per_token) / count))
            read_share = 1 - power_of_two(simplify(visits * math.log2(1 - live)))
            touched = simplify(touched * read_share)
            out, k = (simplify(width * live), k) if gathered else (width, simplify(k * live))
        nest = gemm_nest(1, rows, out, k, x.name, w.name, y.name, b_batched=False)
        read = x.elements * per_token if gathered else x.elements
        self.operator(
            name,
            "moe",
            [(x, read), (w, touched)],
            [y],
            nests=[nest],
            pair=(w.slot, x.slot),
            attributes={"experts": count, "per_token": per_token},
        )
        return y

    def recurrent(
        self,
        x: Tensor,
        hidden: int,
        *,
        cell: str = "lstm",
        directions: int = 1,
        name: str = "",
        bias: bool = True,
    ) -> Tensor:
        """Add an LSTM or GRU over ``(batch, steps, features)``.

        Weights are counted as read in every step, as nothing keeps them close to the engine.
        """
        gates = {"lstm": 4, "gru": 3, "rnn": 1}[cell]
        name = name or cell
        batch, steps, features = x.shape
        width = gates * hidden
        w = self.weight(f"{name}.weight", (directions, features + hidden, width))
        y = self.tensor(f"{name}.out", (batch, steps, directions * hidden))
        state = self.tensor(f"{name}.state", (batch, directions * hidden * 2), role="state")
        reads: list[Tensor | tuple[Tensor, Dim]] = [x, (w, w.elements * steps)]
        if bias:
            b = self.weight(f"{name}.bias", (directions, 2, width), tag="vector")
            reads.append((b, b.elements * steps))
        nest = LoopNest(
            (("t", steps), ("d", directions), ("m", batch), ("n", width), ("k", features + hidden)),
            (
                Operand(x.name, "input", indexed("mtk")),
                Operand(w.name, "weight", indexed("dkn")),
                Operand(y.name, "output", indexed("mtdn")),
            ),
        )
        ops = product(batch, steps, directions, hidden) * (gates * 8)
        self.operator(
            name,
            "recurrent",
            reads,
            [y, (state, 2 * state.elements * steps)],
            nests=[nest],
            vector_ops=ops,
            pair=(w.slot, x.slot),
            attributes={"cell": cell},
        )
        return y

    def scan(
        self,
        x: Tensor,
        *,
        batch: Dim,
        steps: Dim,
        channels: int,
        state: int,
        name: str = "scan",
        selected: Sequence[Tensor] = (),
    ) -> Tensor:
        """Add a selective scan (Mamba): 9 operations per step, channel and state element.

        `selected` are the step sizes and projections B and C that depend on the input. Operations:
        discretise (exp and two products), update, contract with C (Gu and Dao 2023, eq. 2-4).
        """
        y = self.tensor(f"{name}.out", x.shape)
        carried = self.tensor(f"{name}.state", (batch, channels, state), role="state")
        a = self.weight(f"{name}.A", (channels, state), tag="vector")
        d = self.weight(f"{name}.D", (channels,), tag="vector")
        ops = product(batch, steps, channels, state) * 9
        self.operator(
            name,
            "scan",
            [x, *selected, a, d, carried],
            [y, carried],
            vector_ops=ops,
            pair=("activation", "activation"),
        )
        return y
