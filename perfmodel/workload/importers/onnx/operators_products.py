"""Prices of operators that multiply matrices: convolutions, GEMM, MatMul, Einsum."""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import (
    NotPricedError,
    OnnxNode,
    OnnxValue,
    fixed,
    turned,
)
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.importers.onnx.shapes import pads_of, per_axis, spread
from perfmodel.workload.importers.onnx.shapes_products import indices
from perfmodel.workload.nest import LoopNest, Operand, conv_nest, gemm_nest
from perfmodel.workload.symbols import Dim, product, simplify


def conv(
    p: Pricer,
    n: OnnxNode,
    *,
    second: int = 1,
    bias: int = 2,
    transposed: bool = False,
    extra: Dim = 0,
) -> None:
    """Price a convolution in one to three axes whose weights and bias are these inputs.

    `extra` counts operations an output beside the bias (a requantisation).
    """
    factors = n.need(0), n.need(second)
    batch, channels, *spatial = factors[0].ranked(3)
    first, features, *taps = factors[1].ranked(3)
    if len(taps) != len(spatial):
        raise NotPricedError(f"weights with {len(taps)} axes for an input with {len(spatial)}")
    groups = n.whole("group", 1)
    axes = len(taps)
    kernel = [fixed(t, "a kernel size") for t in taps]
    stride = per_axis(n, "strides", axes)
    dilation = per_axis(n, "dilations", axes)
    out = n.out.known[2:]
    c = simplify(channels / groups)
    m: Dim = features if transposed else simplify(first / groups)
    x, w, y = p.tensor(factors[0]), p.weight(factors[1]), p.tensor(n.out)
    names = (x.name, w.name, y.name)
    over, steps = (spatial, (1,) * axes) if transposed else (out, stride)
    nest = conv_nest(batch, groups, m, c, over, kernel, steps, dilation, spatial, names)
    added = p.vector(n.get(bias))
    p.add(
        n,
        "depthwise" if groups != 1 and groups == channels else "conv",
        [x, w, *added],
        ops=product(y.elements, extra + len(added)),
        nests=[nest],
        pair=(w.slot, x.slot),
        attributes={
            "kernel": tuple(kernel),
            "stride": stride,
            "dilation": dilation,
            "padding": pads_of(n, axes),
            "groups": groups,
            "transposed": transposed,
        },
    )


def gemm(p: Pricer, n: OnnxNode, *, second: int = 1, bias: int = 2, extra: Dim = 0) -> None:
    """Price ``Gemm``, ``alpha A B + beta C``, where B and C are these inputs."""
    a, b = n.need(0), n.need(second)
    rows, k = a.ranked(2)
    if n.whole("transA", 0):
        rows, k = k, rows
    dims = 1, rows, n.out.known[-1], k
    matrices(p, n, a, b, dims, bias=n.get(bias), extra=extra, b_batched=b.is_data)


def matmul(p: Pricer, n: OnnxNode, *, second: int = 1, bias: int = 2, extra: Dim = 0) -> None:
    """Price a product of stacks of matrices whose second factor and bias are these inputs."""
    a, b = n.need(0), n.need(second)
    left, right = a.ranked(1), b.ranked(1)
    if len(left) == 1:
        left = (1, *left)
    if len(right) == 1:
        right = (*right, 1)
    if n.whole("transB", 0):
        right = turned(right)
    *lead_a, m, k = left
    *lead_b, _, features = right
    batched = True
    if not any(d != 1 for d in lead_b):
        dims = (1, product(*lead_a, m), features, k)
        batched = b.is_data
    elif not any(d != 1 for d in lead_a) and not a.is_data:
        # Weights on the left are shared by the whole stack: the transposed product.
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
    extra: Dim = 0,
    b_batched: bool,
) -> None:
    """Add a product of ``batch, m, n, k``; `extra` counts operations an output."""
    x, w, y = p.tensor(a), p.weight(b), p.tensor(n.out)
    nest = gemm_nest(*dims, x.name, w.name, y.name, b_batched=b_batched)
    added = p.vector(bias)
    ops = product(y.elements, extra + len(added))
    p.add(n, "gemm", [x, w, *added], ops=ops, nests=[nest], pair=(w.slot, x.slot))


def einsum(p: Pricer, n: OnnxNode) -> None:
    """Price ``Einsum``: one nest over every index letter of the equation.

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
    have, held = terms[0], tensors[0]
    for i in range(1, len(terms)):
        later = set("".join(terms[i + 1 :])) | set(target)
        last = i == len(terms) - 1
        both = list(dict.fromkeys(have + terms[i]))
        kept = target if last else "".join(c for c in both if c in later)
        out = y if last else p.scratch(f"{n.name}.part{i}", [sizes[c] for c in kept])
        nests.append(_letters_nest(sizes, both, (have, held), (terms[i], tensors[i]), (kept, out)))
        have, held = kept, out
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


def deform_conv(p: Pricer, n: OnnxNode) -> None:
    """Price ``DeformConv`` (data, weights, offsets, bias, mask): a gathered convolution.

    Bilinear sampling costs 7 operations a tap and an input channel.
    """
    x, w, offsets, bias, mask = (n.get(i) for i in range(5))
    if x is None or w is None or offsets is None:
        raise NotPricedError("data, weights or offsets are missing")
    out = n.out.known[2:]
    kernel = [fixed(t, "a kernel size") for t in w.known[2:]]
    groups = n.whole("group", 1)
    names = (p.tensor(x).name, p.weight(w).name, p.tensor(n.out).name)
    stride, dilation = (per_axis(n, key, len(kernel)) for key in ("strides", "dilations"))
    m = simplify(w.known[0] / groups)
    nest = conv_nest(
        x.known[0], groups, m, w.known[1], out, kernel, stride, dilation, x.known[2:], names
    )
    samples = product(x.known[0], x.known[1], *out, *kernel)
    p.add(
        n,
        "conv",
        [p.tensor(x), p.weight(w), *p.reads(offsets, mask), *p.vector(bias)],
        ops=simplify(samples * (7 if mask is None else 8) + (n.out.elements if bias else 0)),
        nests=[nest],
        pair=(p.weight(w).slot, p.tensor(x).slot),
    )


def det(p: Pricer, n: OnnxNode) -> None:
    """Price ``Det`` by LU decomposition: n^3 / 3 multiply-adds, 2 n^3 / 3 operations."""
    x = n.need(0)
    size = fixed(x.known[-1], "a matrix size")
    p.add(n, "elementwise", [p.tensor(x)], ops=product(*x.known[:-2], 2 * size**3 / 3))
