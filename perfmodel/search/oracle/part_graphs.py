"""Graphs of single parts of a network, between blocks that stand for the remaining network.

See `perfmodel.search.oracle.boundary_blocks` for these blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from perfmodel.search.oracle.boundary_blocks import (
    AFTER,
    BEFORE,
    BESIDE,
    END,
    producer_block,
    reader_block,
    unconnected_product,
)
from perfmodel.search.oracle.network_parts import NetworkPart
from perfmodel.workload.graph import Graph, Operator, Tensor

#: Names of the blocks around a part.
AUXILIARY: Final = frozenset({BEFORE, AFTER, BESIDE})


class PartGraph:
    """Graph of a part of a network, and of the views that it reads through.

    Attributes
    ----------
    graph
        The part between auxiliary blocks. Each of its own blocks runs once: a repeated block must
        leave its tensors in the format in which they enter.
    outside
        Activations that exist outside the part too.
    """

    def __init__(
        self, part: NetworkPart, graph: Graph, views: Mapping[str, Operator], *, anchored: bool
    ) -> None:
        own = {id(operator) for operator in part.operators}
        self._blocks = [
            replace(block, operators=_with_views(operators, views))
            for block in graph.blocks
            if (operators := [o for o in block.operators if id(o) in own])
        ]
        blocks = [replace(block, count=1) for block in self._blocks]
        operators = [operator for block in blocks for operator in block.operators]
        accessed = [access.tensor for operator in operators for access in operator.accesses]
        accessed += [
            operand.tensor
            for operator in operators
            for nest in operator.nests
            for operand in nest.operands
            if operand.tensor in graph.tensors
        ]
        tensors: dict[str, Tensor] = {name: graph.tensors[name] for name in accessed}
        external = {*graph.inputs, *graph.outputs}
        written = dict.fromkeys(name for operator in operators for name in operator.writes)
        read = dict.fromkeys(
            n for operator in operators for n in operator.reads if n not in written
        )

        def internal_activations(names: Iterable[str]) -> list[str]:
            return [n for n in names if tensors[n].role == "activation" and n not in external]

        if entering := internal_activations(read):
            blocks.insert(0, producer_block(BEFORE, tensors, entering))
        stored = dict.fromkeys(name for kernel in part.kernels for name in kernel.writes)
        read_inside = {name for kernel in part.kernels for name in kernel.reads}
        leaving = [
            name
            for name in internal_activations((*read, *stored))
            if name in part.read_elsewhere or name not in read_inside
        ]
        ends = {f"{END}{i}": name for i, name in enumerate(leaving)}
        if ends:
            blocks.append(reader_block(AFTER, tensors, ends))
        if anchored and (len(part.kernels) > 1 or not any(o.nests for o in operators)):
            # Last, so that it is what kernels without nests are priced beside.
            blocks.append(unconnected_product(tensors))
        inputs = tuple(name for name in read if name in graph.inputs)
        outputs = (*(name for name in graph.outputs if name in written), *ends)
        self.graph = replace(
            graph, tensors=tensors, blocks=tuple(blocks), inputs=inputs, outputs=outputs
        )
        self.external = {*graph.inputs, *graph.outputs}
        self.outside = {*read, *leaving, *external}

    def repeated(self, graph: Graph) -> Graph:
        """Return the graph, or one with other formats, with each own block's number of runs."""
        counts = iter([block.count for block in self._blocks])
        blocks = (
            block if block.name in AUXILIARY else replace(block, count=next(counts))
            for block in graph.blocks
        )
        return replace(graph, blocks=tuple(blocks))


def _with_views(own: Iterable[Operator], views: Mapping[str, Operator]) -> tuple[Operator, ...]:
    """Return operators, each after the views that it reads through."""
    operators: dict[str, Operator] = {}

    def add_view(output: str) -> None:
        view = views.get(output)
        if view is not None and view.name not in operators:
            add_view(view.reads[0])
            operators[view.name] = view

    for operator in own:
        for name in operator.reads:
            add_view(name)
        operators[operator.name] = operator
    return tuple(operators.values())
