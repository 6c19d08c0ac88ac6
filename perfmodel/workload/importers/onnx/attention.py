"""Shapes and prices of the attention operators of the ONNX standard and of onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode, OnnxValue, fixed
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.importers.onnx.shapes import give
from perfmodel.workload.nest import gemm_nest
from perfmodel.workload.sequence import attended_pairs, attention_nests
from perfmodel.workload.symbols import Dim, constant, product, simplify
from perfmodel.workload.vector_functions import VECTOR_OPS


@dataclass(slots=True)
class Heads:
    """Sizes of an attention operator, independent of the layout of its inputs.

    `queries`, `new` and `past` are numbers of positions; `head` and `value` are the widths of a key
    and of a value per head. `by_heads` marks inputs with a separate axis for heads.
    """

    batch: Dim
    queries: Dim
    new: Dim
    past: Dim
    heads: int
    kv_heads: int
    head: Dim
    value: Dim
    causal: bool
    sources: tuple[OnnxValue, ...]
    by_heads: bool = False
    window: int | None = None

    @property
    def keys(self) -> Dim:
        """Number of keys, cached ones included."""
        return simplify(self.new + self.past)


def _past(n: OnnxNode, index: int, rank: int = 4) -> Dim:
    """Return the number of cached keys; 0 without a cache input."""
    cache = n.get(index)
    return 0 if cache is None else _axes(cache, rank)[-2]


def _standard(n: OnnxNode) -> Heads:
    """Return the sizes of ``Attention`` in the standard, from operator set 23."""
    q, k, v = n.need(0), n.need(1), n.need(2)
    by_heads = len(q.known) == 4
    if by_heads:
        batch, heads, queries, head = q.known
        _, kv_heads, new, _ = _axes(k, 4)
        value = _axes(v, 4)[3]
        counts = fixed(heads, "the heads"), fixed(kv_heads, "the key heads")
    else:
        counts = n.integer("q_num_heads", 0), n.integer("kv_num_heads", 0)
        if not all(counts):
            raise NotPricedError("attributes 'q_num_heads' and 'kv_num_heads' are missing")
        batch, queries, hidden = _axes(q, 3)
        new = _axes(k, 3)[1]
        head = simplify(hidden / counts[0])
        value = simplify(_axes(v, 3)[2] / counts[1])
    causal = bool(n.integer("is_causal", 0))
    past = _past(n, 4)
    return Heads(batch, queries, new, past, *counts, head, value, causal, (q, k, v), by_heads)


def _multi_head(n: OnnxNode) -> Heads:
    """Return the sizes of ``MultiHeadAttention`` in onnxruntime."""
    q = n.need(0)
    heads = _count(n, "num_heads")
    sources: tuple[OnnxValue, ...] = (q,)
    if len(q.known) == 5:
        batch, queries, _, _, head = q.known
        new, value = queries, head
    else:
        batch, queries, hidden = _axes(q, 3)
        k, v = n.need(1), n.get(2)
        head = value = simplify(hidden / heads)
        if len(k.known) == 5:
            sources, new = (q, k), k.known[1]
        elif v is None:
            raise NotPricedError("the values are missing")
        else:
            sources = q, k, v
            new = k.known[2] if len(k.known) == 4 else _axes(k, 3)[1]
            value = v.known[3] if len(v.known) == 4 else simplify(_axes(v, 3)[2] / heads)
    causal = bool(n.integer("unidirectional", 0))
    return Heads(batch, queries, new, _past(n, 6), heads, heads, head, value, causal, sources)


def _grouped(n: OnnxNode) -> Heads:
    """Return the sizes of ``GroupQueryAttention`` in onnxruntime: causal, with a cache."""
    q, k, v = n.need(0), n.get(1), n.get(2)
    heads, groups = _count(n, "num_heads"), _count(n, "kv_num_heads")
    batch, queries, hidden = _axes(q, 3)
    head = simplify(hidden / (heads if k is not None else heads + 2 * groups))
    total = n.get(6)
    keys = total.number() if total is not None else None
    past = _past(n, 3) if keys is None else simplify(keys - queries)
    window = n.integer("local_window_size", -1)
    sources = (q,) if k is None or v is None else (q, k, v)
    sizes = batch, queries, queries, past, heads, groups, head, head
    return Heads(*sizes, True, sources, window=window if window > 0 else None)


def _fused(n: OnnxNode) -> Heads:
    """Return the sizes of ``Attention`` in onnxruntime, which includes input projections."""
    x, w = n.need(0), n.need(1)
    heads = _count(n, "num_heads")
    batch, queries, _ = _axes(x, 3)
    sizes = n.integers("qkv_hidden_sizes")
    hidden: Dim = sizes[0] if sizes else simplify(w.known[-1] / 3)
    value: Dim = sizes[2] if sizes else hidden
    past = _past(n, _PAST.get(n.op, 4), 5)
    head, value = simplify(hidden / heads), simplify(value / heads)
    causal = bool(n.integer("unidirectional", 0))
    return Heads(batch, queries, queries, past, heads, heads, head, value, causal, (x,))


_PAST: Mapping[str, int] = {"Attention": 4, "QAttention": 8}


def _count(n: OnnxNode, name: str) -> int:
    count = n.integer(name, 0)
    if count <= 0:
        raise NotPricedError(f"attribute '{name}' is missing")
    return count


def _axes(edge: OnnxValue, rank: int) -> tuple[Dim, ...]:
    if len(edge.known) != rank:
        raise NotPricedError(f"'{edge.name}' has {len(edge.known)} dimensions and not {rank}")
    return edge.known


def heads_of(n: OnnxNode) -> Heads:
    """Return the sizes of an attention node."""
    if n.op == "MultiHeadAttention":
        return _multi_head(n)
    if n.op == "GroupQueryAttention":
        return _grouped(n)
    return _fused(n) if n.domain == "com.microsoft" else _standard(n)


def shapes(n: OnnxNode) -> None:
    """Set the shapes of the result and of the cached keys and values."""
    h = heads_of(n)
    wide = product(h.heads, h.value)
    format = n.need(0).format
    if n.op == "QAttention" and n.get(3) is not None:
        format = n.need(3).format
    rows = h.batch, h.queries, wide
    give(n, (h.batch, h.heads, h.queries, h.value) if h.by_heads else rows, format=format)
    if n.op in _PAST and n.domain == "com.microsoft":
        give(n, (2, h.batch, h.heads, h.keys, h.head), 1, format)
        return
    give(n, (h.batch, h.kv_heads, h.keys, h.head), 1, format)
    give(n, (h.batch, h.kv_heads, h.keys, h.value), 2, format)
    give(n, (h.batch, h.heads, h.queries, h.keys), 3, format)


def price(p: Pricer, n: OnnxNode) -> None:
    """Price scaled dot-product attention, preceded by the projection of a fused operator.

    The operator reads queries, all keys and values (cached ones included) and masks; it writes
    the result and the new keys and values. With B batches, H heads, Q queries and K keys it scores
    ``B * H * Q * K`` pairs. Of the pairs, a causal node masks those outside `attended_pairs`, at
    ``head + value`` multiply-accumulates each.
    """
    h = heads_of(n)
    y = p.tensor(n.out)
    fused = n.domain == "com.microsoft" and n.op in _PAST
    source = _projected(p, n, h) if fused else None
    query = source or p.tensor(h.sources[0])
    key = source or p.tensor(h.sources[min(1, len(h.sources) - 1)])
    reads = [source] if source else [p.tensor(e) for e in h.sources]
    skip = 2 if fused else len(h.sources)
    masks = p.reads(*(e for e in n.inputs[skip:] if e is not None and e.is_data))
    reads += [t for t in masks if t not in reads]
    writes: list[Tensor | tuple[Tensor, Dim]] = [y]
    writes += [(p.tensor(e), product(simplify(e.elements / h.keys), h.new)) for e in n.written[1:3]]
    pairs = product(h.batch, h.heads, h.queries, h.keys)
    masked: Dim = 0
    if h.causal and constant(h.queries) != 1:
        seen = attended_pairs(h.queries, h.keys, h.window)
        masked = (h.keys * h.queries - seen) * h.batch * h.heads
    nests = attention_nests(
        (h.batch, h.kv_heads, h.heads // h.kv_heads, h.queries, h.keys),
        (h.head, h.value),
        (query.name, key.name, key.name, y.name),
        f"{n.name}.scores",
    )
    p.builder.operator(
        n.name,
        "attention",
        reads,
        writes,
        nests=nests,
        scores=pairs,
        vector_ops=VECTOR_OPS["softmax"] * pairs,
        pair=("activation", "activation"),
        masked_macs=simplify(masked * (h.head + h.value)),
        attributes={"op": n.op, "causal": h.causal, "window": h.window},
    )


def _projected(p: Pricer, n: OnnxNode, h: Heads) -> Tensor:
    name = f"{n.name}.qkv"
    x, w, bias = n.need(0), n.need(1), n.get(2)
    wide = w.known[-1]
    y = p.scratch(name, (h.batch, h.queries, wide))
    source, weights = p.tensor(x), p.weight(w)
    dims = 1, product(h.batch, h.queries), wide, x.known[-1]
    nest = gemm_nest(*dims, source.name, weights.name, y.name, b_batched=False)
    p.builder.operator(
        name,
        "gemm",
        [source, weights, *p.vector(bias)],
        [y],
        nests=[nest],
        vector_ops=y.elements if bias is not None else 0,
        pair=(weights.slot, source.slot),
        attributes={"op": n.op},
    )
    return y
