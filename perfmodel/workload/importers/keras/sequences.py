"""Recurrent layers, attention, and the wrappers of Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from perfmodel.workload.importers.keras.layer import Handler, KerasLayerCall, Made, Value
from perfmodel.workload.importers.onnx.node import NotPricedError
from perfmodel.workload.importers.trace import DOMAIN

#: Layer -> cell and its gates.
_CELLS: Mapping[str, tuple[str, int]] = {
    "LSTM": ("LSTM", 4),
    "GRU": ("GRU", 3),
    "SimpleRNN": ("RNN", 1),
}


def recurrent(layer: KerasLayerCall, directions: int = 1) -> Made:
    """``LSTM``, ``GRU``, ``SimpleRNN`` over ``(batch, steps, features)``."""
    op, gates = _CELLS[layer.class_name]
    f = layer.fields
    units, features = f.whole("units"), layer.size()
    if len(layer.shape()) != 3:
        raise NotPricedError(f"its input has {len(layer.shape())} dimensions and not 3")
    read = [
        layer.plain(),
        layer.weight("kernel", (directions, gates * units, features), "kernel_quantizer"),
        layer.weight("recurrent_kernel", (directions, gates * units, units), "recurrent_quantizer"),
    ]
    if f.flag("use_bias", True):
        # A GRU that resets after the product keeps a bias for either product.
        two = op == "GRU" and f.flag("reset_after", True)
        read.append(layer.weight("bias", (directions, gates * units * (1 + two)), "bias_quantizer"))
    whole, states = f.flag("return_sequences", False), f.flag("return_state", False)
    wanted = (whole, not whole or states, states and op == "LSTM")
    made = layer.trace.add(op, read, name=layer.name, outputs=wanted, hidden_size=units, layout=1,
                           direction="bidirectional" if directions == 2 else "forward")  # fmt: skip
    flat = layer.trace.view
    out: list[Value] = []
    if whole:
        out.append(Value(flat(made[0], [(1, (0,)), (1, (1,)), (1, (2, 3))])))
    last = Value(flat(made[1], [(1, (0,)), (1, (1, 2))])) if made[1] else None
    if not whole and last is not None:
        out.append(last)
    if states and last is not None:
        out.append(last)
        if made[2]:
            out.append(Value(flat(made[2], [(1, (0,)), (1, (1, 2))])))
    return out if len(out) > 1 else out[0]


def _wrapped(layer: KerasLayerCall, inputs: list[Value]) -> KerasLayerCall:
    """Return the layer inside a wrapper, called with other inputs."""
    inner = layer.fields.inner("layer")
    name = inner.text("class_name", "")
    if not name:
        raise inner.bad("class_name", "the name of a layer")
    config = inner.inner("config")
    quantised = name.startswith("Q") and name[1:2].isupper()
    return replace(
        layer, class_name=name[1:] if quantised else name, fields=config, inputs=inputs,
        keywords={}, constants=(), quantised=quantised, stated=(),
        name=f"{layer.name}.{config.text('name', name.lower())}",
    )  # fmt: skip


def bidirectional(layer: KerasLayerCall) -> Made:
    """``Bidirectional``: both directions as one operator, then merged."""
    inner = _wrapped(layer, layer.inputs)
    if inner.class_name not in _CELLS:
        raise NotPricedError(f"a {inner.class_name} in both directions")
    mode = layer.fields.text("merge_mode", "concat")
    made = recurrent(inner, 2)
    outs = made if isinstance(made, list) else [made]
    if mode == "concat":
        return made
    merged: list[Value] = []
    units = inner.fields.whole("units")
    for value in outs:
        rank = len(layer.shape(value))
        halves = [
            layer.trace.add("Slice", [value.name], name=f"{layer.name}.half", starts=(i * units,),
                            ends=((i + 1) * units,), axes=(rank - 1,))[0]
            for i in (0, 1)
        ]  # fmt: skip
        op = {"sum": "Add", "mul": "Mul", "ave": "Mean"}.get(mode)
        if op is None:
            return [Value(h) for h in halves]
        merged.append(Value(layer.add(op, halves, "merge")))
    return merged if len(merged) > 1 else merged[0]


def time_distributed(layer: KerasLayerCall) -> Made:
    """``TimeDistributed``: the steps join the batch, which costs nothing."""
    x = layer.plain()
    rank = len(layer.trace.shape(x))
    if rank < 3:
        raise NotPricedError(f"its input has {rank} dimensions")
    rest = [(1, (i,)) for i in range(2, rank)]
    joined = layer.trace.view(x, [(1, (0, 1)), *rest], name=f"{layer.name}.joined")
    inner = _wrapped(layer, [Value(joined)])
    if inner.run is None:
        raise NotPricedError("a wrapper outside of a model")
    made = inner.run(inner)
    outs: list[Value] = []
    for value in made if isinstance(made, list) else [made]:
        y = inner.plain(value)
        after = [(1, (i,)) for i in range(1, len(layer.trace.shape(y)))]
        outs.append(Value(layer.trace.view(y, [(1, (-1,)), (1, (-2,)), *after], like=x)))
    return outs if len(outs) > 1 else outs[0]


def _project(
    layer: KerasLayerCall, x: str, features: int, width: int, name: str, bias: bool
) -> str:
    read = [x, layer.weight(f"{name}.kernel", (features, width))]
    if bias:
        read.append(layer.weight(f"{name}.bias", (width,)))
    return layer.add("Linear", read, name, domain=DOMAIN)


def multi_head(layer: KerasLayerCall) -> Made:
    """``MultiHeadAttention`` and ``GroupQueryAttention``: four projections and the core."""
    f = layer.fields
    grouped = layer.class_name.startswith("Group")
    heads = f.whole("num_query_heads" if grouped else "num_heads")
    groups = f.whole("num_key_value_heads", heads) if grouped else heads
    head = f.whole("head_dim" if grouped else "key_dim")
    value_head = f.whole("value_dim", head) if f.has("value_dim") else head
    bias = f.flag("use_bias", True)
    called = {"query": 0, "value": 1, "key": 2}
    given: dict[str, Value] = {
        name: layer.inputs[at] for name, at in called.items() if at < len(layer.inputs)
    } | dict(layer.keywords)  # fmt: skip
    if "query" not in given:
        raise NotPricedError("it is called without a query")
    query = given["query"]
    value = given.get("value", query)
    key = given.get("key", value)
    if any(len(layer.shape(v)) != 3 for v in (query, key, value)):
        raise NotPricedError("it attends over more than one axis")
    width = layer.size(value=query)
    q = _project(layer, layer.plain(query), width, heads * head, "query", bias)
    k = _project(layer, layer.plain(key), layer.size(value=key), groups * head, "key", bias)
    v = _project(layer, layer.plain(value), layer.size(value=value), groups * value_head, "value",
                 bias)  # fmt: skip
    y = layer.add("Attention", [q, k, v], "core", q_num_heads=heads, kv_num_heads=groups)
    out = width
    if f.has("output_shape"):
        out = f.wholes("output_shape", 1)[0]
    return Value(_project(layer, y, heads * value_head, out, "output", bias))


def attention(layer: KerasLayerCall) -> Made:
    """``Attention``: scores of whole vectors, without weights."""
    if len(layer.inputs) < 2:
        raise NotPricedError("it is called without a query and values")
    query, value = layer.inputs[0], layer.inputs[1]
    key = layer.inputs[2] if len(layer.inputs) > 2 else value
    names = [layer.plain(v) for v in (query, key, value)]
    return Value(layer.add("Attention", names, q_num_heads=1, kv_num_heads=1))


HANDLERS: Mapping[str, Handler] = {
    **dict.fromkeys(_CELLS, recurrent),
    "Bidirectional": bidirectional, "TimeDistributed": time_distributed,
    **dict.fromkeys(("MultiHeadAttention", "GroupQueryAttention", "GroupedQueryAttention"),
                    multi_head),
    "Attention": attention,
}  # fmt: skip
