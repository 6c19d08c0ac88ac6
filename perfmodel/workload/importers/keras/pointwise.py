"""Activations, merges, normalisations and pools of Keras."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from math import prod
from typing import Any

from perfmodel.workload.importers.keras.layer import Handler, KerasLayerCall, Made, Value
from perfmodel.workload.importers.keras.products import axes_of, padding
from perfmodel.workload.importers.onnx.node import NotPricedError
from perfmodel.workload.importers.onnx.registry import FUNCTIONS, plain

#: Merge -> its operator of more than two inputs; empty where there is none.
_MERGES: Mapping[str, str] = {
    "Add": "Sum",
    "Subtract": "",
    "Multiply": "",
    "Average": "Mean",
    "Maximum": "Max",
    "Minimum": "Min",
}

#: Operations of Keras 3.
_OPERATIONS = (
    "Divide",
    "TrueDivide",
    "Power",
    "Relu",
    "Relu6",
    "Sigmoid",
    "Silu",
    "Tanh",
    "Exp",
    "Sqrt",
    "Absolute",
    "Negative",
    "Gelu",
    "Square",
    "HardSigmoid",
    "HardSilu",
    "Log",
)


def aligned(layer: KerasLayerCall) -> tuple[list[str], bool]:
    """Return the inputs in one order of axes, and whether channels come first in it."""
    ranks = {len(layer.shape(v)) for v in layer.inputs}
    first = any(v.first for v in layer.inputs) and len(ranks) == 1
    return list(map(layer.turned if first else layer.plain, layer.inputs)), first


def merge(layer: KerasLayerCall) -> Made:
    """``Add`` and its like: two inputs or more, broadcast."""
    names, first = aligned(layer)
    two, many = FUNCTIONS[plain(layer.class_name)].name, _MERGES[layer.class_name]
    if len(names) == 1 and layer.constants:
        return operation(layer)
    if len(names) < 2:
        raise NotPricedError("it merges a single input")
    if many and len(names) > 2:
        return Value(layer.add(many, names), first)
    return Value(reduce(lambda x, other: layer.add(two, [x, other]), names), first)


def operation(layer: KerasLayerCall) -> Made:
    """Elementwise operations of Keras 3 and functions of TensorFlow (constants fold in)."""
    names, first = aligned(layer)
    name = layer.class_name
    if name == "TFOpLambda":
        name = layer.fields.text("function", "").rpartition(".")[2]
    if plain(name) == "square":
        name, names = "multiply", names * 2
    return Value(layer.add(FUNCTIONS[plain(name)].name, names), first)


def activation(layer: KerasLayerCall) -> Made:
    """``Activation`` and ``QActivation``."""
    if layer.class_name != "AdaptiveActivation":
        return layer.activated(layer.x)
    format = f"int{layer.fields.whole('total_bits', 8)}"
    return Value(layer.rounded(layer.applied("Relu").name, format), layer.x.first)


def relu(layer: KerasLayerCall) -> Made:
    """``ReLU`` with a largest value or a slope."""
    f = layer.fields
    slope = f.number("negative_slope", 0.0)
    return layer.applied("LeakyRelu" if slope else "Clip" if f.has("max_value") else "Relu")


def named(op: str, **attributes: Any) -> Handler:
    """Return a layer that is one operator of one input."""
    return lambda layer: layer.applied(op, **attributes)


def prelu(layer: KerasLayerCall) -> Made:
    """``PReLU``: a slope an element, or one for axes that share it."""
    shape = list(layer.shape())
    shared: object = layer.fields.data.get("shared_axes")
    axes = layer.fields.axes("shared_axes", -1, len(shape)) if shared else []
    sizes = [1 if i in axes else layer.size(i) for i in range(1, len(shape))]
    return Value(layer.add("PRelu", [layer.plain(), layer.weight("alpha", sizes)]))


def batch_norm(layer: KerasLayerCall) -> Made:
    """``BatchNormalization`` at inference."""
    f, rank = layer.fields, len(layer.shape())
    size = (layer.size((f.axes("axis", -1, rank) or [-1])[0]),)
    read = [
        layer.weight(name, size, f"{name.removeprefix('moving_')}_quantizer")
        for name, there in (
            ("gamma", f.flag("scale", True)),
            ("beta", f.flag("center", True)),
            ("moving_mean", True),
            ("moving_variance", True),
        )
        if there
    ]
    return Value(layer.add("BatchNormalization", [layer.x.name, *read]), layer.x.first)


def layer_norm(layer: KerasLayerCall) -> Made:
    """``LayerNormalization``, ``RMSNormalization``, ``GroupNormalization``."""
    f = layer.fields
    size = (prod(map(layer.size, f.axes("axis", -1, len(layer.shape())))),)
    rms = layer.class_name == "RMSNormalization" or f.flag("rms_scaling", False)
    scale, centre = f.flag("scale", True), f.flag("center", True) and not rms
    read = [layer.weight("gamma", size)] if scale or rms else []
    read += [layer.weight("beta", size)] if centre else []
    op = "RMSNormalization" if rms else layer.class_name
    return Value(layer.add(op, [layer.x.name, *read]), layer.x.first)


def pool(layer: KerasLayerCall) -> Made:
    """``MaxPooling`` and ``AveragePooling`` in one to three axes."""
    f, axes = layer.fields, axes_of(layer)
    kernel = f.wholes("pool_size", axes, 2)
    stride = f.wholes("strides", axes) if f.has("strides") else kernel
    made = layer.add(
        "MaxPool" if layer.class_name.startswith("Max") else "AveragePool",
        [layer.front()],
        kernel_shape=tuple(kernel),
        strides=tuple(stride),
        **padding(layer, kernel, stride, [1] * axes),
    )
    value = layer.imaged(made)
    return layer.activated(value) if layer.quantised else value


def global_pool(layer: KerasLayerCall) -> Made:
    """``GlobalMaxPooling`` and ``GlobalAveragePooling``: the spatial axes go, or stay as ones."""
    op = "GlobalMaxPool" if "Max" in layer.class_name else "GlobalAveragePool"
    x = layer.add(op, [layer.front()])
    if layer.fields.flag("keepdims", False):
        return layer.imaged(x)
    value = Value(layer.trace.view(x, [(1, (0,)), (1, (1,))], name=f"{layer.name}.flat"))
    return layer.activated(value) if layer.quantised else value


def same(layer: KerasLayerCall) -> Made:
    """What does nothing at inference: dropouts, noise, masks, the network's input."""
    return list(layer.inputs) if len(layer.inputs) > 1 else layer.x


