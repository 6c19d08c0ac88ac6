"""Reductions, and selections whose size depends on the data: output shapes and operation counts.

Shapes follow the ONNX operator specification (docs/Operators.md). An extent that only the data
determine, such as the number of nonzeros, becomes a free dimension with the largest possible number
as its default. Entries of ``workloads/operators/onnx.yaml`` name these functions.
"""

from __future__ import annotations

import math

from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    OnnxNode,
    Shape,
    UnknownShapeError,
    replace_axis,
)
from perfmodel.workload.importers.onnx.output_shapes import reduced_axes, set_output
from perfmodel.workload.importers.onnx.pricer import Pricer
from perfmodel.workload.importers.onnx.records import FORMATS
from perfmodel.workload.symbols import Dim, constant, product


def reduction_shape(node: OnnxNode) -> None:
    """Set the shape of a reduction: reduced axes have extent 1, or vanish without ``keepdims``."""
    x = node.shape(0)
    axes = reduced_axes(node, len(x))
    reduced_extent = (1,) if node.integer("keepdims", 1) else ()
    set_output(node, [e for i, d in enumerate(x) for e in (reduced_extent if i in axes else (d,))])


def arg_reduction_shape(node: OnnxNode) -> None:
    """Set the shape of ``ArgMax`` and ``ArgMin``: ``int64`` positions along one axis."""
    x = node.shape(0)
    axis = node.axis(0, len(x))
    reduced_extent = (1,) if node.integer("keepdims", 1) else ()
    set_output(node, replace_axis(x, axis, *reduced_extent), format="int64")


def top_k_shape(node: OnnxNode) -> None:
    """Set the shapes of ``TopK``: k values and k ``int64`` positions along the axis."""
    x = node.shape(0)
    axis = node.axis(-1, len(x))
    second = node.get(1)
    k = second.number() if second is not None else node.integer("k", 1)
    if second is None and k is not None and constant(k) == 0:
        raise ContradictionError("attribute 'k' is 0")
    if k is None and second is not None and second.is_data and not second.depends_on:
        k = node.open_extent(0, axis)
    if k is None:
        raise UnknownShapeError("k is not known")
    extent, fixed_k = constant(x[axis]), constant(k)
    if fixed_k is not None and (fixed_k < 0 or (extent is not None and fixed_k > extent)):
        raise ContradictionError(f"the first {fixed_k:g} of an extent of {extent}")
    shape = replace_axis(x, axis, k)
    set_output(node, shape)
    set_output(node, shape, 1, "int64")


def nonzero_shape(node: OnnxNode) -> None:
    """Set the shape of ``NonZero``: ``(rank, number of nonzeros)``."""
    x = node.require(0)
    set_output(
        node, (max(len(x.extents), 1), _data_dependent_extent(node, 1, x.elements)), format="int64"
    )


def _data_dependent_extent(node: OnnxNode, axis: int, most: Dim) -> Dim:
    """Return a free extent that the data determine, by default the largest possible."""
    return node.open_extent(0, axis, constant(most) or 1)


def _selection_axis(node: OnnxNode) -> tuple[Shape, int]:
    """Return the shape and axis of a selection; without an axis the input is flattened."""
    x = node.shape(0)
    if "axis" not in node.attributes:
        x = (product(*x),)
    return x, node.axis(0, len(x))


def compress_shape(node: OnnxNode) -> None:
    """Set the shape of ``Compress``, which selects slices along an axis by a condition."""
    x, axis = _selection_axis(node)
    set_output(node, replace_axis(x, axis, _data_dependent_extent(node, axis, x[axis])))


def suppression_shape(node: OnnxNode) -> None:
    """Set the shape of ``NonMaxSuppression``: ``(selected boxes, 3)``.

    At most ``N * classes * max_output_boxes_per_class`` boxes are selected.
    """
    limit = node.get(2)
    most = (limit.number() if limit is not None else None) or 1
    set_output(
        node,
        (_data_dependent_extent(node, 0, product(*node.shape(1)[:2], most)), 3),
        format="int64",
    )


def unique_shape(node: OnnxNode) -> None:
    """Set the shapes of ``Unique``: distinct elements, first positions, inverse, counts."""
    x, axis = _selection_axis(node)
    count = _data_dependent_extent(node, axis, x[axis])
    set_output(node, replace_axis(x, axis, count))
    for i, extent in enumerate((count, x[axis], count), 1):
        set_output(node, (extent,), i, "int64")


def multinomial_shape(node: OnnxNode) -> None:
    """Set the shape of ``Multinomial``: ``(N, sample_size)``."""
    format = FORMATS.get(node.integer("dtype", 6), "int32")
    set_output(node, (node.shape(0)[0], node.integer("sample_size", 1)), format=format)


def price_selection(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``TopK`` and ``Unique``: ``log2(k + 1)`` operations for each input element.

    ``TopK`` passes every element through a heap of k elements; ``Unique`` sorts all, so that k is
    their number. A k that is not fixed counts 16 operations.
    """
    x = node.require(0)
    number = constant(node.first_output.extents[-1] if node.op == "TopK" else x.elements)
    depth = math.log2(number + 1) if number else 16.0
    pricer.add(node, "pool", pricer.reads(x), ops=product(x.elements, max(depth, 1.0)))


def price_suppression(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``NonMaxSuppression`` of n boxes, of which at most k remain per class.

    Every box is compared with every remaining one of its class: ``n k`` overlaps of 12 operations
    per class. This is the worst case, because the number that remains depends on the data.
    """
    boxes, scores, limit = node.require(0), node.require(1), node.get(2)
    count = boxes.extents[-2]
    limit_number = limit.number() if limit is not None else None
    overlaps = product(*scores.extents[:-1], count, count if limit_number is None else limit_number)
    pricer.add(node, "pool", pricer.reads(boxes, scores), ops=product(overlaps, 12))
