"""Shapes of what is made from numbers alone, and of patches and blocks of images."""

from __future__ import annotations

import math

from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    OnnxNode,
    UnknownShapeError,
    axis_of,
    fixed,
)
from perfmodel.workload.importers.onnx.shapes import give, pads_of
from perfmodel.workload.importers.onnx.shapes_movement import target_shape, told_by_data
from perfmodel.workload.symbols import Poly, ceil_div, constant, poly, product, simplify


def shape_of(node: OnnxNode) -> None:
    """``Shape``: as many numbers as dimensions."""
    dims = node.shape(0)
    taken = dims[node.whole("start", 0) : node.whole("end", len(dims))]
    give(node, (len(taken),), format="int64")


def size_of(node: OnnxNode) -> None:
    """``Size``: one number."""
    give(node, (), format="int64")


def filled(node: OnnxNode) -> None:
    """``ConstantOfShape``."""
    value = node.attributes.get("value")
    give(node, target_shape(node, 0), format=getattr(value, "format", "fp32"))


def range_of(node: OnnxNode) -> None:
    """``Range``."""
    if any(told_by_data(e) for e in node.present):
        give(node, (node.open(0, 0),))
        return
    start, end, step = (node.number(i, "a bound") for i in range(3))
    by = constant(step)
    if by == 0:
        raise ContradictionError("a step of 0")
    if by is None:
        raise UnknownShapeError(f"a step of {step}")
    span = simplify(end - start)
    count = (
        ceil_div(span, int(by))
        if isinstance(span, Poly) and by > 0 and by == int(by)
        else simplify(poly(span) / by)
    )
    number = constant(count)
    give(node, (count if number is None else max(0, math.ceil(number)),))


def one_hot(node: OnnxNode) -> None:
    """``OneHot``: one more axis."""
    index = list(node.shape(0))
    depth = node.number(1, "the depth")
    axis = node.axis(-1, len(index) + 1)
    give(node, (*index[:axis], depth, *index[axis:]), format=node.need(2).format)


def random_like(node: OnnxNode) -> None:
    """Random numbers in a stated shape or that of an input."""
    like = node.get(0)
    give(node, like.known if like is not None else node.wholes("shape") or (), format="")


def blocks(node: OnnxNode) -> None:
    """``DepthToSpace`` and ``SpaceToDepth``."""
    x = node.shape(0)
    b = node.whole("blocksize", 0)
    if len(x) != 4 or b <= 0:
        raise ContradictionError(f"blocks of {b} by {b} in {len(x)} axes")
    batch, channels, height, width = x
    deep = node.op == "DepthToSpace"
    into, by = ((channels,), b * b) if deep else ((height, width), b)
    for size in (constant(d) for d in into):
        if size is not None and size % by:
            raise ContradictionError(f"an extent of {size:g} in blocks of {by}")
    if deep:
        give(node, (batch, channels / (b * b), height * b, width * b))
    else:
        give(node, (batch, channels * (b * b), height / b, width / b))


def grid_sample(node: OnnxNode) -> None:
    """``GridSample``: channels of the input at the points of the grid."""
    x, grid = node.shape(0), node.shape(1)
    give(node, (x[0], x[1], *grid[1:-1]))


def roi_align(node: OnnxNode) -> None:
    """``RoiAlign`` and ``MaxRoiPool``: one patch a region."""
    x, regions = node.shape(0), node.shape(1)
    size = node.wholes("pooled_shape") or (
        node.whole("output_height", 1),
        node.whole("output_width", 1),
    )
    give(node, (regions[0], x[1], *size))


def affine_grid(node: OnnxNode) -> None:
    """``AffineGrid``: coordinates for each output point."""
    size = node.numbers(1, "the size")
    give(node, (size[0], *size[2:], len(size) - 2))


def eye_like(node: OnnxNode) -> None:
    """``EyeLike``: shaped as the input, which is a matrix."""
    x = node.shape(0)
    if len(x) != 2:
        raise ContradictionError(f"{len(x)} axes, which are no matrix")
    give(node, x)


def center_crop(node: OnnxNode) -> None:
    """``CenterCropPad``: the stated extents on the stated axes."""
    x = list(node.shape(0))
    axes = node.wholes("axes") or tuple(range(len(x)))
    for axis, size in zip(axes, node.numbers(1, "the target shape"), strict=False):
        x[axis_of(axis, len(x))] = size
    give(node, x)


def dropout(node: OnnxNode) -> None:
    """``Dropout``: passes at inference; the mask is ``bool``."""
    give(node, node.shape(0))
    give(node, node.shape(0), 1, "bool")


def window(node: OnnxNode) -> None:
    """Windows for spectra."""
    give(node, (node.number(0, "the length"),), format="fp32")


def mel_matrix(node: OnnxNode) -> None:
    """``MelWeightMatrix``: spectrum bins by mel bins."""
    bins, length = node.number(0, "the bins"), node.number(1, "the length")
    give(node, (fixed(length, "the length") // 2 + 1, bins), format="fp32")


def unpool(node: OnnxNode) -> None:
    """``MaxUnpool``: the stated shape, or the pool turned round."""
    x = node.shape(0)
    if node.get(2) is not None:
        give(node, node.numbers(2, "the output shape"))
        return
    kernel = node.wholes("kernel_shape") or ()
    strides = node.wholes("strides") or (1,) * len(kernel)
    pads = pads_of(node, len(kernel))
    spatial = [
        (n - 1) * strides[i] + kernel[i] - pads[i] - pads[i + len(kernel)]
        for i, n in enumerate(x[2:])
    ]
    give(node, (*x[:2], *spatial))


def col2im(node: OnnxNode) -> None:
    """``Col2Im``: columns back into an image."""
    x = node.shape(0)
    image, block = node.numbers(1, "the image"), node.numbers(2, "the block")
    give(node, (x[0], x[1] / product(*block), *image))
