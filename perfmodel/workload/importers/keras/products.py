"""Dense and convolutional layers of Keras and QKeras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from perfmodel.workload.importers.keras.layer import Handler, KerasLayerCall, Made, Value
from perfmodel.workload.importers.onnx.node import NotPricedError
from perfmodel.workload.importers.trace import DOMAIN
from perfmodel.workload.symbols import constant


def axes_of(layer: KerasLayerCall) -> int:
    """Return how many spatial axes a layer's class names: ``Conv2D``."""
    return next(n for n in (1, 2, 3) if f"{n}D" in layer.class_name)


def padding(
    layer: KerasLayerCall, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> dict[str, Any]:
    """Return the padding as attributes: written out where the extents are known."""
    mode = layer.fields.text("padding", "valid").lower()
    axes = len(kernel)
    if mode == "valid":
        return {"pads": (0,) * (2 * axes)}
    if mode == "causal":
        return {
            "pads": tuple(d * (k - 1) for k, d in zip(kernel, dilation, strict=True)) + (0,) * axes
        }
    if mode != "same":
        raise layer.fields.bad("padding", "valid, same or causal")
    known = [constant(n) for n in layer.spatial()]
    if any(n is None for n in known):
        return {"auto_pad": "SAME_UPPER"}
    before: list[int] = []
    after: list[int] = []
    for n, k, s, d in zip(known, kernel, stride, dilation, strict=True):
        size = int(n or 0)
        total = max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
        before.append(total // 2)
        after.append(total - total // 2)
    return {"pads": (*before, *after)}


def dense(layer: KerasLayerCall) -> Made:
    """``Dense``: a product with the last axis."""
    units = layer.fields.whole("units")
    features = layer.size()
    read = [layer.plain(), layer.weight("kernel", (features, units), "kernel_quantizer")]
    if layer.fields.flag("use_bias", True):
        read.append(layer.weight("bias", (units,), "bias_quantizer"))
    return layer.activated(Value(layer.add("Linear", read, domain=DOMAIN)))


def convolution(layer: KerasLayerCall) -> Made:
    """``Conv1D`` to ``Conv3D``; with a folded normalisation (``Conv2DBatchnorm``) as well."""
    f, axes = layer.fields, axes_of(layer)
    filters, groups = f.whole("filters"), f.whole("groups", 1)
    channels = layer.channels
    if channels % groups or filters % groups:
        raise NotPricedError(f"{groups} groups of {channels} channels and {filters} filters")
    kernel = f.wholes("kernel_size", axes)
    weights = layer.weight("kernel", (filters, channels // groups, *kernel), "kernel_quantizer")
    return layer.activated(_convolved(layer, weights, filters, kernel, groups, "bias_quantizer"))


def _convolved(
    layer: KerasLayerCall,
    weights: str,
    filters: int,
    kernel: list[int],
    groups: int,
    bias_key: str,
    *,
    source: str = "",
    biased: bool = True,
    plain: bool = False,
    suffix: str = "",
) -> Value:
    f, axes = layer.fields, len(kernel)
    stride = [1] * axes if plain else f.wholes("strides", axes, 1)
    dilation = [1] * axes if plain else f.wholes("dilation_rate", axes, 1)
    pads: dict[str, Any] = (
        {"pads": (0,) * (2 * axes)} if plain else padding(layer, kernel, stride, dilation)
    )
    read = [source or layer.front(), weights]
    if biased and f.flag("use_bias", True):
        read.append(layer.weight("bias", (filters,), bias_key))
    made = layer.add(
        "Conv", read, suffix, kernel_shape=tuple(kernel), strides=tuple(stride),
        dilations=tuple(dilation), group=groups, **pads,
    )  # fmt: skip
    return layer.imaged(made)


def depthwise(layer: KerasLayerCall) -> Made:
    """``DepthwiseConv1D`` and ``2D``."""
    f, axes = layer.fields, axes_of(layer)
    channels, times = layer.channels, layer.fields.whole("depth_multiplier", 1)
    kernel = f.wholes("kernel_size", axes)
    weights = layer.weight("kernel", (channels * times, 1, *kernel), "depthwise_quantizer")
    made = _convolved(layer, weights, channels * times, kernel, channels, "bias_quantizer")
    return layer.activated(made)


def separable(layer: KerasLayerCall) -> Made:
    """``SeparableConv1D`` and ``2D``: depthwise, then pointwise with the bias."""
    f, axes = layer.fields, axes_of(layer)
    channels, times = layer.channels, layer.fields.whole("depth_multiplier", 1)
    filters, kernel = f.whole("filters"), f.wholes("kernel_size", axes)
    first = layer.weight("depthwise_kernel", (channels * times, 1, *kernel), "depthwise_quantizer")
    second = layer.weight("pointwise_kernel", (filters, channels * times, *[1] * axes),
                          "pointwise_quantizer")  # fmt: skip
    x = _convolved(layer, first, channels * times, kernel, channels, "", biased=False,
                   suffix="depthwise")  # fmt: skip
    made = _convolved(layer, second, filters, [1] * axes, 1, "bias_quantizer", source=x.name,
                      plain=True)  # fmt: skip
    return layer.activated(made)


def transposed(layer: KerasLayerCall) -> Made:
    """``Conv1DTranspose`` to ``3D``."""
    f, axes = layer.fields, axes_of(layer)
    filters, kernel = f.whole("filters"), f.wholes("kernel_size", axes)
    stride, dilation = f.wholes("strides", axes, 1), f.wholes("dilation_rate", axes, 1)
    same = f.text("padding", "valid").lower() == "same"
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    extra = [0 if same else max(s - k, 0) for k, s in zip(reach, stride, strict=True)]
    if f.has("output_padding"):
        extra = f.wholes("output_padding", axes, least=0)
    weights = layer.weight("kernel", (layer.channels, filters, *kernel), "kernel_quantizer")
    read = [layer.front(), weights]
    if f.flag("use_bias", True):
        read.append(layer.weight("bias", (filters,), "bias_quantizer"))
    pads: dict[str, Any] = {"pads": (0,) * (2 * axes)}
    if same:
        pads = {"auto_pad": "SAME_UPPER"}
    made = layer.add(
        "ConvTranspose", read, kernel_shape=tuple(kernel), strides=tuple(stride),
        dilations=tuple(dilation), output_padding=tuple(extra), **pads,
    )  # fmt: skip
    return layer.activated(layer.imaged(made))


def embedding(layer: KerasLayerCall) -> Made:
    """``Embedding``: rows of a table."""
    f = layer.fields
    rows, width = f.whole("input_dim"), f.whole("output_dim")
    table = layer.weight("embeddings", (rows, width), "embeddings_quantizer")
    return Value(layer.add("Gather", [table, layer.plain()], axis=0))


HANDLERS: Mapping[str, Handler] = {
    "Dense": dense, "Embedding": embedding, "DenseBatchnorm": dense,
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D", "Conv2DBatchnorm"), convolution),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D", "DepthwiseConv2DBatchnorm"), depthwise),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), separable),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), transposed),
}  # fmt: skip
