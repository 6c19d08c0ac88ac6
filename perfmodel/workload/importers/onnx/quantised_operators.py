"""Quantised operators: integer products, weights of few bits, conversions between formats.

Quantisation is affine: ``real = scale * (integer - zero_point)`` (Jacob et al., CVPR 2018, equation
1). Operators of the standard follow docs/Operators.md of onnx/onnx, those of onnxruntime its
docs/ContribOperators.md, where scales and zero points are inputs between the operands. Entries of
``workloads/operators/onnx.yaml`` name these functions.
"""

from __future__ import annotations

from dataclasses import replace

from perfmodel.formats import find
from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    NotPricedError,
    OnnxNode,
    normalise_axis,
    replace_axis,
)
from perfmodel.workload.importers.onnx.output_shapes import (
    broadcast_shapes,
    set_output,
    sum_extents,
)
from perfmodel.workload.importers.onnx.pricer import Pricer
from perfmodel.workload.importers.onnx.products import (
    add_matrix_product,
    matmul_result_shape,
    price_matmul,
)
from perfmodel.workload.importers.onnx.records import FORMATS
from perfmodel.workload.symbols import product
from perfmodel.workload.vector_functions import VECTOR_OPS


def quantise_shape(node: OnnxNode) -> None:
    """Set the shape of ``QuantizeLinear``, in the format of the zero point or of an attribute."""
    zero = node.get(2)
    stated = node.attributes.get("output_dtype")
    format = FORMATS.get(stated, "uint8") if isinstance(stated, int) and stated else "uint8"
    set_output(node, node.shape(0), format=zero.format if zero else format)


def dequantise_shape(node: OnnxNode) -> None:
    """Set the shape of ``DequantizeLinear``, in the format of the scale."""
    set_output(node, node.shape(0), format=node.require(1).format)


def qlinear_pair_shape(node: OnnxNode) -> None:
    """Set the shape of ``QLinearAdd`` and ``QLinearMul``, which broadcast inputs 0 and 3."""
    zero = node.get(7)
    set_output(
        node, broadcast_shapes(node.shape(0), node.shape(3)), format=zero.format if zero else None
    )


def qlinear_concat_shape(node: OnnxNode) -> None:
    """Set the shape of ``QLinearConcat``, which reads a scale, a zero point and triples.

    Each triple is a tensor with its scale and zero point.
    """
    shapes = [e.extents for e in node.inputs[2::3] if e is not None]
    if not shapes:
        raise ContradictionError("it has no inputs")
    axis = node.axis(0, len(shapes[0]))
    total = sum_extents(shape[axis] for shape in shapes)
    set_output(node, replace_axis(shapes[0], axis, total), format=node.require(1).format)


def qgemm_shape(node: OnnxNode) -> None:
    """Set the shape of ``QGemm``, ``(m, n)``, with A and B as inputs 0 and 3."""
    a, b = node.shape(0, 2), node.shape(3, 2)
    set_output(
        node,
        (a[1] if node.integer("transA", 0) else a[0], b[0] if node.integer("transB", 0) else b[1]),
        format=(node.get(8) or node.require(1)).format,
    )


def integer_product_to_float_shape(node: OnnxNode) -> None:
    """Set the shape of ``MatMulIntegerToFloat`` and ``DynamicQuantizeMatMul``."""
    set_output(
        node, matmul_result_shape(node.shape(0), node.shape(1)), format=node.require(2).format
    )


def narrow_matmul_shape(node: OnnxNode) -> None:
    """Set the shape of ``MatMulNBits`` and ``MatMulBnb4``: ``x[:-1] + (N,)``."""
    x = node.shape(0, 1)
    features = node.integer("N", 0)
    if features <= 0 or node.integer("K", 0) <= 0:
        raise ContradictionError("attributes 'K' and 'N' are missing")
    set_output(node, (*x[:-1], features))


