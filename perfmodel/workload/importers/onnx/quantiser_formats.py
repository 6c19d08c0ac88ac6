"""Formats that QONNX quantisers state, transferred to the weights and values they round.

`graph_build` calls `fold_quantisers` before the nodes are priced: a quantiser whose format can be
set on its input's producer is dropped, any other remains as an explicit rounding.
"""

from __future__ import annotations

from perfmodel.formats import find
from perfmodel.workload.graph import Graph
from perfmodel.workload.importers.onnx.node import OnnxNode, OnnxValue
from perfmodel.workload.importers.onnx.operator_traits import FORMAT_PRESERVING
from perfmodel.workload.importers.onnx.qonnx import DOMAINS, QUANTISERS, quantiser_format
from perfmodel.workload.importers.onnx.records import RawModel
from perfmodel.workload.importers.onnx.walk_steps import Step, ValueUses, fold_bodies


def fold_quantisers(steps: list[Step], outputs: list[OnnxValue]) -> list[Step]:
    """Return the steps without the quantisers that only state a format.

    The quantisers that remain are roundings that a runtime performs explicitly.
    """
    fold_bodies(steps, outputs, fold_quantisers)
    if not any(map(_is_quantiser, steps)):
        return steps
    links = ValueUses(steps, outputs)
    remaining_steps: list[Step] = []
    for step in steps:
        if isinstance(step, OnnxNode) and step.present_outputs and step.get(0) is not None:
            if _is_quantiser(step):
                if _fold_quantiser(step, links):
                    continue
            else:
                _propagate_format(step)
        remaining_steps.append(step)
    return remaining_steps


def _propagate_format(node: OnnxNode) -> None:
    """Copy the input's format to the outputs of a node that does not change values."""
    x = node.require(0)
    has_one_format = node.op != "Concat" or len({e.format for e in node.present_inputs}) == 1
    if (
        node.op in FORMAT_PRESERVING
        and x.format
        and node.first_output.format == ""
        and has_one_format
    ):
        for edge in node.present_outputs:
            edge.format = edge.format or x.format


def _fold_quantiser(quantiser: OnnxNode, links: ValueUses) -> bool:
    """Set the format that a quantiser states; return whether the quantiser can be dropped."""
    x, y, format = quantiser.require(0), quantiser.first_output, quantiser_format(quantiser)
    if format and not x.is_data and y.shape is not None:
        if y.kind == "constant" and len(y.shape):
            y.kind = "weight"
        y.format = format
        return True
    y.format = format
    maker = links.producer.get(id(x))
    if maker is None or len(maker.present_outputs) != 1 or _is_quantiser(maker):
        return False
    if not (format and links.has_single_reader(x)) or x.format or quantiser.op == "MultiThreshold":
        return False
    maker.outputs = (y,)
    links.producer[id(y)] = maker
    return True


def stated_precision(model: RawModel, graph: Graph) -> str:
    """Return the precision of a network whose weights all have stated formats, else ``""``.

    It applies to values without a quantiser (the input, the result), and consists of the widest
    weight format and the widest activation format: ``w4a8``.
    """
    if not any(node.domain in DOMAINS for node in model.graph.nodes):
        return ""
    widest = {"weight": 0, "activation": 0}
    for _, operator in graph.walk():
        for slot, role in zip(operator.pair if operator.nests else (), widest, strict=False):
            format = find(slot.partition("=")[2]) if "=" in slot else None
            if format is None and role == "weight":
                return ""
            if format is not None and format.family in {"int", "ternary"}:
                widest[role] = max(widest[role], int(format.element_bits))
    weight, activation = widest.values()
    return f"w{weight}a{activation}" if weight and activation else ""


def _is_quantiser(step: Step) -> bool:
    return isinstance(step, OnnxNode) and step.domain in DOMAINS and step.op in QUANTISERS
