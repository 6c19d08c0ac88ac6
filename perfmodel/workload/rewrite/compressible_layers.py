"""Layers that a compression decides on: matrix operators with stored weights."""

from __future__ import annotations

from typing import NamedTuple

from perfmodel.workload.graph import Graph, Operator
from perfmodel.workload.symbols import Dim, simplify, total


class CompressibleLayer(NamedTuple):
    """A matrix operator with its own stored weights.

    Attributes
    ----------
    name
        Name of the operator; of the first one if several read the same weights.
    weight
        Name of the weight tensor, or names if there are several.
    input, output
        Activations that it multiplies and writes; empty if there are none.
    kind
        Class of operator (``gemm``, ``conv``, ``depthwise``, ``moe``, ``recurrent``).
    block
        Name of its block.
    macs
        Multiply-accumulates of one run with these weights, including repetitions.
    weight_elements
        Stored weights including those of all repetitions, without biases.
    """

    name: str
    weight: str | tuple[str, ...]
    input: str
    output: str
    kind: str
    block: str
    macs: Dim
    weight_elements: Dim

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the weight tensors."""
        return (self.weight,) if isinstance(self.weight, str) else self.weight


def layers(graph: Graph) -> tuple[CompressibleLayer, ...]:
    """Return the matrix operators with stored weights, in order of execution.

    Weights that several operators read (tied, or shared between phases) form one layer.
    """
    by_weights: dict[tuple[str, ...], CompressibleLayer] = {}
    for block, operator in graph.walk():
        names = stored_operands(graph, operator)
        if not names:
            continue
        macs = simplify(block.count * operator.macs)
        if names in by_weights:
            first = by_weights[names]
            by_weights[names] = first._replace(macs=simplify(first.macs + macs))
            continue
        elements = total(block.stored * graph.tensors[name].elements for name in names)
        by_weights[names] = CompressibleLayer(
            operator.name,
            names[0] if len(names) == 1 else names,
            input_of(graph, operator),
            output_of(graph, operator),
            operator.kind,
            block.name,
            macs,
            elements,
        )
    return tuple(by_weights.values())


def stored_operands(graph: Graph, operator: Operator) -> tuple[str, ...]:
    """Return the stored weights by which an operator multiplies."""
    names = dict.fromkeys(o.tensor for nest in operator.nests for o in nest.multiplied)
    return tuple(n for n in names if n in graph.tensors and graph.tensors[n].role == "weight")


def factors_of(operator: Operator) -> tuple[str, str]:
    """Return the names of the input and of the second factor in an operator's first nest."""
    first, second = operator.nests[0].factors
    return first.tensor, second.tensor


def input_of(graph: Graph, operator: Operator) -> str:
    """Return the activation that a matrix operator multiplies; empty if there is none."""
    for name in (*factors_of(operator), *operator.reads):
        if name in graph.tensors and graph.tensors[name].role == "activation":
            return name
    return ""


def output_of(graph: Graph, operator: Operator) -> str:
    """Return the first activation that an operator writes; empty if there is none."""
    return next((n for n in operator.writes if graph.tensors[n].role == "activation"), "")
