"""Groups of activations that must share a number format, by union-find over the operators.

Channel widths are coupled separately, in `channel_coupling`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from perfmodel.workload.graph import Graph, Operator
from perfmodel.workload.rewrite.compressible_layers import input_of, output_of
from perfmodel.workload.unroll import carried

#: Operators whose output may have another format than their input: they accumulate and rescale
#: the result, or they are conversions.
REQUANTISES = frozenset({"gemm", "conv", "depthwise", "attention", "moe", "recurrent", "quantise"})


class FormatGroup(NamedTuple):
    """Activations that share a storage format.

    Attributes
    ----------
    name
        Name of the first tensor.
    tensors
        Names of the tensors, in order of appearance.
    inputs, outputs
        Those that are inputs and outputs of the network.
    fixed
        Format fixed by the file; empty if the precision determines it.
    """

    name: str
    tensors: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    fixed: str = ""


class Partition:
    """Partition of names into classes (union-find); a class is named after its first name."""

    def __init__(self, names: Iterable[str]) -> None:
        self._parent = {name: name for name in names}
        self._order = {name: i for i, name in enumerate(self._parent)}

    def find(self, name: str) -> str:
        """Return the first name of a name's class."""
        root = name
        while self._parent[root] != root:
            root = self._parent[root]
        while self._parent[name] != root:
            self._parent[name], name = root, self._parent[name]
        return root

    def join(self, left: str, right: str) -> None:
        """Merge the classes of two names."""
        a, b = self.find(left), self.find(right)
        if a != b:
            first, second = sorted((a, b), key=self._order.__getitem__)
            self._parent[second] = first

    def classes(self) -> dict[str, list[str]]:
        """Return first name -> names of the class, in order."""
        classes: dict[str, list[str]] = {}
        for name in self._parent:
            classes.setdefault(self.find(name), []).append(name)
        return classes


def format_groups(graph: Graph) -> tuple[FormatGroup, ...]:
    """Return the groups of activations that share a format, in order of appearance.

    Only matrix operators and conversions write another format than they read. All other operators
    (residual sums, concatenations, pools, views, normalisations, softmax, scans) preserve it, and
    so does a repeated block, whose output is its next input. Tensors with different fixed formats
    are in separate groups; an embedding's indices are not grouped with its rows. A recurrent state
    has the format of the activation that it stores. Network inputs and outputs are grouped too.
    """
    order: dict[str, None] = {}
    for _, operator in graph.walk():
        for access in operator.accesses:
            if graph.tensors[access.tensor].role in {"activation", "state"}:
                order.setdefault(access.tensor)
    parts = Partition(order)
    for block in graph.blocks:
        for operator in block.operators:
            _join_operator(graph, operator, parts)
        if block.operators and block.operators[-1].writes and block.count != 1:
            enters, leaves = carried(graph, block)
            if enters in order and leaves in order:
                _join_all(graph, (enters, leaves), parts)
    return tuple(
        FormatGroup(
            name,
            tuple(names),
            tuple(n for n in names if n in graph.inputs),
            tuple(n for n in names if n in graph.outputs),
            graph.tensors[name].format,
        )
        for name, names in parts.classes().items()
    )


def _join_operator(graph: Graph, operator: Operator, parts: Partition) -> None:
    touched = [
        a.tensor
        for a in operator.accesses
        if graph.tensors[a.tensor].role in {"activation", "state"}
    ]
    if operator.kind not in REQUANTISES:
        _join_all(graph, touched, parts)
        return
    states = [name for name in touched if graph.tensors[name].role == "state"]
    if states:
        # A cell's state is its last output; that of a convolution is its last inputs.
        recurrent = operator.kind == "recurrent"
        owner = output_of(graph, operator) if recurrent else input_of(graph, operator)
        _join_all(graph, [*states, *((owner,) if owner else ())], parts)
    written = [n for n in operator.writes if graph.tensors[n].role == "activation"]
    _join_all(graph, written, parts)


def _join_all(graph: Graph, names: Iterable[str], parts: Partition) -> None:
    first: dict[str, str] = {}
    for name in names:
        parts.join(first.setdefault(graph.tensors[name].format, name), name)
