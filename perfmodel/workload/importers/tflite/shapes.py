"""Shapes of what operators of TensorFlow Lite write that ONNX means otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.workload.importers.onnx.extents import floor_div
from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    NotPricedError,
    OnnxNode,
    OnnxValue,
    Shape,
    fixed,
    replaced,
)
from perfmodel.workload.importers.onnx.shapes import give, per_axis, spread
from perfmodel.workload.importers.onnx.shapes_movement import numbers, sliced
from perfmodel.workload.importers.tflite.slices import masked
from perfmodel.workload.symbols import Dim, constant, product, simplify


def _image(edge: OnnxValue) -> Shape:
    if len(edge.known) < 3:
        raise NotPricedError(f"'{edge.name}' has {len(edge.known)} dimensions")
    return edge.known


def windows(node: OnnxNode, spatial: Sequence[Dim], kernel: Sequence[int]) -> list[Dim]:
    """Return extents of windows: ``SAME`` keeps ``ceil(n / stride)``, ``VALID`` what fits."""
    axes = len(kernel)
    s, d = per_axis(node, "strides", axes), per_axis(node, "dilations", axes)
    if any(v <= 0 for v in (*s, *d, *kernel)):
        raise ContradictionError("a stride, window or dilation below 1")
    same = node.text("padding", "SAME") == "SAME"
    reach = [0 if same else d[i] * (k - 1) for i, k in enumerate(kernel)]
    return [
        simplify(floor_div(simplify(n - reach[i] + s[i] - 1), s[i])) for i, n in enumerate(spatial)
    ]


def convolved(node: OnnxNode) -> None:
    """``CONV_2D``, ``DEPTHWISE_CONV_2D``, ``CONV_3D``."""
    x, w = _image(node.need(0)), _image(node.need(1))
    if len(x) != len(w):
        raise ContradictionError(f"weights of {len(w)} axes for an input of {len(x)}")
    if node.op == "Conv3D":
        kernel, channels, each = w[:3], w[4], w[3]
    else:
        kernel = w[1:-1]
        channels, each = (w[-1], w[-1]) if node.op == "DepthwiseConv2D" else (w[0], w[-1])
    have, want = constant(x[-1]), constant(each)
    if have is not None and want and node.op != "DepthwiseConv2D" and have % want:
        raise ContradictionError(f"weights of {want:g} channels for an input of {have:g}")
    taps = [fixed(k, "a kernel size") for k in kernel]
    give(node, (x[0], *windows(node, x[1:-1], taps), channels))


def scattered(node: OnnxNode) -> None:
    """``TRANSPOSE_CONV``: the output's shape is an input."""
    target = numbers(node.get(0), "the output shape")
    give(node, target, format=node.need(2).format)


def pooled(node: OnnxNode) -> None:
    """Pools."""
    x = _image(node.need(0))
    kernel = node.wholes("kernel_shape") or ()
    if len(kernel) != len(x) - 2:
        raise NotPricedError("its window does not fit the input")
    give(node, (x[0], *windows(node, x[1:-1], kernel), x[-1]))


def resized(node: OnnxNode) -> None:
    """``RESIZE_*``: the new height and width are an input."""
    x = _image(node.need(0))
    give(node, (x[0], *numbers(node.get(1), "the new size"), x[-1]))


def blocks(node: OnnxNode) -> None:
    """``DEPTH_TO_SPACE`` and ``SPACE_TO_DEPTH``."""
    n, h, w, c = _image(node.need(0))
    b = node.whole("block_size", 1)
    if b <= 0:
        raise ContradictionError(f"a block of {b}")
    if node.op == "DepthToSpace":
        give(node, (n, h * b, w * b, floor_div(c, b * b)))
    else:
        give(node, (n, floor_div(h, b), floor_div(w, b), c * b * b))


