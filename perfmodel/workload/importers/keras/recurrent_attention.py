"""Translation of Keras recurrent layers, attention layers and wrappers.

Each function receives a layer call and adds its nodes. ``workloads/operators/keras.yaml`` maps
classes of layers to functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from perfmodel.workload.importers.keras.layer_translation import (
    KerasLayerCall,
    KerasValue,
    LayerOutput,
    split_qkeras_prefix,
)
from perfmodel.workload.importers.onnx.node import NotPricedError
from perfmodel.workload.importers.onnx.recurrent import GATES
from perfmodel.workload.importers.onnx_tracer import DOMAIN

#: Class of the layer -> ONNX operator.
_CELLS: Mapping[str, str] = {"LSTM": "LSTM", "GRU": "GRU", "SimpleRNN": "RNN"}


def translate_recurrent(layer: KerasLayerCall, directions: int = 1) -> LayerOutput:
    """Translate ``LSTM``, ``GRU`` and ``SimpleRNN`` over ``(batch, steps, features)``.

    With G gates, kernels are ``(D, G units, features)`` and ``(D, G units, units)`` for D
    directions.
    """
    op = _CELLS[layer.class_name]
    fields = layer.fields
    units, features = fields.integer("units"), layer.size()
    if len(layer.shape()) != 3:
        raise NotPricedError(f"its input has {len(layer.shape())} dimensions and not 3")
    gate_units = GATES[op] * units
    operands = [
        layer.in_keras_order(),
        layer.weight("kernel", (directions, gate_units, features), "kernel_quantizer"),
        layer.weight("recurrent_kernel", (directions, gate_units, units), "recurrent_quantizer"),
    ]
    # A GRU that resets after the product has a separate bias for each of the two products.
    has_two_biases = op == "GRU" and fields.flag("reset_after", True)
    operands += layer.bias(directions, gate_units * (1 + has_two_biases))
    sequences, states = fields.flag("return_sequences", False), fields.flag("return_state", False)
    outputs = layer.trace.add(
        op,
        operands,
        name=layer.name,
        outputs=(sequences, not sequences or states, states and op == "LSTM"),
        hidden_size=units,
        layout=1,
        direction="bidirectional" if directions == 2 else "forward",
    )
    axes = [(1, (0,)), (1, (1,)), (1, (2, 3))], [(1, (0,)), (1, (1, 2))]
    out = [
        KerasValue(layer.trace.view(name, axes[i > 0])) for i, name in enumerate(outputs) if name
    ]
    if states and not sequences:
        out.insert(0, out[0])
    return _one_or_all(out)


def _one_or_all(values: list[KerasValue]) -> LayerOutput:
    """Return a single value itself, several as a list."""
    return values if len(values) > 1 else values[0]


def _wrapped_call(layer: KerasLayerCall, inputs: list[KerasValue]) -> KerasLayerCall:
    """Return the call of the wrapped layer with the given inputs."""
    inner = layer.fields.inner("layer")
    name = inner.text("class_name", "")
    if not name:
        raise inner.invalid("class_name", "the name of a layer")
    config = inner.inner("config")
    class_name, quantised = split_qkeras_prefix(name)
    return replace(
        layer,
        class_name=class_name,
        fields=config,
        inputs=inputs,
        keywords={},
        constants=(),
        is_quantised=quantised,
        name=f"{layer.name}.{config.text('name', name.lower())}",
    )


def translate_bidirectional(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Bidirectional``: both directions in one operator, then merged."""
    inner = _wrapped_call(layer, layer.inputs)
    if inner.class_name not in _CELLS:
        raise NotPricedError(f"a {inner.class_name} in both directions")
    mode = layer.fields.text("merge_mode", "concat")
    outputs = translate_recurrent(inner, 2)
    if mode == "concat":
        return outputs
    merge_operator = {"sum": "Add", "mul": "Mul", "ave": "Mean"}.get(mode)
    merged: list[KerasValue] = []
    units = inner.fields.integer("units")
    for value in outputs if isinstance(outputs, list) else [outputs]:
        axes = (len(layer.shape(value)) - 1,)
        halves = [
            layer.add("Slice", [value.name], "half", starts=(at,), ends=(at + units,), axes=axes)
            for at in (0, units)
        ]
        if merge_operator is None:
            return [KerasValue(h) for h in halves]
        merged.append(KerasValue(layer.add(merge_operator, halves, "merge")))
    return _one_or_all(merged)


def translate_time_distributed(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``TimeDistributed``: fold the steps into the batch, which costs nothing."""
    x = layer.in_keras_order()
    rank = len(layer.trace.shape(x))
    if rank < 3:
        raise NotPricedError(f"its input has {rank} dimensions")
    axes = [(1, (0, 1)), *((1, (i,)) for i in range(2, rank))]
    joined = layer.trace.view(x, axes, name=f"{layer.name}.joined")
    inner = _wrapped_call(layer, [KerasValue(joined)])
    if inner.run is None:
        raise NotPricedError("a wrapper outside of a model")
    outputs = inner.run(inner)
    unfolded: list[KerasValue] = []
    for value in outputs if isinstance(outputs, list) else [outputs]:
        y = inner.in_keras_order(value)
        trailing_axes = [(1, (i,)) for i in range(1, len(layer.trace.shape(y)))]
        unfolded.append(
            KerasValue(layer.trace.view(y, [(1, (-1,)), (1, (-2,)), *trailing_axes], like=x))
        )
    return _one_or_all(unfolded)


def _add_projection(layer: KerasLayerCall, x: str, features: int, width: int, name: str) -> str:
    """Add a dense layer with the weights of a projection."""
    kernel = layer.weight(f"{name}.kernel", (features, width))
    bias = layer.bias(width, name=f"{name}.bias", key="")
    return layer.add("Linear", [x, kernel, *bias], name, domain=DOMAIN)


def translate_multi_head_attention(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``MultiHeadAttention`` and ``GroupQueryAttention``.

    Three projections to queries, keys and values, the attention, and a projection of its result.
    """
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
        _add_projection(layer, layer.in_keras_order(x), layer.size(value=x), width, name)
        for name, x, width in (
            ("query", query, heads * head),
            ("key", key, groups * head),
            ("value", value, groups * value_head),
        )
    ]
    y = layer.add("Attention", projected, "core", q_num_heads=heads, kv_num_heads=groups)
    (out,) = fields.integers("output_shape", 1, layer.size(value=query))
    return KerasValue(_add_projection(layer, y, heads * value_head, out, "output"))


def translate_attention(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Attention``: single-head attention without weights."""
    if len(layer.inputs) < 2:
        raise NotPricedError("it is called without a query and values")
    query, value, key = (*layer.inputs, layer.inputs[1])[:3]
    names = [layer.in_keras_order(v) for v in (query, key, value)]
    return KerasValue(layer.add("Attention", names, q_num_heads=1, kv_num_heads=1))
