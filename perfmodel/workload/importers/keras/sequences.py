"""Translation of Keras recurrent layers, attention and wrappers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from perfmodel.workload.importers.keras.layer import (
    KerasLayerCall,
    LayerOutput,
    Value,
    class_of,
)
from perfmodel.workload.importers.onnx.node import NotPricedError
from perfmodel.workload.importers.onnx.recurrent import GATES
from perfmodel.workload.importers.trace import DOMAIN

#: Class of the layer -> ONNX operator.
_CELLS: Mapping[str, str] = {"LSTM": "LSTM", "GRU": "GRU", "SimpleRNN": "RNN"}


def recurrent(layer: KerasLayerCall, directions: int = 1) -> LayerOutput:
    """Translate ``LSTM``, ``GRU`` and ``SimpleRNN`` over ``(batch, steps, features)``."""
    op = _CELLS[layer.class_name]
    fields = layer.fields
    units, features = fields.integer("units"), layer.size()
    if len(layer.shape()) != 3:
        raise NotPricedError(f"its input has {len(layer.shape())} dimensions and not 3")
    wide = GATES[op] * units
    read = [
        layer.plain(),
        layer.weight("kernel", (directions, wide, features), "kernel_quantizer"),
        layer.weight("recurrent_kernel", (directions, wide, units), "recurrent_quantizer"),
    ]
    # A GRU that resets after the product has a separate bias for each of the two products.
    two = op == "GRU" and fields.flag("reset_after", True)
    read += layer.bias(directions, wide * (1 + two))
    sequences, states = fields.flag("return_sequences", False), fields.flag("return_state", False)
    outputs = layer.trace.add(
        op,
        read,
        name=layer.name,
        outputs=(sequences, not sequences or states, states and op == "LSTM"),
        hidden_size=units,
        layout=1,
        direction="bidirectional" if directions == 2 else "forward",
    )
    axes = [(1, (0,)), (1, (1,)), (1, (2, 3))], [(1, (0,)), (1, (1, 2))]
    out = [Value(layer.trace.view(name, axes[i > 0])) for i, name in enumerate(outputs) if name]
    if states and not sequences:
        out.insert(0, out[0])
    return _one_or_all(out)


def _one_or_all(values: list[Value]) -> LayerOutput:
    return values if len(values) > 1 else values[0]


def _wrapped(layer: KerasLayerCall, inputs: list[Value]) -> KerasLayerCall:
    """Return the call of the wrapped layer with the given inputs."""
    inner = layer.fields.inner("layer")
    name = inner.text("class_name", "")
    if not name:
        raise inner.bad("class_name", "the name of a layer")
    config = inner.inner("config")
    class_name, quantised = class_of(name)
    return replace(
        layer,
        class_name=class_name,
        fields=config,
        inputs=inputs,
        keywords={},
        constants=(),
        quantised=quantised,
        name=f"{layer.name}.{config.text('name', name.lower())}",
    )


def bidirectional(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Bidirectional``: both directions in one operator, then merged."""
    inner = _wrapped(layer, layer.inputs)
    if inner.class_name not in _CELLS:
        raise NotPricedError(f"a {inner.class_name} in both directions")
    mode = layer.fields.text("merge_mode", "concat")
    outputs = recurrent(inner, 2)
    if mode == "concat":
        return outputs
    op = {"sum": "Add", "mul": "Mul", "ave": "Mean"}.get(mode)
    merged: list[Value] = []
    units = inner.fields.integer("units")
    for value in outputs if isinstance(outputs, list) else [outputs]:
        axes = (len(layer.shape(value)) - 1,)
        halves = [
            layer.add("Slice", [value.name], "half", starts=(at,), ends=(at + units,), axes=axes)
            for at in (0, units)
        ]
        if op is None:
            return [Value(h) for h in halves]
        merged.append(Value(layer.add(op, halves, "merge")))
    return _one_or_all(merged)


def time_distributed(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``TimeDistributed``: fold the steps into the batch, which costs nothing."""
    x = layer.plain()
    rank = len(layer.trace.shape(x))
    if rank < 3:
        raise NotPricedError(f"its input has {rank} dimensions")
    axes = [(1, (0, 1)), *((1, (i,)) for i in range(2, rank))]
    joined = layer.trace.view(x, axes, name=f"{layer.name}.joined")
    inner = _wrapped(layer, [Value(joined)])
    if inner.run is None:
        raise NotPricedError("a wrapper outside of a model")
    outputs = inner.run(inner)
    outs: list[Value] = []
    for value in outputs if isinstance(outputs, list) else [outputs]:
        y = inner.plain(value)
        after = [(1, (i,)) for i in range(1, len(layer.trace.shape(y)))]
        outs.append(Value(layer.trace.view(y, [(1, (-1,)), (1, (-2,)), *after], like=x)))
    return _one_or_all(outs)


def _project(layer: KerasLayerCall, x: str, features: int, width: int, name: str) -> str:
    kernel = layer.weight(f"{name}.kernel", (features, width))
    bias = layer.bias(width, name=f"{name}.bias", key="")
    return layer.add("Linear", [x, kernel, *bias], name, domain=DOMAIN)


def multi_head(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``MultiHeadAttention`` and ``GroupQueryAttention``: four projections and core."""
    fields = layer.fields
    grouped = layer.class_name.startswith("Group")
    heads = fields.integer("num_query_heads" if grouped else "num_heads")
    groups = fields.integer("num_key_value_heads", heads) if grouped else heads
    head = fields.integer("head_dim" if grouped else "key_dim")
    value_head = fields.integer("value_dim", head)
    read = dict(zip(("query", "value", "key"), layer.inputs, strict=False)) | dict(layer.keywords)
    if "query" not in read:
        raise NotPricedError("it is called without a query")
    query = read["query"]
    value = read.get("value", query)
    key = read.get("key", value)
    if any(len(layer.shape(v)) != 3 for v in (query, key, value)):
        raise NotPricedError("it attends over more than one axis")
    projected = [
        _project(layer, layer.plain(x), layer.size(value=x), width, name)
        for name, x, width in (
            ("query", query, heads * head),
            ("key", key, groups * head),
            ("value", value, groups * value_head),
        )
    ]
    y = layer.add("Attention", projected, "core", q_num_heads=heads, kv_num_heads=groups)
    (out,) = fields.integers("output_shape", 1, layer.size(value=query))
    return Value(_project(layer, y, heads * value_head, out, "output"))


def attention(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Attention``: single-head attention without weights."""
    if len(layer.inputs) < 2:
        raise NotPricedError("it is called without a query and values")
    query, value, key = (*layer.inputs, layer.inputs[1])[:3]
    names = [layer.plain(v) for v in (query, key, value)]
    return Value(layer.add("Attention", names, q_num_heads=1, kv_num_heads=1))
