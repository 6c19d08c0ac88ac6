"""Shapes and prices of reductions, and of selections whose size depends on the data."""

from __future__ import annotations

import math

from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    OnnxNode,
    Shape,
    UnknownShapeError,
    replaced,
)
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.importers.onnx.read import FORMATS
from perfmodel.workload.importers.onnx.shapes import give, reduced_axes
from perfmodel.workload.symbols import Dim, constant, product


def reduction(node: OnnxNode) -> None:
    """Set the shape of a reduction over axes from an attribute or an input."""
    x = node.shape(0)
    axes = reduced_axes(node, len(x))
    left = (1,) if node.integer("keepdims", 1) else ()
    give(node, [e for i, d in enumerate(x) for e in (left if i in axes else (d,))])


def arg_reduction(node: OnnxNode) -> None:
    """Set the shape of ``ArgMax`` and ``ArgMin``: positions along one axis."""
    x = node.shape(0)
    axis = node.axis(0, len(x))
    left = (1,) if node.integer("keepdims", 1) else ()
    give(node, replaced(x, axis, *left), format="int64")


def top_k(node: OnnxNode) -> None:
    """Set the shapes of ``TopK``: values and positions."""
    x = node.shape(0)
    axis = node.axis(-1, len(x))
    second = node.get(1)
    k = second.number() if second is not None else node.integer("k", 1)
    if second is None and k is not None and constant(k) == 0:
        raise ContradictionError("attribute 'k' is 0")
    if k is None and second is not None and second.is_data and not second.depends:
        k = node.open(0, axis)
    if k is None:
        raise UnknownShapeError("k is not known")
    most, least = constant(x[axis]), constant(k)
    if least is not None and (least < 0 or (most is not None and least > most)):
        raise ContradictionError(f"the first {least:g} of an extent of {most}")
    shape = replaced(x, axis, k)
    give(node, shape)
    give(node, shape, 1, "int64")


def nonzero(node: OnnxNode) -> None:
    """Set the shape of ``NonZero``, whose second extent depends on the data."""
    x = node.need(0)
    give(node, (max(len(x.known), 1), _picked(node, 1, x.elements)), format="int64")


def _picked(node: OnnxNode, axis: int, most: Dim) -> Dim:
    """Return an extent that depends on the data, by default the largest possible."""
    return node.open(0, axis, constant(most) or 1)


def _along(node: OnnxNode) -> tuple[Shape, int]:
    """Return the shape and axis of a selection; without an axis, the input is flattened."""
    x = node.shape(0)
    if "axis" not in node.attributes:
        x = (product(*x),)
    return x, node.axis(0, len(x))


def compress(node: OnnxNode) -> None:
    """Set the shape of ``Compress``, whose extent along the axis depends on the data."""
    x, axis = _along(node)
    give(node, replaced(x, axis, _picked(node, axis, x[axis])))


def suppression(node: OnnxNode) -> None:
    """Set the shape of ``NonMaxSuppression``, whose number of boxes depends on the data."""
    limit = node.get(2)
    most = (limit.number() if limit is not None else None) or 1
    give(node, (_picked(node, 0, product(*node.shape(1)[:2], most)), 3), format="int64")


def unique(node: OnnxNode) -> None:
    """Set the shapes of ``Unique``, whose number of elements depends on the data."""
    x, axis = _along(node)
    count = _picked(node, axis, x[axis])
    give(node, replaced(x, axis, count))
    for i, extent in enumerate((count, x[axis], count), 1):
        give(node, (extent,), i, "int64")


def multinomial(node: OnnxNode) -> None:
    """Set the shape of ``Multinomial``: samples per row."""
    format = FORMATS.get(node.integer("dtype", 6), "int32")
    give(node, (node.shape(0)[0], node.integer("sample_size", 1)), format=format)


def select(p: Pricer, n: OnnxNode) -> None:
    """Price ``TopK`` and ``Unique``: ``log2(k + 1)`` operations per element.

    ``TopK`` passes each element through a heap of k; ``Unique`` sorts all, so k is their number.
    """
    x = n.need(0)
    number = constant(n.out.known[-1] if n.op == "TopK" else x.elements)
    depth = math.log2(number + 1) if number else 16.0
    p.add(n, "pool", p.reads(x), ops=product(x.elements, max(depth, 1.0)))


def suppress(p: Pricer, n: OnnxNode) -> None:
    """Price ``NonMaxSuppression``.

    At most k boxes remain per class, and every box is compared with those: ``n k`` overlaps of 12
    operations per class (the worst case, because the number that remains depends on the data).
    """
    boxes, scores, limit = n.need(0), n.need(1), n.get(2)
    count = boxes.known[-2]
    most = limit.number() if limit is not None else None
    overlaps = product(*scores.known[:-1], count, count if most is None else most)
    p.add(n, "pool", p.reads(boxes, scores), ops=product(overlaps, 12))
