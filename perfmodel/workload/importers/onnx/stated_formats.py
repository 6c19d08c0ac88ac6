"""Transfer of the formats that a file's quantisers state to weights and values."""

from __future__ import annotations

from perfmodel.formats import find
from perfmodel.workload.graph import Graph
from perfmodel.workload.importers.onnx.node import OnnxNode, OnnxValue
from perfmodel.workload.importers.onnx.qonnx import DOMAINS, QUANTISERS, stated_format
from perfmodel.workload.importers.onnx.read import RawModel
from perfmodel.workload.importers.onnx.steps import Links, Step, fold_bodies
from perfmodel.workload.importers.onnx.traits import PASSING


def _is_quantiser(step: Step) -> bool:
    return isinstance(step, OnnxNode) and step.domain in DOMAINS and step.op in QUANTISERS


def fold_formats(steps: list[Step], outputs: list[OnnxValue]) -> list[Step]:
    """Return the steps without the quantisers that only state a format.

    The quantisers that remain are roundings that a runtime performs explicitly.
    """
    fold_bodies(steps, outputs, fold_formats)
    if not any(map(_is_quantiser, steps)):
        return steps
    links = Links(steps, outputs)
    left: list[Step] = []
    for step in steps:
        if isinstance(step, OnnxNode) and step.written and step.get(0) is not None:
            if _is_quantiser(step):
                if _is_folded(step, links):
                    continue
            else:
                _pass_on(step)
        left.append(step)
    return left


def _pass_on(node: OnnxNode) -> None:
    """Copy the input's format to the outputs of a node that does not change values."""
    x = node.need(0)
    alike = node.op != "Concat" or len({e.format for e in node.present}) == 1
    if node.op in PASSING and x.format and node.out.format == "" and alike:
        for edge in node.written:
            edge.format = edge.format or x.format


def _is_folded(quantiser: OnnxNode, links: Links) -> bool:
    """Set the format that a quantiser states; return whether the quantiser can be dropped."""
    x, y, format = quantiser.need(0), quantiser.out, stated_format(quantiser)
    if format and not x.is_data and y.shape is not None:
        if y.kind == "constant" and len(y.shape):
            y.kind = "weight"
        y.format = format
        return True
    y.format = format
    maker = links.maker.get(id(x))
    if maker is None or len(maker.written) != 1 or _is_quantiser(maker):
        return False
    if not (format and links.exclusive(x)) or x.format or quantiser.op == "MultiThreshold":
        return False
    maker.outputs = (y,)
    links.maker[id(y)] = maker
    return True


def stated_precision(model: RawModel, graph: Graph) -> str:
    """Return the precision of a network whose weights all have stated formats, or ``""``.

    It applies to values without a quantiser (the input, the result), and consists of the widest
    weight format and the widest activation format.
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
