"""Translation of Keras layers that reshape, permute, pad, crop, resize and concatenate."""

from __future__ import annotations

from typing import Any, cast

from perfmodel.workload.importers.keras.layer import KerasLayerCall, LayerOutput, Value
from perfmodel.workload.importers.keras.pointwise import aligned
from perfmodel.workload.importers.keras.products import axes_of


def flatten(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Flatten``: all axes except the batch become one."""
    axes = [(1, (0,)), (1, tuple(range(1, len(layer.shape()))))]
    return Value(layer.trace.view(layer.plain(), axes, name=layer.name))


def reshape(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Reshape`` of all axes except the batch."""
    target: Any = layer.fields.data.get("target_shape")
    if not isinstance(target, list) or not all(
        isinstance(d, int) and not isinstance(d, bool) and (d > 0 or d == -1)
        for d in cast("list[Any]", target)
    ):
        raise layer.fields.bad("target_shape", "a list of whole numbers, -1 for one of them")
    return Value(layer.add("Reshape", [layer.plain()], shape=(0, *cast("list[int]", target))))


def permute(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Permute``: axes are counted from 1, the batch is fixed."""
    rank = len(layer.shape())
    dims = layer.fields.integers("dims", rank - 1)
    if sorted(dims) != list(range(1, rank)):
        raise layer.fields.bad("dims", f"the numbers 1 to {rank - 1} in some order")
    return Value(layer.add("Transpose", [layer.plain()], perm=(0, *dims)))


def repeat(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``RepeatVector``, with the output ``(batch, n, features)``."""
    times = layer.fields.integer("n")
    x = layer.trace.view(layer.plain(), [(1, (0,)), (1, ()), (1, (1,))], name=f"{layer.name}.one")
    return Value(layer.add("Tile", [x, layer.trace.whole(f"{layer.name}.times", (1, times, 1))]))


def concatenate(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Concatenate`` along an axis in Keras's order."""
    names, first = aligned(layer)
    if len(names) == 1:
        return layer.x
    rank = len(layer.trace.shape(names[0]))
    (axis,) = layer.fields.axes("axis", -1, rank)[:1]
    if first and axis:
        axis = 1 if axis == rank - 1 else axis + 1
    return Value(layer.add("Concat", names, axis=axis), first)


def pad(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``ZeroPadding`` in one to three dimensions."""
    pairs = layer.fields.pairs("padding", axes_of(layer), 1)
    before, after = zip(*pairs, strict=True)
    pads = (0, 0, *before, 0, 0, *after)
    return layer.imaged(layer.add("Pad", [layer.front()], pads=pads))


def crop(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Cropping``: the remaining part is read and written."""
    axes = axes_of(layer)
    before, after = zip(*layer.fields.pairs("cropping", axes, 1), strict=True)
    cropped = layer.add(
        "Slice",
        [layer.front()],
        starts=before,
        ends=tuple(-size or 2**31 - 1 for size in after),
        axes=tuple(range(2, 2 + axes)),
    )
    return layer.imaged(cropped)


def upsample(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``UpSampling``: nearest neighbour or interpolated."""
    sizes = layer.fields.integers("size", axes_of(layer), 2)
    modes = {"nearest": "nearest", "bicubic": "cubic"}
    mode = modes.get(layer.fields.text("interpolation", "nearest"), "linear")
    scales = (1.0, 1.0, *map(float, sizes))
    return layer.imaged(layer.add("Upsample", [layer.front()], scales=scales, mode=mode))


def resize(layer: KerasLayerCall) -> LayerOutput:
    """Translate ``Resizing`` to a height and width."""
    sides = layer.fields.integer("height"), layer.fields.integer("width")
    sizes = layer.trace.whole(f"{layer.name}.sizes", sides)
    mode = "nearest" if layer.fields.text("interpolation", "bilinear") == "nearest" else "linear"
    return layer.imaged(layer.add("Resize", [layer.front(), "", "", sizes], axes=(2, 3), mode=mode))
