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
from perfmodel.workload.graph import Graph
from perfmodel.workload.importers.onnx.node import Edge, Node, NotPricedError
from perfmodel.workload.importers.onnx.pricing import Pricer, Pricing
from perfmodel.workload.importers.onnx.read import RawModel
from perfmodel.workload.importers.onnx.shapes import Rule, give
from perfmodel.workload.importers.onnx.walk import Choice, Repeat, Step
from perfmodel.workload.symbols import constant, product

__all__ = ["DOMAINS", "PRICES", "RULES", "fold_formats", "stated_precision"]

DOMAINS: Final = frozenset(
    {"qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas", "finn",
     "qonnx.custom_op.general.quant"}
)  # fmt: skip

#: Floating-point formats by exponent and mantissa bits.
_FLOATS: Mapping[tuple[int, int], str] = {
    (4, 3): "fp8_e4m3", (5, 2): "fp8_e5m2", (2, 3): "fp6", (3, 2): "fp6", (2, 1): "fp4",
    (5, 10): "fp16", (8, 7): "bf16", (8, 23): "fp32",
}  # fmt: skip

#: Operators that pass on values as they are, in whatever format.
_PASSING = frozenset(
    {"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Split", "Gather",
     "Expand", "MaxPool", "DepthToSpace", "SpaceToDepth", "Identity", "Tile", "Concat", "Pad",
     "GatherElements", "GlobalMaxPool", "ReduceMax", "ReduceMin", "View", "Dropout", "Relu",
     "Upsample", "Resize"}
)  # fmt: skip


def _bits(node: Node, index: int) -> int | None:
    edge = node.get(index)
    number = edge.number() if edge is not None else None
    bits = constant(number) if number is not None else None
    return ceil(bits) if bits is not None and 0 < bits <= 64 else None


def stated_format(node: Node) -> str:
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


def _is_quantiser(step: Step) -> bool:
    return isinstance(step, Node) and step.domain in DOMAINS and step.op in RULES


def fold_formats(steps: list[Step], outputs: list[Edge]) -> list[Step]:
    """Return the steps without the quantisers that only state a format.

    What is left of them are roundings that a runtime has to do by themselves.
    """
    for step in steps:
        if isinstance(step, Repeat):
            step.steps = fold_formats(step.steps, [*outputs, *_read_by(steps)])
        elif isinstance(step, Choice):
            step.then_steps = fold_formats(step.then_steps, list(step.then_outputs))
            step.else_steps = fold_formats(step.else_steps, list(step.else_outputs))
    if not any(map(_is_quantiser, steps)):
        return steps
    kept = {id(e) for e in outputs}
    makers: dict[int, Node] = {}
    readers: dict[int, int] = {}
    for step in steps:
        if isinstance(step, Node):
            makers |= {id(e): step for e in step.made}
            for edge in step.present:
                readers[id(edge)] = readers.get(id(edge), 0) + 1
        else:
            kept |= {id(e) for e in _read_by([step])}
    left: list[Step] = []
    for step in steps:
        if not isinstance(step, Node) or not step.made or step.get(0) is None:
            left.append(step)
            continue
        x, y = step.need(0), step.out
        if not _is_quantiser(step):
            if step.op in _PASSING and x.format and y.format == "":
                same = step.op != "Concat" or len({e.format for e in step.present}) == 1
                for edge in step.made if same else ():
                    edge.format = edge.format or x.format
            left.append(step)
            continue
        format = stated_format(step)
        if format and not x.is_data and y.shape is not None:
            if y.kind == "constant" and len(y.shape):
                y.kind = "weight"
            y.format = format
            continue
        maker = makers.get(id(x))
        y.format = format
        alone = readers.get(id(x)) == 1 and id(x) not in kept and x.format == ""
        free = maker is not None and len(maker.made) == 1 and not _is_quantiser(maker)
        if maker is not None and free and alone and format and step.op != "MultiThreshold":
            maker.outputs = (y,)
            makers[id(y)] = maker
            continue
        left.append(step)
    return left


def stated_precision(model: RawModel, graph: Graph) -> str:
    """Return the precision of a network whose products a file's quantisers all state, or ``""``.

    It stands for what no quantiser touches (the input, the result): the widest weights and the
    widest activations.
    """
    if not any(node.domain in DOMAINS for node in model.graph.nodes):
        return ""
    widest = {"weight": 0, "activation": 0}
    for _, operator in graph.walk():
        for slot, role in zip(operator.pair if operator.nests else (), widest, strict=False):
            format = find(slot.removeprefix("=")) if slot.startswith("=") else None
            if format is None and role == "weight":
                return ""
            if format is not None and format.family in {"int", "ternary"}:
                widest[role] = max(widest[role], int(format.element_bits))
    weight, activation = widest.values()
    return f"w{weight}a{activation}" if weight and activation else ""


def _read_by(steps: list[Step]) -> list[Edge]:
    found: list[Edge] = []
    for step in steps:
        if isinstance(step, Node):
            found += step.present
        elif isinstance(step, Repeat):
            found += _read_by(step.steps)
        else:
            found += [*step.then_outputs, *step.else_outputs, *step.node.present]
            found += _read_by([*step.then_steps, *step.else_steps])
    return found


def shaped(node: Node) -> None:
    """Quantisers leave the shape; thresholds with ``data_layout`` too."""
    give(node, node.need(0).known, format="")


def price(p: Pricer, n: Node) -> None:
    """Price a rounding that no operator took in: scale, round, clip."""
    x = n.need(0)
    p.add(n, "quantise", [p.tensor(x)], ops=product(VECTOR_OPS["quantise"], x.elements),
          attributes={"function": "quantise"})  # fmt: skip


def thresholds(p: Pricer, n: Node) -> None:
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
    p.add(n, "quantise", [p.tensor(x), p.tensor(steps)], ops=product(ops, x.elements),
          attributes={"function": "thresholds"})  # fmt: skip


RULES: Mapping[str, Rule] = dict.fromkeys(
    ("Quant", "IntQuant", "BipolarQuant", "Trunc", "FloatQuant", "MultiThreshold"), shaped
)
PRICES: Mapping[str, Pricing] = {**dict.fromkeys(RULES, price), "MultiThreshold": thresholds}
