"""Shapes of operators whose output depends on numbers only, not on tensor data."""

from __future__ import annotations

import math

from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    OnnxNode,
    UnknownShapeError,
    fixed,
)
from perfmodel.workload.importers.onnx.shapes import decided_by_data, give, target_shape
from perfmodel.workload.symbols import Poly, ceil_div, constant, poly, simplify


def shape_of(node: OnnxNode) -> None:
    """Set the shape of ``Shape``: one number per selected dimension."""
    dims = node.shape(0)
    taken = dims[node.integer("start", 0) : node.integer("end", len(dims))]
    give(node, (len(taken),), format="int64")


def size_of(node: OnnxNode) -> None:
    """Set the shape of ``Size``: a scalar."""
    give(node, (), format="int64")


def filled(node: OnnxNode) -> None:
    """Set the shape of ``ConstantOfShape``."""
    value = node.attributes.get("value")
    give(node, target_shape(node, 0), format=getattr(value, "format", "fp32"))


def range_of(node: OnnxNode) -> None:
    """Set the shape of ``Range``: ``max(0, ceil((end - start) / step))`` numbers."""
    if any(decided_by_data(e) for e in node.present):
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
    """Set the shape of ``OneHot``: an additional axis as long as the depth."""
    index = list(node.shape(0))
    depth = node.number(1, "the depth")
    axis = node.axis(-1, len(index) + 1)
    give(node, (*index[:axis], depth, *index[axis:]), format=node.need(2).format)


def random_like(node: OnnxNode) -> None:
    """Set the shape of random numbers: as stated, or that of an input."""
    like = node.get(0)
    give(node, like.known if like is not None else node.integers("shape") or (), format="")


def eye_like(node: OnnxNode) -> None:
    """Set the shape of ``EyeLike``: that of the input, which must be a matrix."""
    x = node.shape(0)
    if len(x) != 2:
        raise ContradictionError(f"{len(x)} axes, which are no matrix")
    give(node, x)


def window(node: OnnxNode) -> None:
    """Set the shape of a window function for spectra."""
    give(node, (node.number(0, "the length"),), format="fp32")


def mel_matrix(node: OnnxNode) -> None:
    """Set the shape of ``MelWeightMatrix``: spectrum bins (``length // 2 + 1``) by mel bins."""
    bins, length = node.number(0, "the bins"), node.number(1, "the length")
    give(node, (fixed(length, "the length") // 2 + 1, bins), format="fp32")
