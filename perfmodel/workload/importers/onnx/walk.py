"""Walk of an ONNX graph in topological order: shapes, constants, and bodies of control flow."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any, cast

from perfmodel.errors import Fault, InputError, printable
from perfmodel.workload.importers.onnx.dimensions import Dimensions
from perfmodel.workload.importers.onnx.dispatched import is_dispatched
from perfmodel.workload.importers.onnx.domains import FORMATS
from perfmodel.workload.importers.onnx.extents import symbols_of
from perfmodel.workload.importers.onnx.infer import infer
from perfmodel.workload.importers.onnx.loops import runs_through, scan_axes
from perfmodel.workload.importers.onnx.node import (
    BeyondRangeError,
    ContradictionError,
    NotPricedError,
    OnnxNode,
    OnnxValue,
    replaced,
)
from perfmodel.workload.importers.onnx.numbers import BUDGET, FEW, MOST, work_out
from perfmodel.workload.importers.onnx.own import TYPED
from perfmodel.workload.importers.onnx.pricing import MALFORMED, STANDARD
from perfmodel.workload.importers.onnx.read import RawGraph, RawModel, RawNode, RawTensor
from perfmodel.workload.importers.onnx.steps import (
    CALL,
    Blocker,
    OnnxIfBranches,
    Repeat,
    Scope,
    Step,
    Walked,
)
from perfmodel.workload.importers.onnx.traits import PARAMETERS, RANDOM, WINDOWED
from perfmodel.workload.symbols import Dim, Poly, constant, symbol

#: Largest number of listed faults; later ones tend to follow from the first.
_MOST_FAULTS = 20

#: Trip count that means "until the condition fails".
_ENDLESS = 2**31 - 1


_BRANCHES = {"then_branch", "else_branch"}


class Walker:
    """Walk over a model, with some of its free dimensions bound to numbers."""

    def __init__(
        self,
        model: RawModel,
        dimensions: Dimensions,
        scalars: Mapping[str, float],
        dispatched: frozenset[int] | None = None,
    ) -> None:
        self.model = model
        self.dimensions = dimensions
        self.scalars = scalars
        self.blockers: list[Blocker] = []
        self.notes: list[str] = []
        self.defaults: dict[str, float] = {}
        self.extents: dict[Dim, str] = {}
        self.mixed = model.pinned or _mixed(model.graph)
        self.faults: list[Fault] = []
        #: Whether the nodes being walked are certain to run.
        self.certain = True
        #: Dispatched nodes from a walk without bindings; ``None`` if this is that walk.
        self.dispatched = dispatched
        self.worked_out = 0
        self._running: set[int] = set()

    def walk(self) -> Walked:
        """Return the steps of the whole graph, with the inputs and outputs of the network.

        Raises
        ------
        InputError
            The attributes and shapes of nodes contradict each other.
        """
        graph = self.model.graph
        scope: Scope = ChainMap()
        inputs: list[OnnxValue] = []
        weights = parameters_among_inputs(graph)
        if weights:
            self.notes.append(
                f"{len(weights)} inputs are taken for the network's parameters: "
                + ", ".join(sorted(weights)[:4])
            )
        for value in graph.inputs:
            shape = self.dimensions.input_shape(value)
            edge = OnnxValue(value.name, shape, format=self.format(value.format), live=True)
            if value.name in weights:
                edge.kind = "weight"
            elif value.name in self.scalars and shape == ():
                edge.kind, edge.numbers = "constant", (self.scalars[value.name],)
            else:
                inputs.append(edge)
            scope[value.name] = edge
        steps = self.graph(graph, scope)
        if self.faults:
            raise InputError(self.faults)
        if self.worked_out >= BUDGET:
            self.notes.append(
                f"after {BUDGET:,} numbers of constants, those of more than {FEW} "
                "elements were not worked out"
            )
        outputs = [scope[name] for name in graph.outputs if name in scope]
        return Walked(
            steps,
            inputs,
            outputs,
            self.blockers,
            {**self.dimensions.defaults, **self.defaults},
            self.notes,
            self.extents,
            frozenset(self._running),
        )

    def format(self, format: str) -> str:
        """Return the fixed format of an element type; empty for fp32 that the precision sets."""
        return "" if format == "fp32" and not self.mixed else format

    def stored(self, name: str, raw: RawTensor) -> OnnxValue:
        """Return a stored tensor as a value.

        Integers of 32 bits or more are shapes and indices, not parameters.
        """
        index = raw.format in {"int64", "int32", "bool", "string"}
        single = raw.shape == () or (raw.numbers is not None and len(raw.numbers) == 1)
        kind = "constant" if index or single or raw.buffer else "weight"
        return OnnxValue(name, raw.shape, kind, self.format(raw.format), raw.numbers)

    # Nodes.

    def graph(self, raw: RawGraph, scope: Scope) -> list[Step]:
        """Walk the nodes of a graph whose inputs are in the scope."""
        for name, tensor in raw.stored.items():
            scope[name] = self.stored(name, tensor)
            scope[name].live = name in raw.replaceable
        steps: list[Step] = []
        for node in raw.nodes:
            inputs = tuple(scope.get(name) if name else None for name in node.inputs)
            op = node.op if node.domain in STANDARD else ""
            if op == "Constant":
                scope[node.outputs[0]] = self.constant(node)
            elif op == "If" and node.graphs.keys() >= _BRANCHES:
                steps += self.choice(node, inputs, scope)
            elif "body" in node.graphs and (
                op == "Loop" or (op == "Scan" and scan_axes(node) is not None)
            ):
                steps += self.loop(node, inputs, scope)
            else:
                walked = self.node(node, inputs, raw)
                for name, edge in zip(node.outputs, walked.outputs, strict=True):
                    if name and edge is not None:
                        scope[name] = edge
                steps.append(walked)
        return steps

    def constant(self, raw: RawNode) -> OnnxValue:
        """Return the value of a ``Constant``."""
        for value in raw.attributes.values():
            if isinstance(value, RawTensor):
                return self.stored(raw.outputs[0], value)
            listed = isinstance(value, tuple)
            items = cast("tuple[Any, ...]", value if listed else (value,))
            if all(isinstance(v, int | float) for v in items):
                format = "int64" if all(isinstance(v, int) for v in items) else self.format("fp32")
                shape = (len(items),) if listed else ()
                return OnnxValue(raw.outputs[0], shape, "constant", format, items)
        return OnnxValue(raw.outputs[0], (), "constant")

    def node(self, raw: RawNode, inputs: tuple[OnnxValue | None, ...], graph: RawGraph) -> OnnxNode:
        """Return a node with shapes, formats and numbers of its outputs."""
        outputs = tuple(OnnxValue(name) if name else None for name in raw.outputs)
        node = OnnxNode(
            raw.op, raw.name, inputs, outputs, raw.attributes, raw.domain, self.dimensions.bound
        )
        present, written = node.present, node.written
        lost = frozenset[str]().union(*(e.depends for e in present))
        node.runs = self.runs(raw, node, graph)
        foldable = raw.domain != TYPED or not any(e.kind == "weight" for e in present)
        if raw.op not in RANDOM and foldable and not any(e.is_data for e in present):
            kind = "weight" if any(e.kind == "weight" for e in present) else "constant"
            for edge in written:
                edge.kind = kind
        stated = [graph.declared.get(name) for name in raw.outputs]
        declared = [self.dimensions.declared_shape(value) if value else None for value in stated]
        formats = [self.format(value.format) if value else "" for value in stated]
        try:
            infer(node, self.model.opsets, declared, formats)
        except NotPricedError as reason:
            node.failure = str(reason)
            self.block(node, str(reason), lost)
        if node.contradiction:
            self.contradicts(node, node.contradiction)
        for edge in written:
            edge.format = self.format(edge.format)
            if any(isinstance(d, Poly) for d in edge.shape or ()):
                # The size depends on the input, so no runtime can fold the value on loading.
                edge.kind = "data"
        if node.op in {"Shape", "Size"}:
            for edge in written:
                edge.kind = "constant"
        if not any(e.is_data for e in written):
            self.numbers(node, lost)
        self.defaults.update(node.opened)
        self.watch(node)
        return node

    def contradicts(self, node: OnnxNode, reason: str, *, surely: bool = False) -> None:
        """Record the fault of a node that no runtime would run.

        Under bindings, the contradiction may be due to a default and is not recorded, unless
        it holds for any number (`surely`).
        """
        fixed = surely or not (self.dimensions.bound or self.scalars)
        if self.certain and fixed and len(self.faults) < _MOST_FAULTS:
            expected = "attributes and shapes that fit each other"
            self.faults.append(Fault(reason, node.label, self.model.file, expected=expected))

    def runs(self, raw: RawNode, node: OnnxNode, graph: RawGraph) -> bool:
        """Return whether a runtime dispatches a node."""
        known = self.dispatched is not None
        return self.noted(raw, known or is_dispatched(raw, node, graph, self.format))

    def noted(self, raw: RawNode, runs: bool) -> bool:
        """Return and record whether a node runs; the walk without bindings takes precedence."""
        if self.dispatched is not None:
            return id(raw) in self.dispatched
        if runs:
            self._running.add(id(raw))
        return runs

    def enters(self, raw: RawNode, inputs: tuple[OnnxValue | None, ...]) -> list[Step]:
        """Return the step of entering the body of control flow, or nothing if it is inlined.

        An ``If`` whose condition is known on loading is inlined.
        """
        first = inputs[0] if inputs else None
        live = raw.op != "If" or first is None or first.live
        return [OnnxNode(CALL, raw.name, (), (), runs=True)] if self.noted(raw, live) else []

    def numbers(self, node: OnnxNode, lost: frozenset[str]) -> None:
        """Compute a node's constants; on failure, record the free dimensions that prevent it."""
        try:
            self.worked_out += work_out(node, MOST if self.worked_out < BUDGET else FEW)
        except ContradictionError as error:
            lost = lost | free_in(node)
            self.contradicts(node, str(error), surely=isinstance(error, BeyondRangeError))
        except (NotPricedError, *MALFORMED):
            lost = lost | free_in(node)
        for edge in node.written:
            if edge.numbers is None:
                edge.depends = lost

    def watch(self, node: OnnxNode) -> None:
        """Record extents that a too small input would make empty."""
        if node.op in WINDOWED and node.written and node.out.is_data and node.out.shape is not None:
            shape = node.out.shape
            for dim in shape[1:-1] if node.domain in FORMATS else shape[2:]:
                if (constant(dim) or 0) < 1:
                    self.extents.setdefault(dim, node.label)

    def block(self, node: OnnxNode, reason: str, lost: frozenset[str]) -> None:
        """Record a node without a shape that numbers for free dimensions could determine."""
        symbols = lost | free_in(node)
        if any(e.shape is None and not e.depends for e in node.present):
            # An input is unknown for other reasons: numbers for free dimensions would not help.
            return
        for edge in node.written:
            edge.depends = symbols
        if symbols:
            self.blockers.append(Blocker(node.label, reason, symbols))

    # Subgraphs.

    def choice(
        self, raw: RawNode, inputs: tuple[OnnxValue | None, ...], scope: Scope
    ) -> list[Step]:
        """Walk the branch that a known condition selects, or else both."""
        condition = inputs[0] if inputs else None
        known = condition.number() if condition is not None else None
        if known is not None:
            body = raw.graphs["then_branch" if known else "else_branch"]
            steps, outputs = self.branch(body, scope)
            for name, edge in zip(raw.outputs, outputs, strict=False):
                scope[name] = edge
            entered = self.enters(raw, inputs)
            for edge in outputs if entered else ():
                edge.live = edge.vague = True
            return [*entered, *steps]
        if condition is not None and condition.depends:
            self.blockers.append(
                Blocker(f"If at {raw.name}", "its condition compares extents", condition.depends)
            )
        then_steps, then_outputs = self.branch(raw.graphs["then_branch"], scope)
        else_steps, else_outputs = self.branch(raw.graphs["else_branch"], scope)
        outer = tuple(OnnxValue(name, live=True) for name in raw.outputs)
        for i, edge in enumerate(outer):
            scope[edge.name] = edge
            sides = [o[i] for o in (then_outputs, else_outputs) if i < len(o)]
            if sides:
                picked = next((s for s in sides if s.shape is not None), sides[0])
                edge.shape, edge.format = picked.shape, picked.format
                edge.vague = any(s.vague or s.shape != sides[0].shape for s in sides)
        node = OnnxNode("If", raw.name, inputs, outer)
        choice = OnnxIfBranches(node, then_steps, else_steps, then_outputs, else_outputs)
        return [*self.enters(raw, inputs), choice]

    def branch(self, body: RawGraph, scope: Scope) -> tuple[list[Step], tuple[OnnxValue, ...]]:
        """Walk a branch in a child scope."""
        inner = scope.new_child()
        steps = self.perhaps(body, inner)
        return steps, tuple(inner[n] for n in body.outputs if n in inner)

    def perhaps(self, body: RawGraph, scope: Scope) -> list[Step]:
        """Walk a body that may run any number of times."""
        certain, self.certain = self.certain, False
        steps = self.graph(body, scope)
        self.certain = certain
        return steps

    def scanned(
        self, raw: RawNode, inputs: tuple[OnnxValue | None, ...]
    ) -> tuple[Dim, list[OnnxValue | None], list[Step]]:
        """Return the trip count of a ``Scan``, the inputs of its body, and the slicing nodes."""
        axes = scan_axes(raw) or ()
        states = len(inputs) - len(axes)
        count: Dim = 1
        sources = list(inputs[:states])
        cuts: list[Step] = []
        for source, axis in zip(inputs[states:], axes, strict=False):
            piece = None
            shape = source.shape or () if source is not None else ()
            if source is not None and -len(shape) <= axis < len(shape):
                at = axis % len(shape)
                count = shape[at]
                name, each = f"{source.name}.slice", replaced(shape, at)
                piece = OnnxValue(name, each, source.kind, source.format, live=True)
                cuts.append(OnnxNode("ScanInput", f"{raw.name}.slice", (source,), (piece,)))
            sources.append(piece)
        return count, sources, cuts

    def loop(self, raw: RawNode, inputs: tuple[OnnxValue | None, ...], scope: Scope) -> list[Step]:
        """Walk the body of a ``Loop`` or ``Scan`` once, as a repeated step."""
        body = raw.graphs["body"]
        inner = scope.new_child()
        scan = raw.op == "Scan"
        before: list[Step] = []
        if scan:
            states = len(inputs) - len(scan_axes(raw) or ())
            count, sources, before = self.scanned(raw, inputs)
        else:
            states = max(len(inputs) - 2, 0)
            count = self.trips(raw, inputs, body)
            counter = OnnxValue(f"{raw.name}.iteration", (), format="int64", live=True)
            condition = OnnxValue(f"{raw.name}.condition", (), format="bool", live=True)
            sources = [counter, condition, *inputs[2:]]
        for value, source in zip_longest(body.inputs, sources[: len(body.inputs)]):
            inner[value.name] = self.carried(value.name, source)
        steps = self.perhaps(body, inner)
        results = [inner.get(n, OnnxValue(n)) for n in body.outputs[not scan :]]
        after: list[Step] = []
        for i, name in enumerate(raw.outputs):
            if not name:
                continue
            result = results[i] if i < len(results) else OnnxValue(name)
            if i < states:
                scope[name] = result
                continue
            shape = None if result.shape is None else (count, *result.shape)
            scope[name] = OnnxValue(name, shape, format=result.format, live=True)
            after.append(OnnxNode("ScanOutput", f"{raw.name}.{name}", (result,), (scope[name],)))
        steps = [*self.enters(raw, inputs), *steps]
        return [*before, Repeat(raw.name, count, steps), *after]

    def carried(self, name: str, source: OnnxValue | None) -> OnnxValue:
        """Return the body's view of an outer value that changes between iterations."""
        if source is None:
            return OnnxValue(name, live=True)
        if source.is_data:
            return source
        return OnnxValue(name, source.shape, "data", source.format, live=True)

    def trips(self, raw: RawNode, inputs: tuple[OnnxValue | None, ...], body: RawGraph) -> Dim:
        """Return the trip count of a ``Loop``; a free dimension if it depends on the data."""
        limit = inputs[0] if inputs else None
        number = limit.number() if limit is not None else None
        if number is not None and (constant(number) or 0) >= _ENDLESS:
            number = None
        if number is not None and runs_through(raw, inputs, body):
            return number
        name = printable(f"trips_{raw.name}")
        if name in self.dimensions.bound:
            return self.dimensions.bound[name]
        most = self.defaults[name] = (None if number is None else constant(number)) or 1
        self.notes.append(
            f"the data decide how often Loop at {raw.name} runs: '{name}' is {most:g}"
        )
        return symbol(name)


