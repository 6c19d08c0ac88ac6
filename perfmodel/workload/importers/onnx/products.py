"""Matrix products: output shapes and loop nests of ``Gemm``, ``MatMul`` and ``Einsum``.

A product of shape ``(b, m, k) x (b, k, n)`` has ``b m n k`` multiply-accumulates. It enters the
graph as a loop nest (`perfmodel.workload.nest.gemm_nest`), from which work, sizes and reuse follow.
The shape rules are those of the ONNX operator specification (docs/Operators.md). Entries of
``workloads/operators/onnx.yaml`` name these functions.
"""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    OnnxNode,
    OnnxValue,
    Shape,
    require_integer,
    swap_last_axes,
)
from perfmodel.workload.importers.onnx.output_shapes import (
    broadcast_shapes,
    require_equal,
    set_output,
)
from perfmodel.workload.importers.onnx.pricer import Operations, Pricer, operations_per_element
from perfmodel.workload.nest import LoopNest, Operand, gemm_nest
from perfmodel.workload.symbols import Dim, constant, product


def gemm_shape(node: OnnxNode) -> None:
    """Set the shape of ``Gemm``: ``(m, n)`` for ``A (m, k)`` and ``B (k, n)``; C broadcasts."""
    a, b = node.shape(0, 2), node.shape(1, 2)
    m, k = (a[1], a[0]) if node.integer("transA", 0) else (a[0], a[1])
    n, k2 = (b[0], b[1]) if node.integer("transB", 0) else (b[1], b[0])
    require_equal("inner extents", k, k2)
    c = node.get(2)
    if c is not None and c.shape is not None:
        for extent, product_extent in zip(reversed(c.shape), (n, m), strict=False):
            if constant(extent) != 1:
                require_equal("extents of the third input and the product", extent, product_extent)
        if len(c.shape) > 2:
            raise ContradictionError(f"a third input with {len(c.shape)} axes")
    set_output(node, (m, n))


def matmul_shape(node: OnnxNode) -> None:
    """Set the shape of ``MatMul`` and of its integer forms; see `matmul_result_shape`."""
    format = "int32" if node.op == "MatMulInteger" else None
    linear = node.op == "QLinearMatMul"
    if linear and node.get(7) is not None:
        format = node.require(7).format
    set_output(
        node, matmul_result_shape(node.shape(0), node.shape(3 if linear else 1)), format=format
    )


def matmul_result_shape(a: Shape, b: Shape) -> Shape:
    """Return ``broadcast(a[:-2], b[:-2]) + (a[-2], b[-1])``, as ``numpy.matmul`` defines it.

    A factor with one axis is a row (left) or a column (right); the result lacks that axis.
    """
    if not a or not b:
        raise ContradictionError("a product with a scalar")
    left = (1, *a) if len(a) == 1 else a
    right = (*b, 1) if len(b) == 1 else b
    require_equal("inner extents", left[-1], right[-2])
    shape = (*broadcast_shapes(left[:-2], right[:-2]), left[-2], right[-1])
    if len(a) == 1:
        shape = (*shape[:-2], shape[-1])
    return shape[:-1] if len(b) == 1 else shape


def fused_matmul_shape(node: OnnxNode) -> None:
    """Set the shape of ``FusedMatMul``, whose factors may be transposed."""
    set_output(node, matmul_result_shape(*transposed_factors(node)))


def transposed_factors(node: OnnxNode) -> tuple[Shape, Shape]:
    """Return the shapes of both factors after the transposition that the attributes state."""
    a, b = node.shape(0, 2), node.shape(1, 2)
    return (
        swap_last_axes(a) if node.integer("transA", 0) else a,
        swap_last_axes(b) if node.integer("transB", 0) else b,
    )


