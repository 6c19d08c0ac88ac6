"""Shapes of products of matrices: two stacks of them, or by an equation of indices."""

from __future__ import annotations

from perfmodel.workload.importers.onnx.node import ContradictionError, OnnxNode, Shape
from perfmodel.workload.importers.onnx.shapes import agree, give, spread
from perfmodel.workload.symbols import Dim, constant


def gemm(node: OnnxNode) -> None:
    """``Gemm``."""
    a, b = node.shape(0, 2), node.shape(1, 2)
    m, k = (a[1], a[0]) if node.whole("transA", 0) else (a[0], a[1])
    n, k2 = (b[0], b[1]) if node.whole("transB", 0) else (b[1], b[0])
    agree("inner extents", k, k2)
    c = node.get(2)
    if c is not None and c.shape is not None:
        for here, there in zip(reversed(c.shape), (n, m), strict=False):
            if constant(here) != 1:
                agree("extents of the third input and the product", here, there)
        if len(c.shape) > 2:
            raise ContradictionError(f"a third input with {len(c.shape)} axes")
    give(node, (m, n))


def matmul(node: OnnxNode) -> None:
    """``MatMul`` and its integer forms."""
    format = "int32" if node.op == "MatMulInteger" else None
    linear = node.op == "QLinearMatMul"
    if linear and node.get(7) is not None:
        format = node.need(7).format
    give(node, stacked(node.shape(0), node.shape(3 if linear else 1)), format=format)


def stacked(a: Shape, b: Shape) -> Shape:
    """Return the shape of a product of stacks of matrices."""
    if not a or not b:
        raise ContradictionError("a product with a scalar")
    left = (1, *a) if len(a) == 1 else a
    right = (*b, 1) if len(b) == 1 else b
    agree("inner extents", left[-1], right[-2])
    shape = (*spread(left[:-2], right[:-2]), left[-2], right[-1])
    if len(a) == 1:
        shape = (*shape[:-2], shape[-1])
    return shape[:-1] if len(b) == 1 else shape


def indices(node: OnnxNode) -> tuple[list[str], str, dict[str, Dim]]:
    """Return the terms of an ``Einsum``, its target, and the extent of each index.

    The axes of an ellipsis are written out with letters of their own.
    """
    equation = node.text("equation", "").replace(" ", "")
    left, arrow, target = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(node.present):
        raise ContradictionError(f"equation '{equation}' with {len(node.present)} inputs")
    spare = [chr(0x3B1 + i) for i in range(24)]
    widest = 0
    for i, edge in enumerate(node.present):
        if "..." in terms[i]:
            hidden = len(edge.known) - len(terms[i]) + 3
            widest = max(widest, hidden)
            terms[i] = terms[i].replace("...", "".join(spare[24 - hidden :]) if hidden > 0 else "")
    dots = "".join(spare[24 - widest :]) if widest else ""
    sizes: dict[str, Dim] = {}
    for term, edge in zip(terms, node.present, strict=True):
        if len(term) != len(edge.known):
            raise ContradictionError(f"'{term}' for {len(edge.known)} dimensions")
        for letter, size in zip(term, edge.known, strict=True):
            if sizes.get(letter, 1) == 1:
                sizes[letter] = size
            elif constant(size) != 1:
                agree(f"extents of index '{letter}'", sizes[letter], size)
    if not arrow:
        once = (c for c in sorted(sizes) if c not in dots and "".join(terms).count(c) == 1)
        target = "..." + "".join(once)
    target = target.replace("...", dots)
    if not set(target) <= set(sizes):
        raise ContradictionError(f"equation '{equation}' makes an index from nothing")
    return terms, target, sizes


def einsum(node: OnnxNode) -> None:
    """``Einsum``."""
    _, target, sizes = indices(node)
    give(node, [sizes[c] for c in target])
