"""Cost table of one kernel over every combination of the decisions that affect it.

A kernel depends on few of a space's decisions: on the formats of its tensors, and on the free
dimensions in its sizes. It is priced in a separate graph under every combination of their
options; a configuration then costs the sum of one entry from the table of each kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod

import numpy as np

from perfmodel.arrays import Value
from perfmodel.search.oracle.boundary_blocks import (
    AFTER,
    BEFORE,
    BESIDE,
    END,
    producer_block,
    reader_block,
    unconnected_product,
)
from perfmodel.search.oracle.kernel_pricing import Floats, NotTabledError, Priced, over
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.space.configuration_space import ConfigurationSpace
from perfmodel.workload.fuse import FusedKernel
from perfmodel.workload.graph import Graph, Operator, Tensor
from perfmodel.workload.rewrite import format_groups, with_formats
from perfmodel.workload.symbols import Dim, free_parameters

#: Largest number of option combinations per kernel; beyond it the space is predicted.
MAX_COMBINATIONS = 20_000

_NUMERIC = frozenset({"channels", "parameter"})
_AUXILIARY = frozenset({BEFORE, AFTER, BESIDE})


@dataclass(frozen=True, slots=True)
class KernelTable:
    """Costs of a kernel under every combination of options.

    Attributes
    ----------
    decisions
        Decisions that affect the kernel, ascending.
    tensors
        Names of the activations whose states are the digits of the state index.
    names
        Names of the quantities.
    values : array of shape ``(options of each decision ..., states ** tensors, modes, quantities)``
    priced
        Formats that the kind's energies cover under any option (`Terms.priced`).
    """

    decisions: tuple[int, ...]
    tensors: tuple[str, ...]
    names: tuple[str, ...]
    values: Floats
    priced: tuple[str, ...] = ()

    def over(self, names: Sequence[str]) -> KernelTable:
        """Return the table for other quantities, 0 where it has no values."""
        return replace(self, names=tuple(names), values=over(self.values, self.names, names))


class DecisionIndex:
    """Decisions that affect each tensor, free dimension and kernel.

    Attributes
    ----------
    by_tensor
        Tensor -> the decision of its format.
    by_dimension
        Free dimension -> the decision that binds it.
    formats_activations
        Whether a decision sets the format of activations.
    views
        Output of a view -> the view (see `_with_views`).
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

    def by_kernel(self, kernel: FusedKernel) -> list[int]:
        """Return the decisions that affect a kernel, ascending."""
        tensors = {access.tensor for op in kernel.operators for access in op.accesses}
        decisions = {self.by_tensor[name] for name in tensors if name in self.by_tensor}
        dimensions = _free_dimensions(kernel) & self.by_dimension.keys()
        return sorted(decisions | {self.by_dimension[name] for name in dimensions})


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


def kernel_table(
    kernel: FusedKernel,
    index: DecisionIndex,
    pricing: Pricing,
    defaults: Mapping[str, float],
    layers: float,
    fixed: Mapping[str, int],
    *,
    anchored: bool,
) -> KernelTable:
    """Cost a kernel under every combination of options, in all states.

    The combinations of numeric options are priced at once, as columns of numbers; each combination
    of formats is a separate graph.

    Parameters
    ----------
    defaults
        Values of free dimensions that no decision binds.
    layers
        Kernel's share of the per-layer cost (`OperatorTable.layers`).
    fixed
        Activation -> its state of residency, where every configuration has the same.
    anchored
        Whether the network has loop nests (see `perfmodel.search.oracle.kernel_pricing.price`).

    Raises
    ------
    NotTabledError
        Too many combinations, or a choice that changes the kernels.
    """
    decisions = index.by_kernel(kernel)
    options = {i: index.space.decisions[i].options for i in decisions}
    combinations = prod(map(len, options.values()))
    if combinations > MAX_COMBINATIONS:
        raise NotTabledError(f"{kernel.head.name} takes {combinations} combinations of options")
    numeric = [i for i in decisions if index.space.decisions[i].role in _NUMERIC]
    formats = [i for i in decisions if i not in numeric]
    values, points = _dimension_values(index, numeric, defaults)
    graph = _kernel_graph(kernel, index, anchored=anchored)
    priced: list[Priced] = []
    tensors: tuple[str, ...] = ()
    for selection in product(*(map(str, options[i]) for i in formats)):
        formatted = _formatted(graph, kernel, index, dict(zip(formats, selection, strict=True)))
        each, tensors = _priced(formatted, graph, kernel, values, points, layers, fixed, pricing)
        priced.append(each)
    for each in priced:
        each.refuse_network_wide()
    names = tuple(dict.fromkeys(name for each in priced for name in each.names))
    covered = tuple(dict.fromkeys(p for each in priced for p in each.terms.priced))
    # (formats, modes, states, points, names) -> (formats, points, states, modes, names)
    stacked = np.stack([each.over(names)[:, 0] for each in priced]).transpose(0, 3, 2, 1, 4)
    # The axes of options are first (formats..., numeric...), then in the order of the decisions.
    axes = [*formats, *numeric]
    table = stacked.reshape(*(len(options[i]) for i in axes), *stacked.shape[2:])
    order = [axes.index(i) for i in decisions]
    table = np.transpose(table, [*order, *range(len(order), table.ndim)])
    return KernelTable(tuple(decisions), tensors, names, table, covered)