def einsum_indices(node: OnnxNode) -> tuple[list[str], str, dict[str, Dim]]:
    """Return the terms of an ``Einsum``, its target, and the extent of each index.

    ``"ij,jk->ik"`` becomes ``["ij", "jk"], "ik", {"i": .., "j": .., "k": ..}``. Each axis of an
    ellipsis is written out as a distinct Greek letter. Without an arrow, the target consists of the
    indices that occur once, in alphabetical order.
    """
    equation = node.text("equation", "").replace(" ", "")
    left, arrow, target = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(node.present_inputs):
        raise ContradictionError(f"equation '{equation}' with {len(node.present_inputs)} inputs")
    spare_letters = [chr(0x3B1 + i) for i in range(24)]
    most_hidden = 0
    for i, edge in enumerate(node.present_inputs):
        if "..." in terms[i]:
            hidden_axes = len(edge.extents) - len(terms[i]) + 3
            most_hidden = max(most_hidden, hidden_axes)
            terms[i] = terms[i].replace(
                "...", "".join(spare_letters[24 - hidden_axes :]) if hidden_axes > 0 else ""
            )
    ellipsis_letters = "".join(spare_letters[24 - most_hidden :]) if most_hidden else ""
    sizes: dict[str, Dim] = {}
    for term, edge in zip(terms, node.present_inputs, strict=True):
        if len(term) != len(edge.extents):
            raise ContradictionError(f"'{term}' for {len(edge.extents)} dimensions")
        for letter, size in zip(term, edge.extents, strict=True):
            if sizes.get(letter, 1) == 1:
                sizes[letter] = size
            elif constant(size) != 1:
                require_equal(f"extents of index '{letter}'", sizes[letter], size)
    if not arrow:
        single_letters = (
            c for c in sorted(sizes) if c not in ellipsis_letters and "".join(terms).count(c) == 1
        )
        target = "..." + "".join(single_letters)
    target = target.replace("...", ellipsis_letters)
    if not set(target) <= set(sizes):
        raise ContradictionError(
            f"equation '{equation}' has an index in its result that no input has"
        )
    return terms, target, sizes


def einsum_shape(node: OnnxNode) -> None:
    """Set the shape of ``Einsum``: the extents of the indices in its target."""
    _, target, sizes = einsum_indices(node)
    set_output(node, [sizes[c] for c in target])


def price_gemm(
    pricer: Pricer, node: OnnxNode, *, second: int = 1, bias: int = 2, extra: Operations = 0
) -> None:
    """Price ``Gemm``, ``alpha A B + beta C``: ``m n k`` multiply-accumulates.

    Parameters
    ----------
    second, bias
        Positions of B and C among the inputs.
    extra
        Operations per output element in addition to the bias.
    """
    a, b = node.require(0), node.require(second)
    rows, k = a.extents_of_rank_at_least(2)
    if node.integer("transA", 0):
        rows, k = k, rows
    dims = 1, rows, node.first_output.extents[-1], k
    add_matrix_product(
        pricer, node, a, b, dims, bias=node.get(bias), extra=extra, b_batched=b.is_data
    )


def price_matmul(
    pricer: Pricer, node: OnnxNode, *, second: int = 1, bias: int = 2, extra: Operations = 0
) -> None:
    """Price a product of stacks of matrices: ``b m n k`` multiply-accumulates.

    A stack on the left with a single matrix on the right is one product of ``b m`` rows, so that
    the weights are read once. Parameters are those of `price_gemm`.
    """
    a, b = node.require(0), node.require(second)
    left, right = a.extents_of_rank_at_least(1), b.extents_of_rank_at_least(1)
    if len(left) == 1:
        left = (1, *left)
    if len(right) == 1:
        right = (*right, 1)
    if node.integer("transB", 0):
        right = swap_last_axes(right)
    *stack_a, m, k = left
    *stack_b, _, features = right
    is_b_batched = True
    if not any(d != 1 for d in stack_b):
        dims = (1, product(*stack_a, m), features, k)
        is_b_batched = b.is_data
    elif not any(d != 1 for d in stack_a) and not a.is_data:
        # Weights on the left are shared by the stack: price the transposed product.
        dims = (1, product(*stack_b, features), m, k)
        a, b, is_b_batched = b, a, False
    else:
        dims = (product(*broadcast_shapes(tuple(stack_a), tuple(stack_b))), m, features, k)
    add_matrix_product(
        pricer, node, a, b, dims, bias=node.get(bias), extra=extra, b_batched=is_b_batched
    )


