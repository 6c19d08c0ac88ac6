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
from typing import NamedTuple, TypeAlias

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
from perfmodel.search.oracle.kernel_pricing import (
    MAX_POINTS,
    Floats,
    Index,
    NotTabledError,
    Priced,
    over,
)
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.space.configuration_space import ConfigurationSpace
from perfmodel.workload.fuse import FusedKernel
from perfmodel.workload.graph import Graph, Operator, Tensor
from perfmodel.workload.rewrite import format_groups, with_formats
from perfmodel.workload.symbols import Dim, evaluate, free_parameters

#: Largest number of option combinations per kernel; beyond it the space is predicted.
MAX_COMBINATIONS = 20_000

#: Activations that each of several kernels in a row accesses.
Steps: TypeAlias = tuple[tuple[str, ...], ...]

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
    steps
        The distinct sequences of kernels that it is under some option: itself, or with conversions
        that are kernels of their own.
    variant : array of shape ``(options of each decision ...)``
        Sequence under each combination of options, as an index of `steps`.
    sizes
        Bytes of the activations between these kernels, ``(options of each decision ...)``.
    """

    decisions: tuple[int, ...]
    tensors: tuple[str, ...]
    names: tuple[str, ...]
    values: Floats
    priced: tuple[str, ...]
    steps: tuple[Steps, ...]
    variant: Floats
    sizes: Mapping[str, Floats]

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
    place: int,
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
    place
        Number of loop nests of the kernels before it (`Nests.place`).
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
    # Without a nest, the product beside the kernel is priced in a format of its own.
    has_nest = any(operator.nests for operator in kernel.operators)
    each: list[_FormattedKernel] = []
    for selection in product(*(map(str, options[i]) for i in formats)):
        formatted = _formatted(graph, kernel, index, dict(zip(formats, selection, strict=True)))
        one = _priced(formatted, graph, kernel, values, points, layers, place, fixed, pricing)
        one.priced.refuse_network_wide()
        each.append(one._replace(priced=one.priced.with_unsupported()) if has_nest else one)
    return _joined(each, options, [*formats, *numeric], points, pricing.states.count)


def _joined(
    each: Sequence[_FormattedKernel],
    options: Mapping[int, Sequence[object]],
    axes: Sequence[int],
    points: int,
    state_count: int,
) -> KernelTable:
    """Return the table of a kernel.

    Parameters
    ----------
    each
        The kernel in each combination of formats.
    options
        Options of the decisions that affect it, in the order of the decisions.
    axes
        These decisions, those of formats first, then those of numbers.
    points
        Combinations of numbers.
    """
    names = tuple(dict.fromkeys(name for one in each for name in one.priced.names))
    tensors = tuple(dict.fromkeys(n for one in each for row in one.tensors for n in row))
    order = [axes.index(i) for i in options]

    def over_options(columns: Sequence[Floats]) -> Floats:
        stacked = np.stack(columns)
        table = stacked.reshape((*(len(options[i]) for i in axes), *stacked.shape[2:]))
        return np.transpose(table, [*order, *range(len(order), table.ndim)])

    # (modes, states, points, names) -> (points, states, modes, names)
    costs = [one.over(names, tensors, state_count).transpose(2, 1, 0, 3) for one in each]
    steps = tuple(dict.fromkeys(one.steps for one in each))
    return KernelTable(
        decisions=tuple(options),
        tensors=tensors,
        names=names,
        values=over_options(costs),
        priced=tuple(dict.fromkeys(p for one in each for p in one.priced.terms.priced)),
        steps=steps,
        variant=over_options([np.full(points, float(steps.index(one.steps))) for one in each]),
        sizes={
            name: over_options([np.zeros(points) + one.sizes.get(name, 0.0) for one in each])
            for name in dict.fromkeys(name for one in each for name in one.sizes)
        },
    )


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


class _FormattedKernel(NamedTuple):
    """A kernel in some formats, with its conversions.

    Attributes
    ----------
    priced
        Costs of each of the kernels.
    tensors
        For each of them, its activations with several states.
    steps
        For each of them, all of its activations.
    sizes
        Bytes of the activations between them.
    """

    priced: Priced
    tensors: Steps
    steps: Steps
    sizes: Mapping[str, Value]

    def over(self, names: Sequence[str], tensors: Sequence[str], state_count: int) -> Floats:
        """Return the sums of the kernels over the states of `tensors`, for named quantities."""
        combos = state_count ** len(tensors)
        values = self.priced.over(names)
        if combos * values.shape[3] > MAX_POINTS:
            raise NotTabledError(f"conversions touch {len(tensors)} activations")
        code: Index = np.arange(combos, dtype=np.intp)
        total: Floats = np.zeros(())
        for row, own in enumerate(self.tensors):
            at = np.zeros_like(code)
            for k, name in enumerate(own):
                digit = code // state_count ** tensors.index(name) % state_count
                at += digit * state_count**k
            total = total + values[:, row, at]
        return total


def _priced(
    formatted: Graph,
    graph: Graph,
    kernel: FusedKernel,
    values: Mapping[str, Value],
    points: int,
    layers: float,
    place: int,
    fixed: Mapping[str, int],
    pricing: Pricing,
) -> _FormattedKernel:
    """Return the costs of a kernel in given formats, and its activations."""
    kernels = pricing.structure.lowered(formatted).kernels
    own = [i for i, each in enumerate(kernels) if each.block.name not in _AUXILIARY]
    if not own:
        raise NotTabledError(f"{kernel.head.name} has no kernel under some choice")
    table = pricing.structure.bound(formatted, values, points)
    # The share of each is smaller by kernels elsewhere in the layer, and all add up to the same.
    table = replace(table, layers=np.full((len(table.rows), 1), layers / len(own)))
    if table.nests is not None:
        # Products that stand for others of the network have no place in it.
        is_own = np.isin(table.nests.row, own)
        table.nests.place = np.where(is_own, place + np.cumsum(is_own) - 1, -1)
    priced = pricing.priced(table, own, fixed, values.get("batch", 1.0), columns=True)
    if priced.combines and len(own) > 1:
        raise NotTabledError("conversions of formats stand among layers that share what there is")
    accessed = [(*kernels[i].reads, *kernels[i].writes) for i in own]
    roles = formatted.tensors
    steps = tuple(tuple(n for n in each if roles[n].role == "activation") for each in accessed)
    external = {*graph.inputs, *(name for name in graph.outputs if not name.startswith(END))}
    tensors = tuple(
        tuple(name for name in each if name not in external and name not in fixed) for each in steps
    )
    outside = {*kernel.reads, *kernel.writes, *external}
    sizes = {
        name: evaluate(roles[name].elements, values) * (pricing.structure.bits(roles[name]) / 8.0)
        for each in steps
        for name in each
        if len(own) > 1 and name not in outside
    }
    states = tensors if table.accesses is not None else ((),) * len(own)
    return _FormattedKernel(priced, states, steps, sizes)