def _dimension_values(
    index: DecisionIndex, numeric: Sequence[int], defaults: Mapping[str, float]
) -> tuple[dict[str, Value], int]:
    """Return free dimensions over all combinations of numeric options, and their number."""
    values: dict[str, Value] = dict(defaults)
    rows = list(product(*(index.space.decisions[i].options for i in numeric)))
    for name, i in index.by_dimension.items():
        if i in numeric:
            column = np.array([row[numeric.index(i)] for row in rows], dtype=float)
            values[name] = column if len(rows) > 1 else float(column[0])
    return values, len(rows)


def _kernel_graph(kernel: FusedKernel, index: DecisionIndex, *, anchored: bool) -> Graph:
    """Return the graph of one kernel and of the views that it reads through.

    Auxiliary blocks stand for the remaining network (`perfmodel.search.oracle.boundary_blocks`).
    """
    graph = index.graph
    operators = _with_views(kernel, index.views)
    # Count 1 for now: a repeated block must leave its tensors in the format in which they enter.
    blocks = [replace(kernel.block, operators=operators, count=1)]
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
    written = {name for operator in operators for name in operator.writes}
    read = dict.fromkeys(n for operator in operators for n in operator.reads if n not in written)

    def internal_activations(names: Iterable[str]) -> list[str]:
        return [n for n in names if tensors[n].role == "activation" and n not in external]

    if entering := internal_activations(read):
        blocks.insert(0, producer_block(BEFORE, tensors, entering))
    if anchored and not any(operator.nests for operator in kernel.operators):
        blocks.insert(0, unconnected_product(tensors))
    leaving = internal_activations(kernel.writes)
    ends = {f"{END}{i}": name for i, name in enumerate(leaving)}
    if ends:
        blocks.append(reader_block(AFTER, tensors, ends))
    inputs = tuple(name for name in read if name in graph.inputs)
    outputs = (*(name for name in graph.outputs if name in written), *ends)
    return replace(graph, tensors=tensors, blocks=tuple(blocks), inputs=inputs, outputs=outputs)


def _with_views(kernel: FusedKernel, views: Mapping[str, Operator]) -> tuple[Operator, ...]:
    """Return a kernel's operators, each after the views that it reads through."""
    operators: dict[str, Operator] = {}

    def add_view(output: str) -> None:
        view = views.get(output)
        if view is not None and view.name not in operators:
            add_view(view.reads[0])
            operators[view.name] = view

    for operator in kernel.operators:
        for name in operator.reads:
            add_view(name)
        operators[operator.name] = operator
    return tuple(operators.values())


def _formatted(
    graph: Graph, kernel: FusedKernel, index: DecisionIndex, formats: Mapping[int, str]
) -> Graph:
    """Return a kernel's graph in formats, as decision -> format, with its number of runs."""

    def formats_of(*roles: str) -> dict[str, str]:
        return {
            name: formats[decision]
            for name, decision in index.by_tensor.items()
            if decision in formats and name in graph.tensors and graph.tensors[name].role in roles
        }

    formatted = with_formats(
        graph,
        formats_of("weight"),
        formats_of("activation", "state"),
        formats_of("kv"),
        precision=index.space.precision,
    )
    blocks = (
        block if block.name in _AUXILIARY else replace(block, count=kernel.block.count)
        for block in formatted.blocks
    )
    return replace(formatted, blocks=tuple(blocks))


def _priced(
    formatted: Graph,
    graph: Graph,
    kernel: FusedKernel,
    values: Mapping[str, Value],
    points: int,
    layers: float,
    fixed: Mapping[str, int],
    pricing: Pricing,
) -> tuple[Priced, tuple[str, ...]]:
    """Return the costs of a kernel in given formats, and its activations with several states."""
    kernels = pricing.lowered(formatted).kernels
    own = [i for i, each in enumerate(kernels) if each.block.name not in _AUXILIARY]
    if len(own) != 1:
        raise NotTabledError(f"{kernel.head.name} falls into {len(own)} kernels under some choice")
    table = pricing.bound(formatted, values, points)
    table = replace(table, layers=np.full((len(table.rows), 1), layers))
    priced = pricing.priced(table, own, fixed, values.get("batch", 1.0))
    if table.accesses is None:
        return priced, ()
    external = {*graph.inputs, *(name for name in graph.outputs if not name.startswith(END))}
    accessed = (*kernels[own[0]].reads, *kernels[own[0]].writes)
    return priced, tuple(
        name
        for name in accessed
        if formatted.tensors[name].role == "activation"
        and name not in external
        and name not in fixed
    )
