"""Cost tables of kernels over the decisions that affect them.

A kernel depends on few of a space's decisions: on the formats of its tensors, on the free
dimensions in its sizes, and on conversions beside it. A configuration costs the sum of one entry
from the table of each kernel (`perfmodel.search.oracle.part_pricing` fills them).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from perfmodel.search.oracle.kernel_pricing import Floats, Index, over
from perfmodel.search.space.configuration_space import ConfigurationSpace
from perfmodel.workload.fuse import FusedKernel
from perfmodel.workload.graph import Graph
from perfmodel.workload.rewrite import format_groups
from perfmodel.workload.symbols import Dim, free_parameters


@dataclass(frozen=True, slots=True)
class KernelTable:
    """Costs of one or several kernels under every combination of options.

    Attributes
    ----------
    decisions
        Decisions that affect the kernel, ascending.
    tensors
        Names of the activations whose states are the digits of the state index.
    names
        Names of the quantities.
    values : array of shape ``(options of each decision ..., states ** tensors, modes, quantities)``
        0 where the part does not have the kernel.
    """

    decisions: tuple[int, ...]
    tensors: tuple[str, ...]
    names: tuple[str, ...]
    values: Floats

    def over(self, names: Sequence[str]) -> KernelTable:
        """Return the table for other quantities, 0 where it has no values."""
        return replace(self, names=tuple(names), values=over(self.values, self.names, names))

    @property
    def least(self) -> KernelTable:
        """The table with the least of all states."""
        values = self.values.min(axis=len(self.decisions), keepdims=True)
        return replace(self, tensors=(), values=values)


def merged(tables: Sequence[KernelTable], states: int, most: int) -> list[KernelTable]:
    """Return tables of which as many are added up as have a limited number of entries."""
    out: list[KernelTable] = []
    for table in tables:
        for i, other in enumerate(out):
            if (both := _sum(other, table, states, most)) is not None:
                out[i] = both
                break
        else:
            out.append(table)
    return out


def _sum(a: KernelTable, b: KernelTable, states: int, most: int) -> KernelTable | None:
    """Return the sum of two tables, ``None`` if it has too many entries."""
    counts: dict[int, int] = {}
    for table in (a, b):
        counts |= dict(zip(table.decisions, table.values.shape, strict=False))
    tensors = tuple(dict.fromkeys((*a.tensors, *b.tensors)))
    if prod(counts.values()) * states ** len(tensors) > most:
        return None
    decisions = tuple(sorted(counts))
    names = tuple(dict.fromkeys((*a.names, *b.names)))
    values = [_expanded(table.over(names), decisions, tensors, states).values for table in (a, b)]
    return KernelTable(decisions, tensors, names, np.add(*values))


def _expanded(
    table: KernelTable, decisions: tuple[int, ...], tensors: tuple[str, ...], states: int
) -> KernelTable:
    """Return a table over more decisions, of one option each, and over more activations."""
    code: Index = np.arange(states ** len(tensors), dtype=np.intp)
    own = np.zeros_like(code)
    for k, name in enumerate(table.tensors):
        own += code // states ** tensors.index(name) % states * states**k
    missing = [axis for axis, decision in enumerate(decisions) if decision not in table.decisions]
    values = table.values.take(own, axis=len(table.decisions))
    return KernelTable(decisions, tensors, table.names, np.expand_dims(values, tuple(missing)))


class DecisionIndex:
    """Decisions that affect each tensor, free dimension and part of a network.

    Attributes
    ----------
    by_tensor
        Tensor -> the decision of its format.
    by_dimension
        Free dimension -> the decision that binds it.
    formats_activations
        Whether a decision sets the format of activations.
    views
        Output of a view -> the view.
    """

    def __init__(self, space: ConfigurationSpace, graph: Graph) -> None:
        self.space, self.graph = space, graph
        self.formats_activations = False
        self.views = {
            name: operator
            for _, operator in graph.walk()
            if operator.kind == "view" and operator.reads
            for name in operator.writes
        }
        self.by_tensor: dict[str, int] = {}
        self.by_dimension: dict[str, int] = {}
        groups = {t: g.tensors for g in format_groups(graph) for t in g.tensors}
        for i, decision in enumerate(space.decisions):
            for member in decision.members:
                if decision.role in {"weights", "kv"}:
                    self.by_tensor[member] = i
                elif decision.role == "activations":
                    self.by_tensor = dict.fromkeys(groups[member], i) | self.by_tensor
                    self.formats_activations = True
                elif decision.role == "channels":
                    self.by_dimension[space.width_names[member]] = i
                elif decision.role == "parameter":
                    self.by_dimension[member] = i

    @property
    def numeric_options(self) -> dict[str, Floats]:
        """Free dimension -> its value under each option of the decision that binds it."""
        return {
            name: np.array(self.space.decisions[i].options, dtype=float)
            for name, i in self.by_dimension.items()
        }

    def by_kernels(self, kernels: Sequence[FusedKernel]) -> list[int]:
        """Return the decisions that affect some kernels, ascending."""
        tensors = {a.tensor for kernel in kernels for op in kernel.operators for a in op.accesses}
        decisions = {self.by_tensor[name] for name in tensors if name in self.by_tensor}
        dimensions = {name for kernel in kernels for name in _free_dimensions(kernel)}
        decided = dimensions & self.by_dimension.keys()
        return sorted(decisions | {self.by_dimension[name] for name in decided})


def _free_dimensions(kernel: FusedKernel) -> frozenset[str]:
    """Return the free dimensions that a kernel's sizes depend on."""
    dims: list[Dim] = [kernel.block.count, kernel.block.stored, kernel.macs, kernel.vector_ops]
    dims += [*kernel.reads.values(), *kernel.writes.values()]
    for operator in kernel.operators:
        dims += [operator.scores, operator.masked_macs]
        for nest in operator.nests:
            dims += [size for _, size in nest.dims]
            dims += [d for o in nest.operands for d in o.limits if d is not None]
    return free_parameters(*dims)
