"""Walk of a network in topological order: shapes, constants, and bodies of control flow.

Abstract interpretation over the records of a file: each node gets the shapes of its outputs from
the rule of its operator (`shape_inference`), and constants that determine shapes are folded
(`constant_folding`). Extents are polynomials of free dimensions. If a rule needs the number of a
free dimension, the walk records a blocker; `onnx.load` then binds that dimension and walks again.
Both branches of an ``If`` with an unknown condition are walked, the body of a loop once. The result
is a list of steps, which `graph_build` prices.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any, cast

from perfmodel.errors import Fault, InputError, printable
from perfmodel.workload.importers.onnx.constant_folding import (
    CONSTANTS_BUDGET,
    LARGEST_CONSTANT,
    SMALL_CONSTANT,
    fold_constants,
)
from perfmodel.workload.importers.onnx.free_dimensions import Dimensions
from perfmodel.workload.importers.onnx.load_time_folding import is_dispatched
from perfmodel.workload.importers.onnx.node import (
    BeyondRangeError,
    ContradictionError,
    NotPricedError,
    OnnxNode,
    OnnxValue,
    replace_axis,
)
from perfmodel.workload.importers.onnx.operator_domains import FORMATS
from perfmodel.workload.importers.onnx.operator_traits import RANDOM, WINDOWED
from perfmodel.workload.importers.onnx.parameter_detection import (
    has_other_floats,
    parameters_among_inputs,
)
from perfmodel.workload.importers.onnx.pricer import MALFORMED_NODE_ERRORS, STANDARD
from perfmodel.workload.importers.onnx.records import RawGraph, RawModel, RawNode, RawTensor
from perfmodel.workload.importers.onnx.shape_inference import infer
from perfmodel.workload.importers.onnx.symbolic_extents import free_symbols
from perfmodel.workload.importers.onnx.synthetic_operators import TYPED
from perfmodel.workload.importers.onnx.trip_counts import runs_all_iterations, scan_axes
from perfmodel.workload.importers.onnx.walk_steps import (
    CALL,
    Blocker,
    OnnxIfBranches,
    Repeat,
    Scope,
    Step,
    WalkResult,
)
from perfmodel.workload.symbols import Dim, Poly, constant, symbol

#: Largest number of listed faults; later ones tend to follow from the first.
_MOST_FAULTS = 20

#: Trip count that means "until the condition fails".
_ENDLESS = 2**31 - 1


_BRANCHES = {"then_branch", "else_branch"}


class Walker:
    """Walk over a model, with some of its free dimensions bound to numbers.

    Parameters
    ----------
    model
        The records of the file.
    dimensions
        Names, defaults and bound numbers of the free dimensions.
    scalars
        Values of scalar network inputs.
    dispatched
        Identities of the dispatched nodes from a walk without bindings; ``None`` for that walk.
    """

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
        self.window_extents: dict[Dim, str] = {}
        self.has_fixed_fp32 = model.has_fixed_fp32 or has_other_floats(model.graph)
        self.faults: list[Fault] = []
        #: Whether the nodes being walked are certain to run.
        self.is_certain = True
        #: Dispatched nodes from a walk without bindings; ``None`` if this is that walk.
        self.dispatched = dispatched
        self.worked_out = 0
        self._running: set[int] = set()

    def walk(self) -> WalkResult:
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
                f"{len(weights)} inputs are treated as parameters of the network: "
                + ", ".join(sorted(weights)[:4])
            )
        for value in graph.inputs:
            shape = self.dimensions.input_shape(value)
            edge = OnnxValue(
                value.name, shape, format=self.fixed_format(value.format), is_live=True
            )
            if value.name in weights:
                edge.kind = "weight"
            elif value.name in self.scalars and shape == ():
                edge.kind, edge.numbers = "constant", (self.scalars[value.name],)
            else:
                inputs.append(edge)
            scope[value.name] = edge
        steps = self.walk_graph(graph, scope)
        if self.faults:
            raise InputError(self.faults)
        if self.worked_out >= CONSTANTS_BUDGET:
            self.notes.append(
                f"after {CONSTANTS_BUDGET:,} numbers of constants, those of more than "
                f"{SMALL_CONSTANT} elements were not folded"
            )
        outputs = [scope[name] for name in graph.outputs if name in scope]
        return WalkResult(
            steps,
            inputs,
            outputs,
            self.blockers,
            {**self.dimensions.defaults, **self.defaults},
            self.notes,
            self.window_extents,
            frozenset(self._running),
        )

    def fixed_format(self, format: str) -> str:
        """Return the fixed format of an element type; empty if the precision sets it (fp32)."""
        return "" if format == "fp32" and not self.has_fixed_fp32 else format

    def stored_value(self, name: str, raw: RawTensor) -> OnnxValue:
        """Return a stored tensor as a value.

        Integers of 32 bits or more are shapes and indices, not parameters.
        """
        index = raw.format in {"int64", "int32", "bool", "string"}
        single = raw.shape == () or (raw.numbers is not None and len(raw.numbers) == 1)
        kind = "constant" if index or single or raw.is_buffer else "weight"
        return OnnxValue(name, raw.shape, kind, self.fixed_format(raw.format), raw.numbers)

    # Nodes.

    def walk_graph(self, raw: RawGraph, scope: Scope) -> list[Step]:
        """Walk the nodes of a graph whose inputs are in the scope."""
        for name, tensor in raw.stored.items():
            scope[name] = self.stored_value(name, tensor)
            scope[name].is_live = name in raw.replaceable
        steps: list[Step] = []
        for node in raw.nodes:
            inputs = tuple(scope.get(name) if name else None for name in node.inputs)
            op = node.op if node.domain in STANDARD else ""
            if op == "Constant":
                scope[node.outputs[0]] = self.constant_value(node)
            elif op == "If" and node.graphs.keys() >= _BRANCHES:
                steps += self.walk_if(node, inputs, scope)
            elif "body" in node.graphs and (
                op == "Loop" or (op == "Scan" and scan_axes(node) is not None)
            ):
                steps += self.walk_loop(node, inputs, scope)
            else:
                walked = self.walk_node(node, inputs, raw)
                for name, edge in zip(node.outputs, walked.outputs, strict=True):
                    if name and edge is not None:
                        scope[name] = edge
                steps.append(walked)
        return steps

    def constant_value(self, raw: RawNode) -> OnnxValue:
        """Return the value of a ``Constant``."""
        for value in raw.attributes.values():
            if isinstance(value, RawTensor):
                return self.stored_value(raw.outputs[0], value)
            is_list = isinstance(value, tuple)
            items = cast("tuple[Any, ...]", value if is_list else (value,))
            if all(isinstance(v, int | float) for v in items):
                format = (
                    "int64" if all(isinstance(v, int) for v in items) else self.fixed_format("fp32")
                )
                shape = (len(items),) if is_list else ()
                return OnnxValue(raw.outputs[0], shape, "constant", format, items)
        return OnnxValue(raw.outputs[0], (), "constant")

    def walk_node(
        self, raw: RawNode, inputs: tuple[OnnxValue | None, ...], graph: RawGraph
    ) -> OnnxNode:
        """Return a node with shapes, formats and numbers of its outputs."""
        outputs = tuple(OnnxValue(name) if name else None for name in raw.outputs)
        node = OnnxNode(
            raw.op, raw.name, inputs, outputs, raw.attributes, raw.domain, self.dimensions.bound
        )
        present, written = node.present_inputs, node.present_outputs
        unresolved = frozenset[str]().union(*(e.depends_on for e in present))
        node.is_dispatched = self.decide_dispatch(raw, node, graph)
        foldable = raw.domain != TYPED or not any(e.kind == "weight" for e in present)
        if raw.op not in RANDOM and foldable and not any(e.is_data for e in present):
            kind = "weight" if any(e.kind == "weight" for e in present) else "constant"
            for edge in written:
                edge.kind = kind
        declared_values = [graph.declared.get(name) for name in raw.outputs]
        declared = [
            self.dimensions.declared_shape(value) if value else None for value in declared_values
        ]
        formats = [self.fixed_format(value.format) if value else "" for value in declared_values]
        try:
            infer(node, self.model.opsets, declared, formats)
        except NotPricedError as reason:
            node.failure = str(reason)
            self.record_blocker(node, str(reason), unresolved)
        if node.contradiction:
            self.record_contradiction(node, node.contradiction)
        for edge in written:
            edge.format = self.fixed_format(edge.format)
            if any(isinstance(d, Poly) for d in edge.shape or ()):
                # The size depends on the input, so no runtime can fold the value on loading.
                edge.kind = "data"
        if node.op in {"Shape", "Size"}:
            for edge in written:
                edge.kind = "constant"
        if not any(e.is_data for e in written):
            self.fold_numbers(node, unresolved)
        self.defaults.update(node.opened_extents)
        self.record_window_extents(node)
        return node

    def record_contradiction(
        self, node: OnnxNode, reason: str, *, is_unconditional: bool = False
    ) -> None:
        """Record the fault of a node that no runtime would run.

        Under bindings, the contradiction may be due to a default and is not recorded, unless
        it holds for any number (`is_unconditional`).
        """
        fixed = is_unconditional or not (self.dimensions.bound or self.scalars)
        if self.is_certain and fixed and len(self.faults) < _MOST_FAULTS:
            expected = "attributes and shapes that fit each other"
            self.faults.append(Fault(reason, node.label, self.model.file, expected=expected))

    def decide_dispatch(self, raw: RawNode, node: OnnxNode, graph: RawGraph) -> bool:
        """Return whether a runtime dispatches a node, and record it."""
        known = self.dispatched is not None
        return self.record_dispatch(
            raw, known or is_dispatched(raw, node, graph, self.fixed_format)
        )

    def record_dispatch(self, raw: RawNode, runs: bool) -> bool:
        """Return and record whether a node runs; a walk without bindings takes precedence."""
        if self.dispatched is not None:
            return id(raw) in self.dispatched
        if runs:
            self._running.add(id(raw))
        return runs

    def enter_body(self, raw: RawNode, inputs: tuple[OnnxValue | None, ...]) -> list[Step]:
        """Return the step of entering the body of control flow, or nothing if it is inlined.

        An ``If`` whose condition is known on loading is inlined.
        """
        first = inputs[0] if inputs else None
        live = raw.op != "If" or first is None or first.is_live
        return (
            [OnnxNode(CALL, raw.name, (), (), is_dispatched=True)]
            if self.record_dispatch(raw, live)
            else []
        )

    def fold_numbers(self, node: OnnxNode, unresolved: frozenset[str]) -> None:
        """Compute a node's constants; on failure, record the free dimensions that prevent it."""
        try:
            self.worked_out += fold_constants(
                node, LARGEST_CONSTANT if self.worked_out < CONSTANTS_BUDGET else SMALL_CONSTANT
            )
        except ContradictionError as error:
            unresolved = unresolved | free_dimensions_read(node)
            self.record_contradiction(
                node, str(error), is_unconditional=isinstance(error, BeyondRangeError)
            )
        except (NotPricedError, *MALFORMED_NODE_ERRORS):
            unresolved = unresolved | free_dimensions_read(node)
        for edge in node.present_outputs:
            if edge.numbers is None:
                edge.depends_on = unresolved

    def record_window_extents(self, node: OnnxNode) -> None:
        """Record the extents of windowed operators, which a too small input would make empty."""
        if (
            node.op in WINDOWED
            and node.present_outputs
            and node.first_output.is_data
            and node.first_output.shape is not None
        ):
            shape = node.first_output.shape
            for dim in shape[1:-1] if node.domain in FORMATS else shape[2:]:
                if (constant(dim) or 0) < 1:
                    self.window_extents.setdefault(dim, node.label)

    def record_blocker(self, node: OnnxNode, reason: str, unresolved: frozenset[str]) -> None:
        """Record a node without a shape that numbers for free dimensions could determine."""
        symbols = unresolved | free_dimensions_read(node)
        if any(e.shape is None and not e.depends_on for e in node.present_inputs):
            # An input is unknown for other reasons: numbers for free dimensions would not help.
            return
        for edge in node.present_outputs:
            edge.depends_on = symbols
        if symbols:
            self.blockers.append(Blocker(node.label, reason, symbols))

    # Subgraphs.

    def walk_if(
        self, raw: RawNode, inputs: tuple[OnnxValue | None, ...], scope: Scope
    ) -> list[Step]:
        """Walk the branch of an ``If`` that a known condition selects, or else both branches."""
        condition = inputs[0] if inputs else None
        known = condition.number() if condition is not None else None
        if known is not None:
            body = raw.graphs["then_branch" if known else "else_branch"]
            steps, outputs = self.walk_branch(body, scope)
            for name, edge in zip(raw.outputs, outputs, strict=False):
                scope[name] = edge
            entered = self.enter_body(raw, inputs)
            for edge in outputs if entered else ():
                edge.is_live = edge.has_unknown_shape = True
            return [*entered, *steps]
        if condition is not None and condition.depends_on:
            self.blockers.append(
                Blocker(f"If at {raw.name}", "its condition compares extents", condition.depends_on)
            )
        then_steps, then_outputs = self.walk_branch(raw.graphs["then_branch"], scope)
        else_steps, else_outputs = self.walk_branch(raw.graphs["else_branch"], scope)
        outer = tuple(OnnxValue(name, is_live=True) for name in raw.outputs)
        for i, edge in enumerate(outer):
            scope[edge.name] = edge
            sides = [o[i] for o in (then_outputs, else_outputs) if i < len(o)]
            if sides:
                known_side = next((s for s in sides if s.shape is not None), sides[0])
                edge.shape, edge.format = known_side.shape, known_side.format
                edge.has_unknown_shape = any(
                    s.has_unknown_shape or s.shape != sides[0].shape for s in sides
                )
        node = OnnxNode("If", raw.name, inputs, outer)
        choice = OnnxIfBranches(node, then_steps, else_steps, then_outputs, else_outputs)
        return [*self.enter_body(raw, inputs), choice]

    def walk_branch(self, body: RawGraph, scope: Scope) -> tuple[list[Step], tuple[OnnxValue, ...]]:
        """Walk a branch in a child scope."""
        body_scope = scope.new_child()
        steps = self.walk_uncertain_body(body, body_scope)
        return steps, tuple(body_scope[n] for n in body.outputs if n in body_scope)

    def walk_uncertain_body(self, body: RawGraph, scope: Scope) -> list[Step]:
        """Walk a body that may run any number of times: contradictions in it are not faults."""
        certain, self.is_certain = self.is_certain, False
        steps = self.walk_graph(body, scope)
        self.is_certain = certain
        return steps

    def slice_scanned_inputs(
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
                name, each = f"{source.name}.slice", replace_axis(shape, at)
                piece = OnnxValue(name, each, source.kind, source.format, is_live=True)
                cuts.append(OnnxNode("ScanInput", f"{raw.name}.slice", (source,), (piece,)))
            sources.append(piece)
        return count, sources, cuts

    def walk_loop(
        self, raw: RawNode, inputs: tuple[OnnxValue | None, ...], scope: Scope
    ) -> list[Step]:
        """Walk the body of a ``Loop`` or ``Scan`` once, as a repeated step."""
        body = raw.graphs["body"]
        body_scope = scope.new_child()
        is_scan = raw.op == "Scan"
        slicing_steps: list[Step] = []
        if is_scan:
            states = len(inputs) - len(scan_axes(raw) or ())
            count, sources, slicing_steps = self.slice_scanned_inputs(raw, inputs)
        else:
            states = max(len(inputs) - 2, 0)
            count = self.trip_count(raw, inputs, body)
            counter = OnnxValue(f"{raw.name}.iteration", (), format="int64", is_live=True)
            condition = OnnxValue(f"{raw.name}.condition", (), format="bool", is_live=True)
            sources = [counter, condition, *inputs[2:]]
        for value, source in zip_longest(body.inputs, sources[: len(body.inputs)]):
            body_scope[value.name] = self.loop_value(value.name, source)
        steps = self.walk_uncertain_body(body, body_scope)
        results = [body_scope.get(n, OnnxValue(n)) for n in body.outputs[not is_scan :]]
        stacking_steps: list[Step] = []
        for i, name in enumerate(raw.outputs):
            if not name:
                continue
            result = results[i] if i < len(results) else OnnxValue(name)
            if i < states:
                scope[name] = result
                continue
            shape = None if result.shape is None else (count, *result.shape)
            scope[name] = OnnxValue(name, shape, format=result.format, is_live=True)
            stacking_steps.append(
                OnnxNode("ScanOutput", f"{raw.name}.{name}", (result,), (scope[name],))
            )
        steps = [*self.enter_body(raw, inputs), *steps]
        return [*slicing_steps, Repeat(raw.name, count, steps), *stacking_steps]

    def loop_value(self, name: str, source: OnnxValue | None) -> OnnxValue:
        """Return the body's view of an outer value that changes between iterations."""
        if source is None:
            return OnnxValue(name, is_live=True)
        if source.is_data:
            return source
        return OnnxValue(name, source.shape, "data", source.format, is_live=True)

    def trip_count(self, raw: RawNode, inputs: tuple[OnnxValue | None, ...], body: RawGraph) -> Dim:
        """Return the trip count of a ``Loop``; a free dimension if it depends on the data."""
        limit = inputs[0] if inputs else None
        number = limit.number() if limit is not None else None
        if number is not None and (constant(number) or 0) >= _ENDLESS:
            number = None
        if number is not None and runs_all_iterations(inputs, body):
            return number
        name = printable(f"trips_{raw.name}")
        if name in self.dimensions.bound:
            return self.dimensions.bound[name]
        default_trips = self.defaults[name] = (None if number is None else constant(number)) or 1
        self.notes.append(
            f"the data decide how often Loop at {raw.name} runs: '{name}' is {default_trips:g}"
        )
        return symbol(name)


def free_dimensions_read(node: OnnxNode) -> frozenset[str]:
    """Return the free dimensions in the shapes and numbers that a node reads."""
    dims = (d for e in node.present_inputs for d in (*(e.shape or ()), *(e.numbers or ())))
    return frozenset[str]().union(*map(free_symbols, dims))
