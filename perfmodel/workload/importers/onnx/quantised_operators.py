"""Shapes and prices of quantised operators: integer products, narrow weights, conversions."""

from __future__ import annotations

from dataclasses import replace

from perfmodel.formats import find
from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    NotPricedError,
    OnnxNode,
    axis_of,
    replaced,
)
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.importers.onnx.products import matmul, matrices, stacked
from perfmodel.workload.importers.onnx.read import FORMATS
from perfmodel.workload.importers.onnx.shapes import give, spread, sum_of
from perfmodel.workload.symbols import product
from perfmodel.workload.vector_functions import VECTOR_OPS


def quantise(node: OnnxNode) -> None:
    """Set the shape of ``QuantizeLinear``, with the format of the zero point or an attribute."""
    zero = node.get(2)
    stated = node.attributes.get("output_dtype")
    format = FORMATS.get(stated, "uint8") if isinstance(stated, int) and stated else "uint8"
    give(node, node.shape(0), format=zero.format if zero else format)


def dequantise(node: OnnxNode) -> None:
    """Set the shape of ``DequantizeLinear``, with the format of the scale."""
    give(node, node.shape(0), format=node.need(1).format)


def quantised_pair(node: OnnxNode) -> None:
    """Set the shape of ``QLinearAdd`` and ``QLinearMul``, which broadcast inputs 0 and 3."""
    zero = node.get(7)
    give(node, spread(node.shape(0), node.shape(3)), format=zero.format if zero else None)


def quantised_concat_shape(node: OnnxNode) -> None:
    """Set the shape of ``QLinearConcat``: scale, zero point, then a triple per input."""
    shapes = [e.known for e in node.inputs[2::3] if e is not None]
    if not shapes:
        raise ContradictionError("it has no inputs")
    axis = node.axis(0, len(shapes[0]))
    total = sum_of(shape[axis] for shape in shapes)
    give(node, replaced(shapes[0], axis, total), format=node.need(1).format)


def quantised_gemm(node: OnnxNode) -> None:
    """Set the shape of ``QGemm`` (inputs ``A, scale, zero, B, scale, zero, C, scale, zero``)."""
    a, b = node.shape(0, 2), node.shape(3, 2)
    give(
        node,
        (a[1] if node.integer("transA", 0) else a[0], b[0] if node.integer("transB", 0) else b[1]),
        format=(node.get(8) or node.need(1)).format,
    )


def integer_to_float(node: OnnxNode) -> None:
    """Set the shape of ``MatMulIntegerToFloat`` and ``DynamicQuantizeMatMul``: float results."""
    give(node, stacked(node.shape(0), node.shape(1)), format=node.need(2).format)


def narrow(node: OnnxNode) -> None:
    """Set the shape of ``MatMulNBits`` and ``MatMulBnb4``, with features from attribute ``N``."""
    x = node.shape(0, 1)
    features = node.integer("N", 0)
    if features <= 0 or node.integer("K", 0) <= 0:
        raise ContradictionError("attributes 'K' and 'N' are missing")
    give(node, (*x[:-1], features))


def block_gather(node: OnnxNode) -> None:
    """Set the shape of ``GatherBlockQuantized``: unpacked rows of a narrow table."""
    x = node.shape(0)
    axis = axis_of(node.integer("gather_axis", 0), len(x))
    bits = node.integer("bits", 4)
    if node.need(0).format in {"uint8", "int8"} and bits < 8:
        x = (*x[:-1], x[-1] * (8 // bits))
    give(node, replaced(x, axis, *node.shape(1)), format=node.need(2).format)


#: Operations per element to rescale an accumulated integer: multiply, round, clip.
REQUANTISE = VECTOR_OPS["quantise"]


def dynamic_matmul(p: Pricer, n: OnnxNode) -> None:
    """Price ``DynamicQuantizeMatMul``, which quantises its input to 8 bits internally."""
    x = n.need(0)
    y = p.scratch(f"{n.name}.quantised", x.known, format="uint8")
    p.builder.operator(
        f"{n.name}.quantise",
        "quantise",
        [p.tensor(x)],
        [y],
        # Two comparisons per element determine the range first.
        vector_ops=product(VECTOR_OPS["quantise"] + 2, x.elements),
        attributes={"function": "quantise", "op": n.op},
    )
    n.inputs = (replace(x, format="uint8", tensor=y), *n.inputs[1:])
    matmul(p, n, bias=4, extra="dequantise")


def narrow_matmul(p: Pricer, n: OnnxNode) -> None:
    """Price ``MatMulNBits`` and ``MatMulBnb4``: weights of few bits in blocks with a scale.

    Stored as ``int4gN``: scales, and zero points if any, are part of the format. The cost of
    unpacking depends on the engine and is not part of the graph.
    """
    x, packed = n.need(0), n.need(1)
    k, features = n.integer("K", 0), n.integer("N", 0)
    bits, block = n.integer("bits", 4), n.integer("block_size", 32)
    format = "fp4" if n.op == "MatMulBnb4" else f"int{bits}g{block}"
    if k <= 0 or features <= 0 or find(format) is None:
        raise NotPricedError(f"weights of {bits} bits in blocks of {block}")
    if packed.tensor is None:
        packed.kind, packed.shape, packed.format = "weight", (features, k), format
    dims = 1, product(*x.known[:-1]), features, k
    matrices(p, n, x, packed, dims, bias=n.get(5), b_batched=False)


def narrow_gather(p: Pricer, n: OnnxNode) -> None:
    """Price ``GatherBlockQuantized``: a lookup of rows in narrow blocks, and unpacking."""
    table, y = n.need(0), n.out
    bits, block = n.integer("bits", 4), n.integer("block_size", 128)
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
    """Price ``QuantizeLinear`` and ``DequantizeLinear`` that were not folded into an operator."""
    function = "dequantise" if n.op == "DequantizeLinear" else "quantise"
    x = n.need(0)
    scales = [t for e in n.inputs[1:] if e is not None and len(e.known) for t in p.reads(e)]
    ops = product(VECTOR_OPS[function], x.elements)
    p.add(n, "quantise", [p.tensor(x), *scales], ops=ops, function=function)


def quantised_concat(p: Pricer, n: OnnxNode) -> None:
    """Price ``QLinearConcat``, which requantises the parts while copying them."""
    parts = [e for e in n.inputs[2::3] if e is not None]
    p.add(n, "copy", p.reads(*parts), ops=product(REQUANTISE, n.out.elements))


def scaled(p: Pricer, n: OnnxNode) -> None:
    """Price an elementwise ``QLinear`` operator, whose operands are inputs 0 and 3."""
    function = n.op.removeprefix("QLinear").lower()
    p.add(
        n,
        "elementwise",
        p.reads(n.need(0), n.need(3)),
        ops=product(VECTOR_OPS[function] + REQUANTISE, n.out.elements),
        function=function,
    )
