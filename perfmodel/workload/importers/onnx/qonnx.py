"""Quantisers of QONNX, FINN and Brevitas, which state a format and stand between float operators.

``Quant`` rounds to a whole number of a given width and scales it back, so the file computes in
floating point throughout; the circuit or kernel that it describes stores and multiplies the whole
numbers (Pappalardo et al., "QONNX: Representing Arbitrary-Precision Quantized Neural Networks",
2022). A weight behind one is stored in its format, and what an operator writes to one is written
in it; only a value that others read unrounded as well needs a rounding of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import ceil, log2
from typing import Final

from perfmodel.formats import find
from perfmodel.workload.builder import VECTOR_OPS
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.importers.onnx.shapes import give
from perfmodel.workload.symbols import constant, product

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

#: Floating-point formats by exponent and mantissa bits.
_FLOATS: Mapping[tuple[int, int], str] = {
    (4, 3): "fp8_e4m3",
    (5, 2): "fp8_e5m2",
    (2, 3): "fp6",
    (3, 2): "fp6",
    (2, 1): "fp4",
    (5, 10): "fp16",
    (8, 7): "bf16",
    (8, 23): "fp32",
}


def _bits(node: OnnxNode, index: int) -> int | None:
    edge = node.get(index)
    number = edge.number() if edge is not None else None
    bits = constant(number) if number is not None else None
    return ceil(bits) if bits is not None and 0 < bits <= 64 else None


def stated_format(node: OnnxNode) -> str:
    """Return the format that a quantiser states; empty where that is known only when it runs."""
    format = node.text("format", "")
    if node.op in {"Quant", "IntQuant"} and not format:
        bits = _bits(node, 3)
        format = f"int{bits}" if bits is not None else ""
        if bits == 2 and node.attributes.get("signed") == node.attributes.get("narrow") == 1:
            format = "ternary"  # -1, 0 and 1
    elif node.op == "BipolarQuant":
        format = "int1"
    elif node.op == "Trunc":
        bits = _bits(node, 4)
        format = f"int{bits}" if bits is not None else ""
    elif node.op == "FloatQuant":
        exponent, mantissa = _bits(node, 2), _bits(node, 3)
        format = _FLOATS.get((exponent or 0, mantissa or 0), "")
    elif node.op == "MultiThreshold":
        kind = node.text("out_dtype", "")
        found = re.fullmatch(r"U?INT(\d{1,2})", kind)
        named = {"BIPOLAR": "int1", "BINARY": "int1", "TERNARY": "ternary"}.get(kind, "")
        format = f"int{found[1]}" if found else named
    return format if find(format) is not None else ""


def shaped(node: OnnxNode) -> None:
    """Quantisers leave the shape; thresholds with ``data_layout`` too."""
    give(node, node.shape(0), format="")


def thresholds(p: Pricer, n: OnnxNode) -> None:
    """Price ``MultiThreshold``: how many of N sorted thresholds a value reaches.

    A search by halves compares ``ceil(log2(N + 1))`` times; circuits compare all at once.
    """
    x, steps = n.need(0), n.need(1)
    if not steps.known:
        raise NotPricedError("its thresholds have no axis")
    count = constant(steps.known[-1])
    if count is None or count < 1:
        raise NotPricedError("how many thresholds there are is not known")
    if not steps.is_data and steps.tensor is None:
        steps.kind, steps.tag = "weight", "vector"
    ops = VECTOR_OPS["compare"] * ceil(log2(count + 1))
    p.add(
        n,
        "quantise",
        [p.tensor(x), p.tensor(steps)],
        ops=product(ops, x.elements),
        function="thresholds",
    )
