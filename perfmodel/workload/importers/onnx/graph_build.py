"""Graph of a walked model: branches selected, quantisation folded, dead code removed, priced.

The passes run in this order for each execution semantics of a runtime: select the costlier branch
of every ``If``, apply stated formats, fold quantisation, remove dead code, price each node.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.importers.onnx.free_dimensions import LENGTH_DEFAULT, Dimensions
from perfmodel.workload.importers.onnx.node import OnnxNode, OnnxValue
from perfmodel.workload.importers.onnx.node_pricer import NodePricer
from perfmodel.workload.importers.onnx.quantisation_folding import fold_quantisation
from perfmodel.workload.importers.onnx.quantiser_formats import fold_quantisers
from perfmodel.workload.importers.onnx.records import RawModel
from perfmodel.workload.importers.onnx.walk import Walker
from perfmodel.workload.importers.onnx.walk_steps import (
    CALL,
    OnnxIfBranches,
    Repeat,
    Step,
    WalkResult,
    values_touched,
)
from perfmodel.workload.layer_declarations import LayerBuilder
from perfmodel.workload.symbols import Dim, evaluate, product


class OnnxBuild:
    """Builder of a model's graph, one per execution semantics.

    Parameters
    ----------
    model
        The file as read.
    bound
        Numbers of the free dimensions that the structure depends on.
    scalars
        Values of scalar network inputs.
    numbers
        Numbers of the other free dimensions, used to compare the costs of branches.

    Attributes
    ----------
    walked
        A walk with default lengths that the first graph may consume.
    """

    def __init__(
        self,
        model: RawModel,
        name: str,
        bound: Mapping[str, int],
        scalars: Mapping[str, float],
        numbers: Mapping[str, float],
    ) -> None:
        self.model = model
        self.name = name
        self.bound = dict(bound)
        self.scalars = dict(scalars)
        self.numbers = dict(numbers)
        self.notes: list[str] = []
        self.walked: WalkResult | None = None
        self._graphs: dict[ExecutionSemantics, Graph] = {}

    def walk(self, length: int = LENGTH_DEFAULT) -> WalkResult:
        """Return shapes and constants of every value; `length` is the default for free lengths."""
        dispatched = None
        if self.bound or self.scalars:
            # A runtime folds on loading from the file only, without the numbers bound here.
            unbound = Walker(self.model, Dimensions({}, length=length), {})
            unbound.is_certain = False
            dispatched = unbound.walk().dispatched
        dimensions = Dimensions(dict(self.bound), length=length)
        return Walker(self.model, dimensions, self.scalars, dispatched).walk()

    def __call__(self, semantics: ExecutionSemantics) -> Graph:
        """Return the graph under the given semantics."""
        graph = self._graphs.get(semantics)
        if graph is None:
            graph = self._graphs[semantics] = self.build(semantics)
        return graph

    def build(self, semantics: ExecutionSemantics) -> Graph:
        """Build the graph under the given semantics."""
        walked, self.walked = self.walked or self.walk(), None
        self.notes = list(walked.notes)
        # The condition of a branch is computed whichever branch is taken.
        required_values = [*walked.outputs, *_conditions(walked.steps)]
        steps = self.choose(walked.steps, {**walked.defaults, **self.numbers})
        steps = fold_quantisers(steps, required_values)
        steps, integer_operators = fold_quantisation(steps, required_values)
        if integer_operators:
            self.notes.append(
                f"{integer_operators} operators run on the integers that the file holds"
            )
        if not semantics.runs_dead_branches:
            steps = _remove_dead_steps(steps, required_values)
        builder = LayerBuilder(self.name)
        pricer = NodePricer(builder, channels_last=self.model.channels_last)
        for edge in walked.inputs:
            if edge.shape is not None:
                builder.inputs.append(pricer.tensor(edge).name)
        _price(pricer, steps, 1)
        self.notes += pricer.notes
        for edge in walked.outputs:
            if edge.tensor is not None and edge.tensor.name not in builder.outputs:
                builder.outputs.append(edge.tensor.name)
        if builder.not_priced:
            self.notes.append(f"{len(builder.not_priced)} operators are not priced")
        return builder.build(walked.defaults)

    def choose(self, steps: list[Step], numbers: Mapping[str, float]) -> list[Step]:
        """Inline the costlier branch of every ``If`` whose condition depends on the data."""
        written: list[Step] = []
        for step in steps:
            if isinstance(step, Repeat):
                step.steps = self.choose(step.steps, numbers)
                written.append(step)
            elif isinstance(step, OnnxIfBranches):
                branches = (
                    (self.choose(step.then_steps, numbers), step.then_outputs, "then"),
                    (self.choose(step.else_steps, numbers), step.else_outputs, "else"),
                )
                costs = [_cost(branch_steps, numbers) for branch_steps, _, _ in branches]
                taken_steps, outputs, branch = branches[0] if costs[0] >= costs[1] else branches[1]
                if costs[0] != costs[1]:
                    self.notes.append(
                        f"the data decide If at {step.node.name}: the costlier branch "
                        f"('{branch}') is taken"
                    )
                written += taken_steps
                for outer, inner in zip(step.node.present_outputs, outputs, strict=False):
                    outer.shape, outer.format = inner.shape, inner.format
                    name = f"{step.node.name}.{outer.name}"
                    written.append(OnnxNode("Identity", name, (inner,), (outer,)))
            else:
                written.append(step)
        return written

    def __getstate__(self) -> dict[str, Any]:
        """Omit the walk and the graphs, which are rebuilt on demand."""
        return {**self.__dict__, "walked": None, "_graphs": {}}


def _cost(steps: list[Step], numbers: Mapping[str, float]) -> tuple[float, float]:
    """Return multiply-accumulates and other work of a branch, from a trial pricing.

    Other work is the sum of vector operations and accessed elements. The edges are restored
    afterwards.
    """
    edges = {id(e): e for s in steps for e in values_touched(s)}
    saved_attributes = {i: (e.tensor, e.kind, e.tag, e.shape, e.format) for i, e in edges.items()}
    inputs = {id(s): s.inputs for s in steps if isinstance(s, OnnxNode)}
    builder = LayerBuilder("trial")
    _price(NodePricer(builder), steps, 1)
    graph = builder.build()
    work: Dim = 0
    for block, operator in graph.walk():
        traffic: Dim = operator.vector_ops
        for access in operator.accesses:
            traffic = traffic + access.elements
        work = work + block.count * traffic
    for i, edge in edges.items():
        edge.tensor, edge.kind, edge.tag, edge.shape, edge.format = saved_attributes[i]
    for step in steps:
        if isinstance(step, OnnxNode):
            step.inputs = inputs[id(step)]
    return float(evaluate(graph.macs, numbers)), float(evaluate(work, numbers))


def _conditions(steps: list[Step]) -> list[OnnxValue]:
    """Return the conditions of all branches that depend on the data."""
    conditions: list[OnnxValue] = []
    for step in steps:
        if not isinstance(step, OnnxNode):
            conditions += step.node.present_inputs if isinstance(step, OnnxIfBranches) else ()
            conditions += _conditions(step.body_steps)
    return conditions


def _price(pricer: NodePricer, steps: list[Step], times: Dim) -> None:
    """Price steps in order; the body of a loop is a phase that repeats."""
    for step in steps:
        if isinstance(step, OnnxNode):
            if step.op == CALL:
                pricer.builder.calls += times
            else:
                pricer.dispatch(step, times)
        elif isinstance(step, Repeat):
            total = product(times, step.count)
            with pricer.builder.phase(step.name, total):
                _price(pricer, step.steps, total)


def _remove_dead_steps(steps: list[Step], outputs: list[OnnxValue]) -> list[Step]:
    """Return the steps that an output depends on, by a backward pass."""
    read_ids = {id(e) for e in outputs}
    live_steps: list[Step] = []
    for step in reversed(steps):
        is_node = isinstance(step, OnnxNode)
        writes, reads = (
            (step.present_outputs, step.present_inputs)
            if is_node
            else (values_touched(step), values_touched(step))
        )
        if any(id(e) in read_ids for e in writes) or (is_node and not writes):
            read_ids |= {id(e) for e in reads}
            live_steps.append(step)
    return live_steps[::-1]
