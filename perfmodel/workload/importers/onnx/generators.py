"""Generators (ONNX's term): output shapes of operators that read only sizes and bounds.

Examples are ``Range``, ``ConstantOfShape`` and ``OneHot``. Shapes follow the ONNX operator
specification (docs/Operators.md). Entries of ``workloads/operators/onnx.yaml`` name these
functions.
"""

from __future__ import annotations

import math

from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    OnnxNode,
    UnknownShapeError,
    require_integer,
)
from perfmodel.workload.importers.onnx.output_shapes import (
    is_data_dependent,
    set_output,
    target_shape,
)
from perfmodel.workload.symbols import Poly, ceil_div, constant, poly, simplify


def shape_shape(node: OnnxNode) -> None:
    """Set the shape of ``Shape``: ``(end - start,)``, one number for each selected axis."""
    dims = node.shape(0)
    selected = dims[node.integer("start", 0) : node.integer("end", len(dims))]
    set_output(node, (len(selected),), format="int64")


def size_shape(node: OnnxNode) -> None:
    """Set the shape of ``Size``: a scalar."""
    set_output(node, (), format="int64")


def constant_of_shape_shape(node: OnnxNode) -> None:
    """Set the shape of ``ConstantOfShape`` to the numbers of its input."""
    value = node.attributes.get("value")
    set_output(node, target_shape(node, 0), format=getattr(value, "format", "fp32"))


def range_shape(node: OnnxNode) -> None:
    """Set the shape of ``Range``: ``(max(0, ceil((end - start) / step)),)``."""
    if any(is_data_dependent(e) for e in node.present_inputs):
        set_output(node, (node.open_extent(0, 0),))
        return
    start, end, step = (node.number(i, "a bound") for i in range(3))
    fixed_step = constant(step)
    if fixed_step == 0:
        raise ContradictionError("a step of 0")
    if fixed_step is None:
        raise UnknownShapeError(f"a step of {step}")
    span = simplify(end - start)
    count = (
        ceil_div(span, int(fixed_step))
        if isinstance(span, Poly) and fixed_step > 0 and fixed_step == int(fixed_step)
        else simplify(poly(span) / fixed_step)
    )
    number = constant(count)
    set_output(node, (count if number is None else max(0, math.ceil(number)),))


def one_hot_shape(node: OnnxNode) -> None:
    """Set the shape of ``OneHot``: ``x[:axis] + (depth,) + x[axis:]``."""
    index = list(node.shape(0))
    depth = node.number(1, "the depth")
    axis = node.axis(-1, len(index) + 1)
    set_output(node, (*index[:axis], depth, *index[axis:]), format=node.require(2).format)


def random_shape(node: OnnxNode) -> None:
    """Set the shape of random numbers: that of an input, or the stated one."""
    like = node.get(0)
    set_output(node, like.extents if like is not None else node.integers("shape") or (), format="")


def eye_like_shape(node: OnnxNode) -> None:
    """Set the shape of ``EyeLike`` to that of its input, which must be a matrix."""
    x = node.shape(0)
    if len(x) != 2:
        raise ContradictionError(f"{len(x)} axes instead of a matrix")
    set_output(node, x)


def window_function_shape(node: OnnxNode) -> None:
    """Set the shape of ``HannWindow`` and similar window functions: ``(length,)``."""
    set_output(node, (node.number(0, "the length"),), format="fp32")


def mel_weight_matrix_shape(node: OnnxNode) -> None:
    """Set the shape of ``MelWeightMatrix``: ``(floor(dft_length / 2) + 1, num_mel_bins)``."""
    bins, length = node.number(0, "the bins"), node.number(1, "the length")
    set_output(node, (require_integer(length, "the length") // 2 + 1, bins), format="fp32")