def batched(node: OnnxNode) -> None:
    """``SPACE_TO_BATCH_ND`` and ``BATCH_TO_SPACE_ND``: blocks of the space become a batch."""
    shape = list(node.need(0).known)
    size = [fixed(v, "a block") for v in numbers(node.get(1), "the blocks")]
    edges = [fixed(v, "a border") for v in numbers(node.get(2), "the borders")]
    if len(edges) != 2 * len(size) or len(size) >= len(shape) or any(b <= 0 for b in size):
        raise ContradictionError("blocks and borders that do not fit the input")
    for i, block in enumerate(size):
        border = edges[2 * i] + edges[2 * i + 1]
        if node.op == "SpaceToBatch":
            shape[0], shape[i + 1] = shape[0] * block, floor_div(shape[i + 1] + border, block)
        else:
            shape[0], shape[i + 1] = floor_div(shape[0], block), shape[i + 1] * block - border
    give(node, shape)


def dense(node: OnnxNode) -> None:
    """``FULLY_CONNECTED``: all but the last axis of the weights' input are rows."""
    x, w = node.need(0), node.need(1).known
    if len(w) != 2:
        raise ContradictionError(f"weights of {len(w)} axes")
    if node.whole("keep_num_dims", 0):
        give(node, (*x.known[:-1], w[0]))
        return
    features = fixed(w[1], "the weights' inputs")
    have = constant(x.elements)
    if features <= 0 or (have is not None and have % features):
        raise ContradictionError(f"{have:g} inputs for weights of {features}")
    lead = x.known[:-1]
    rows = product(*lead) if x.known and x.known[-1] == features else None
    give(node, (floor_div(x.elements, features) if rows is None else rows, w[0]))


def multiplied(node: OnnxNode) -> None:
    """``BATCH_MATMUL``: either side may be transposed."""
    a, b = sides(node)
    if len(a) < 2 or len(b) < 2:
        raise NotPricedError("a product of vectors")
    have, want = constant(a[-1]), constant(b[-2])
    if have is not None and want is not None and have != want:
        raise ContradictionError(f"inner extents {have:g} and {want:g} differ")
    give(node, (*spread(a[:-2], b[:-2]), a[-2], b[-1]))


def sides(node: OnnxNode) -> tuple[Shape, Shape]:
    """Return the shapes of both sides of a product as they are multiplied."""
    sides: list[Shape] = []
    for i, name in enumerate(("adj_x", "adj_y")):
        shape = node.need(i).known
        sides.append((*shape[:-2], shape[-1], shape[-2])
                     if node.whole(name, 0) and len(shape) > 1 else shape)  # fmt: skip
    return sides[0], sides[1]


def converted(node: OnnxNode) -> None:
    """``QUANTIZE`` and ``DEQUANTIZE``: the file says into what."""
    give(node, node.need(0).known, format=node.text("to", ""))


def gathered(node: OnnxNode) -> None:
    """``GATHER`` whose first axes go in step with the indices'."""
    x, indices = node.need(0).known, node.need(1).known
    batch = node.whole("batch_dims", 0)
    axis = node.axis(0, len(x))
    give(node, replaced(x, axis, *indices[batch:]))


def strided(node: OnnxNode) -> None:
    """``STRIDED_SLICE`` whose bounds are worked out in the network, from shapes."""
    x = node.need(0)
    begin, end = numbers(node.get(1), "the begin"), numbers(node.get(2), "the end")
    step = [fixed(v, "a step") for v in numbers(node.get(3), "the steps")]
    cuts, gone, new = masked(node.attributes, begin, end, step, len(x.known))
    bounds = [
        OnnxValue(f"{node.name}.{k}", (len(cuts),), "constant", "int64", tuple(c[k] for c in cuts))
        for k in range(4)
    ]
    made = OnnxValue(f"{node.name}.cut")
    sliced(OnnxNode("Slice", node.name, (x, *bounds), (made,)))
    shape = [d for i, d in enumerate(made.known) if i not in gone]
    for axis in new:
        shape.insert(axis, 1)
    give(node, shape)


def transformed(node: OnnxNode) -> None:
    """``RFFT2D``: half of the spectrum of real images, and one number more."""
    x = node.need(0).known
    length = [fixed(v, "a length") for v in numbers(node.get(1), "the lengths")]
    if len(length) != 2 or len(x) < 2 or min(length) < 1:
        raise NotPricedError("its lengths do not fit the input")
    give(node, (*x[:-2], length[0], length[1] // 2 + 1), format="fp64")


def real_part(node: OnnxNode) -> None:
    """One real number of each complex one."""
    give(node, node.need(0).known, format="")
