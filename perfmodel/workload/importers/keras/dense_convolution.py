"""Translation of dense, convolutional and embedding layers of Keras and QKeras.

Each function receives a layer call and adds its nodes: a weight is declared in ONNX's order of
axes, in the format of the layer's quantiser. ``workloads/operators/keras.yaml`` maps classes of
layers to functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perfmodel.workload.importers.keras.layer_translation import (
    KerasLayerCall,
    KerasValue,
    LayerOutput,
)
from perfmodel.workload.importers.onnx.convolutions import same_padding
from perfmodel.workload.importers.onnx.node import NotPricedError
from perfmodel.workload.importers.onnx_tracer import DOMAIN
from perfmodel.workload.symbols import constant


def spatial_axes(layer: KerasLayerCall) -> int:
    """Return the number of spatial axes in the name of a layer's class, as in ``Conv2D``."""
    return next(n for n in (1, 2, 3) if f"{n}D" in layer.class_name)


def padding_attributes(
    layer: KerasLayerCall, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> dict[str, Any]:
    """Return the padding attributes: explicit numbers if the extents are known.

    For ``same`` see `same_padding`; for ``causal``, ``d (k - 1)`` elements precede the first one.
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
        raise layer.fields.invalid("padding", "valid, same or causal")
    extents = layer.spatial()
    if None in map(constant, extents):
        return {"auto_pad": "SAME_UPPER"}
    return {"pads": same_padding(extents, kernel, stride, dilation)}


def translate_dense(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Dense``: a product of the last axis with a kernel ``(features, units)``."""
    units = layer.fields.integer("units")
    kernel = layer.weight("kernel", (layer.size(), units), "kernel_quantizer")
    read = [layer.in_keras_order(), kernel, *layer.bias(units)]
    return layer.apply_activation(KerasValue(layer.add("Linear", read, domain=DOMAIN)))


def translate_convolution(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Conv1D`` to ``Conv3D``, also with folded normalisation (``Conv2DBatchnorm``)."""
    fields, axes = layer.fields, spatial_axes(layer)
    filters, groups = fields.integer("filters"), fields.integer("groups", 1)
    channels = layer.channels
    if channels % groups or filters % groups:
        raise NotPricedError(f"{groups} groups of {channels} channels and {filters} filters")
    kernel = fields.integers("kernel_size", axes)
    weights = layer.weight("kernel", (filters, channels // groups, *kernel), "kernel_quantizer")
    x = _add_convolution(layer, [weights, *layer.bias(filters)], kernel, group=groups)
    return layer.apply_activation(layer.image_value(x))


def _add_convolution(
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
        **({} if op != "Conv" else padding_attributes(layer, kernel, stride, dilation)),
        **attributes,
    }
    return layer.add(op, [layer.channels_first_input(), *weights], suffix, **attributes)


def translate_depthwise(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``DepthwiseConv1D`` and ``DepthwiseConv2D``."""
    channels = layer.channels
    out = channels * layer.fields.integer("depth_multiplier", 1)
    kernel = layer.fields.integers("kernel_size", spatial_axes(layer))
    weights = layer.weight("kernel", (out, 1, *kernel), "depthwise_quantizer")
    x = _add_convolution(layer, [weights, *layer.bias(out)], kernel, group=channels)
    return layer.apply_activation(layer.image_value(x))


def translate_separable(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``SeparableConv1D`` and ``2D``: depthwise, then pointwise with the bias."""
    fields, axes = layer.fields, spatial_axes(layer)
    channels = layer.channels
    depthwise_channels = channels * fields.integer("depth_multiplier", 1)
    filters, kernel = fields.integer("filters"), fields.integers("kernel_size", axes)
    ones = (1,) * axes
    depthwise_kernel = layer.weight(
        "depthwise_kernel", (depthwise_channels, 1, *kernel), "depthwise_quantizer"
    )
    pointwise_kernel = layer.weight(
        "pointwise_kernel", (filters, depthwise_channels, *ones), "pointwise_quantizer"
    )
    x = _add_convolution(layer, [depthwise_kernel], kernel, "depthwise", group=channels)
    pointwise = layer.add("Conv", [x, pointwise_kernel, *layer.bias(filters)], kernel_shape=ones)
    return layer.apply_activation(layer.image_value(pointwise))


def translate_transposed_convolution(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Conv1DTranspose`` to ``Conv3DTranspose``.

    The output extent is ``n s`` with ``same`` padding and ``n s + max(d (k - 1) + 1 - s, 0)``
    without.
    """
    fields, axes = layer.fields, spatial_axes(layer)
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
    output = _add_convolution(layer, read, kernel, op="ConvTranspose", **stated)
    return layer.apply_activation(layer.image_value(output))


def translate_embedding(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Embedding``: a lookup of table rows."""
    size = layer.fields.integer("input_dim"), layer.fields.integer("output_dim")
    table = layer.weight("embeddings", size, "embeddings_quantizer")
    return KerasValue(layer.add("Gather", [table, layer.in_keras_order()], axis=0))
