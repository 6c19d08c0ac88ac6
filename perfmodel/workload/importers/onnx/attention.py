"""Attention operators of the ONNX standard and of onnxruntime: shapes, and loop nests of scores.

Covers ``Attention``, ``MultiHeadAttention``, ``GroupQueryAttention`` and ``QAttention`` (onnx/onnx,
docs/Operators.md; onnxruntime, docs/ContribOperators.md). Their inputs differ in layout only, so
each is first reduced to the same `AttentionSizes`. With batch B, H heads, Q queries, K keys, and
widths d of a key and v of a value, an attention has ``B H Q K (d + v)`` multiply-accumulates and a
softmax of ``B H Q K`` scores (Vaswani et al., NeurIPS 2017, equation 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import (
    NotPricedError,
    OnnxNode,
    OnnxValue,
    require_integer,
)
from perfmodel.workload.importers.onnx.output_shapes import set_output
from perfmodel.workload.importers.onnx.pricer import Pricer
from perfmodel.workload.nest import gemm_nest
from perfmodel.workload.sequence_builder import attended_pairs, attention_nests
from perfmodel.workload.symbols import Dim, constant, product, simplify
from perfmodel.workload.vector_functions import VECTOR_OPS


@dataclass(slots=True)
class AttentionSizes:
    """Sizes of an attention operator, independent of the layout of its inputs.

    Attributes
    ----------
    queries, new, past
        Positions of the queries, of the keys that this call adds, and of the cached keys.
    heads, kv_heads
        Numbers of query heads and of key heads; the latter divides the former.
    head, value
        Widths of a key and of a value per head.
    sources
        Inputs that hold queries, keys and values.
    has_head_axis
        Whether the inputs have a separate axis for heads.
    window
        Positions of a sliding window; ``None`` for full attention.
    """

    batch: Dim
    queries: Dim
    new: Dim
    past: Dim
    heads: int
    kv_heads: int
    head: Dim
    value: Dim
    is_causal: bool
    sources: tuple[OnnxValue, ...]
    has_head_axis: bool = False
    window: int | None = None

    @property
    def keys(self) -> Dim:
        """Number of keys K, cached ones included."""
        return simplify(self.new + self.past)


_CACHE_INPUT: Mapping[str, int] = {"Attention": 4, "QAttention": 8}


def attention_sizes(node: OnnxNode) -> AttentionSizes:
    """Return the sizes of an attention node of any of the supported operators."""
    if node.op == "MultiHeadAttention":
        return _sizes_of_multi_head(node)
    if node.op == "GroupQueryAttention":
        return _sizes_of_group_query(node)
    return _sizes_of_fused(node) if node.domain == "com.microsoft" else _sizes_of_standard(node)


def attention_shapes(node: OnnxNode) -> None:
    """Set the shapes of the result ``(B, Q, H v)`` and of the cached keys ``(B, H, K, d)``."""
    sizes = attention_sizes(node)
    result_width = product(sizes.heads, sizes.value)
    format = node.require(0).format
    if node.op == "QAttention" and node.get(3) is not None:
        format = node.require(3).format
    rows = sizes.batch, sizes.queries, result_width
    set_output(
        node,
        (sizes.batch, sizes.heads, sizes.queries, sizes.value) if sizes.has_head_axis else rows,
        format=format,
    )
    if node.op in _CACHE_INPUT and node.domain == "com.microsoft":
        set_output(node, (2, sizes.batch, sizes.heads, sizes.keys, sizes.head), 1, format)
        return
    set_output(node, (sizes.batch, sizes.kv_heads, sizes.keys, sizes.head), 1, format)
    set_output(node, (sizes.batch, sizes.kv_heads, sizes.keys, sizes.value), 2, format)
    set_output(node, (sizes.batch, sizes.heads, sizes.queries, sizes.keys), 3, format)


def price_attention(pricer: Pricer, node: OnnxNode) -> None:
    """Price scaled dot-product attention, preceded by the projection of a fused operator.

    It has ``B H Q K (d + v)`` multiply-accumulates in two products and a softmax of ``B H Q K``
    scores. The operator reads the queries, all keys and values (cached ones included) and the
    masks; it writes the result and the new keys and values. A causal node computes only the pairs
    that `attended_pairs` counts: the other pairs are recorded as masked, at ``d + v``
    multiply-accumulates each.
    """
    sizes = attention_sizes(node)
    y = pricer.tensor(node.first_output)
    fused = node.domain == "com.microsoft" and node.op in _CACHE_INPUT
    source = _add_input_projection(pricer, node, sizes) if fused else None
    query = source or pricer.tensor(sizes.sources[0])
    key = source or pricer.tensor(sizes.sources[min(1, len(sizes.sources) - 1)])
    reads = [source] if source else [pricer.tensor(e) for e in sizes.sources]
    skip = 2 if fused else len(sizes.sources)
    masks = pricer.reads(*(e for e in node.inputs[skip:] if e is not None and e.is_data))
    reads += [t for t in masks if t not in reads]
    writes: list[Tensor | tuple[Tensor, Dim]] = [y]
    writes += [
        (pricer.tensor(e), product(simplify(e.elements / sizes.keys), sizes.new))
        for e in node.present_outputs[1:3]
    ]
    pairs = product(sizes.batch, sizes.heads, sizes.queries, sizes.keys)
    masked: Dim = 0
    if sizes.is_causal and constant(sizes.queries) != 1:
        attended = attended_pairs(sizes.queries, sizes.keys, sizes.window)
        masked = (sizes.keys * sizes.queries - attended) * sizes.batch * sizes.heads
    nests = attention_nests(
        (sizes.batch, sizes.kv_heads, sizes.heads // sizes.kv_heads, sizes.queries, sizes.keys),
        (sizes.head, sizes.value),
        (query.name, key.name, key.name, y.name),
        f"{node.name}.scores",
    )
    pricer.builder.operator(
        node.name,
        "attention",
        reads,
        writes,
        nests=nests,
        scores=pairs,
        vector_ops=VECTOR_OPS["softmax"] * pairs,
        pair=("activation", "activation"),
        masked_macs=simplify(masked * (sizes.head + sizes.value)),
        attributes={"op": node.op, "causal": sizes.is_causal, "window": sizes.window},
    )


def _add_input_projection(pricer: Pricer, node: OnnxNode, sizes: AttentionSizes) -> Tensor:
    """Add the projection of the input to queries, keys and values, and return its result."""
    name = f"{node.name}.qkv"
    x, w, bias = node.require(0), node.require(1), node.get(2)
    projected_width = w.extents[-1]
    y = pricer.scratch(name, (sizes.batch, sizes.queries, projected_width))
    source, weights = pricer.tensor(x), pricer.weight(w)
    dims = 1, product(sizes.batch, sizes.queries), projected_width, x.extents[-1]
    nest = gemm_nest(*dims, source.name, weights.name, y.name, b_batched=False)
    pricer.builder.operator(
        name,
        "gemm",
        [source, weights, *pricer.vector(bias)],
        [y],
        nests=[nest],
        vector_ops=y.elements if bias is not None else 0,
        pair=(weights.slot, source.slot),
        attributes={"op": node.op},
    )
    return y


def _cached_positions(node: OnnxNode, index: int, rank: int = 4) -> Dim:
    """Return the number of cached keys; 0 if the node reads no cache."""
    cache = node.get(index)
    return 0 if cache is None else _shape_of_rank(cache, rank)[-2]


def _sizes_of_standard(node: OnnxNode) -> AttentionSizes:
    """Return the sizes of ``Attention`` in the standard, from operator set 23."""
    q, k, v = node.require(0), node.require(1), node.require(2)
    has_head_axis = len(q.extents) == 4
    if has_head_axis:
        batch, heads, queries, head = q.extents
        _, kv_heads, new, _ = _shape_of_rank(k, 4)
        value = _shape_of_rank(v, 4)[3]
        counts = require_integer(heads, "the heads"), require_integer(kv_heads, "the key heads")
    else:
        counts = node.integer("q_num_heads", 0), node.integer("kv_num_heads", 0)
        if not all(counts):
            raise NotPricedError("attributes 'q_num_heads' and 'kv_num_heads' are missing")
        batch, queries, hidden = _shape_of_rank(q, 3)
        new = _shape_of_rank(k, 3)[1]
        head = simplify(hidden / counts[0])
        value = simplify(_shape_of_rank(v, 3)[2] / counts[1])
    causal = bool(node.integer("is_causal", 0))
    past = _cached_positions(node, 4)
    return AttentionSizes(
        batch, queries, new, past, *counts, head, value, causal, (q, k, v), has_head_axis
    )


def _sizes_of_multi_head(node: OnnxNode) -> AttentionSizes:
    """Return the sizes of ``MultiHeadAttention`` in onnxruntime, whose keys may be packed."""
    q = node.require(0)
    heads = _head_count(node, "num_heads")
    sources: tuple[OnnxValue, ...] = (q,)
    if len(q.extents) == 5:
        batch, queries, _, _, head = q.extents
        new, value = queries, head
    else:
        batch, queries, hidden = _shape_of_rank(q, 3)
        k, v = node.require(1), node.get(2)
        head = value = simplify(hidden / heads)
        if len(k.extents) == 5:
            sources, new = (q, k), k.extents[1]
        elif v is None:
            raise NotPricedError("the values are missing")
        else:
            sources = q, k, v
            new = k.extents[2] if len(k.extents) == 4 else _shape_of_rank(k, 3)[1]
            value = (
                v.extents[3] if len(v.extents) == 4 else simplify(_shape_of_rank(v, 3)[2] / heads)
            )
    causal = bool(node.integer("unidirectional", 0))
    return AttentionSizes(
        batch, queries, new, _cached_positions(node, 6), heads, heads, head, value, causal, sources
    )


def _sizes_of_group_query(node: OnnxNode) -> AttentionSizes:
    """Return the sizes of ``GroupQueryAttention`` in onnxruntime: causal, with a cache."""
    q, k, v = node.require(0), node.get(1), node.get(2)
    heads, groups = _head_count(node, "num_heads"), _head_count(node, "kv_num_heads")
    batch, queries, hidden = _shape_of_rank(q, 3)
    head = simplify(hidden / (heads if k is not None else heads + 2 * groups))
    total = node.get(6)
    keys = total.number() if total is not None else None
    past = _cached_positions(node, 3) if keys is None else simplify(keys - queries)
    window = node.integer("local_window_size", -1)
    sources = (q,) if k is None or v is None else (q, k, v)
    sizes = batch, queries, queries, past, heads, groups, head, head
    return AttentionSizes(*sizes, True, sources, window=window if window > 0 else None)


def _sizes_of_fused(node: OnnxNode) -> AttentionSizes:
    """Return the sizes of ``Attention`` in onnxruntime, which includes the input projections."""
    x, w = node.require(0), node.require(1)
    heads = _head_count(node, "num_heads")
    batch, queries, _ = _shape_of_rank(x, 3)
    sizes = node.integers("qkv_hidden_sizes")
    hidden: Dim = sizes[0] if sizes else simplify(w.extents[-1] / 3)
    value: Dim = sizes[2] if sizes else hidden
    past = _cached_positions(node, _CACHE_INPUT.get(node.op, 4), 5)
    head, value = simplify(hidden / heads), simplify(value / heads)
    causal = bool(node.integer("unidirectional", 0))
    return AttentionSizes(batch, queries, queries, past, heads, heads, head, value, causal, (x,))


def _head_count(node: OnnxNode, name: str) -> int:
    """Return a number of heads from an attribute, which must be stated."""
    count = node.integer(name, 0)
    if count <= 0:
        raise NotPricedError(f"attribute '{name}' is missing")
    return count


def _shape_of_rank(edge: OnnxValue, rank: int) -> tuple[Dim, ...]:
    """Return the shape of a value, which must have a number of axes."""
    if len(edge.extents) != rank:
        raise NotPricedError(f"'{edge.name}' has {len(edge.extents)} dimensions and not {rank}")
    return edge.extents
