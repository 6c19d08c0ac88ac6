"""Translate the operators of a TensorFlow Lite subgraph into nodes of the ONNX importer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from perfmodel.workload.importers.onnx.read import RawGraph, RawModel, RawNode, RawTensor, RawValue
from perfmodel.workload.importers.tflite.read import (
    UNPACKED,
    TfliteModel,
    TfliteOperator,
    TfliteSubgraph,
    TfliteTensor,
)
from perfmodel.workload.importers.tflite.schema import ACTIVATIONS

#: Domain of nodes that mean something else than the standard's; see ``operators.py``.
DOMAIN: Final = "tflite"

#: Axes of an image that a file leaves free, by their place.
_IMAGE: Final = ("batch", "height", "width")

#: How deep branches may be nested.
_DEEPEST: Final = 4

#: Operators of branches that are written out at most: a branch may be run from many places.
_MOST_WRITTEN: Final = 50_000

#: Version of the ONNX standard that the nodes are of.
_OPSET: Final = 18


@dataclass
class Translator:
    """Nodes, constants and declarations of a subgraph as they come about.

    Attributes
    ----------
    alias
        Index of a tensor -> that of the constant which it is unpacked from.
    outer
        Index of an input of this subgraph -> name of the value that it is called with.
    prefix, depth
        What tells its names from those of the subgraph that runs it, and how deep it is nested.
    written
        How many operators of branches were written out, all together.
    states
        Name of a resource -> the value that it holds.
    """

    model: TfliteModel
    graph: TfliteSubgraph
    nodes: list[RawNode] = field(default_factory=list[RawNode])
    stored: dict[str, RawTensor] = field(default_factory=dict[str, RawTensor])
    declared: dict[str, RawValue] = field(default_factory=dict[str, RawValue])
    alias: dict[int, int] = field(default_factory=dict[int, int])
    outer: dict[int, str] = field(default_factory=dict[int, str])
    prefix: str = ""
    depth: int = 0
    written: list[int] = field(default_factory=lambda: [0])
    states: dict[str, str] = field(default_factory=dict[str, str])
    handles: dict[int, str] = field(default_factory=dict[int, str])
    more_inputs: list[RawValue] = field(default_factory=list[RawValue])
    more_outputs: list[str] = field(default_factory=list[str])
    place: int = 0
    operator: str = ""
    made: int = 0

    # tensors

    def tensor(self, index: int) -> TfliteTensor:
        """Return a tensor; the constant behind it where it is only unpacked."""
        return self.graph.tensors[self.alias.get(index, index)]

    def name(self, index: int) -> str:
        """Return the name of a tensor, empty where it is absent."""
        if index < 0:
            return ""
        return self.outer.get(index) or self.prefix + self.tensor(index).name

    def input(self, o: TfliteOperator, i: int) -> str:
        """Return the name of an operator's input, empty where it is absent."""
        return self.name(o.inputs[i]) if i < len(o.inputs) else ""

    def inputs(self, o: TfliteOperator) -> tuple[str, ...]:
        """Return the names of an operator's inputs."""
        return tuple(self.name(i) for i in o.inputs)

    def rank(self, o: TfliteOperator, i: int = 0) -> int:
        """Return how many axes an input has."""
        return len(self.tensor(o.inputs[i]).shape) if i < len(o.inputs) and o.inputs[i] >= 0 else 0

    def numbers(self, o: TfliteOperator, i: int) -> tuple[int, ...] | None:
        """Return the whole numbers of a constant input, ``None`` where they are computed."""
        if i >= len(o.inputs) or o.inputs[i] < 0:
            return None
        found = self.tensor(o.inputs[i])
        if not found.constant or found.numbers is None:
            return None
        return tuple(int(n) for n in found.numbers)

    def fresh(self, what: str, like: str = "") -> str:
        """Return a new name; declared as another value is, where one is given."""
        self.made += 1
        name = f"{self.prefix}{self.operator}_{self.place}.{what}{self.made}"
        while name in self.stored or name in self.declared:
            name += "'"
        if like and like in self.declared:
            other = self.declared[like]
            self.declared[name] = RawValue(name, other.shape, other.format)
        return name

    def constant(self, numbers: Sequence[int | float], *, scalar: bool = False) -> str:
        """Store a constant of whole numbers (or of one number), and return its name."""
        name = self.fresh("constant")
        whole = all(isinstance(n, int) for n in numbers)
        shape = () if scalar else (len(numbers),)
        self.stored[name] = RawTensor(shape, "int64" if whole else "fp32", tuple(numbers))
        return name

    # nodes

    def emit(
        self, op: str, inputs: Sequence[str], outputs: Sequence[str],
        attributes: Mapping[str, Any] | None = None, domain: str = "",
    ) -> None:  # fmt: skip
        """Add a node; it is called by the operator and its place in the file."""
        trimmed = list(inputs)
        while trimmed and not trimmed[-1]:
            trimmed.pop()
        self.nodes.append(
            RawNode(op, domain, f"{self.prefix}{self.operator}_{self.place}", tuple(trimmed),
                    tuple(outputs), dict(attributes or {}))
        )  # fmt: skip

    def own(
        self, op: str, inputs: Sequence[str], outputs: Sequence[str],
        attributes: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Add a node of this format's own meaning."""
        self.emit(op, inputs, outputs, attributes, DOMAIN)

    def activated(self, o: TfliteOperator) -> str:
        """Return what an operator with a fused activation writes; the activation is a node after.

        Call it before the operator's own node and `activate` behind it.
        """
        out = self.name(o.outputs[0])
        return out if not o.options.get("activation") else self.fresh("sum", out)

    def activate(self, o: TfliteOperator, source: str) -> None:
        """Add the fused activation of an operator that wrote `source`."""
        number: int = o.options.get("activation", 0)
        if number:
            self.function(ACTIVATIONS[number], source, self.name(o.outputs[0]))

    def function(self, activation: str, source: str, out: str) -> None:
        """Add an activation."""
        bounds = {"RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0), "RELU_0_TO_1": (0.0, 1.0)}
        if activation in bounds:
            limits = [self.constant((b,), scalar=True) for b in bounds[activation]]
            self.emit("Clip", (source, *limits), (out,))
        else:
            op = {"RELU": "Relu", "TANH": "Tanh", "SIGN_BIT": "Sign"}[activation]
            self.emit(op, (source,), (out,))

    # the subgraph

    def run(self) -> None:
        """Translate every operator of the subgraph."""
        from perfmodel.workload.importers.tflite.operator_table import handler_of

        graph = self.graph
        read = {i for o in graph.operators for i in o.inputs}
        first: dict[tuple[int, str, tuple[int, ...]], int] = {}
        for index, tensor in enumerate(graph.tensors):
            name = self.name(index)
            if tensor.constant:
                if tensor.stored_bytes:
                    # Tensors that share a buffer are stored once.
                    same = first.setdefault((tensor.buffer, tensor.format, tensor.shape), index)
                    if same != index:
                        self.alias[index] = same
                        continue
                self.stored[name] = RawTensor(tensor.shape, _sized(tensor), tensor.numbers)
            elif index not in self.outer:
                self.declared[name] = RawValue(name, tensor.signature, _sized(tensor))
                if tensor.variable and index in read and index not in graph.inputs:
                    self.more_inputs.append(RawValue(name, tensor.shape, _sized(tensor)))
        for place, o in enumerate(graph.operators):
            self.place, self.operator = place, o.op
            if o.op in UNPACKED and o.inputs and o.outputs and self.tensor(o.inputs[0]).constant:
                # Unpacked once, when the network is loaded: what is stored is what is read.
                self.alias[o.outputs[0]] = self.alias.get(o.inputs[0], o.inputs[0])
                continue
            handler = handler_of(o.op)
            if handler is not None and not o.custom:
                handler(self, o)
            else:
                self.emit(o.op, self.inputs(o), [self.name(i) for i in o.outputs], {},
                          f"{DOMAIN}.custom" if o.custom else DOMAIN)  # fmt: skip

    def branch(self, number: int, arguments: Sequence[int], results: int) -> RawGraph | None:
        """Return a subgraph as the body of a branch that sees what is outside of it.

        ``None`` where it does not fit what it is called with, keeps states, or is nested too deep
        (a subgraph may even run itself).
        """
        if not 0 <= number < len(self.model.subgraphs) or self.depth >= _DEEPEST:
            return None
        graph = self.model.subgraphs[number]
        self.written[0] += len(graph.operators)
        if self.written[0] > _MOST_WRITTEN:
            return None
        fits = len(graph.inputs) == len(arguments) and len(graph.outputs) == results
        if not fits or any(i < 0 for i in arguments):
            return None
        names = {i: self.name(a) for i, a in zip(graph.inputs, arguments, strict=True)}
        inner = Translator(
            self.model, graph, outer=names, depth=self.depth + 1, written=self.written,
            prefix=f"{self.prefix}{self.operator}_{self.place}/{number}/",
        )  # fmt: skip
        inner.run()
        if inner.more_inputs or inner.more_outputs:
            return None
        outputs = [inner.name(i) for i in graph.outputs]
        return RawGraph(graph.name, inner.nodes, inner.stored, [], outputs, inner.declared)


def translate(model: TfliteModel) -> tuple[RawModel, list[str]]:
    """Return a model of the ONNX importer, and notes for its reader."""
    t = Translator(model, model.subgraphs[0])
    t.run()
    graph = t.graph
    inputs = [_input(graph.tensors[i], first=i == graph.inputs[0]) for i in graph.inputs]
    outputs = [t.name(i) for i in graph.outputs]
    raw = RawGraph(
        graph.name, t.nodes, t.stored, [*inputs, *t.more_inputs],
        list(dict.fromkeys([*outputs, *t.more_outputs])), t.declared,
    )  # fmt: skip
    return RawModel(raw, {"": _OPSET}, model.file), _notes(t)


def _input(tensor: TfliteTensor, *, first: bool) -> RawValue:
    """Return an input of the network; its free extents are named by their place."""
    rank = len(tensor.shape)
    word = re.sub(r"\W+", "_", tensor.name).strip("_")
    shape: list[int | str | None] = []
    for axis, extent in enumerate(tensor.signature):
        if extent is not None:
            shape.append(extent)
        elif (first and rank == 4 and axis < 3) or (axis == 0 and rank > 1):
            shape.append(_IMAGE[axis])
        else:
            shape.append(f"dim_{word}_{axis}")
    return RawValue(tensor.name, tuple(shape), _sized(tensor))


def _sized(tensor: TfliteTensor) -> str:
    """Return a tensor's format; a complex number has the bytes of one of twice the width."""
    return {"complex64": "fp64", "complex128": "fp64"}.get(tensor.format, tensor.format)


def _notes(t: Translator) -> list[str]:
    notes: list[str] = []
    others = t.model.subgraphs[1:]
    if others:
        listed = ", ".join(f"'{g.name}' ({len(g.operators)} operators)" for g in others[:4])
        more = f" and {len(others) - 4} more" if len(others) > 4 else ""
        notes.append(f"beside the network the file holds the subgraphs {listed}{more}")
    sparse = [x for x in t.graph.tensors if x.sparse and x.constant]
    if sparse:
        held = sum(x.stored_bytes for x in sparse)
        notes.append(
            f"{len(sparse)} weights are stored sparse, in {held} bytes, and unpacked when it is "
            "loaded; counted dense"
        )
    half = [i for i in set(t.alias.values()) if t.graph.tensors[i].format == "fp16"]
    if half:
        notes.append(f"{len(half)} weights are stored in fp16 and unpacked when it is loaded; "
                     "counted as stored")  # fmt: skip
    if t.states:
        notes.append(f"{len(t.states)} states are kept from one run to the next")
    return notes
