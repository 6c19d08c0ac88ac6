"""The layers of a network that a compression chooses for: matrix operators with stored weights."""

from __future__ import annotations

from typing import NamedTuple

from perfmodel.workload.graph import Graph, Operator
from perfmodel.workload.symbols import Dim, simplify


class CompressibleLayer(NamedTuple):
    """A matrix operator with weights of its own.

    Attributes
    ----------
    name
        Name of the operator; of the first where several read the same weights.
    weight
        Name of its weight tensor, or of each where it has several.
    input, output
        Activations that it multiplies and makes; empty where it makes none.
    kind
        Class of operator (``gemm``, ``conv``, ``depthwise``, ``moe``, ``recurrent``).
    block
        Name of its block.
    macs
        Multiply-accumulates of one run with these weights, repetitions included.
    weight_elements
        Stored weights, those of every repetition included; biases apart.
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
        """Names of its weight tensors."""
        return (self.weight,) if isinstance(self.weight, str) else self.weight


def layers(graph: Graph) -> tuple[CompressibleLayer, ...]:
    """Return the matrix operators with stored weights, in the order in which they run.

    Weights that several operators read (tied ones, those of several phases) are one layer.
    """
    found: dict[tuple[str, ...], CompressibleLayer] = {}
    for block, operator in graph.walk():
        names = stored_operands(graph, operator)
        if not names:
            continue
        macs = simplify(block.count * operator.macs)
        if names in found:
            first = found[names]
            found[names] = first._replace(macs=simplify(first.macs + macs))
            continue
        elements: Dim = 0
        for name in names:
            elements = elements + block.stored * graph.tensors[name].elements
        found[names] = CompressibleLayer(
            operator.name,
            names[0] if len(names) == 1 else names,
            input_of(graph, operator),
            output_of(graph, operator),
            operator.kind,
            block.name,
            macs,
            simplify(elements),
        )
    return tuple(found.values())


def stored_operands(graph: Graph, operator: Operator) -> tuple[str, ...]:
    """Return the stored weights that an operator multiplies by."""
    names = dict.fromkeys(
        o.tensor for nest in operator.nests for o in nest.operands if o.role != "output"
    )
    return tuple(n for n in names if n in graph.tensors and graph.tensors[n].role == "weight")


def factors_of(operator: Operator) -> tuple[str, str]:
    """Return the names of the input and of the second factor of an operator's first nest."""
    factors = [o for o in operator.nests[0].operands if o.role != "output"]
    if len(factors) == 2 and factors[0].role == "weight" and factors[1].role == "input":
        factors = factors[::-1]
    return factors[0].tensor, factors[-1].tensor


def input_of(graph: Graph, operator: Operator) -> str:
    """Return the activation that a matrix operator multiplies; empty where there is none."""
    for name in (*factors_of(operator), *operator.reads):
        if name in graph.tensors and graph.tensors[name].role == "activation":
            return name
    return ""


def output_of(graph: Graph, operator: Operator) -> str:
    """Return the first activation that an operator writes; empty where there is none."""
    return next((n for n in operator.writes if graph.tensors[n].role == "activation"), "")
