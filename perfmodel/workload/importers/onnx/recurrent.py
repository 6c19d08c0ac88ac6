"""Shapes and prices of recurrent cells, linear attention and convolutions with a state."""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    NotPricedError,
    OnnxNode,
    fixed,
    turned,
)
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.importers.onnx.shapes import agree, give
from perfmodel.workload.nest import LoopNest, contraction, conv_nest
from perfmodel.workload.symbols import Dim, product, simplify
from perfmodel.workload.vector_functions import VECTOR_OPS

#: Gates of a recurrent cell.
GATES: Mapping[str, int] = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recurrent_shape(node: OnnxNode) -> None:
    """Set the shapes of ``LSTM``, ``GRU`` and ``RNN``: the sequence, then the final states."""
    x, w, r = (node.shape(i, 3) for i in range(3))
    directions, hidden = r[0], r[-1]
    gates = GATES[node.op]
    ways = 2 if node.text("direction", "forward") == "bidirectional" else 1
    agree("extents of input and weights", x[2], w[2])
    agree("gates of the weights", w[1], r[1], product(gates, hidden))
    agree("directions", directions, w[0], ways)
    stated = node.attributes.get("hidden_size", hidden)
    agree("attribute 'hidden_size' and the weights", stated, hidden)
    first, second, _ = x
    if node.integer("layout", 0):
        give(node, (first, second, directions, hidden))
        last = first, directions, hidden
    else:
        give(node, (first, directions, second, hidden))
        last = directions, second, hidden
    for i in range(1, len(node.outputs)):
        give(node, last, i)


def quantised_lstm_shape(node: OnnxNode) -> None:
    """Set the shapes of ``DynamicQuantizeLSTM``: transposed recurrent weights, float results."""
    steps, batch, _ = node.shape(0, 3)
    directions, hidden, _ = node.shape(2, 3)
    give(node, (steps, directions, batch, hidden))
    for i in (1, 2):
        give(node, (directions, batch, hidden), i)


def linear_attention_shape(node: OnnxNode) -> None:
    """Set the shapes of ``LinearAttention``: values per query head, and the final state."""
    q, k, v = (node.shape(i, 3) for i in range(3))
    heads, groups = node.integer("q_num_heads", 0), node.integer("kv_num_heads", 0)
    if heads <= 0 or groups <= 0:
        raise ContradictionError("attributes 'q_num_heads' and 'kv_num_heads' are missing")
    wide = simplify(v[2] / groups)
    give(node, (q[0], q[1], product(heads, wide)))
    give(node, (q[0], groups, k[2] / groups, wide), 1)


def causal_conv_shape(node: OnnxNode) -> None:
    """Set the shapes of ``CausalConvWithState``: the input's, and ``window - 1`` positions."""
    x, w = node.shape(0, 3), node.shape(1, 3)
    give(node, x)
    give(node, (*x[:2], w[2] - 1), 1)


def recurrent(p: Pricer, n: OnnxNode) -> None:
    """Price ``LSTM``, ``GRU`` and ``RNN``.

    The product with the input is one GEMM over all steps, so its weights are read once. The product
    with the hidden state is sequential, and its weights are counted as read in every step. Each
    gate costs 8 vector operations per hidden element and step.
    """
    x, w, r, bias = n.need(0), n.need(1), n.need(2), n.get(3)
    gates = GATES[n.op]
    steps, batch, features = x.known
    if n.integer("layout", 0):
        steps, batch = batch, steps
    directions, hidden = r.known[0], r.known[-1]
    width = simplify(hidden * gates)
    wt, rt = p.weight(w), p.weight(r)
    outputs = [p.tensor(e) for e in n.written]
    if not outputs:
        raise NotPricedError("it has no output")
    y = outputs[0]
    state = p.scratch(f"{n.name}.state", (batch, directions, hidden), role="state")
    source = p.tensor(x)

    def nest(weight: Tensor, k: Dim, name: str) -> LoopNest:
        sizes = {"t": steps, "d": directions, "m": batch, "n": width, "k": k}
        names = name, weight.name, y.name
        return contraction("mtk,dnk->mtdn", sizes, names, weights=True)

    states = 2 if n.op == "LSTM" else 1
    p.add(
        n,
        "recurrent",
        [
            source,
            wt,
            *((t, product(t.elements, steps)) for t in (rt, *p.vector(bias))),
            *p.reads(n.get(5), n.get(6)),
        ],
        [*outputs, (state, product(2 * states, state.elements, steps))],
        nests=[nest(wt, features, source.name), nest(rt, hidden, state.name)],
        ops=product(batch, steps, directions, hidden, gates * 8),
        pair=(wt.slot, source.slot),
        attributes={"cell": n.op.lower()},
    )


