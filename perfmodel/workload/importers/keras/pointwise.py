"""Translation of Keras activations, merges, normalisations and pooling layers.

Each function receives a layer call and adds its nodes. ``workloads/operators/keras.yaml`` maps
classes of layers to functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from math import prod
from typing import Final

from perfmodel.workload.importers.keras.dense_convolution import padding_attributes, spatial_axes
from perfmodel.workload.importers.keras.layer_fields import LAYERS
from perfmodel.workload.importers.keras.layer_translation import (
    KerasLayerCall,
    KerasValue,
    LayerOutput,
)
from perfmodel.workload.importers.onnx.node import NotPricedError
from perfmodel.workload.importers.onnx.registry import FUNCTIONS, normalise_name

_MERGES: Final[Mapping[str, str]] = LAYERS["merges"]
_OPERATORS: Final[Mapping[str, str]] = LAYERS["operators"]


def align_axes(layer: KerasLayerCall) -> tuple[list[str], bool]:
    """Return the inputs in a common order of axes, and whether its channels are first."""
    ranks = {len(layer.shape(v)) for v in layer.inputs}
    first = any(v.has_channels_first for v in layer.inputs) and len(ranks) == 1
    return list(
        map(layer.to_channels_first if first else layer.in_keras_order, layer.inputs)
    ), first


def translate_merge(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Add`` and other merges of two or more inputs, with broadcasting."""
    names, first = align_axes(layer)
    two, many = FUNCTIONS[normalise_name(layer.class_name)].name, _MERGES.get(layer.class_name)
    if len(names) == 1 and layer.constants:
        return translate_operation(layer)
    if len(names) < 2:
        raise NotPricedError("it merges a single input")
    if many and len(names) > 2:
        return KerasValue(layer.add(many, names), first)
    return KerasValue(reduce(lambda x, other: layer.add(two, [x, other]), names), first)


def translate_operation(layer: KerasLayerCall) -> LayerOutput:
    """Translate elementwise operations of Keras 3 and TensorFlow functions; constants are free."""
    names, first = align_axes(layer)
    name = layer.class_name
    if name == "TFOpLambda":
        name = layer.fields.text("function", "").rpartition(".")[2]
    if normalise_name(name) == "square":
        name, names = "multiply", names * 2
    return KerasValue(layer.add(FUNCTIONS[normalise_name(name)].name, names), first)


def translate_activation(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Activation`` and ``QActivation``."""
    if layer.class_name != "AdaptiveActivation":
        return layer.apply_activation(layer.x)
    format = f"int{layer.fields.integer('total_bits', 8)}"
    return KerasValue(
        layer.round_to(layer.apply_operator("Relu").name, format), layer.x.has_channels_first
    )


def translate_relu(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``ReLU``, optionally with an upper bound or a negative slope."""
    fields = layer.fields
    slope = fields.number("negative_slope", 0.0)
    return layer.apply_operator(
        "LeakyRelu" if slope else "Clip" if fields.has("max_value") else "Relu"
    )


def translate_unary(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``LeakyReLU`` and other layers that are one unary operator."""
    return layer.apply_operator(_OPERATORS[layer.class_name])


def translate_softmax(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Softmax`` over the last axis."""
    return layer.apply_function(layer.x, "softmax")


def translate_prelu(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``PReLU``: one slope per element, or shared along axes."""
    shape = list(layer.shape())
    shared: object = layer.fields.data.get("shared_axes")
    axes = layer.fields.axes("shared_axes", -1, len(shape)) if shared else []
    sizes = [1 if i in axes else layer.size(i) for i in range(1, len(shape))]
    return KerasValue(layer.add("PRelu", [layer.in_keras_order(), layer.weight("alpha", sizes)]))


def translate_batch_norm(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``BatchNormalization`` at inference."""
    fields, rank = layer.fields, len(layer.shape())
    size = (layer.size((fields.axes("axis", -1, rank) or [-1])[0]),)
    parameters = [
        layer.weight(name, size, f"{name.removeprefix('moving_')}_quantizer")
        for name, is_stored in (
            ("gamma", fields.flag("scale", True)),
            ("beta", fields.flag("center", True)),
            ("moving_mean", True),
            ("moving_variance", True),
        )
        if is_stored
    ]
    return KerasValue(
        layer.add("BatchNormalization", [layer.x.name, *parameters]), layer.x.has_channels_first
    )


def translate_layer_norm(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``LayerNormalization``, ``RMSNormalization`` and ``GroupNormalization``."""
    fields = layer.fields
    size = (prod(map(layer.size, fields.axes("axis", -1, len(layer.shape())))),)
    rms = layer.class_name == "RMSNormalization" or fields.flag("rms_scaling", False)
    scale, centre = fields.flag("scale", True), fields.flag("center", True) and not rms
    read = [layer.weight("gamma", size)] if scale or rms else []
    read += [layer.weight("beta", size)] if centre else []
    op = "RMSNormalization" if rms else layer.class_name
    return KerasValue(layer.add(op, [layer.x.name, *read]), layer.x.has_channels_first)


def translate_pool(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``MaxPooling`` and ``AveragePooling`` over one to three axes."""
    fields, axes = layer.fields, spatial_axes(layer)
    kernel = fields.integers("pool_size", axes, 2)
    stride = fields.integers("strides", axes) if fields.has("strides") else kernel
    pooled = layer.add(
        "MaxPool" if layer.class_name.startswith("Max") else "AveragePool",
        [layer.channels_first_input()],
        kernel_shape=tuple(kernel),
        strides=tuple(stride),
        **padding_attributes(layer, kernel, stride, [1] * axes),
    )
    value = layer.image_value(pooled)
    return layer.apply_activation(value) if layer.is_quantised else value


def translate_global_pool(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``GlobalMaxPooling`` and ``GlobalAveragePooling``, with or without ``keepdims``."""
    op = "GlobalMaxPool" if "Max" in layer.class_name else "GlobalAveragePool"
    x = layer.add(op, [layer.channels_first_input()])
    if layer.fields.flag("keepdims", False):
        return layer.image_value(x)
    value = KerasValue(layer.trace.view(x, [(1, (0,)), (1, (1,))], name=f"{layer.name}.flat"))
    return layer.apply_activation(value) if layer.is_quantised else value


def pass_inputs_through(layer: KerasLayerCall) -> LayerOutput:
    """Return the inputs of a layer without effect at inference: dropout, noise, masks, inputs."""
    return list(layer.inputs) if len(layer.inputs) > 1 else layer.x


def translate_normalization(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Normalization``: subtract a stored mean, divide by a stored deviation."""
    fields = layer.fields
    if fields.has("mean"):
        return translate_rescaling(layer)  # numbers of the configuration, not weights
    axes = fields.axes("axis", -1, len(layer.shape())) if fields.has("axis") else []
    sizes = [layer.size(a) for a in axes] or [1]
    x = layer.add("Sub", [layer.in_keras_order(), layer.weight("mean", sizes)], "centred")
    return KerasValue(layer.add("Div", [x, layer.weight("variance", sizes)]))


def translate_rescaling(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Rescaling``: ``scale * x + offset``."""
    return layer.apply_operator("Affine", domain="com.microsoft")


def translate_layer_scale(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``LayerScale`` of ConvNeXt: one factor per channel."""
    size = (layer.fields.integer("projection_dim", layer.size()),)
    return KerasValue(layer.add("Mul", [layer.in_keras_order(), layer.weight("gamma", size)]))
