"""Shapes of what operators of TensorFlow Lite write that ONNX means otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from perfmodel.workload.importers.onnx.extents import floor, floor_div
from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    NotPricedError,
    OnnxNode,
    OnnxValue,
    Shape,
    fixed,
    replaced,
)
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.importers.onnx.shapes import Rule, give
from perfmodel.workload.importers.onnx.shapes_movement import sliced
from perfmodel.workload.importers.tflite.slices import masked
from perfmodel.workload.symbols import Dim, constant, product

#: Convolution -> axes of its weights in the order of ONNX.
_WEIGHTS: Final[Mapping[str, Sequence[int]]] = {
    "Conv2D": (0, 3, 1, 2),
    "DepthwiseConv2D": (3, 0, 1, 2),
    "Conv3D": (4, 3, 0, 1, 2),
}


def view(p: Pricer | None, edge: OnnxValue, shape: Shape | None) -> OnnxValue:
    """Return a value in the layout of ONNX; for a pricer its tensor is that of the value."""
    if p is not None and edge.kind == "constant" and edge.tensor is None:
        edge.kind = "weight"
    made = OnnxValue(edge.name, shape, edge.kind, edge.format, tensor=edge.tensor, tag=edge.tag)
    if p is not None and edge.tensor is None:
        # Weights are declared as they are seen here; of images the pricer knows the order.
        edge.tensor = made.tensor = p.tensor(edge if edge.is_data else made)
    return made


def channels_second(node: OnnxNode, p: Pricer | None = None) -> OnnxNode:
    """Return a convolution, a pool or a change of blocks as ONNX has it."""
    x = node.shape(0, 3)

    def image(edge: OnnxValue) -> OnnxValue:
        shape = edge.shape
        return view(p, edge, (shape[0], shape[-1], *shape[1:-1]) if shape else None)

    inputs = [image(node.need(0))]
    same = node.text("padding", "SAME") == "SAME"
    attributes = {**node.attributes, "auto_pad": "SAME_UPPER" if same else "VALID"}
    op = node.op
    if op in _WEIGHTS:
        w = node.need(1)
        if len(w.known) != len(x):
            raise ContradictionError(f"weights of {len(w.known)} axes for an input of {len(x)}")
        weights = tuple(w.known[axis] for axis in _WEIGHTS[op])
        groups: Dim = 1
        if op != "Conv3D":
            groups = floor_div(x[-1], fixed(weights[1], "the weights' channels"))
        attributes["group"] = fixed(groups, "the number of groups")
        inputs += [view(p, w, weights), *node.inputs[2:3]]
        op = "Conv"
    return OnnxNode(op, node.name, tuple(inputs), (image(node.out),), attributes)


def as_in_onnx(rule: Rule) -> Rule:
    """Return the rule of ONNX for images that have their channels last."""

    def shaped(node: OnnxNode) -> None:
        plain = channels_second(node)
        rule(plain)
        batch, channels, *spatial = map(floor, plain.out.known)
        give(node, (batch, *spatial, channels))

    return shaped


def scattered(node: OnnxNode) -> None:
    """``TRANSPOSE_CONV``: the output's shape is an input."""
    give(node, node.numbers(0, "the output shape"), format=node.need(2).format)


def resized(node: OnnxNode) -> None:
    """``RESIZE_*``: the new height and width are an input."""
    x = node.shape(0, 3)
    give(node, (x[0], *node.numbers(1, "the new size"), x[-1]))


def batched(node: OnnxNode) -> None:
    """``SPACE_TO_BATCH_ND`` and ``BATCH_TO_SPACE_ND``: blocks of the space become a batch."""
    shape = list(node.shape(0))
    size = [fixed(v, "a block") for v in node.numbers(1, "the blocks")]
    edges = [fixed(v, "a border") for v in node.numbers(2, "the borders")]
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
    x, w = node.need(0), node.shape(1)
    if len(w) != 2:
        raise ContradictionError(f"weights of {len(w)} axes")
    if node.whole("keep_num_dims", 0):
        give(node, (*x.known[:-1], w[0]))
        return
    features = fixed(w[1], "the weights' inputs")
    have = constant(x.elements)
    if features <= 0 or (have is not None and have % features):
        raise ContradictionError(f"{have:g} inputs for weights of {features}")
    plain = x.known[-1:] == (features,)
    rows = product(*x.known[:-1]) if plain else floor_div(x.elements, features)
    give(node, (rows, w[0]))


def gathered(node: OnnxNode) -> None:
    """``GATHER`` whose first axes go in step with the indices'."""
    x = node.shape(0)
    give(node, replaced(x, node.axis(0, len(x)), *node.shape(1)[node.whole("batch_dims", 0) :]))


def strided(node: OnnxNode) -> None:
    """``STRIDED_SLICE`` whose bounds are worked out in the network, from shapes."""
    x = node.need(0)
    begin, end = node.numbers(1, "the begin"), node.numbers(2, "the end")
    step = [fixed(v, "a step") for v in node.numbers(3, "the steps")]
    cuts, gone, new = masked(node.attributes, begin, end, step, len(x.known))
    bounds = [
        OnnxValue(f"{node.name}.{k}", (len(cuts),), "constant", "int64", tuple(c[k] for c in cuts))
        for k in range(4)
    ]
    made = OnnxValue(f"{node.name}.cut")
    sliced(OnnxNode("Slice", node.name, (x, *bounds), (made,)))
    shape = [extent for axis, extent in enumerate(made.known) if axis not in gone]
    for axis in new:
        shape.insert(axis, 1)
    give(node, shape)


def transformed(node: OnnxNode) -> None:
    """``RFFT2D``: half of the spectrum of real images, and one number more."""
    x = node.shape(0)
    length = [fixed(v, "a length") for v in node.numbers(1, "the lengths")]
    if len(length) != 2 or len(x) < 2 or min(length) < 1:
        raise NotPricedError("its lengths do not fit the input")
    give(node, (*x[:-2], length[0], length[1] // 2 + 1), format="fp64")


def real_part(node: OnnxNode) -> None:
    """One real number of each complex one."""
    give(node, node.shape(0), format="")
