"""Translate the operators of a TensorFlow Lite subgraph into nodes of the ONNX importer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    at, place
        The operator at hand, and where it stands.
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
    at: TfliteOperator = field(default_factory=TfliteOperator)
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

    @property
    def options(self) -> Mapping[str, Any]:
        """The options of the operator at hand."""
        return self.at.options

    def input(self, i: int) -> str:
        """Return the name of an input of the operator at hand, empty where it is absent."""
        return self.name(self.at.inputs[i]) if i < len(self.at.inputs) else ""

    @property
    def output(self) -> str:
        """The name of the operator's first output."""
        return self.name(self.at.outputs[0])

    @property
    def outputs(self) -> list[str]:
        """The names of the operator's outputs."""
        return list(map(self.name, self.at.outputs))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the operator's inputs."""
        return tuple(map(self.name, self.at.inputs))

    @property
    def rank(self) -> int:
        """How many axes the operator's first input has."""
        first = next(iter(self.at.inputs), -1)
        return len(self.tensor(first).shape) if first >= 0 else 0

    def numbers(self, i: int) -> tuple[int, ...] | None:
        """Return the whole numbers of a constant input, ``None`` where they are computed."""
        if i >= len(self.at.inputs) or self.at.inputs[i] < 0:
            return None
        tensor = self.tensor(self.at.inputs[i])
        known = tensor.constant and tensor.numbers is not None
        return tuple(map(int, tensor.numbers or ())) if known else None

    def stated(self, i: int) -> str:
        """Return an input as whole numbers where it is a constant."""
        numbers = self.numbers(i)
        return self.input(i) if numbers is None else self.constant(numbers)

    def fresh(self, what: str, like: str = "") -> str:
        """Return a new name; declared as another value is, where one is given."""
        self.made += 1
        name = f"{self.label}.{what}{self.made}"
        while name in self.stored or name in self.declared:
            name += "'"
        if like in self.declared:
            self.declared[name] = replace(self.declared[like], name=name)
        return name

    def constant(self, numbers: Sequence[int | float], *, scalar: bool = False) -> str:
        """Store a constant of whole numbers (or of one number), and return its name."""
        name = self.fresh("constant")
        format = "int64" if all(isinstance(n, int) for n in numbers) else "fp32"
        self.stored[name] = RawTensor(() if scalar else (len(numbers),), format, tuple(numbers))
        return name

    # nodes

    @property
    def label(self) -> str:
        """What nodes of the operator at hand are called: by it and its place in the file."""
        return f"{self.prefix}{self.at.op}_{self.place}"

    def emit(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        attributes: Mapping[str, Any] | None = None,
        domain: str = "",
    ) -> None:
        """Add a node."""
        trimmed = list(inputs)
        while trimmed and not trimmed[-1]:
            trimmed.pop()
        ends = tuple(trimmed), tuple(outputs)
        self.nodes.append(RawNode(op, domain, self.label, *ends, dict(attributes or {})))

    def own(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a node of this format's own meaning."""
        self.emit(op, inputs, outputs, attributes, DOMAIN)

    def activated(self) -> str:
        """Return what an operator with a fused activation writes; the activation is a node after.

        Call it before the operator's own node and `activate` behind it.
        """
        return self.fresh("sum", self.output) if self.options.get("activation") else self.output

    def activate(self, source: str) -> None:
        """Add the fused activation of an operator that wrote `source`."""
        number: int = self.options.get("activation", 0)
        if number:
            self.function(ACTIVATIONS[number], source, self.output)

    def function(self, activation: str, source: str, out: str) -> None:
        """Add an activation."""
        bounds = {"RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0), "RELU_0_TO_1": (0.0, 1.0)}
        limits = [self.constant((b,), scalar=True) for b in bounds.get(activation, ())]
        op = {"RELU": "Relu", "TANH": "Tanh", "SIGN_BIT": "Sign"}.get(activation, "Clip")
        self.emit(op, (source, *limits), (out,))

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
                self.stored[name] = RawTensor(tensor.shape, sized(tensor), tensor.numbers)
            elif index not in self.outer:
                self.declared[name] = RawValue(name, tensor.signature, sized(tensor))
                if tensor.variable and index in read and index not in graph.inputs:
                    self.more_inputs.append(RawValue(name, tensor.shape, sized(tensor)))
        for place, o in enumerate(graph.operators):
            self.place, self.at = place, o
            if o.op in UNPACKED and o.inputs and o.outputs and self.tensor(o.inputs[0]).constant:
                # Unpacked once, when the network is loaded: what is stored is what is read.
                self.alias[o.outputs[0]] = self.alias.get(o.inputs[0], o.inputs[0])
                continue
            handler = None if o.custom else handler_of(o.op)
            if handler is not None:
                handler(self)
            else:
                domain = f"{DOMAIN}.custom" if o.custom else DOMAIN
                self.emit(o.op, self.inputs, self.outputs, {}, domain)

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
        inner = Translator(
            self.model,
            graph,
            outer=dict(zip(graph.inputs, map(self.name, arguments), strict=True)),
            depth=self.depth + 1,
            written=self.written,
            prefix=f"{self.label}/{number}/",
        )
        inner.run()
        if inner.more_inputs or inner.more_outputs:
            return None
        outputs = list(map(inner.name, graph.outputs))
        return RawGraph(graph.name, inner.nodes, inner.stored, [], outputs, inner.declared)


def translate(model: TfliteModel) -> tuple[RawModel, list[str]]:
    """Return a model of the ONNX importer, and notes for its reader."""
    t = Translator(model, model.subgraphs[0])
    t.run()
    graph = t.graph
    inputs = [_input(graph.tensors[i], first=i == graph.inputs[0]) for i in graph.inputs]
    inputs += t.more_inputs
    outputs = list(dict.fromkeys([*map(t.name, graph.outputs), *t.more_outputs]))
    raw = RawGraph(graph.name, t.nodes, t.stored, inputs, outputs, t.declared)
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
    return RawValue(tensor.name, tuple(shape), sized(tensor))


def sized(tensor: TfliteTensor) -> str:
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
        size = sum(x.stored_bytes for x in sparse)
        notes.append(
            f"{len(sparse)} weights are stored sparse, in {size} bytes, and unpacked when it is "
            "loaded; counted dense"
        )
    half = sum(t.graph.tensors[i].format == "fp16" for i in set(t.alias.values()))
    if half:
        notes.append(
            f"{half} weights are stored in fp16 and unpacked when it is loaded; counted as stored"
        )
    if t.states:
        notes.append(f"{len(t.states)} states are kept from one run to the next")
    return notes