def standardise(layer: KerasLayerCall) -> Made:
    """``Normalization``: minus a stored mean, over a stored deviation."""
    f = layer.fields
    if f.has("mean"):
        return rescale(layer)  # numbers of the configuration, not weights
    axes = f.axes("axis", -1, len(layer.shape())) if f.has("axis") else []
    sizes = [layer.size(a) for a in axes] or [1]
    x = layer.add("Sub", [layer.plain(), layer.weight("mean", sizes)], "centred")
    return Value(layer.add("Div", [x, layer.weight("variance", sizes)]))


#: ``Rescaling``: times a number, plus a number.
rescale: Handler = named("Affine", domain="com.microsoft")


def layer_scale(layer: KerasLayerCall) -> Made:
    """``LayerScale`` of ConvNeXt: a factor a channel."""
    size = (layer.fields.whole("projection_dim", layer.size()),)
    return Value(layer.add("Mul", [layer.plain(), layer.weight("gamma", size)]))


HANDLERS: Mapping[str, Handler] = {
    **dict.fromkeys(_MERGES, merge),
    **dict.fromkeys(_OPERATIONS, operation),
    "Activation": activation,
    "AdaptiveActivation": activation,
    "ReLU": relu,
    "LeakyReLU": named("LeakyRelu"),
    "ELU": named("Elu"),
    "ThresholdedReLU": named("Relu"),
    "Softmax": lambda layer: layer.function(layer.x, "softmax"),
    "PReLU": prelu,
    "BatchNormalization": batch_norm,
    "SyncBatchNormalization": batch_norm,
    **dict.fromkeys(("LayerNormalization", "RMSNormalization", "GroupNormalization"), layer_norm),
    "UnitNormalization": named("LpNormalization"),
    **{f"{kind}Pooling{n}D": pool for kind in ("Max", "Average") for n in (1, 2, 3)},
    **{f"Global{kind}Pooling{n}D": global_pool for kind in ("Max", "Average") for n in (1, 2, 3)},
    **dict.fromkeys(
        (
            "Dropout",
            "SpatialDropout1D",
            "SpatialDropout2D",
            "SpatialDropout3D",
            "GaussianNoise",
            "GaussianDropout",
            "AlphaDropout",
            "ActivityRegularization",
            "Masking",
            "Identity",
            "InputLayer",
            "RandomFlip",
            "RandomRotation",
            "RandomZoom",
            "RandomContrast",
            "RandomTranslation",
            "RandomBrightness",
            "StochasticDepth",
            "StopGradient",
        ),
        same,
    ),
    "LayerScale": layer_scale,
    "Normalization": standardise,
    "Rescaling": rescale,
    "TFOpLambda": operation,
}
