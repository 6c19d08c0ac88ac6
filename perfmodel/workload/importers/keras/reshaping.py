"""Translation of Keras layers that reshape, permute, pad, crop, resize and concatenate.

Each function receives a layer call and adds its nodes. ``workloads/operators/keras.yaml`` maps
classes of layers to functions.
"""

from __future__ import annotations

from typing import Any, cast

from perfmodel.workload.importers.keras.dense_convolution import spatial_axes
from perfmodel.workload.importers.keras.layer_translation import (
    KerasLayerCall,
    KerasValue,
    LayerOutput,
)
from perfmodel.workload.importers.keras.pointwise import align_axes


def translate_flatten(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Flatten``: all axes except the batch become one."""
    axes = [(1, (0,)), (1, tuple(range(1, len(layer.shape()))))]
    return KerasValue(layer.trace.view(layer.in_keras_order(), axes, name=layer.name))


def translate_reshape(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Reshape`` of all axes except the batch."""
    target: Any = layer.fields.data.get("target_shape")
    if not isinstance(target, list) or not all(
        isinstance(d, int) and not isinstance(d, bool) and (d > 0 or d == -1)
        for d in cast("list[Any]", target)
    ):
        raise layer.fields.invalid("target_shape", "a list of whole numbers, -1 for one of them")
    return KerasValue(
        layer.add("Reshape", [layer.in_keras_order()], shape=(0, *cast("list[int]", target)))
    )


def translate_permute(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Permute``: axes are counted from 1, the batch is fixed."""
    rank = len(layer.shape())
    dims = layer.fields.integers("dims", rank - 1)
    if sorted(dims) != list(range(1, rank)):
        raise layer.fields.invalid("dims", f"the numbers 1 to {rank - 1} in some order")
    return KerasValue(layer.add("Transpose", [layer.in_keras_order()], perm=(0, *dims)))


def translate_repeat(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``RepeatVector``, with the output ``(batch, n, features)``."""
    times = layer.fields.integer("n")
    x = layer.trace.view(
        layer.in_keras_order(), [(1, (0,)), (1, ()), (1, (1,))], name=f"{layer.name}.one"
    )
    return KerasValue(
        layer.add("Tile", [x, layer.trace.integer_list(f"{layer.name}.times", (1, times, 1))])
    )


def translate_concatenate(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Concatenate`` along an axis in Keras's order."""
    names, first = align_axes(layer)
    if len(names) == 1:
        return layer.x
    rank = len(layer.trace.shape(names[0]))
    (axis,) = layer.fields.axes("axis", -1, rank)[:1]
    if first and axis:
        axis = 1 if axis == rank - 1 else axis + 1
    return KerasValue(layer.add("Concat", names, axis=axis), first)


def translate_padding(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``ZeroPadding`` in one to three dimensions."""
    pairs = layer.fields.pairs("padding", spatial_axes(layer), 1)
    before, after = zip(*pairs, strict=True)
    pads = (0, 0, *before, 0, 0, *after)
    return layer.image_value(layer.add("Pad", [layer.channels_first_input()], pads=pads))


def translate_cropping(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Cropping``: the remaining part is read and written."""
    axes = spatial_axes(layer)
    before, after = zip(*layer.fields.pairs("cropping", axes, 1), strict=True)
    cropped = layer.add(
        "Slice",
        [layer.channels_first_input()],
        starts=before,
        ends=tuple(-size or 2**31 - 1 for size in after),
        axes=tuple(range(2, 2 + axes)),
    )
    return layer.image_value(cropped)


def translate_upsampling(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``UpSampling``: nearest neighbour or interpolated."""
    sizes = layer.fields.integers("size", spatial_axes(layer), 2)
    modes = {"nearest": "nearest", "bicubic": "cubic"}
    mode = modes.get(layer.fields.text("interpolation", "nearest"), "linear")
    scales = (1.0, 1.0, *map(float, sizes))
    return layer.image_value(
        layer.add("Upsample", [layer.channels_first_input()], scales=scales, mode=mode)
    )


def translate_resizing(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Resizing`` to a height and width."""
    sides = layer.fields.integer("height"), layer.fields.integer("width")
    sizes = layer.trace.integer_list(f"{layer.name}.sizes", sides)
    mode = "nearest" if layer.fields.text("interpolation", "bilinear") == "nearest" else "linear"
    return layer.image_value(
        layer.add("Resize", [layer.channels_first_input(), "", "", sizes], axes=(2, 3), mode=mode)
    )
