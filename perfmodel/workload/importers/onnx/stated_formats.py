"""Give weights and values the formats that quantisers of a file state, and drop the quantisers."""

from __future__ import annotations

from perfmodel.formats import find
from perfmodel.workload.graph import Graph
from perfmodel.workload.importers.onnx.node import OnnxNode, OnnxValue
from perfmodel.workload.importers.onnx.qonnx import DOMAINS, QUANTISERS, stated_format
from perfmodel.workload.importers.onnx.quantised import MOVERS
from perfmodel.workload.importers.onnx.read import RawModel
from perfmodel.workload.importers.onnx.steps import OnnxIfBranches, Repeat, Step

#: Operators that pass on values as they are, in whatever format.
_PASSING = MOVERS | {
    "GlobalMaxPool",
    "ReduceMax",
    "ReduceMin",
    "View",
    "Dropout",
    "Relu",
    "Upsample",
    "Resize",
}


def _is_quantiser(step: Step) -> bool:
    return isinstance(step, OnnxNode) and step.domain in DOMAINS and step.op in QUANTISERS


def fold_formats(steps: list[Step], outputs: list[OnnxValue]) -> list[Step]:
    """Return the steps without the quantisers that only state a format.

    What is left of them are roundings that a runtime has to do by themselves.
    """
    for step in steps:
        if isinstance(step, Repeat):
            step.steps = fold_formats(step.steps, [*outputs, *_read_by(steps)])
        elif isinstance(step, OnnxIfBranches):
            step.then_steps = fold_formats(step.then_steps, list(step.then_outputs))
            step.else_steps = fold_formats(step.else_steps, list(step.else_outputs))
    if not any(map(_is_quantiser, steps)):
        return steps
    kept = {id(e) for e in outputs}
    makers: dict[int, OnnxNode] = {}
    readers: dict[int, int] = {}
    for step in steps:
        if isinstance(step, OnnxNode):
            makers |= {id(e): step for e in step.made}
            for edge in step.present:
                readers[id(edge)] = readers.get(id(edge), 0) + 1
        else:
            kept |= {id(e) for e in _read_by([step])}
    left: list[Step] = []
    for step in steps:
        if not isinstance(step, OnnxNode) or not step.made or step.get(0) is None:
            left.append(step)
            continue
        x, y = step.need(0), step.out
        if not _is_quantiser(step):
            passes = step.op in _PASSING and x.format and y.format == ""
            if passes and (step.op != "Concat" or len({e.format for e in step.present}) == 1):
                for edge in step.made:
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


def _read_by(steps: list[Step]) -> list[OnnxValue]:
    found: list[OnnxValue] = []
    for step in steps:
        if isinstance(step, OnnxNode):
            found += step.present
            continue
        found += _read_by(step.inside)
        if isinstance(step, OnnxIfBranches):
            found += [*step.then_outputs, *step.else_outputs, *step.node.present]
    return found
