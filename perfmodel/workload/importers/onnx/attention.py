"""Attention operators of the standard and of onnxruntime: shapes and prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from perfmodel.workload.builder import VECTOR_OPS
from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode, OnnxValue, fixed
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.importers.onnx.shapes import give
from perfmodel.workload.nest import gemm_nest
from perfmodel.workload.sequence import attended_pairs, attention_nests
from perfmodel.workload.symbols import Dim, constant, product, simplify


@dataclass(slots=True)
class Heads:
    """What an attention operator computes, whatever its layout."""

    batch: Dim
    queries: Dim
    keys: Dim
    past: Dim
    heads: int
    kv_heads: int
    head: Dim
    value: Dim
    causal: bool
    sources: tuple[OnnxValue, ...]
    by_heads: bool = False
    window: int | None = None


def _standard(n: OnnxNode) -> Heads:
    """``Attention`` of the standard, from operator set 23."""
    q, k, v = n.need(0), n.need(1), n.need(2)
    past_key = n.get(4)
    by_heads = len(q.known) == 4
    if by_heads:
        batch, heads, queries, head = q.known
        _, kv_heads, new, _ = _axes(k, 4)
        value = _axes(v, 4)[3]
        counts = fixed(heads, "the heads"), fixed(kv_heads, "the key heads")
    else:
        counts = n.whole("q_num_heads", 0), n.whole("kv_num_heads", 0)
        if not all(counts):
            raise NotPricedError("attributes 'q_num_heads' and 'kv_num_heads' are missing")
        batch, queries, hidden = _axes(q, 3)
        new = _axes(k, 3)[1]
        head = simplify(hidden / counts[0])
        value = simplify(_axes(v, 3)[2] / counts[1])
    past: Dim = _axes(past_key, 4)[2] if past_key is not None else 0
    return Heads(
        batch, queries, simplify(new + past), past, *counts, head, value,
        bool(n.whole("is_causal", 0)), (q, k, v), by_heads,
    )  # fmt: skip


def _multi_head(n: OnnxNode) -> Heads:
    """``MultiHeadAttention`` of onnxruntime."""
    q = n.need(0)
    heads = _count(n, "num_heads")
    causal = bool(n.whole("unidirectional", 0))
    past_key = n.get(6)
    past: Dim = _axes(past_key, 4)[2] if past_key is not None else 0
    if len(q.known) == 5:
        batch, queries, _, _, head = q.known
        return Heads(batch, queries, simplify(queries + past), past, heads, heads, head, head,
                     causal, (q,))  # fmt: skip
    batch, queries, hidden = _axes(q, 3)
    k, v = n.need(1), n.get(2)
    head = simplify(hidden / heads)
    if len(k.known) == 5:
        return Heads(batch, queries, simplify(k.known[1] + past), past, heads, heads, head, head,
                     causal, (q, k))  # fmt: skip
    if v is None:
        raise NotPricedError("the values are missing")
    across = len(k.known) == 4
    new = k.known[2] if across else _axes(k, 3)[1]
    value = v.known[3] if len(v.known) == 4 else simplify(_axes(v, 3)[2] / heads)
    return Heads(batch, queries, simplify(new + past), past, heads, heads, head, value, causal,
                 (q, k, v))  # fmt: skip


def _grouped(n: OnnxNode) -> Heads:
    """``GroupQueryAttention`` of onnxruntime: causal, over a cache."""
    q, k, v = n.need(0), n.get(1), n.get(2)
    heads, groups = _count(n, "num_heads"), _count(n, "kv_num_heads")
    batch, queries, hidden = _axes(q, 3)
    head = simplify(hidden / (heads if k is not None else heads + 2 * groups))
    past_key = n.get(3)
    past: Dim = _axes(past_key, 4)[2] if past_key is not None else 0
    total = n.get(6)
    known = total.number() if total is not None else None
    keys = known if known is not None else simplify(past + queries)
    window = n.whole("local_window_size", -1)
    sources = (q,) if k is None or v is None else (q, k, v)
    return Heads(batch, queries, keys, simplify(keys - queries), heads, groups, head, head, True,
                 sources, window=window if window > 0 else None)  # fmt: skip


def _fused(n: OnnxNode) -> Heads:
    """``Attention`` of onnxruntime: with the projection of its inputs."""
    x, w = n.need(0), n.need(1)
    heads = _count(n, "num_heads")
    batch, queries, _ = _axes(x, 3)
    sizes = n.wholes("qkv_hidden_sizes")
    hidden: Dim = sizes[0] if sizes else simplify(w.known[-1] / 3)
    value: Dim = sizes[2] if sizes else hidden
    past_state = n.get(_PAST.get(n.op, 4))
    past: Dim = _axes(past_state, 5)[3] if past_state is not None else 0
    return Heads(
        batch, queries, simplify(queries + past), past, heads, heads, simplify(hidden / heads),
        simplify(value / heads), bool(n.whole("unidirectional", 0)), (x,),
    )  # fmt: skip


_PAST: Mapping[str, int] = {"Attention": 4, "QAttention": 8}


def _count(n: OnnxNode, name: str) -> int:
    count = n.whole(name, 0)
    if count <= 0:
        raise NotPricedError(f"attribute '{name}' is missing")
    return count


def _axes(edge: OnnxValue, rank: int) -> tuple[Dim, ...]:
    if len(edge.known) != rank:
        raise NotPricedError(f"'{edge.name}' has {len(edge.known)} dimensions and not {rank}")
    return edge.known


def heads_of(n: OnnxNode) -> Heads:
    """Return what an attention node computes."""
    if n.op == "MultiHeadAttention":
        return _multi_head(n)
    if n.op == "GroupQueryAttention":
        return _grouped(n)
    return _fused(n) if n.domain == "com.microsoft" else _standard(n)


def shapes(n: OnnxNode) -> None:
    """Shape of the result, and of the keys and values kept for later."""
    h = heads_of(n)
    wide = product(h.heads, h.value)
    format = n.need(0).format
    if n.op == "QAttention" and n.get(3) is not None:
        format = n.need(3).format
    give(n, (h.batch, h.heads, h.queries, h.value) if h.by_heads else (h.batch, h.queries, wide),
         format=format)  # fmt: skip
    if n.op in _PAST and n.domain == "com.microsoft":
        give(n, (2, h.batch, h.heads, h.keys, h.head), 1, format)
        return
    give(n, (h.batch, h.kv_heads, h.keys, h.head), 1, format)
    give(n, (h.batch, h.kv_heads, h.keys, h.value), 2, format)
    give(n, (h.batch, h.heads, h.queries, h.keys), 3, format)


def price(p: Pricer, n: OnnxNode) -> None:
    """Price scaled dot-product attention, after the projection where it has one.

    Reads queries, all keys and values (kept ones included), and masks; writes the result and the
    new keys and values.
    """
    h = heads_of(n)
    y = p.tensor(n.out)
    fused = n.domain == "com.microsoft" and n.op in _PAST
    source = _projected(p, n, h) if fused else None
    query = source or p.tensor(h.sources[0])
    key = source or p.tensor(h.sources[min(1, len(h.sources) - 1)])
    reads: list[Tensor | tuple[Tensor, Dim]] = [source] if source else [
        p.tensor(e) for e in h.sources
    ]  # fmt: skip
    skip = 2 if fused else len(h.sources)
    masks = p.reads(*(e for e in n.inputs[skip:] if e is not None and e.is_data))
    reads += [t for t in masks if t not in reads]
    writes: list[Tensor | tuple[Tensor, Dim]] = [y]
    new = simplify(h.keys - h.past)
    for kept in n.made[1:3]:
        if kept is not n.out:
            width = simplify(kept.elements / h.keys)
            writes.append((p.tensor(kept), product(width, new)))
    pairs = product(h.batch, h.heads, h.queries, h.keys)
    masked: Dim = 0
    if h.causal and constant(h.queries) != 1:
        seen = attended_pairs(h.queries, h.keys, h.window)
        masked = (h.keys * h.queries - seen) * h.batch * h.heads
    nests = attention_nests(
        (h.batch, h.kv_heads, h.heads // h.kv_heads, h.queries, h.keys), (h.head, h.value),
        (query.name, key.name, key.name, y.name), f"{n.name}.scores",
    )  # fmt: skip
    p.builder.operator(
        n.name, "attention", reads, writes, nests=nests, scores=pairs,
        vector_ops=VECTOR_OPS["softmax"] * pairs, pair=("activation", "activation"),
        masked_macs=simplify(masked * (h.head + h.value)),
        attributes={"op": n.op, "causal": h.causal, "window": h.window},
    )  # fmt: skip


def _projected(p: Pricer, n: OnnxNode, h: Heads) -> Tensor:
    x, w, bias = n.need(0), n.need(1), n.get(2)
    wide = w.known[-1]
    y = p.scratch(f"{n.name}.qkv", (h.batch, h.queries, wide))
    tensors = p.tensor(x), p.weight(w)
    rows = product(h.batch, h.queries)
    nest = gemm_nest(1, rows, wide, x.known[-1], tensors[0].name, tensors[1].name, y.name,
                     b_batched=False)  # fmt: skip
    p.builder.operator(
        f"{n.name}.qkv", "gemm", [*tensors, *p.vector(bias)], [y], nests=[nest],
        vector_ops=y.elements if bias is not None else 0, pair=(tensors[1].slot, tensors[0].slot),
        attributes={"op": n.op},
    )  # fmt: skip
    return y
