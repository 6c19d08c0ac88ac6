"""Quantisers of QONNX, FINN and Brevitas, which state formats between floating-point operators.

``Quant`` rounds to an integer of a given width and scales it back, so the file computes in floating
point throughout. The circuit or kernel that it describes stores and multiplies the integers
(Pappalardo et al., "QONNX: Representing Arbitrary-Precision Quantized Neural Networks", 2022).
`quantiser_formats` gives a weight with a quantiser, and the output of an operator followed by one,
the format that `quantiser_format` reads here; an explicit rounding remains only if another node
reads the unrounded value.
"""

from __future__ import annotations

import re
from math import ceil, log2
from typing import Final

from perfmodel.formats import find
from perfmodel.workload.importers.element_types import ELEMENT_TYPES
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode
from perfmodel.workload.importers.onnx.output_shapes import set_output
from perfmodel.workload.importers.onnx.pricer import Pricer
from perfmodel.workload.symbols import constant, product
from perfmodel.workload.vector_functions import VECTOR_OPS

DOMAINS: Final = frozenset(
    {
        "qonnx.custom_op.general",
        "finn.custom_op.general",
        "onnx.brevitas",
        "finn",
        "qonnx.custom_op.general.quant",
    }
)

#: Quantisers of those domains.
QUANTISERS: Final = ("Quant", "IntQuant", "BipolarQuant", "Trunc", "FloatQuant", "MultiThreshold")


def quantiser_format(node: OnnxNode) -> str:
    """Return the format that a quantiser states; empty if it depends on data.

    ``Quant`` states the bits as input 3, ``Trunc`` as input 4, ``FloatQuant`` exponent and mantissa
    bits as inputs 2 and 3, and ``MultiThreshold`` a FINN data type as an attribute.
    """
    format = node.text("format", "")
    if node.op in {"Quant", "IntQuant"} and not format:
        bits = _bit_width(node, 3)
        format = f"int{bits}" if bits is not None else ""
        if bits == 2 and node.attributes.get("signed") == node.attributes.get("narrow") == 1:
            format = "ternary"  # -1, 0 and 1
    elif node.op == "BipolarQuant":
        format = "int1"
    elif node.op == "Trunc":
        bits = _bit_width(node, 4)
        format = f"int{bits}" if bits is not None else ""
    elif node.op == "FloatQuant":
        exponent, mantissa = _bit_width(node, 2), _bit_width(node, 3)
        format = ELEMENT_TYPES["floats"].get(f"e{exponent}m{mantissa}", "")
    elif node.op == "MultiThreshold":
        kind = node.text("out_dtype", "")
        width = re.fullmatch(r"U?INT(\d{1,2})", kind)
        format_by_name = {"BIPOLAR": "int1", "BINARY": "int1", "TERNARY": "ternary"}.get(kind, "")
        format = f"int{width[1]}" if width else format_by_name
    return format if find(format) is not None else ""


def quantiser_shape(node: OnnxNode) -> None:
    """Set the shape of a quantiser's output to that of its input."""
    set_output(node, node.shape(0), format="")


def price_thresholds(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``MultiThreshold``, which counts how many of N sorted thresholds a value reaches.

    Binary search compares ``ceil(log2(N + 1))`` times per element; circuits compare in parallel.
    """
    x, steps = node.require(0), node.require(1)
    if not steps.extents:
        raise NotPricedError("its thresholds have no axis")
    count = constant(steps.extents[-1])
    if count is None or count < 1:
        raise NotPricedError("how many thresholds there are is not known")
    if not steps.is_data and steps.tensor is None:
        steps.kind, steps.tag = "weight", "vector"
    ops = VECTOR_OPS["compare"] * ceil(log2(count + 1))
    pricer.add(
        node,
        "quantise",
        [x, steps],
        ops=product(ops, x.elements),
        function="thresholds",
    )


def _bit_width(node: OnnxNode, index: int) -> int | None:
    """Return the bit width that an input states, rounded up; ``None`` if it depends on data."""
    edge = node.get(index)
    number = edge.number() if edge is not None else None
    bits = constant(number) if number is not None else None
    return ceil(bits) if bits is not None and 0 < bits <= 64 else None
