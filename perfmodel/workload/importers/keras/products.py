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
    if None in known:
        return {"auto_pad": "SAME_UPPER"}
    totals = [
        max((-(-int(n or 0) // s) - 1) * s + d * (k - 1) + 1 - int(n or 0), 0)
        for n, k, s, d in zip(known, kernel, stride, dilation, strict=True)
    ]
    return {"pads": (*(t // 2 for t in totals), *(t - t // 2 for t in totals))}


def dense(layer: KerasLayerCall) -> Made:
    """``Dense``: a product with the last axis."""
    units = layer.fields.whole("units")
    kernel = layer.weight("kernel", (layer.size(), units), "kernel_quantizer")
    read = [layer.plain(), kernel, *layer.bias(units)]
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
    x = _convolved(layer, [weights, *layer.bias(filters)], kernel, group=groups)
    return layer.activated(layer.imaged(x))


def _convolved(
    layer: KerasLayerCall,
    weights: Sequence[str],
    kernel: Sequence[int],
    suffix: str = "",
    op: str = "Conv",
    **attributes: Any,
) -> str:
    """Write a convolution of a layer's input with its strides, dilations and padding."""
    axes = len(kernel)
    stride = layer.fields.wholes("strides", axes, 1)
    dilation = layer.fields.wholes("dilation_rate", axes, 1)
    attributes = {
        "kernel_shape": tuple(kernel),
        "strides": tuple(stride),
        "dilations": tuple(dilation),
        **({} if op != "Conv" else padding(layer, kernel, stride, dilation)),
        **attributes,
    }
    return layer.add(op, [layer.front(), *weights], suffix, **attributes)


def depthwise(layer: KerasLayerCall) -> Made:
    """``DepthwiseConv1D`` and ``2D``."""
    channels = layer.channels
    out = channels * layer.fields.whole("depth_multiplier", 1)
    kernel = layer.fields.wholes("kernel_size", axes_of(layer))
    weights = layer.weight("kernel", (out, 1, *kernel), "depthwise_quantizer")
    x = _convolved(layer, [weights, *layer.bias(out)], kernel, group=channels)
    return layer.activated(layer.imaged(x))


def separable(layer: KerasLayerCall) -> Made:
    """``SeparableConv1D`` and ``2D``: depthwise, then pointwise with the bias."""
    f, axes = layer.fields, axes_of(layer)
    channels = layer.channels
    wide = channels * f.whole("depth_multiplier", 1)
    filters, kernel = f.whole("filters"), f.wholes("kernel_size", axes)
    ones = (1,) * axes
    first = layer.weight("depthwise_kernel", (wide, 1, *kernel), "depthwise_quantizer")
    second = layer.weight("pointwise_kernel", (filters, wide, *ones), "pointwise_quantizer")
    x = _convolved(layer, [first], kernel, "depthwise", group=channels)
    made = layer.add("Conv", [x, second, *layer.bias(filters)], kernel_shape=ones)
    return layer.activated(layer.imaged(made))


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
    read = [weights, *layer.bias(filters)]
    auto = "SAME_UPPER" if same else "NOTSET"
    stated: dict[str, Any] = {"output_padding": tuple(extra), "auto_pad": auto}
    made = _convolved(layer, read, kernel, op="ConvTranspose", **stated)
    return layer.activated(layer.imaged(made))


def embedding(layer: KerasLayerCall) -> Made:
    """``Embedding``: rows of a table."""
    size = layer.fields.whole("input_dim"), layer.fields.whole("output_dim")
    table = layer.weight("embeddings", size, "embeddings_quantizer")
    return Value(layer.add("Gather", [table, layer.plain()], axis=0))


HANDLERS: Mapping[str, Handler] = {
    "Dense": dense,
    "Embedding": embedding,
    "DenseBatchnorm": dense,
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D", "Conv2DBatchnorm"), convolution),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D", "DepthwiseConv2DBatchnorm"), depthwise),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), separable),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), transposed),
}
