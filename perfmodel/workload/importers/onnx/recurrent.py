"""Recurrent operators: LSTM, GRU and RNN cells, linear attention, convolutions with a state.

Shapes follow the ONNX operator specification (docs/Operators.md). A cell with G gates (LSTM 4, GRU
3, RNN 1), hidden width H and input width D takes ``G H (D + H)`` multiply-accumulates and ``8 G H``
vector operations per step and sequence (Hochreiter and Schmidhuber, Neural Computation 9(8), 1997;
Cho et al., EMNLP 2014). Entries of ``workloads/operators/onnx.yaml`` name these functions.
"""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    NotPricedError,
    OnnxNode,
    require_integer,
    swap_last_axes,
)
from perfmodel.workload.importers.onnx.output_shapes import require_equal, set_output
from perfmodel.workload.importers.onnx.pricer import Pricer
from perfmodel.workload.nest import LoopNest, contraction, conv_nest
from perfmodel.workload.symbols import Dim, product, simplify
from perfmodel.workload.vector_functions import VECTOR_OPS

#: Gates of a recurrent cell.
GATES: Mapping[str, int] = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recurrent_shape(node: OnnxNode) -> None:
    """Set the shapes of ``LSTM``, ``GRU`` and ``RNN`` for T steps, batch N and D directions.

    The sequence is ``(T, D, N, H)``, or ``(N, T, D, H)`` with ``layout`` 1; the final states are
    ``(D, N, H)``, or ``(N, D, H)``.
    """
    x, w, r = (node.shape(i, 3) for i in range(3))
    directions, hidden = r[0], r[-1]
    gates = GATES[node.op]
    direction_count = 2 if node.text("direction", "forward") == "bidirectional" else 1
    require_equal("extents of input and weights", x[2], w[2])
    require_equal("gates of the weights", w[1], r[1], product(gates, hidden))
    require_equal("directions", directions, w[0], direction_count)
    stated_hidden = node.attributes.get("hidden_size", hidden)
    require_equal("attribute 'hidden_size' and the weights", stated_hidden, hidden)
    first, second, _ = x
    if node.integer("layout", 0):
        set_output(node, (first, second, directions, hidden))
        final_state = first, directions, hidden
    else:
        set_output(node, (first, directions, second, hidden))
        final_state = directions, second, hidden
    for i in range(1, len(node.outputs)):
        set_output(node, final_state, i)


def quantised_lstm_shape(node: OnnxNode) -> None:
    """Set the shapes of ``DynamicQuantizeLSTM``, whose recurrent weights are transposed."""
    steps, batch, _ = node.shape(0, 3)
    directions, hidden, _ = node.shape(2, 3)
    set_output(node, (steps, directions, batch, hidden))
    for i in (1, 2):
        set_output(node, (directions, batch, hidden), i)


def linear_attention_shape(node: OnnxNode) -> None:
    """Set the shapes of ``LinearAttention``: ``(N, T, heads * v)``, and ``(N, G, d, v)``."""
    q, k, v = (node.shape(i, 3) for i in range(3))
    heads, groups = node.integer("q_num_heads", 0), node.integer("kv_num_heads", 0)
    if heads <= 0 or groups <= 0:
        raise ContradictionError("attributes 'q_num_heads' and 'kv_num_heads' are missing")
    value_width = simplify(v[2] / groups)
    set_output(node, (q[0], q[1], product(heads, value_width)))
    set_output(node, (q[0], groups, k[2] / groups, value_width), 1)


def causal_conv_shape(node: OnnxNode) -> None:
    """Set the shapes of ``CausalConvWithState``: the input's, and ``(N, C, k - 1)``."""
    x, w = node.shape(0, 3), node.shape(1, 3)
    set_output(node, x)
    set_output(node, (*x[:2], w[2] - 1), 1)


