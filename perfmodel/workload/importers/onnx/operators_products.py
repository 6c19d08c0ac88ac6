"""Prices of operators that multiply matrices: convolutions, GEMM, MatMul, Einsum."""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode, OnnxValue, fixed
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.importers.onnx.shapes import per_axis, ranked, spread
from perfmodel.workload.importers.onnx.shapes_products import indices
from perfmodel.workload.nest import LoopNest, Operand, conv_nest, gemm_nest
from perfmodel.workload.symbols import Dim, product, simplify


def conv(p: Pricer, n: OnnxNode) -> None:
    """Price ``Conv``."""
    convolution(p, n, n.need(0), n.need(1), n.get(2))


def conv_transpose(p: Pricer, n: OnnxNode) -> None:
    """Price ``ConvTranspose``."""
    convolution(p, n, n.need(0), n.need(1), n.get(2), transposed=True)


def convolution(
    p: Pricer,
    n: OnnxNode,
    x: OnnxValue,
    w: OnnxValue,
    bias: OnnxValue | None,
    *,
    transposed: bool = False,
    extra: Dim = 0,
) -> None:
    """Add a convolution of any groups, stride and dilation in one to three axes.

    `extra` counts operations an output beside the bias (a requantisation).
    """
    batch, channels, *spatial = ranked(x, 3)
    first, second, *taps = ranked(w, 3)
    if len(taps) != len(spatial):
        raise NotPricedError(f"weights with {len(taps)} axes for an input with {len(spatial)}")
    groups = n.whole("group", 1)
    axes = len(taps)
    kernel = [fixed(t, "a kernel size") for t in taps]
    stride = per_axis(n, "strides", axes)
    dilation = per_axis(n, "dilations", axes)
    out = n.out.known[2:]
    c = simplify(channels / groups)
    m: Dim = second if transposed else simplify(first / groups)
    names = (p.tensor(x).name, p.weight(w).name, p.tensor(n.out).name)
    over, limits = (spatial, spatial) if transposed else (out, spatial)
    nest = conv_nest(
        batch, groups, m, c, over, kernel, (1,) * axes if transposed else stride, dilation,
        limits, names,
    )  # fmt: skip
    y = p.tensor(n.out)
    per_output = extra + (1 if bias is not None else 0)
    p.add(
        n, "depthwise" if groups != 1 and groups == channels else "conv",
        [p.tensor(x), p.weight(w), *p.vector(bias)], ops=product(y.elements, per_output),
        nests=[nest], pair=(p.weight(w).slot, p.tensor(x).slot),
        attributes={"kernel": tuple(kernel), "stride": stride, "dilation": dilation,
                    "padding": n.wholes("pads") or (0,) * (2 * axes), "groups": groups,
                    "transposed": transposed},
    )  # fmt: skip


def gemm(p: Pricer, n: OnnxNode) -> None:
    """Price ``Gemm``: ``alpha A B + beta C``."""
    a, b, c = n.need(0), n.need(1), n.get(2)
    rows, k = ranked(a, 2)
    if n.whole("transA", 0):
        rows, k = k, rows
    features = n.out.known[-1]
    matrices(p, n, a, b, (1, rows, features, k), bias=c, b_batched=b.is_data)


def matmul(p: Pricer, n: OnnxNode) -> None:
    """Price ``MatMul``."""
    product_of(p, n, n.need(0), n.need(1))


def product_of(
    p: Pricer,
    n: OnnxNode,
    a: OnnxValue,
    b: OnnxValue,
    *,
    bias: OnnxValue | None = None,
    extra: Dim = 0,
    transposed: bool = False,
) -> None:
    """Add a product of stacks of matrices with NumPy's rules."""
    left, right = ranked(a, 1), ranked(b, 1)
    if len(left) == 1:
        left = (1, *left)
    if len(right) == 1:
        right = (*right, 1)
    if transposed:
        right = (*right[:-2], right[-1], right[-2])
    *lead_a, m, k = left
    *lead_b, _, features = right
    stacked_b = any(d != 1 for d in lead_b)
    if not stacked_b:
        dims = (1, product(*lead_a, m), features, k)
        matrices(p, n, a, b, dims, bias=bias, extra=extra, b_batched=b.is_data)
        return
    if not any(d != 1 for d in lead_a) and not a.is_data:
        # Weights on the left are shared by the whole stack: the transposed product.
        dims = (1, product(*lead_b, features), m, k)
        matrices(p, n, b, a, dims, bias=bias, extra=extra, b_batched=False)
        return
    batch = product(*spread(tuple(lead_a), tuple(lead_b)))
    matrices(p, n, a, b, (batch, m, features, k), bias=bias, extra=extra, b_batched=True)


