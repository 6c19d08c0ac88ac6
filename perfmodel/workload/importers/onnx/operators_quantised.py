"""Prices of quantised operators: integer products, narrow weights, and what converts."""

from __future__ import annotations

from dataclasses import replace

from perfmodel.formats import find
from perfmodel.workload.builder import VECTOR_OPS
from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode, OnnxValue
from perfmodel.workload.importers.onnx.operators_products import (
    convolution,
    matrices,
    product_of,
)
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.symbols import Dim, product

#: Operations that bring an accumulated integer to the output's scale: product, round, clip.
REQUANTISE = VECTOR_OPS["quantise"]


def qlinear_conv(p: Pricer, n: OnnxNode) -> None:
    """Price ``QLinearConv``: x, scale, zero, w, scale, zero, scale, zero, bias."""
    convolution(p, n, n.need(0), n.need(3), n.get(8), extra=REQUANTISE)


def conv_integer(p: Pricer, n: OnnxNode) -> None:
    """Price ``ConvInteger``: accumulators are written."""
    convolution(p, n, n.need(0), n.need(1), n.get(4))


def qlinear_matmul(p: Pricer, n: OnnxNode) -> None:
    """Price ``QLinearMatMul``: a, scale, zero, b, scale, zero, scale, zero."""
    product_of(p, n, n.need(0), n.need(3), extra=REQUANTISE)


def matmul_integer(p: Pricer, n: OnnxNode) -> None:
    """Price ``MatMulInteger`` (accumulators are written) and its float-valued relatives."""
    bias: OnnxValue | None = None
    extra: Dim = 0
    if n.op == "MatMulIntegerToFloat":
        bias, extra = n.get(6), VECTOR_OPS["dequantise"]
    elif n.op == "DynamicQuantizeMatMul":
        _quantise_input(p, n)
        bias, extra = n.get(4), VECTOR_OPS["dequantise"]
    else:
        # A scale an output column, taken in from the product behind it.
        bias = n.get(4)
    product_of(p, n, n.need(0), n.need(1), bias=bias, extra=extra)


def _quantise_input(p: Pricer, n: OnnxNode) -> None:
    """Add what brings a float input to 8 bits inside an operator, and let it read the result."""
    x = n.need(0)
    y = p.scratch(f"{n.name}.quantised", x.known, format="uint8")
    p.builder.operator(
        f"{n.name}.quantise", "quantise", [p.tensor(x)], [y],
        # The range is found first: two comparisons an element.
        vector_ops=product(VECTOR_OPS["quantise"] + 2, x.elements),
        attributes={"function": "quantise", "op": n.op},
    )  # fmt: skip
    n.inputs = (replace(x, format="uint8", tensor=y), *n.inputs[1:])


def q_gemm(p: Pricer, n: OnnxNode) -> None:
    """Price ``QGemm``: ``A, scale, zero, B, scale, zero, C, scale, zero``."""
    a, b = n.need(0), n.need(3)
    rows, features = n.out.known
    k = a.known[0] if n.whole("transA", 0) else a.known[1]
    matrices(p, n, a, b, (1, rows, features, k), bias=n.get(6), extra=REQUANTISE,
             b_batched=b.is_data)  # fmt: skip


def narrow_matmul(p: Pricer, n: OnnxNode) -> None:
    """Price ``MatMulNBits`` and ``MatMulBnb4``: weights of a few bits in blocks with a scale.

    Stored as ``int4gN``: scales, and zero points where there are any, are part of the format. What
    unpacking costs is a fact of the engine, not of the graph.
    """
    x, packed = n.need(0), n.need(1)
    k, features = n.whole("K", 0), n.whole("N", 0)
    bits, block = n.whole("bits", 4), n.whole("block_size", 32)
    format = "fp4" if n.op == "MatMulBnb4" else f"int{bits}g{block}"
    if k <= 0 or features <= 0 or find(format) is None:
        raise NotPricedError(f"weights of {bits} bits in blocks of {block}")
    if packed.tensor is None:
        packed.kind, packed.shape, packed.format = "weight", (features, k), format
    bias = n.get(5)
    rows = product(*x.known[:-1])
    matrices(p, n, x, packed, (1, rows, features, k), bias=bias, b_batched=False)


def narrow_gather(p: Pricer, n: OnnxNode) -> None:
    """Price ``GatherBlockQuantized``: rows of narrow blocks, unpacked."""
    table, y = n.need(0), n.out
    bits, block = n.whole("bits", 4), n.whole("block_size", 128)
    if table.tensor is None:
        width = y.known[-1]
        table.kind, table.tag = "weight", "embedding"
        table.shape, table.format = (*table.known[:-1], width), f"int{bits}g{block}"
        if find(table.format) is None:
            raise NotPricedError(f"a table of {bits} bits in blocks of {block}")
    w = p.tensor(table)
    reads: list[Tensor | tuple[Tensor, Dim]] = [*p.reads(n.need(1)), (w, y.elements)]
    p.add(n, "gather", reads, ops=product(VECTOR_OPS["dequantise"], y.elements),
          pair=(w.slot, "activation"))  # fmt: skip


def convert(p: Pricer, n: OnnxNode) -> None:
    """Price ``QuantizeLinear`` and ``DequantizeLinear`` that no operator took in."""
    function = "dequantise" if n.op == "DequantizeLinear" else "quantise"
    x = n.need(0)
    scales = [t for e in n.inputs[1:] if e is not None and len(e.known) for t in p.reads(e)]
    p.add(n, "quantise", [p.tensor(x), *scales], ops=product(VECTOR_OPS[function], x.elements),
          attributes={"function": function})  # fmt: skip


def quantised_concat(p: Pricer, n: OnnxNode) -> None:
    """Price ``QLinearConcat``: parts of other scales are converted as they are copied."""
    parts = [e for e in n.inputs[2::3] if e is not None]
    p.add(n, "copy", p.reads(*parts), ops=product(REQUANTISE, n.out.elements))


def scaled(p: Pricer, n: OnnxNode) -> None:
    """Price an elementwise operator of ``QLinear`` values: inputs 0 and 3."""
    op = n.op.removeprefix("QLinear")
    ops = VECTOR_OPS[{"Add": "add", "Mul": "mul"}[op]] + REQUANTISE
    p.add(n, "elementwise", p.reads(n.need(0), n.need(3)), ops=product(ops, n.out.elements),
          attributes={"function": op.lower()})  # fmt: skip