def price_recurrent(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``LSTM``, ``GRU`` and ``RNN`` over T steps of N sequences.

    The product with the input is one matrix product of ``T N`` rows, ``T N D G H``
    multiply-accumulates per direction, so its weights are read once. The product with the hidden
    state, ``T N G H H``, is sequential, and its weights are counted as read in every step. Each
    gate costs 8 vector operations per hidden element and step.
    """
    x, w, r, bias = node.require(0), node.require(1), node.require(2), node.get(3)
    gates = GATES[node.op]
    steps, batch, features = x.extents
    if node.integer("layout", 0):
        steps, batch = batch, steps
    directions, hidden = r.extents[0], r.extents[-1]
    gates_width = simplify(hidden * gates)
    input_weights, recurrent_weights = pricer.weight(w), pricer.weight(r)
    outputs = [pricer.tensor(e) for e in node.present_outputs]
    if not outputs:
        raise NotPricedError("it has no output")
    y = outputs[0]
    state = pricer.scratch(f"{node.name}.state", (batch, directions, hidden), role="state")
    source = pricer.tensor(x)

    def nest(weight: Tensor, k: Dim, name: str) -> LoopNest:
        sizes = {"t": steps, "d": directions, "m": batch, "n": gates_width, "k": k}
        names = name, weight.name, y.name
        return contraction("mtk,dnk->mtdn", sizes, names, weights=True)

    states = 2 if node.op == "LSTM" else 1
    pricer.add(
        node,
        "recurrent",
        [
            source,
            input_weights,
            *((t, product(t.elements, steps)) for t in (recurrent_weights, *pricer.vector(bias))),
            *pricer.reads(node.get(5), node.get(6)),
        ],
        [*outputs, (state, product(2 * states, state.elements, steps))],
        nests=[
            nest(input_weights, features, source.name),
            nest(recurrent_weights, hidden, state.name),
        ],
        ops=product(batch, steps, directions, hidden, gates * 8),
        pair=(input_weights.slot, source.slot),
        attributes={"cell": node.op.lower()},
    )


def price_quantised_lstm(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``DynamicQuantizeLSTM``: an LSTM with transposed 8-bit weights."""
    w, r = node.require(1), node.require(2)
    for edge in (w, r):
        if len(edge.extents) != 3:
            raise NotPricedError(f"'{edge.name}' has {len(edge.extents)} dimensions and not 3")
        if edge.tensor is None and not edge.is_data:
            edge.kind, edge.shape = "weight", swap_last_axes(edge.extents)
    price_recurrent(
        pricer, OnnxNode("LSTM", node.name, node.inputs[:8], node.outputs, node.attributes)
    )


def price_linear_attention(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``LinearAttention``: ``S += k v^T`` and ``y = S^T q`` per step and head.

    Both products have ``d v`` multiply-accumulates (Katharopoulos et al., ICML 2020, equations 18
    to 20). The delta rules (Yang et al., NeurIPS 2024) read the state once more to correct it;
    decay and rate are elementwise.
    """
    q, k, v = node.require(0), node.require(1), node.require(2)
    batch, steps, width = k.extents
    heads, groups = node.integer("q_num_heads", 1), node.integer("kv_num_heads", 1)
    key, value = simplify(width / groups), simplify(v.extents[2] / groups)
    state = pricer.scratch(f"{node.name}.state", (batch, groups, key, value), role="state")
    y = pricer.tensor(node.first_output)
    delta = "delta" in node.text("update_rule", "gated_delta")

    def nest(count: Dim, *tensors: Tensor) -> LoopNest:
        sizes = {"b": batch, "t": steps, "h": count, "i": key, "j": value}
        return contraction("bthi,bthj->bthj", sizes, [t.name for t in tensors])

    queries, keys, values = map(pricer.tensor, (q, k, v))
    nests = [nest(groups, keys, values, state), nest(heads, queries, state, y)]
    if delta:
        nests.append(nest(groups, keys, state, state))
    gates = 2 if "gated" in node.text("update_rule", "") else 1
    pricer.add(
        node,
        "recurrent",
        pricer.reads(*node.present_inputs),
        [
            *(pricer.tensor(e) for e in node.present_outputs),
            (state, product(2, state.elements, steps)),
        ],
        nests=nests,
        ops=product(batch, steps, groups, key, value, gates),
        pair=("activation", "activation"),
        attributes={"cell": "linear_attention"},
    )


def price_causal_conv(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``CausalConvWithState``: depthwise, with ``N C T k`` multiply-accumulates."""
    x, w, bias = node.require(0), node.require(1), node.get(2)
    batch, channels, steps = x.extents
    window = require_integer(w.extents[2], "a kernel size")
    source, weights, y = pricer.tensor(x), pricer.weight(w), pricer.tensor(node.first_output)
    names = source.name, weights.name, y.name
    nest = conv_nest(batch, channels, 1, 1, [steps], [window], [1], [1], [steps], names)
    active = VECTOR_OPS["silu"] if node.text("activation", "none") not in {"none", ""} else 0
    pricer.add(
        node,
        "depthwise",
        [source, weights, *pricer.vector(bias), *pricer.reads(node.get(3))],
        nests=[nest],
        ops=product(active + (bias is not None), node.first_output.elements),
        pair=(weights.slot, source.slot),
    )
