"""Operator fusion: which operators run as one kernel and keep their intermediate tensor inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from perfmodel.former import former_names
from perfmodel.workload.graph import Block, Graph, Operator
from perfmodel.workload.panels import PLAIN, Panels
from perfmodel.workload.symbols import Dim, constant, maximum, simplify


class FusionRules(NamedTuple):
    """What a runtime fuses.

    Attributes
    ----------
    elementwise
        Chains of elementwise operators (activations, residual adds, folded batch normalisation)
        join the operator that produces their input, when they are its only reader and of its
        shape.
    flash_attention
        Attention keeps its score matrix on chip.
    into
        Classes of operator that elementwise ones join; all where empty.
    panels
        How products of convolutions are cut.
    narrow
        Channels in a vector of depthwise kernels, where few that do not fill it are told apart.
    """

    elementwise: bool = True
    flash_attention: bool = True
    into: tuple[str, ...] = ()
    panels: Panels = PLAIN
    narrow: int = 0


@dataclass(frozen=True, slots=True)
class FusedKernel:
    """Operators that run as one.

    Attributes
    ----------
    head
        The operator whose class and compute format stand for the kernel.
    reads, writes
        Tensor -> elements that enter and leave it; what stays inside is in neither.
    """

    block: Block
    operators: tuple[Operator, ...]
    head: Operator
    reads: Mapping[str, Dim]
    writes: Mapping[str, Dim]
    macs: Dim
    vector_ops: Dim


_MATRIX = ("gemm", "conv", "depthwise", "attention", "moe", "recurrent")


#: Operators that may ride on the one that makes their input; rounding a result is a step of it.
RIDERS = frozenset({"elementwise", "quantise"})


def kernels(graph: Graph, fusion: FusionRules) -> list[FusedKernel]:
    """Group a graph's operators into kernels, in execution order.

    Views cost nothing and vanish: their outputs are other names of their inputs. So do operators on
    empty tensors, and the bodies of loops that never run.
    """
    alias = aliases(graph)
    readers: dict[str, int] = dict.fromkeys(graph.outputs, 1)
    for _, operator in graph.walk():
        if operator.kind != "view":
            for name in {alias.get(n, n) for n in operator.reads}:
                readers[name] = readers.get(name, 0) + 1
    for name in graph.outputs:
        if name in alias:
            readers[alias[name]] = readers.get(alias[name], 0) + 1
    made: list[FusedKernel] = []
    for block in graph.blocks:
        if constant(block.count) != 0:
            made += _block_kernels(graph, block, fusion, alias, readers)
    return [kernel for kernel in made if not _is_idle(graph, kernel)]


def _is_idle(graph: Graph, kernel: FusedKernel) -> bool:
    """Whether a kernel has nothing to do: all that it makes is empty, and it reads nothing."""
    work = (*kernel.writes.values(), *kernel.reads.values(), kernel.macs, kernel.vector_ops)
    if not all(constant(dim) == 0 for dim in work):
        return False
    # A view that a runtime dispatches moves nothing and takes time.
    made = [graph.tensors[name] for op in kernel.operators for name in op.writes]
    return bool(made) and all(constant(tensor.elements) == 0 for tensor in made)


def aliases(graph: Graph) -> dict[str, str]:
    """Return output of a view -> the tensor that it is another name of."""
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
    # A group goes by the position of its first member and runs where its last one stands: nothing
    # between reads its inner tensors.
    groups: dict[int, list[Operator]] = {}
    heads: dict[int, Operator] = {}
    last: dict[int, int] = {}
    producer: dict[str, int] = {}
    for position, operator in enumerate(block.operators):
        if operator.kind == "view":
            continue
        target = position
        if fusion.elementwise and operator.kind in RIDERS and not _alone(operator):
            made = graph.tensors[operator.writes[0]].elements
            # A kernel that makes a few numbers cannot finish the many that they are broadcast to.
            hosts = [
                producer[name]
                for name in (alias.get(n, n) for n in operator.reads)
                if name in producer
                and readers.get(name, 0) == 1
                and graph.tensors[name].elements == made
                and not _alone(groups[producer[name]][-1])
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


def _alone(operator: Operator) -> bool:
    """Tell whether a runtime runs an operator as a kernel of its own, whatever it fuses."""
    return "alone" in dict(operator.attributes)


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
    head = _head(operators)
    macs: Dim = 0
    vector_ops: Dim = 0
    before = ""
    for operator in operators:
        macs = macs + operator.macs
        folded = (
            before in {"conv", "depthwise"}
            and dict(operator.attributes).get("function") == "batch_norm"
        )
        # A conversion between them is as much a step of the convolution as the normalisation.
        before = before if operator.kind == "quantise" else operator.kind
        if not folded:
            vector_ops = vector_ops + operator.vector_ops
        for access in operator.accesses:
            name = alias.get(access.tensor, access.tensor)
            role = graph.tensors[name].role
            side = reads if access.mode == "read" else writes
            if name in inside and role == "activation":
                last = operator is operators[-1]
                if access.mode == "read" or not (last or readers.get(name, 0) > 1):
                    continue
            elements = access.elements
            if name in side and elements != side[name]:
                elements = maximum(side[name], elements)
            side[name] = elements
    return FusedKernel(
        block, tuple(operators), head, reads, writes, simplify(macs), simplify(vector_ops)
    )


if not TYPE_CHECKING:
    __getattr__ = former_names(__name__, Fusion="FusionRules")