def free_in(node: OnnxNode) -> frozenset[str]:
    """Return the free dimensions in the shapes and numbers that a node reads."""
    dims = (d for e in node.present for d in (*(e.shape or ()), *(e.numbers or ())))
    return frozenset[str]().union(*map(symbols_of, dims))


def parameters_among_inputs(graph: RawGraph) -> set[str]:
    """Return inputs that must be parameters, as in a file stored without its weights."""
    shaped = {
        v.name: v.shape
        for v in graph.inputs[1:]
        if v.shape is not None and all(isinstance(d, int) for d in v.shape)
    }
    parameters: set[str] = set()
    has_weights = bool(graph.stored)
    for node in graph.nodes:
        at = PARAMETERS.get(node.op, ())
        parameters |= {
            node.inputs[i] for i in at if i < len(node.inputs) and node.inputs[i] in shaped
        }
        if node.op in {"Gemm", "MatMul"} and not has_weights:
            parameters |= {n for n in node.inputs[1:2] if len(shaped.get(n) or ()) == 2}
    return parameters


def _mixed(graph: RawGraph) -> bool:
    """Return whether the file uses floating-point formats other than fp32."""
    others = {"fp16", "bf16", "fp64"}
    tensors = [
        *graph.stored.values(),
        *(
            value
            for node in graph.nodes
            if node.op == "Constant"
            for value in node.attributes.values()
            if isinstance(value, RawTensor)
        ),
    ]
    return (
        any(t.format in others and t.numbers is None and len(t.shape) for t in tensors)
        or any(v.format in others for v in graph.inputs)
        or any(_mixed(inner) for node in graph.nodes for inner in node.graphs.values())
    )
