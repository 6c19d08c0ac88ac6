"""Translation of dense and convolutional layers of Keras and QKeras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perfmodel.workload.importers.keras.layer import KerasLayerCall, LayerOutput, Value
from perfmodel.workload.importers.onnx.node import NotPricedError
from perfmodel.workload.importers.trace import DOMAIN
from perfmodel.workload.symbols import constant


def axes_of(layer: KerasLayerCall) -> int:
    """Return the number of spatial axes in the name of a layer's class, as in ``Conv2D``."""
    return next(n for n in (1, 2, 3) if f"{n}D" in layer.class_name)


def padding(
    layer: KerasLayerCall, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> dict[str, Any]:
    """Return the padding attributes: explicit numbers if the extents are known.

    For ``same``: ``max((ceil(n / s) - 1) s + d (k - 1) + 1 - n, 0)`` per axis, the extra one at
    the end.
    """
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


def dense(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Dense``: a product over the last axis."""
    units = layer.fields.integer("units")
    kernel = layer.weight("kernel", (layer.size(), units), "kernel_quantizer")
    read = [layer.plain(), kernel, *layer.bias(units)]
    return layer.activated(Value(layer.add("Linear", read, domain=DOMAIN)))


def convolution(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Conv1D`` to ``Conv3D``, also with folded normalisation (``Conv2DBatchnorm``)."""
    fields, axes = layer.fields, axes_of(layer)
    filters, groups = fields.integer("filters"), fields.integer("groups", 1)
    channels = layer.channels
    if channels % groups or filters % groups:
        raise NotPricedError(f"{groups} groups of {channels} channels and {filters} filters")
    kernel = fields.integers("kernel_size", axes)
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
    """Add a convolution of the input with the layer's strides, dilations and padding."""
    axes = len(kernel)
    stride = layer.fields.integers("strides", axes, 1)
    dilation = layer.fields.integers("dilation_rate", axes, 1)
    attributes = {
        "kernel_shape": tuple(kernel),
        "strides": tuple(stride),
        "dilations": tuple(dilation),
        **({} if op != "Conv" else padding(layer, kernel, stride, dilation)),
        **attributes,
    }
    return layer.add(op, [layer.front(), *weights], suffix, **attributes)


def depthwise(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``DepthwiseConv1D`` and ``DepthwiseConv2D``."""
    channels = layer.channels
    out = channels * layer.fields.integer("depth_multiplier", 1)
    kernel = layer.fields.integers("kernel_size", axes_of(layer))
    weights = layer.weight("kernel", (out, 1, *kernel), "depthwise_quantizer")
    x = _convolved(layer, [weights, *layer.bias(out)], kernel, group=channels)
    return layer.activated(layer.imaged(x))


def separable(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``SeparableConv1D`` and ``2D``: depthwise, then pointwise with the bias."""
    fields, axes = layer.fields, axes_of(layer)
    channels = layer.channels
    wide = channels * fields.integer("depth_multiplier", 1)
    filters, kernel = fields.integer("filters"), fields.integers("kernel_size", axes)
    ones = (1,) * axes
    first = layer.weight("depthwise_kernel", (wide, 1, *kernel), "depthwise_quantizer")
    second = layer.weight("pointwise_kernel", (filters, wide, *ones), "pointwise_quantizer")
    x = _convolved(layer, [first], kernel, "depthwise", group=channels)
    pointwise = layer.add("Conv", [x, second, *layer.bias(filters)], kernel_shape=ones)
    return layer.activated(layer.imaged(pointwise))


def transposed(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Conv1DTranspose`` to ``Conv3DTranspose``."""
    fields, axes = layer.fields, axes_of(layer)
    filters, kernel = fields.integer("filters"), fields.integers("kernel_size", axes)
    stride, dilation = (
        fields.integers("strides", axes, 1),
        fields.integers("dilation_rate", axes, 1),
    )
    same = fields.text("padding", "valid").lower() == "same"
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    extra = [0 if same else max(s - k, 0) for k, s in zip(reach, stride, strict=True)]
    if fields.has("output_padding"):
        extra = fields.integers("output_padding", axes, least=0)
    weights = layer.weight("kernel", (layer.channels, filters, *kernel), "kernel_quantizer")
    read = [weights, *layer.bias(filters)]
    auto = "SAME_UPPER" if same else "NOTSET"
    stated: dict[str, Any] = {"output_padding": tuple(extra), "auto_pad": auto}
    output = _convolved(layer, read, kernel, op="ConvTranspose", **stated)
    return layer.activated(layer.imaged(output))


def embedding(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Embedding``: a lookup of table rows."""
    size = layer.fields.integer("input_dim"), layer.fields.integer("output_dim")
    table = layer.weight("embeddings", size, "embeddings_quantizer")
    return Value(layer.add("Gather", [table, layer.plain()], axis=0))
