"""Translation of a workload's graph into a scheduling problem, with the mapping between them.

Each fused kernel becomes a step, each activation that crosses kernels a buffer, and each network
input a load step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from perfmodel.bulk_allocation import collector_paused
from perfmodel.errors import InputError, input_error
from perfmodel.formats import Precision
from perfmodel.schedule.problem import Buffer, Problem, Step
from perfmodel.workload.fuse import FUSED_KINDS, FusedKernel, FusionRules, aliases, fused_kernels
from perfmodel.workload.graph import Graph, Operator
from perfmodel.workload.symbols import Dim, evaluate
from perfmodel.workload.workload import Workload

#: Location of weights while their operator runs: streamed past the scratchpad, in it for that
#: operator, or resident throughout.
Weights = Literal["streamed", "scratch", "resident"]

#: Operators that compute each output element from the same element of the input they overwrite.
_POINTWISE = frozenset({"elementwise", "quantise", "opaque", "norm", "softmax", "gather"})


@dataclass(frozen=True)
class ScheduledGraph:
    """A scheduling problem and the graph that it represents.

    Attributes
    ----------
    graph
        The graph with its repetitions unrolled.
    members
        Operators of each step, in execution order; empty for a load.
    tensors
        Tensor of each buffer.
    views
        Operators that move no data, each with the tensor that its output is an alias of.
    weight_bytes
        Bytes of all stored weights.
    weights
        Weights that stay in the memory, with their bytes; empty unless weights are resident.
    pointwise
        Steps that compute each output element from the same element of each input.
    """

    problem: Problem
    graph: Graph
    members: tuple[tuple[str, ...], ...]
    tensors: tuple[str, ...]
    views: tuple[tuple[str, str], ...]
    weight_bytes: int
    precision: Precision
    pointwise: frozenset[int] = frozenset()
    weights: tuple[tuple[str, int], ...] = ()


@collector_paused()
def scheduling_problem(
    workload: Workload,
    precision: Precision,
    fusion: FusionRules,
    *,
    weights: Weights = "streamed",
    unfused: bool = False,
    in_place: bool = True,
    graph: Graph | None = None,
) -> ScheduledGraph:
    """Return the problem of a workload: one step per kernel, one buffer per activation.

    Parameters
    ----------
    workload
        Workload with every free dimension bound to a number.
    fusion
        Rules for fusing operators into one step, whose intermediate tensors stay internal.
    weights
        ``streamed``: past the scratchpad, using none of it; ``scratch``: the weights of a step
        occupy scratch while it runs; ``resident``: not part of the problem (the caller subtracts
        them from the capacity).
    unfused
        Make every operator a step, regardless of `fusion`.
    in_place
        Let an elementwise output take over the place of an input that has no other reader.
    graph
        Graph to use instead of the workload's own.

    Raises
    ------
    InputError
        Dimensions are arrays or unbound, or there is nothing to schedule.
    """
    if workload.shape:
        message = f"'{workload.name}' has arrays as dimensions"
        raise input_error(message, expected="one number for each: a schedule is of one network")
    values: dict[str, Any] = dict(workload.parameters)
    unrolled = (workload.graph() if graph is None else graph).unroll(values)
    fused = fused_kernels(
        unrolled, FusionRules(False, fusion.flash_attention) if unfused else fusion
    )
    if not fused:
        raise InputError(f"'{workload.name}' has no operator to schedule")
    return _ScheduleProblemBuilder(unrolled, values, precision, weights, in_place).build(
        workload.name, fused
    )


class _ScheduleProblemBuilder:
    """Builder of a scheduling problem, one step per kernel."""

    def __init__(
        self,
        graph: Graph,
        values: Mapping[str, Any],
        precision: Precision,
        weights: Weights,
        in_place: bool,
    ) -> None:
        self.graph, self.values, self.precision, self.weights = graph, values, precision, weights
        self.in_place = in_place
        self.alias = aliases(graph)
        self.outputs = {self.alias.get(n, n) for n in graph.outputs}
        self.buffers: list[Buffer] = []
        self.index: dict[str, int] = {}
        self.steps: list[Step] = []
        self.members: list[tuple[str, ...]] = []
        self.pointwise: list[int] = []
        #: Activations are scheduled; weights and caches are not.
        self.on_chip = {n for n, tensor in graph.tensors.items() if tensor.role == "activation"}
        #: Slot and elements -> bytes: repetitions of a layer have tensors of equal sizes.
        self.sizes: dict[tuple[str, Dim], int] = {}

    def build(self, name: str, kernels: list[FusedKernel]) -> ScheduledGraph:
        """Return the problem of the given kernels, which are in execution order."""
        readers: dict[str, int] = {}
        for kernel in kernels:
            for read in kernel.reads:
                readers[read] = readers.get(read, 0) + 1
        for kernel in kernels:
            self._add(kernel, readers)
        views = tuple(
            (op.name, self.alias[op.writes[0]])
            for _, op in self.graph.walk()
            if op.kind == "view" and op.writes and op.writes[0] in self.alias
        )
        stored = self.graph.stored_weights()
        sizes = {n: self._bytes(n, self.graph.tensors[n].elements) for n in stored}
        resident = tuple(sizes.items()) if self.weights == "resident" else ()
        problem = Problem(name, tuple(self.steps), tuple(self.buffers))
        return ScheduledGraph(
            problem,
            self.graph,
            tuple(self.members),
            tuple(self.index),
            views,
            sum(sizes.values()),
            self.precision,
            frozenset(self.pointwise),
            resident,
        )

    def _add(self, kernel: FusedKernel, readers: Mapping[str, int]) -> None:
        """Add the step of a kernel, after the loads of its network inputs."""
        reads = [n for n in kernel.reads if n in self.on_chip]
        for name in reads:
            if name not in self.index:
                t = self._buffer(name, stored=True)
                self.steps.append(Step(f"load {name}", (), (t,), load=True))
                self.members.append(())
        # A tensor that is written a second time is updated in place.
        writes = [n for n in kernel.writes if n in self.on_chip and n not in self.index]
        weight_bytes, stream_bytes = self._off_chip_bytes(kernel.reads)
        written_weight_bytes, stored_bytes = self._off_chip_bytes(kernel.writes)
        stream_bytes += stored_bytes
        if self.weights != "resident":
            stream_bytes += weight_bytes + written_weight_bytes
        before = tuple([self.index[n] for n in reads])
        is_stored_free = bool(kernel.head.attribute("free_store"))
        after = tuple([self._buffer(n, stored=is_stored_free or n in self.outputs) for n in writes])
        takes_over = -1
        if self.in_place and (pair := self._in_place_pair(kernel, readers)) is not None:
            source, output = pair
            takes_over = self.index[source]
            # The output that takes over an input has to come first in `writes`.
            if after:
                target = self.index[output]
                after = (target, *(t for t in after if t != target))
        self.steps.append(
            Step(
                kernel.operators[-1].name if len(kernel.operators) == 1 else kernel.head.name,
                before,
                after,
                takes_over,
                weight_bytes if self.weights == "scratch" else 0,
                0.0,
                stream_bytes,
                load=self.graph.schedulable_only and not before,
            )
        )
        if all(op.kind in FUSED_KINDS for op in kernel.operators):
            self.pointwise.append(len(self.members))
        self.members.append(tuple([op.name for op in kernel.operators]))

    def _off_chip_bytes(self, tensors: Mapping[str, Dim]) -> tuple[int, int]:
        """Return the bytes of weights, and of other tensors, that are not scheduled."""
        weights = others = 0
        for name, elements in tensors.items():
            if name in self.on_chip:
                continue
            if self.graph.tensors[name].role == "weight":
                weights += self._bytes(name, elements)
            else:
                others += self._bytes(name, elements)
        return weights, others

    def _buffer(self, name: str, *, stored: bool) -> int:
        """Add a buffer for a tensor, and return its index."""
        at = self.index[name] = len(self.buffers)
        size = self._bytes(name, self.graph.tensors[name].elements)
        self.buffers.append(Buffer(name, size, stored))
        return at

    def _bytes(self, name: str, elements: Dim) -> int:
        """Return the bytes of some elements of a tensor, rounded up to whole bytes."""
        key = self.graph.tensors[name].slot, elements
        size = self.sizes.get(key)
        if size is None:
            bits = float(evaluate(elements, self.values)) * float(self.precision.bits(key[0]))
            size = self.sizes[key] = math.ceil(bits / 8.0 - 1e-9)
        return size

    def _in_place_pair(
        self, kernel: FusedKernel, readers: Mapping[str, int]
    ) -> tuple[str, str] | None:
        """Return the input whose place an output takes over, and that output; None if none does."""
        for operator in reversed(kernel.operators):
            if not operator.inplace or operator.kind not in _POINTWISE:
                continue
            source = self.alias.get(operator.inplace, operator.inplace)
            target = self.alias.get(kernel.operators[-1].writes[0], kernel.operators[-1].writes[0])
            if not (source in kernel.reads and target in kernel.writes):
                continue
            if not self.on_chip.issuperset((source, target)) or source in self.outputs:
                continue
            others = [op for op in kernel.operators if op is not operator]
            if readers[source] == 1 and source != target and not self._is_read_by(source, others):
                size = self.buffers[self.index[source]].size_bytes
                if size == self._bytes(target, self.graph.tensors[target].elements):
                    return source, target
        return None

    def _is_read_by(self, name: str, operators: list[Operator]) -> bool:
        """Return whether an operator that is not pointwise reads a tensor."""
        return any(
            self.alias.get(n, n) == name and op.kind not in _POINTWISE
            for op in operators
            for n in op.reads
        )
