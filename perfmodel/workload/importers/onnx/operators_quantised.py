"""Prices of quantised operators: integer products, narrow weights, and what converts."""

from __future__ import annotations

from dataclasses import replace

from perfmodel.formats import find
from perfmodel.workload.builder import VECTOR_OPS
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode
from perfmodel.workload.importers.onnx.operators_products import matmul, matrices
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.symbols import product

#: Operations that bring an accumulated integer to the output's scale: product, round, clip.
REQUANTISE = VECTOR_OPS["quantise"]


def dynamic_matmul(p: Pricer, n: OnnxNode) -> None:
    """Price ``DynamicQuantizeMatMul``: its float input is brought to 8 bits inside of it."""
    x = n.need(0)
    y = p.scratch(f"{n.name}.quantised", x.known, format="uint8")
    p.builder.operator(
        f"{n.name}.quantise",
        "quantise",
        [p.tensor(x)],
        [y],
        # The range is found first: two comparisons an element.
        vector_ops=product(VECTOR_OPS["quantise"] + 2, x.elements),
        attributes={"function": "quantise", "op": n.op},
    )
    n.inputs = (replace(x, format="uint8", tensor=y), *n.inputs[1:])
    matmul(p, n, bias=4, extra=VECTOR_OPS["dequantise"])


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
    dims = 1, product(*x.known[:-1]), features, k
    matrices(p, n, x, packed, dims, bias=n.get(5), b_batched=False)


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
    p.add(
        n,
        "gather",
        [*p.reads(n.need(1)), (w, y.elements)],
        ops=product(VECTOR_OPS["dequantise"], y.elements),
        pair=(w.slot, "activation"),
    )


def convert(p: Pricer, n: OnnxNode) -> None:
    """Price ``QuantizeLinear`` and ``DequantizeLinear`` that no operator took in."""
    function = "dequantise" if n.op == "DequantizeLinear" else "quantise"
    x = n.need(0)
    scales = [t for e in n.inputs[1:] if e is not None and len(e.known) for t in p.reads(e)]
    ops = product(VECTOR_OPS[function], x.elements)
    p.add(n, "quantise", [p.tensor(x), *scales], ops=ops, function=function)


def quantised_concat(p: Pricer, n: OnnxNode) -> None:
    """Price ``QLinearConcat``: parts of other scales are converted as they are copied."""
    parts = [e for e in n.inputs[2::3] if e is not None]
    p.add(n, "copy", p.reads(*parts), ops=product(REQUANTISE, n.out.elements))


def scaled(p: Pricer, n: OnnxNode) -> None:
    """Price an elementwise operator of ``QLinear`` values: inputs 0 and 3."""
    function = n.op.removeprefix("QLinear").lower()
    p.add(
        n,
        "elementwise",
        p.reads(n.need(0), n.need(3)),
        ops=product(VECTOR_OPS[function] + REQUANTISE, n.out.elements),
        function=function,
    )