def matrices(
    p: Pricer, n: OnnxNode, a: OnnxValue, b: OnnxValue, dims: tuple[Dim, Dim, Dim, Dim], *,
    bias: OnnxValue | None = None, extra: Dim = 0, b_batched: bool, kind: str = "gemm",
) -> None:  # fmt: skip
    """Add a product of ``batch, m, n, k``; `extra` counts operations an output."""
    x, w, y = p.tensor(a), p.weight(b), p.tensor(n.out)
    nest = gemm_nest(*dims, x.name, w.name, y.name, b_batched=b_batched)
    per_output = extra + (1 if bias is not None else 0)
    p.add(
        n, kind, [x, w, *p.vector(bias)], ops=product(y.elements, per_output), nests=[nest],
        pair=(w.slot, x.slot),
    )  # fmt: skip


def einsum(p: Pricer, n: OnnxNode) -> None:
    """Price ``Einsum``: one nest over every index letter of the equation.

    More than two operands are contracted pairwise from the left, as frameworks do.
    """
    terms, target, sizes = indices(n)
    y = p.tensor(n.out)
    tensors = [p.tensor(e) for e in n.present]
    if len(terms) == 1:
        p.add(n, "pool" if len(target) < len(set(terms[0])) else "copy", tensors,
              ops=tensors[0].elements if len(target) < len(set(terms[0])) else 0)  # fmt: skip
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
    sizes: Mapping[str, Dim], letters: list[str], a: tuple[str, Tensor], b: tuple[str, Tensor],
    out: tuple[str, Tensor],
) -> LoopNest:  # fmt: skip
    def operand(term: str, tensor: Tensor, role: str) -> Operand:
        return Operand(tensor.name, role, tuple(((c, 1),) for c in term))

    roles = ["weight" if t.role == "weight" else "input" for _, t in (a, b)]
    return LoopNest(
        tuple((c, sizes[c]) for c in letters),
        (operand(*a, roles[0]), operand(*b, roles[1]), operand(*out, "output")),
    )


def deform_conv(p: Pricer, n: OnnxNode) -> None:
    """Price ``DeformConv`` (data, weights, offsets, bias, mask): a gathered convolution.

    Bilinear sampling costs 7 operations a tap and an input channel.
    """
    x, w, offsets, bias, mask = (n.get(i) for i in range(5))
    if x is None or w is None or offsets is None:
        raise NotPricedError("data, weights or offsets are missing")
    taps = w.known[2:]
    out = n.out.known[2:]
    kernel = [fixed(t, "a kernel size") for t in taps]
    axes = len(kernel)
    groups = n.whole("group", 1)
    nest = conv_nest(
        x.known[0], groups, simplify(w.known[0] / groups), w.known[1], out, kernel,
        per_axis(n, "strides", axes), per_axis(n, "dilations", axes), x.known[2:],
        (p.tensor(x).name, p.weight(w).name, p.tensor(n.out).name),
    )  # fmt: skip
    samples = product(x.known[0], x.known[1], *out, *kernel)
    p.add(
        n, "conv", [p.tensor(x), p.weight(w), *p.reads(offsets, mask), *p.vector(bias)],
        ops=simplify(samples * (7 if mask is None else 8) + (n.out.elements if bias else 0)),
        nests=[nest], pair=(p.weight(w).slot, p.tensor(x).slot),
    )  # fmt: skip


def det(p: Pricer, n: OnnxNode) -> None:
    """Price ``Det`` by LU decomposition: n^3 / 3 multiply-adds, 2 n^3 / 3 operations."""
    x = n.need(0)
    size = fixed(x.known[-1], "a matrix size")
    p.add(n, "elementwise", [p.tensor(x)], ops=product(*x.known[:-2], 2 * size**3 / 3))
