"""Operator fusion: grouping of operators into kernels that keep their intermediate tensors.

A greedy pass in execution order: an elementwise operator joins the kernel that produced its input
if it is the only reader and has as many elements. Tensors between the operators of one kernel are
neither written to nor read from memory. The result, a list of `FusedKernel`, is lowered to one
table row per kernel (`perfmodel.workload.lower`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from perfmodel.deprecation import deprecated_names
from perfmodel.workload.convolution_panels import PLAIN, Panels
from perfmodel.workload.graph import Block, Graph, Operator
from perfmodel.workload.symbols import Dim, constant, maximum, simplify, total


class FusionRules(NamedTuple):
    """Fusion rules of a runtime.

    Attributes
    ----------
    elementwise
        Whether chains of elementwise operators (activations, residual additions, folded batch
        normalisation) fuse with the producer of their input, if they are its only reader and have
        its shape.
    flash_attention
        Whether attention keeps its score matrix on chip.
    into
        Operator classes with which elementwise ones fuse; empty for all.
    functions
        Functions of elementwise operators that fuse; empty for all.
    panels
        Partition of the products of convolutions into panels.
    narrow
        Vector length in channels of depthwise kernels, if kernels that do not fill a vector are
        distinguished; else 0.
    """

    elementwise: bool = True
    flash_attention: bool = True
    into: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    panels: Panels = PLAIN
    narrow: int = 0


@dataclass(frozen=True)
class FusedKernel:
    """Operators that run as one kernel.

    Attributes
    ----------
    head
        Operator whose class and compute format represent the kernel.
    reads, writes
        Tensor -> elements that enter and leave the kernel, without internal tensors.
    """

    block: Block
    operators: tuple[Operator, ...]
    head: Operator
    reads: Mapping[str, Dim]
    writes: Mapping[str, Dim]

    @cached_property
    def macs(self) -> Dim:
        """Multiply-accumulates of its operators."""
        return total(operator.macs for operator in self.operators)

    @cached_property
    def vector_ops(self) -> Dim:
        """Arithmetic operations outside the nests, without folded batch normalisations."""
        operations: Dim = 0
        before = ""
        for operator in self.operators:
            folded = before in {"conv", "depthwise"} and operator.function == "batch_norm"
            # A conversion is a step of the convolution, so normalisation after it is still folded.
            before = before if operator.kind == "quantise" else operator.kind
            if not folded:
                operations = operations + operator.vector_ops
        return simplify(operations)


_MATRIX = ("gemm", "conv", "depthwise", "attention", "moe", "recurrent")


#: Operators that may fuse with the producer of their input; rounding a result is one of them.
FUSED_KINDS = frozenset({"elementwise", "quantise"})


def fused_kernels(graph: Graph, fusion: FusionRules) -> list[FusedKernel]:
    """Group a graph's operators into kernels, in execution order.

    Views cost nothing and are dropped: their outputs are aliases of their inputs. Operators on
    empty tensors and the bodies of loops with no iterations are dropped too.
    """
    alias = aliases(graph)
    readers: dict[str, int] = dict.fromkeys(graph.outputs, 1)
    for _, operator in graph.walk():
        if operator.kind != "view":
            accesses = operator.accesses
            for name in {alias.get(a.tensor, a.tensor) for a in accesses if a.mode == "read"}:
                readers[name] = readers.get(name, 0) + 1
    for name in graph.outputs:
        if name in alias:
            readers[alias[name]] = readers.get(alias[name], 0) + 1
    fused: list[FusedKernel] = []
    for block in graph.blocks:
        if constant(block.count) != 0:
            fused += _block_kernels(graph, block, fusion, alias, readers)
    return [kernel for kernel in fused if not _is_idle(graph, kernel)]


def _is_idle(graph: Graph, kernel: FusedKernel) -> bool:
    """Return whether a kernel has no work: its outputs are empty, and it reads nothing."""
    for elements in (*kernel.writes.values(), *kernel.reads.values()):
        if constant(elements) != 0:
            return False
    if constant(kernel.macs) != 0 or constant(kernel.vector_ops) != 0:
        return False
    # A view that a runtime dispatches moves no data but costs time.
    results = [graph.tensors[name] for op in kernel.operators for name in op.writes]
    return bool(results) and all(constant(tensor.elements) == 0 for tensor in results)


def aliases(graph: Graph) -> dict[str, str]:
    """Return, for each output of a view, the tensor that it is an alias of."""
    alias: dict[str, str] = {}
    for _, operator in graph.walk():
        if operator.kind == "view" and operator.reads and operator.writes:
            source = operator.reads[0]
            for name in operator.writes:
                alias[name] = alias.get(source, source)
    return alias


def _block_kernels(
    graph: Graph,
    block: Block,
    fusion: FusionRules,
    alias: Mapping[str, str],
    readers: Mapping[str, int],
) -> list[FusedKernel]:
    # A group is keyed by its first member's position and runs at its last member's, which is legal
    # because nothing in between reads its internal tensors.
    groups: dict[int, list[Operator]] = {}
    heads: dict[int, Operator] = {}
    last: dict[int, int] = {}
    producer: dict[str, int] = {}
    for position, operator in enumerate(block.operators):
        if operator.kind == "view":
            continue
        target = position
        if may_fuse(operator, fusion):
            elements = graph.tensors[operator.writes[0]].elements
            # A producer of few elements cannot apply a function to the many they are broadcast to.
            hosts = [
                producer[name]
                for name in (alias.get(n, n) for n in operator.reads)
                if name in producer
                and readers.get(name, 0) == 1
                and graph.tensors[name].elements == elements
                and not _runs_separately(groups[producer[name]][-1])
                and (not fusion.into or heads[producer[name]].kind in fusion.into)
            ]
            if hosts:
                target = max(hosts, key=last.__getitem__)
        groups.setdefault(target, []).append(operator)
        head = heads.setdefault(target, operator)
        if operator.kind in _MATRIX and head.kind not in _MATRIX:
            heads[target] = operator
        last[target] = position
        for name in operator.writes:
            producer[alias.get(name, name)] = target
    return [
        _kernel(graph, block, tuple(groups[at]), alias, readers)
        for at in sorted(groups, key=last.__getitem__)
    ]


def may_fuse(operator: Operator, fusion: FusionRules) -> bool:
    """Return whether a runtime fuses an operator with the producer of its input, if it can."""
    if not fusion.elementwise or operator.kind not in FUSED_KINDS or _runs_separately(operator):
        return False
    known = fusion.functions
    return not known or operator.kind == "quantise" or operator.function in known


def _runs_separately(operator: Operator) -> bool:
    """Return whether a runtime always runs an operator as a separate kernel."""
    return bool(operator.attribute("alone"))


def _head(operators: Sequence[Operator]) -> Operator:
    return next((op for op in operators if op.kind in _MATRIX), operators[0])


def _kernel(
    graph: Graph,
    block: Block,
    operators: Sequence[Operator],
    alias: Mapping[str, str],
    readers: Mapping[str, int],
) -> FusedKernel:
    reads: dict[str, Dim] = {}
    writes: dict[str, Dim] = {}
    inside: set[str] = set()
    if len(operators) > 1:
        inside = {alias.get(n, n) for op in operators for n in op.writes}
    for operator in operators:
        for access in operator.accesses:
            name = alias.get(access.tensor, access.tensor)
            side = reads if access.mode == "read" else writes
            if name in inside and graph.tensors[name].role == "activation":
                last = operator is operators[-1]
                if access.mode == "read" or not (last or readers.get(name, 0) > 1):
                    continue
            elements = access.elements
            if name in side and elements != side[name]:
                elements = maximum(side[name], elements)
            side[name] = elements
    return FusedKernel(block, tuple(operators), _head(operators), reads, writes)


if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Fusion="FusionRules")
