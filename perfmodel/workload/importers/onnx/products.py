"""Shapes and prices of matrix products: plain, stacked, and by an Einstein equation."""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    OnnxNode,
    OnnxValue,
    Shape,
    fixed,
    turned,
)
from perfmodel.workload.importers.onnx.pricing import Operations, Pricer, operations
from perfmodel.workload.importers.onnx.shapes import agree, give, spread
from perfmodel.workload.nest import LoopNest, Operand, gemm_nest
from perfmodel.workload.symbols import Dim, constant, product


def gemm_shape(node: OnnxNode) -> None:
    """Set the shape of ``Gemm``."""
    a, b = node.shape(0, 2), node.shape(1, 2)
    m, k = (a[1], a[0]) if node.integer("transA", 0) else (a[0], a[1])
    n, k2 = (b[0], b[1]) if node.integer("transB", 0) else (b[1], b[0])
    agree("inner extents", k, k2)
    c = node.get(2)
    if c is not None and c.shape is not None:
        for here, there in zip(reversed(c.shape), (n, m), strict=False):
            if constant(here) != 1:
                agree("extents of the third input and the product", here, there)
        if len(c.shape) > 2:
            raise ContradictionError(f"a third input with {len(c.shape)} axes")
    give(node, (m, n))


def matmul_shape(node: OnnxNode) -> None:
    """Set the shape of ``MatMul`` and of its integer forms."""
    format = "int32" if node.op == "MatMulInteger" else None
    linear = node.op == "QLinearMatMul"
    if linear and node.get(7) is not None:
        format = node.need(7).format
    give(node, stacked(node.shape(0), node.shape(3 if linear else 1)), format=format)


def stacked(a: Shape, b: Shape) -> Shape:
    """Return the shape of a product of two stacks of matrices."""
    if not a or not b:
        raise ContradictionError("a product with a scalar")
    left = (1, *a) if len(a) == 1 else a
    right = (*b, 1) if len(b) == 1 else b
    agree("inner extents", left[-1], right[-2])
    shape = (*spread(left[:-2], right[:-2]), left[-2], right[-1])
    if len(a) == 1:
        shape = (*shape[:-2], shape[-1])
    return shape[:-1] if len(b) == 1 else shape


def fused_matmul_shape(node: OnnxNode) -> None:
    """Set the shape of ``FusedMatMul``, either side of which may be transposed."""
    give(node, stacked(*sides(node)))


def sides(node: OnnxNode) -> tuple[Shape, Shape]:
    """Return the shapes of both factors after transposition."""
    a, b = node.shape(0, 2), node.shape(1, 2)
    return (
        turned(a) if node.integer("transA", 0) else a,
        turned(b) if node.integer("transB", 0) else b,
    )


