"""Stretches of networks as graphs: one each, or side by side in a common graph.

A stretch is a run of kernels of a network between two activations: one enters it, one leaves it,
and no other activation crosses its ends. In its graph, auxiliary blocks stand for the remaining
network (`perfmodel.search.oracle.boundary_blocks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from perfmodel.search.oracle.boundary_blocks import (
    AFTER,
    BEFORE,
    END,
    producer_block,
    reader_block,
    unconnected_product,
)
from perfmodel.search.oracle.kernel_pricing import NotTabledError
from perfmodel.workload.graph import Block, Graph, Tensor
from perfmodel.workload.layout_conversions import BlockedChannelLayout, part_with_conversions


@dataclass(frozen=True)
class NetworkStretch:
    """A stretch of a network.

    Attributes
    ----------
    graph
        Graph of its operators, with one input and one output.
    first, last
        Whether its input is the network's input, and its output the network's output.
    """

    graph: Graph
    first: bool = False
    last: bool = False

    @property
    def empty(self) -> bool:
        """Whether its output is its input."""
        return self.graph.inputs == self.graph.outputs

    def executed(self, layout: BlockedChannelLayout | None) -> NetworkStretch:
        """Return the stretch with conversions of layouts; the same object if it needs none.

        Raises
        ------
        NotTabledError
            Its output leaves in the plain order, so that conversions depend on its neighbours.
        """
        if layout is None or self.empty:
            return self
        graph = part_with_conversions(self.graph, layout, first=self.first, last=self.last)
        if graph is None:
            raise NotTabledError("conversions of layouts are kernels of their own here")
        return self if graph is self.graph else replace(self, graph=graph)


def side_by_side(name: str, stretches: Sequence[NetworkStretch]) -> Graph:
    """Return one graph of all stretches, each between a producer and a reader.

    The stretches are disconnected parts of the graph. Blocks, operators and tensors of the stretch
    at place ``i`` have the prefix ``i:``; empty stretches have none.
    """
    tensors: dict[str, Tensor] = {}
    blocks: list[Block] = []
    inputs: list[str] = []
    outputs: list[str] = []
    for i, stretch in enumerate(stretches):
        if stretch.empty:
            continue
        graph, prefix = stretch.graph, f"{i}:"
        (entering,), (leaving,) = graph.inputs, graph.outputs
        names = {name: prefix + name for _, op in graph.walk() for name in op.tensors}
        for name, tensor in graph.tensors.items():
            tensors[prefix + name] = replace(tensor, name=prefix + name)
        if stretch.first:
            inputs.append(prefix + entering)
        else:
            blocks.append(producer_block(prefix + BEFORE, tensors, [prefix + entering]))
        blocks += [
            replace(
                block,
                name=prefix + block.name,
                operators=tuple(
                    replace(op.renamed(names, names), name=prefix + op.name)
                    for op in block.operators
                ),
            )
            for block in graph.blocks
        ]
        if stretch.last:
            outputs.append(prefix + leaving)
        else:
            blocks.append(reader_block(prefix + AFTER, tensors, {prefix + END: prefix + leaving}))
    if not any(operator.nests for block in blocks for operator in block.operators):
        # A matrix operator elsewhere, as in the full network: `kernel_pricing.price`.
        blocks.insert(0, unconnected_product(tensors))
    return Graph(name, tensors, tuple(blocks), tuple(inputs), tuple(outputs))