def block_gather_shape(node: OnnxNode) -> None:
    """Set the shape of ``GatherBlockQuantized``: rows of a table with ``8 / bits`` per byte."""
    x = node.shape(0)
    axis = normalise_axis(node.integer("gather_axis", 0), len(x))
    bits = node.integer("bits", 4)
    if node.require(0).format in {"uint8", "int8"} and bits < 8:
        x = (*x[:-1], x[-1] * (8 // bits))
    set_output(node, replace_axis(x, axis, *node.shape(1)), format=node.require(2).format)


#: Operations per element to rescale an accumulated integer: multiply, round, clip.
REQUANTISE = VECTOR_OPS["quantise"]


def price_dynamic_matmul(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``DynamicQuantizeMatMul``, which first quantises its input to 8 bits.

    Two comparisons per element determine the range, then each element is quantised.
    """
    x = node.require(0)
    y = pricer.scratch(f"{node.name}.quantised", x.extents, format="uint8")
    pricer.builder.operator(
        f"{node.name}.quantise",
        "quantise",
        [pricer.tensor(x)],
        [y],
        # Two comparisons per element determine the range first.
        vector_ops=product(VECTOR_OPS["quantise"] + 2, x.elements),
        attributes={"function": "quantise", "op": node.op},
    )
    node.inputs = (replace(x, format="uint8", tensor=y), *node.inputs[1:])
    price_matmul(pricer, node, bias=4, extra="dequantise")


def price_narrow_matmul(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``MatMulNBits`` and ``MatMulBnb4``: a product with weights of few bits in blocks.

    The weights are stored as ``intBgN``, with B bits and a scale per N elements; scales, and zero
    points if any, are part of the format. The cost of unpacking depends on the engine and is not
    part of the graph.
    """
    x, packed = node.require(0), node.require(1)
    k, features = node.integer("K", 0), node.integer("N", 0)
    bits, block = node.integer("bits", 4), node.integer("block_size", 32)
    format = "fp4" if node.op == "MatMulBnb4" else f"int{bits}g{block}"
    if k <= 0 or features <= 0 or find(format) is None:
        raise NotPricedError(f"weights of {bits} bits in blocks of {block}")
    if packed.tensor is None:
        packed.kind, packed.shape, packed.format = "weight", (features, k), format
    dims = 1, product(*x.extents[:-1]), features, k
    add_matrix_product(pricer, node, x, packed, dims, bias=node.get(5), b_batched=False)


def price_narrow_gather(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``GatherBlockQuantized``: a lookup of packed rows, each element dequantised."""
    table, y = node.require(0), node.first_output
    bits, block = node.integer("bits", 4), node.integer("block_size", 128)
    if table.tensor is None:
        width = y.extents[-1]
        table.kind, table.tag = "weight", "embedding"
        table.shape, table.format = (*table.extents[:-1], width), f"int{bits}g{block}"
        if find(table.format) is None:
            raise NotPricedError(f"a table of {bits} bits in blocks of {block}")
    w = pricer.tensor(table)
    pricer.add(
        node,
        "gather",
        [*pricer.reads(node.require(1)), (w, y.elements)],
        ops=product(VECTOR_OPS["dequantise"], y.elements),
        pair=(w.slot, "activation"),
    )


def price_conversion(pricer: Pricer, node: OnnxNode) -> None:
    """Price a ``QuantizeLinear`` or ``DequantizeLinear`` that was not folded into an operator."""
    function = "dequantise" if node.op == "DequantizeLinear" else "quantise"
    x = node.require(0)
    scales = [
        t for e in node.inputs[1:] if e is not None and len(e.extents) for t in pricer.reads(e)
    ]
    ops = product(VECTOR_OPS[function], x.elements)
    pricer.add(node, "quantise", [x, *scales], ops=ops, function=function)


def price_qlinear_concat(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``QLinearConcat``: a copy that requantises each element."""
    parts = [e for e in node.inputs[2::3] if e is not None]
    pricer.add(
        node, "copy", pricer.reads(*parts), ops=product(REQUANTISE, node.first_output.elements)
    )


def price_qlinear_pair(pricer: Pricer, node: OnnxNode) -> None:
    """Price an elementwise ``QLinear`` operator: the function and a requantisation per element."""
    function = node.op.removeprefix("QLinear").lower()
    pricer.add(
        node,
        "elementwise",
        pricer.reads(node.require(0), node.require(3)),
        ops=product(VECTOR_OPS[function] + REQUANTISE, node.first_output.elements),
        function=function,
    )
