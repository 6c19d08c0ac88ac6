"""Quantisers of QONNX, FINN and Brevitas, which state formats between floating-point operators.

``Quant`` rounds to an integer of a given width and scales it back, so the file computes in
floating point throughout. The circuit or kernel that it describes stores and multiplies the
integers (Pappalardo et al., "QONNX: Representing Arbitrary-Precision Quantized Neural Networks",
2022). A weight with a quantiser is stored in its format, and an operator followed by one writes
its output in that format. An explicit rounding remains only if others read the unrounded value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import ceil, log2
from typing import Final

from perfmodel.formats import find
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.importers.onnx.shapes import give
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
    """Return the format that a quantiser states; empty if it depends on data."""
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
        width = re.fullmatch(r"U?INT(\d{1,2})", kind)
        named = {"BIPOLAR": "int1", "BINARY": "int1", "TERNARY": "ternary"}.get(kind, "")
        format = f"int{width[1]}" if width else named
    return format if find(format) is not None else ""


def shaped(node: OnnxNode) -> None:
    """Set the shape of a quantiser's output to the input's, with or without ``data_layout``."""
    give(node, node.shape(0), format="")


def thresholds(p: Pricer, n: OnnxNode) -> None:
    """Price ``MultiThreshold``, which counts the sorted thresholds, of N, that a value reaches.

    Binary search compares ``ceil(log2(N + 1))`` times; circuits compare in parallel.
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