def indices(node: OnnxNode) -> tuple[list[str], str, dict[str, Dim]]:
    """Return the terms of an ``Einsum``, its target, and the extent of each index.

    Each axis of an ellipsis is written out as a distinct letter.
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


def einsum_shape(node: OnnxNode) -> None:
    """Set the shape of ``Einsum``."""
    _, target, sizes = indices(node)
    give(node, [sizes[c] for c in target])


def gemm(p: Pricer, n: OnnxNode, *, second: int = 1, bias: int = 2, extra: Operations = 0) -> None:
    """Price ``Gemm``, ``alpha A B + beta C``; `second` and `bias` are the positions of B and C."""
    a, b = n.need(0), n.need(second)
    rows, k = a.ranked(2)
    if n.integer("transA", 0):
        rows, k = k, rows
    dims = 1, rows, n.out.known[-1], k
    matrices(p, n, a, b, dims, bias=n.get(bias), extra=extra, b_batched=b.is_data)


def matmul(
    p: Pricer, n: OnnxNode, *, second: int = 1, bias: int = 2, extra: Operations = 0
) -> None:
    """Price a product of stacks of matrices; `second` and `bias` are positions of inputs."""
    a, b = n.need(0), n.need(second)
    left, right = a.ranked(1), b.ranked(1)
    if len(left) == 1:
        left = (1, *left)
    if len(right) == 1:
        right = (*right, 1)
    if n.integer("transB", 0):
        right = turned(right)
    *lead_a, m, k = left
    *lead_b, _, features = right
    batched = True
    if not any(d != 1 for d in lead_b):
        dims = (1, product(*lead_a, m), features, k)
        batched = b.is_data
    elif not any(d != 1 for d in lead_a) and not a.is_data:
        # Weights on the left are shared by the stack: price the transposed product.
        dims = (1, product(*lead_b, features), m, k)
        a, b, batched = b, a, False
    else:
        dims = (product(*spread(tuple(lead_a), tuple(lead_b))), m, features, k)
    matrices(p, n, a, b, dims, bias=n.get(bias), extra=extra, b_batched=batched)


def matrices(
    p: Pricer,
    n: OnnxNode,
    a: OnnxValue,
    b: OnnxValue,
    dims: tuple[Dim, Dim, Dim, Dim],
    *,
    bias: OnnxValue | None = None,
    extra: Operations = 0,
    b_batched: bool,
) -> None:
    """Add a product with extents ``(batch, m, n, k)`` and `extra` operations per output."""
    x, w, y = p.tensor(a), p.weight(b), p.tensor(n.out)
    nest = gemm_nest(*dims, x.name, w.name, y.name, b_batched=b_batched)
    added = p.vector(bias)
    ops = product(y.elements, operations(extra) + len(added))
    p.add(n, "gemm", [x, w, *added], ops=ops, nests=[nest], pair=(w.slot, x.slot))


def fused_matmul(p: Pricer, n: OnnxNode) -> None:
    """Price ``FusedMatMul``, either side of which may be transposed."""
    if not n.integer("transA", 0):
        matmul(p, n)
        return
    a, b = n.need(0), n.need(1)
    *lead, k, m = a.known
    features = n.out.known[-1]
    if b.is_data and len(b.known) > 2:
        matrices(p, n, a, b, (product(*n.out.known[:-2]), m, features, k), b_batched=True)
    else:
        matrices(p, n, a, b, (1, product(*lead, m), features, k), b_batched=b.is_data)


def einsum(p: Pricer, n: OnnxNode) -> None:
    """Price ``Einsum`` as one nest over all index letters of the equation.

    More than two operands are contracted pairwise from the left, as frameworks do.
    """
    terms, target, sizes = indices(n)
    y = p.tensor(n.out)
    tensors = [p.tensor(e) for e in n.present]
    if len(terms) == 1:
        summed = len(target) < len(set(terms[0]))
        p.add(n, "pool" if summed else "copy", tensors, ops=tensors[0].elements * summed)
        return
    nests: list[LoopNest] = []
    letters, product_so_far = terms[0], tensors[0]
    for i in range(1, len(terms)):
        later = set("".join(terms[i + 1 :])) | set(target)
        last = i == len(terms) - 1
        both = list(dict.fromkeys(letters + terms[i]))
        remaining = target if last else "".join(c for c in both if c in later)
        out = y if last else p.scratch(f"{n.name}.part{i}", [sizes[c] for c in remaining])
        nests.append(
            _letters_nest(
                sizes, both, (letters, product_so_far), (terms[i], tensors[i]), (remaining, out)
            )
        )
        letters, product_so_far = remaining, out
    weight = next((t for t in tensors if t.role == "weight"), tensors[1])
    other = next((t for t in tensors if t is not weight), weight)  # x with itself
    p.add(n, "gemm", tensors, nests=nests, pair=(weight.slot, other.slot))


def _letters_nest(
    sizes: Mapping[str, Dim],
    letters: list[str],
    a: tuple[str, Tensor],
    b: tuple[str, Tensor],
    out: tuple[str, Tensor],
) -> LoopNest:
    def operand(term: str, tensor: Tensor, role: str = "") -> Operand:
        role = role or ("weight" if tensor.role == "weight" else "input")
        return Operand(tensor.name, role, tuple(((c, 1),) for c in term))

    operands = operand(*a), operand(*b), operand(*out, "output")
    return LoopNest(tuple((c, sizes[c]) for c in letters), operands)


def det(p: Pricer, n: OnnxNode) -> None:
    """Price ``Det`` by LU decomposition: n^3 / 3 multiply-adds, 2 n^3 / 3 operations."""
    x = n.need(0)
    size = fixed(x.known[-1], "a matrix size")
    p.add(n, "elementwise", [p.tensor(x)], ops=product(*x.known[:-2], 2 * size**3 / 3))