def quantised_lstm(p: Pricer, n: OnnxNode) -> None:
    """Price ``DynamicQuantizeLSTM``: transposed 8-bit weights; inputs are quantised at run time."""
    w, r = n.need(1), n.need(2)
    for edge in (w, r):
        if len(edge.known) != 3:
            raise NotPricedError(f"'{edge.name}' has {len(edge.known)} dimensions and not 3")
        if edge.tensor is None and not edge.is_data:
            edge.kind, edge.shape = "weight", turned(edge.known)
    recurrent(p, OnnxNode("LSTM", n.name, n.inputs[:8], n.outputs, n.attributes))


def linear_attention(p: Pricer, n: OnnxNode) -> None:
    """Price ``LinearAttention``: ``S += k v^T`` and ``y = S^T q`` per step and head.

    The delta rules read the state once more to correct it; decay and rate are elementwise.
    """
    q, k, v = n.need(0), n.need(1), n.need(2)
    batch, steps, width = k.known
    heads, groups = n.integer("q_num_heads", 1), n.integer("kv_num_heads", 1)
    key, value = simplify(width / groups), simplify(v.known[2] / groups)
    state = p.scratch(f"{n.name}.state", (batch, groups, key, value), role="state")
    y = p.tensor(n.out)
    delta = "delta" in n.text("update_rule", "gated_delta")

    def nest(count: Dim, *tensors: Tensor) -> LoopNest:
        sizes = {"b": batch, "t": steps, "h": count, "i": key, "j": value}
        return contraction("bthi,bthj->bthj", sizes, [t.name for t in tensors])

    queries, keys, values = map(p.tensor, (q, k, v))
    nests = [nest(groups, keys, values, state), nest(heads, queries, state, y)]
    if delta:
        nests.append(nest(groups, keys, state, state))
    gates = 2 if "gated" in n.text("update_rule", "") else 1
    p.add(
        n,
        "recurrent",
        p.reads(*n.present),
        [*(p.tensor(e) for e in n.written), (state, product(2, state.elements, steps))],
        nests=nests,
        ops=product(batch, steps, groups, key, value, gates),
        pair=("activation", "activation"),
        attributes={"cell": "linear_attention"},
    )


def causal_conv(p: Pricer, n: OnnxNode) -> None:
    """Price ``CausalConvWithState``: a depthwise convolution over the state and the input."""
    x, w, bias = n.need(0), n.need(1), n.get(2)
    batch, channels, steps = x.known
    window = fixed(w.known[2], "a kernel size")
    source, weights, y = p.tensor(x), p.weight(w), p.tensor(n.out)
    names = source.name, weights.name, y.name
    nest = conv_nest(batch, channels, 1, 1, [steps], [window], [1], [1], [steps], names)
    active = VECTOR_OPS["silu"] if n.text("activation", "none") not in {"none", ""} else 0
    p.add(
        n,
        "depthwise",
        [source, weights, *p.vector(bias), *p.reads(n.get(3))],
        nests=[nest],
        ops=product(active + (bias is not None), n.out.elements),
        pair=(weights.slot, source.slot),
    )
