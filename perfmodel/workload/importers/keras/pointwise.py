"""Translation of Keras activations, merges, normalisations and pooling layers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from math import prod
from typing import Final

from perfmodel.workload.importers.keras.fields import LAYERS
from perfmodel.workload.importers.keras.layer import KerasLayerCall, LayerOutput, Value
from perfmodel.workload.importers.keras.products import axes_of, padding
from perfmodel.workload.importers.onnx.node import NotPricedError
from perfmodel.workload.importers.onnx.registry import FUNCTIONS, plain

_MERGES: Final[Mapping[str, str]] = LAYERS["merges"]
_OPERATORS: Final[Mapping[str, str]] = LAYERS["operators"]


def aligned(layer: KerasLayerCall) -> tuple[list[str], bool]:
    """Return the inputs in a common order of axes, and whether its channels are first."""
    ranks = {len(layer.shape(v)) for v in layer.inputs}
    first = any(v.first for v in layer.inputs) and len(ranks) == 1
    return list(map(layer.turned if first else layer.plain, layer.inputs)), first


def merge(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Add`` and other merges of two or more inputs, with broadcasting."""
    names, first = aligned(layer)
    two, many = FUNCTIONS[plain(layer.class_name)].name, _MERGES.get(layer.class_name)
    if len(names) == 1 and layer.constants:
        return operation(layer)
    if len(names) < 2:
        raise NotPricedError("it merges a single input")
    if many and len(names) > 2:
        return Value(layer.add(many, names), first)
    return Value(reduce(lambda x, other: layer.add(two, [x, other]), names), first)


def operation(layer: KerasLayerCall) -> LayerOutput:
    """Translate elementwise operations of Keras 3 and TensorFlow functions; constants are free."""
    names, first = aligned(layer)
    name = layer.class_name
    if name == "TFOpLambda":
        name = layer.fields.text("function", "").rpartition(".")[2]
    if plain(name) == "square":
        name, names = "multiply", names * 2
    return Value(layer.add(FUNCTIONS[plain(name)].name, names), first)


def activation(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Activation`` and ``QActivation``."""
    if layer.class_name != "AdaptiveActivation":
        return layer.activated(layer.x)
    format = f"int{layer.fields.integer('total_bits', 8)}"
    return Value(layer.rounded(layer.applied("Relu").name, format), layer.x.first)


def relu(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``ReLU``, optionally with an upper bound or a negative slope."""
    fields = layer.fields
    slope = fields.number("negative_slope", 0.0)
    return layer.applied("LeakyRelu" if slope else "Clip" if fields.has("max_value") else "Relu")


def operator(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``LeakyReLU`` and other layers that are one unary operator."""
    return layer.applied(_OPERATORS[layer.class_name])


def softmax(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Softmax`` over the last axis."""
    return layer.function(layer.x, "softmax")


def prelu(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``PReLU``: one slope per element, or shared along axes."""
    shape = list(layer.shape())
    shared: object = layer.fields.data.get("shared_axes")
    axes = layer.fields.axes("shared_axes", -1, len(shape)) if shared else []
    sizes = [1 if i in axes else layer.size(i) for i in range(1, len(shape))]
    return Value(layer.add("PRelu", [layer.plain(), layer.weight("alpha", sizes)]))


def batch_norm(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``BatchNormalization`` at inference."""
    fields, rank = layer.fields, len(layer.shape())
    size = (layer.size((fields.axes("axis", -1, rank) or [-1])[0]),)
    read = [
        layer.weight(name, size, f"{name.removeprefix('moving_')}_quantizer")
        for name, there in (
            ("gamma", fields.flag("scale", True)),
            ("beta", fields.flag("center", True)),
            ("moving_mean", True),
            ("moving_variance", True),
        )
        if there
    ]
    return Value(layer.add("BatchNormalization", [layer.x.name, *read]), layer.x.first)


def layer_norm(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``LayerNormalization``, ``RMSNormalization`` and ``GroupNormalization``."""
    fields = layer.fields
    size = (prod(map(layer.size, fields.axes("axis", -1, len(layer.shape())))),)
    rms = layer.class_name == "RMSNormalization" or fields.flag("rms_scaling", False)
    scale, centre = fields.flag("scale", True), fields.flag("center", True) and not rms
    read = [layer.weight("gamma", size)] if scale or rms else []
    read += [layer.weight("beta", size)] if centre else []
    op = "RMSNormalization" if rms else layer.class_name
    return Value(layer.add(op, [layer.x.name, *read]), layer.x.first)


def pool(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``MaxPooling`` and ``AveragePooling`` over one to three axes."""
    fields, axes = layer.fields, axes_of(layer)
    kernel = fields.integers("pool_size", axes, 2)
    stride = fields.integers("strides", axes) if fields.has("strides") else kernel
    pooled = layer.add(
        "MaxPool" if layer.class_name.startswith("Max") else "AveragePool",
        [layer.front()],
        kernel_shape=tuple(kernel),
        strides=tuple(stride),
        **padding(layer, kernel, stride, [1] * axes),
    )
    value = layer.imaged(pooled)
    return layer.activated(value) if layer.quantised else value


def global_pool(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``GlobalMaxPooling`` and ``GlobalAveragePooling``, with or without ``keepdims``."""
    op = "GlobalMaxPool" if "Max" in layer.class_name else "GlobalAveragePool"
    x = layer.add(op, [layer.front()])
    if layer.fields.flag("keepdims", False):
        return layer.imaged(x)
    value = Value(layer.trace.view(x, [(1, (0,)), (1, (1,))], name=f"{layer.name}.flat"))
    return layer.activated(value) if layer.quantised else value


def same(layer: KerasLayerCall) -> LayerOutput:
    """Return the inputs of layers without effect at inference: dropout, noise, masks, inputs."""
    return list(layer.inputs) if len(layer.inputs) > 1 else layer.x


def standardise(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Normalization``: subtract a stored mean, divide by a stored deviation."""
    fields = layer.fields
    if fields.has("mean"):
        return rescale(layer)  # numbers of the configuration, not weights
    axes = fields.axes("axis", -1, len(layer.shape())) if fields.has("axis") else []
    sizes = [layer.size(a) for a in axes] or [1]
    x = layer.add("Sub", [layer.plain(), layer.weight("mean", sizes)], "centred")
    return Value(layer.add("Div", [x, layer.weight("variance", sizes)]))


def rescale(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Rescaling``: ``scale * x + offset``."""
    return layer.applied("Affine", domain="com.microsoft")


def layer_scale(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``LayerScale`` of ConvNeXt: one factor per channel."""
    size = (layer.fields.integer("projection_dim", layer.size()),)
    return Value(layer.add("Mul", [layer.plain(), layer.weight("gamma", size)]))