def add_matrix_product(
    pricer: Pricer,
    node: OnnxNode,
    a: OnnxValue,
    b: OnnxValue,
    dims: tuple[Dim, Dim, Dim, Dim],
    *,
    bias: OnnxValue | None = None,
    extra: Operations = 0,
    b_batched: bool,
) -> None:
    """Add a product with extents ``(b, m, n, k)``, and `extra` operations per output element."""
    x, w, y = pricer.tensor(a), pricer.weight(b), pricer.tensor(node.first_output)
    nest = gemm_nest(*dims, x.name, w.name, y.name, b_batched=b_batched)
    added = pricer.vector(bias)
    ops = product(y.elements, operations_per_element(extra) + len(added))
    pricer.add(node, "gemm", [x, w, *added], ops=ops, nests=[nest], pair=(w.slot, x.slot))


def price_fused_matmul(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``FusedMatMul``, whose factors may be transposed."""
    if not node.integer("transA", 0):
        price_matmul(pricer, node)
        return
    a, b = node.require(0), node.require(1)
    *stack, k, m = a.extents
    features = node.first_output.extents[-1]
    if b.is_data and len(b.extents) > 2:
        add_matrix_product(
            pricer,
            node,
            a,
            b,
            (product(*node.first_output.extents[:-2]), m, features, k),
            b_batched=True,
        )
    else:
        add_matrix_product(
            pricer, node, a, b, (1, product(*stack, m), features, k), b_batched=b.is_data
        )


def price_einsum(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``Einsum`` as loop nests over the letters of its equation.

    A nest over the letters L has ``prod(extent of l for l in L)`` multiply-accumulates. More than
    two operands are contracted pairwise from the left, as frameworks do.
    """
    terms, target, sizes = einsum_indices(node)
    y = pricer.tensor(node.first_output)
    tensors = [pricer.tensor(e) for e in node.present_inputs]
    if len(terms) == 1:
        summed = len(target) < len(set(terms[0]))
        pricer.add(node, "pool" if summed else "copy", tensors, ops=tensors[0].elements * summed)
        return
    nests: list[LoopNest] = []
    letters, product_so_far = terms[0], tensors[0]
    for i in range(1, len(terms)):
        needed_later = set("".join(terms[i + 1 :])) | set(target)
        is_last = i == len(terms) - 1
        letters_of_both = list(dict.fromkeys(letters + terms[i]))
        remaining = target if is_last else "".join(c for c in letters_of_both if c in needed_later)
        out = (
            y if is_last else pricer.scratch(f"{node.name}.part{i}", [sizes[c] for c in remaining])
        )
        nests.append(
            _contraction_nest(
                sizes,
                letters_of_both,
                (letters, product_so_far),
                (terms[i], tensors[i]),
                (remaining, out),
            )
        )
        letters, product_so_far = remaining, out
    first_factor = next((t for t in tensors if t.role == "weight"), tensors[1])
    second_factor = next(
        (t for t in tensors if t is not first_factor), first_factor
    )  # x with itself
    pricer.add(node, "gemm", tensors, nests=nests, pair=(first_factor.slot, second_factor.slot))


def _contraction_nest(
    sizes: Mapping[str, Dim],
    letters: list[str],
    a: tuple[str, Tensor],
    b: tuple[str, Tensor],
    out: tuple[str, Tensor],
) -> LoopNest:
    """Return the nest of one pairwise contraction over all letters of both terms."""

    def operand(term: str, tensor: Tensor, role: str = "") -> Operand:
        role = role or ("weight" if tensor.role == "weight" else "input")
        return Operand(tensor.name, role, tuple(((c, 1),) for c in term))

    operands = operand(*a), operand(*b), operand(*out, "output")
    return LoopNest(tuple((c, sizes[c]) for c in letters), operands)


def price_determinant(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``Det`` by LU decomposition: ``n^3 / 3`` multiply-adds, ``2 n^3 / 3`` operations."""
    x = node.require(0)
    size = require_integer(x.extents[-1], "a matrix size")
    pricer.add(node, "elementwise", [x], ops=product(*x.extents[:-2], 2 * size**3 / 3))
