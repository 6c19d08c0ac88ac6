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
from perfmodel.workload.importers.onnx.shapes import give
from perfmodel.workload.importers.onnx.shapes_movement import numbers, opened, told_by_data
from perfmodel.workload.symbols import Poly, ceil_div, constant, poly, product, simplify


def shape_of(node: OnnxNode) -> None:
    """``Shape``: as many numbers as dimensions."""
    rank = len(node.need(0).known)
    taken = range(rank)[node.whole("start", 0) : node.whole("end", rank)]
    give(node, (len(taken),), format="int64")


def size_of(node: OnnxNode) -> None:
    """``Size``: one number."""
    give(node, (), format="int64")


def filled(node: OnnxNode) -> None:
    """``ConstantOfShape``."""
    value = node.attributes.get("value")
    target = node.need(0)
    shape = opened(node, target) if told_by_data(target) else numbers(target, "the shape")
    give(node, shape, format=getattr(value, "format", "fp32"))


def range_of(node: OnnxNode) -> None:
    """``Range``."""
    if any(told_by_data(e) for e in node.present):
        give(node, (node.open(0, 0),))
        return
    start, end, step = (numbers(node.get(i), "a bound")[0] for i in range(3))
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
    index = list(node.need(0).known)
    depth = numbers(node.get(1), "the depth")[0]
    axis = node.axis(-1, len(index) + 1)
    give(node, (*index[:axis], depth, *index[axis:]), format=node.need(2).format)


def random_like(node: OnnxNode) -> None:
    """Random numbers in a stated shape or that of an input."""
    like = node.get(0)
    give(node, like.known if like is not None else node.wholes("shape") or (), format="")


def blocks(node: OnnxNode) -> None:
    """``DepthToSpace`` and ``SpaceToDepth``."""
    x = node.need(0).known
    b = node.whole("blocksize", 0)
    if len(x) != 4 or b <= 0:
        raise ContradictionError(f"blocks of {b} by {b} in {len(x)} axes")
    batch, channels, height, width = x
    into = (channels,) if node.op == "DepthToSpace" else (height, width)
    by = b * b if node.op == "DepthToSpace" else b
    for size in (constant(d) for d in into):
        if size is not None and size % by:
            raise ContradictionError(f"an extent of {size:g} in blocks of {by}")
    if node.op == "DepthToSpace":
        give(node, (batch, simplify(channels / (b * b)), simplify(height * b), simplify(width * b)))
    else:
        give(node, (batch, simplify(channels * (b * b)), simplify(height / b), simplify(width / b)))


def grid_sample(node: OnnxNode) -> None:
    """``GridSample``: channels of the input at the points of the grid."""
    x, grid = node.need(0).known, node.need(1).known
    give(node, (x[0], x[1], *grid[1:-1]))


def roi_align(node: OnnxNode) -> None:
    """``RoiAlign`` and ``MaxRoiPool``: one patch a region."""
    x, regions = node.need(0).known, node.need(1).known
    size = node.wholes("pooled_shape") or (
        node.whole("output_height", 1), node.whole("output_width", 1)
    )  # fmt: skip
    give(node, (regions[0], x[1], *size))


def affine_grid(node: OnnxNode) -> None:
    """``AffineGrid``: coordinates for each output point."""
    size = numbers(node.get(1), "the size")
    give(node, (size[0], *size[2:], len(size) - 2))


def eye_like(node: OnnxNode) -> None:
    """``EyeLike``: shaped as the input, which is a matrix."""
    x = node.need(0).known
    if len(x) != 2:
        raise ContradictionError(f"{len(x)} axes, which are no matrix")
    give(node, x)


def center_crop(node: OnnxNode) -> None:
    """``CenterCropPad``: the stated extents on the stated axes."""
    x = list(node.need(0).known)
    axes = node.wholes("axes") or tuple(range(len(x)))
    for axis, size in zip(axes, numbers(node.get(1), "the target shape"), strict=False):
        x[axis_of(axis, len(x))] = size
    give(node, x)


def dropout(node: OnnxNode) -> None:
    """``Dropout``: passes at inference; the mask is ``bool``."""
    give(node, node.need(0).known)
    give(node, node.need(0).known, 1, "bool")


def window(node: OnnxNode) -> None:
    """Windows for spectra."""
    give(node, (numbers(node.get(0), "the length")[0],), format="fp32")


def mel_matrix(node: OnnxNode) -> None:
    """``MelWeightMatrix``: spectrum bins by mel bins."""
    bins, length = numbers(node.get(0), "the bins")[0], numbers(node.get(1), "the length")[0]
    give(node, (simplify(fixed(length, "the length") // 2 + 1), bins), format="fp32")


def unpool(node: OnnxNode) -> None:
    """``MaxUnpool``: the stated shape, or the pool turned round."""
    x = node.need(0).known
    if node.get(2) is not None:
        give(node, numbers(node.get(2), "the output shape"))
        return
    kernel = node.wholes("kernel_shape") or ()
    strides = node.wholes("strides") or (1,) * len(kernel)
    pads = node.wholes("pads") or (0,) * (2 * len(kernel))
    spatial = [
        simplify((n - 1) * strides[i] + kernel[i] - pads[i] - pads[i + len(kernel)])
        for i, n in enumerate(x[2:])
    ]
    give(node, (*x[:2], *spatial))


def col2im(node: OnnxNode) -> None:
    """``Col2Im``: columns back into an image."""
    x = node.need(0).known
    image, block = numbers(node.get(1), "the image"), numbers(node.get(2), "the block")
    give(node, (x[0], simplify(x[1] / product(*block)), *image))
