"""One kernel of a network under every combination of the decisions that touch it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.search.oracle.fragment import beside, read_by, written_by
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.rows import Floats, NotTabledError, Priced, over
from perfmodel.search.space.configurations import ConfigurationSpace
from perfmodel.workload.fuse import FusedKernel
from perfmodel.workload.graph import Graph, Operator, Tensor
from perfmodel.workload.rewrite import with_formats
from perfmodel.workload.symbols import Dim, free_parameters

#: Combinations of options of one kernel beyond which its space is predicted instead.
MOST_COMBINATIONS = 20_000

_NUMERIC = frozenset({"channels", "parameter"})
_BEFORE, _AFTER, _END = "(before)", "(after)", "(end)"


@dataclass(frozen=True, slots=True)
class KernelTable:
    """What a kernel costs.

    Attributes
    ----------
    decisions
        Those that touch it, ascending.
    tensors
        Activations whose states are its digits, by name.
    names
        Quantities.
    values : array of shape ``(options of each decision ..., states ** tensors, modes, quantities)``
    priced
        What the energies of the kind cover under any option (`Terms.priced`).
    """

    decisions: tuple[int, ...]
    tensors: tuple[str, ...]
    names: tuple[str, ...]
    values: Floats
    priced: tuple[str, ...] = ()

    def over(self, names: Sequence[str]) -> KernelTable:
        """Return the table of other quantities, 0 where it has none."""
        return replace(self, names=tuple(names), values=over(self.values, self.names, names))


class Touching:
    """Which decisions touch what."""

    def __init__(self, space: ConfigurationSpace, graph: Graph) -> None:
        from perfmodel.workload.rewrite import format_groups

        self.space, self.graph = space, graph
        self.activation = False
        self.views = views_of(graph)
        #: Tensor -> the decision of its format.
        self.format: dict[str, int] = {}
        #: Free dimension -> the decision that binds it.
        self.parameter: dict[str, int] = {}
        groups = {t: g.tensors for g in format_groups(graph) for t in g.tensors}
        for i, decision in enumerate(space.decisions):
            for member in decision.members:
                if decision.role in {"weights", "kv"}:
                    self.format[member] = i
                elif decision.role == "activations":
                    self.format = dict.fromkeys(groups[member], i) | self.format
                    self.activation = True
                elif decision.role == "channels":
                    self.parameter[space.width_names[member]] = i
                elif decision.role == "parameter":
                    self.parameter[member] = i

    def of(self, kernel: FusedKernel) -> list[int]:
        """Return the decisions that touch a kernel."""
        tensors = {access.tensor for op in kernel.operators for access in op.accesses}
        touching = {self.format[name] for name in tensors if name in self.format}
        touching |= {self.parameter[n] for n in _parameters(kernel) if n in self.parameter}
        return sorted(touching)


def _parameters(kernel: FusedKernel) -> frozenset[str]:
    """Return the free dimensions that a kernel's numbers depend on."""
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
    touching: Touching,
    pricing: Pricing,
    defaults: Mapping[str, float],
    layers: float,
    *,
    anchored: bool,
) -> KernelTable:
    """Cost a kernel under every combination of options, in all states.

    Parameters
    ----------
    defaults
        Numbers for free dimensions that no decision binds.
    layers
        Its share of what a layer costs (`OperatorTable.layers`).
    anchored
        Whether the network has loop nests (see `perfmodel.search.oracle.rows.price`).

    Raises
    ------
    NotTabledError
        Too many combinations, or a choice that makes other kernels.
    """
    space = touching.space
    decisions = touching.of(kernel)
    sizes = [len(space.decisions[i].options) for i in decisions]
    if prod(sizes) > MOST_COMBINATIONS:
        raise NotTabledError(f"{kernel.head.name} takes {prod(sizes)} combinations of options")
    numeric = [i for i in decisions if space.decisions[i].role in _NUMERIC]
    kinds = [i for i in decisions if i not in numeric]
    values, points = _numbers(space, touching, numeric, defaults)
    graph = _alone(touching.graph, kernel, touching.views, anchored=anchored)
    cells: list[Priced] = []
    tensors: tuple[str, ...] = ()
    for options in product(*(range(len(space.decisions[i].options)) for i in kinds)):
        made = _formatted(graph, touching, dict(zip(kinds, options, strict=True)))
        counted = (
            replace(b, count=kernel.block.count) if b.name not in _AROUND else b
            for b in made.blocks
        )
        made = replace(made, blocks=tuple(counted))
        priced, tensors = _priced(made, graph, kernel, values, points, layers, pricing)
        cells.append(priced)
    names = tuple(dict.fromkeys(name for cell in cells for name in cell.names))
    if any(cell.terms.unsupported for cell in cells):
        raise NotTabledError("the engine does not compute a format in any form")
    modes, _, states = cells[0].values.shape[:3]
    stacked = np.stack([cell.over(names)[:, 0] for cell in cells]).transpose(0, 3, 2, 1, 4)
    # Axes: kinds ..., numbers ...; then in the order of the decisions.
    shape = [len(space.decisions[i].options) for i in (*kinds, *numeric)]
    spread = stacked.reshape(*shape, states, modes, len(names))
    order = [(*kinds, *numeric).index(i) for i in decisions]
    last = len(order)
    covered = tuple(dict.fromkeys(p for cell in cells for p in cell.terms.priced))
    values = np.transpose(spread, [*order, last, last + 1, last + 2])
    return KernelTable(tuple(decisions), tensors, names, values, covered)


def _numbers(
    space: ConfigurationSpace,
    touching: Touching,
    numeric: Sequence[int],
    defaults: Mapping[str, float],
) -> tuple[dict[str, Value], int]:
    """Return free dimensions over every combination of numeric options, and how many."""
    values: dict[str, Value] = dict(defaults)
    rows = list(product(*(space.decisions[i].options for i in numeric)))
    for name, i in touching.parameter.items():
        if i in numeric:
            column = np.array([row[numeric.index(i)] for row in rows], dtype=float)
            values[name] = column if len(rows) > 1 else float(column[0])
    return values, len(rows)


def _alone(
    graph: Graph, kernel: FusedKernel, views: Mapping[str, Operator], *, anchored: bool
) -> Graph:
    """Return a graph of one kernel, between what makes its inputs and what reads its outputs.

    Parameters
    ----------
    views
        Output of a view -> the view: those that the kernel reads through come along.
    """
    operators = _with_views(kernel, views)
    # Once, for now: what repeats would have to leave in the format in which it enters.
    block = replace(kernel.block, operators=operators, count=1)
    names = dict.fromkeys(a.tensor for op in operators for a in op.accesses)
    names |= dict.fromkeys(
        o.tensor
        for op in operators
        for n in op.nests
        for o in n.operands
        if o.tensor in graph.tensors
    )
    tensors: dict[str, Tensor] = {name: graph.tensors[name] for name in names}
    external = {*graph.inputs, *graph.outputs}
    written = {n for op in operators for n in op.writes}
    read = dict.fromkeys(n for op in operators for n in op.reads if n not in written)

    def inner(names: Iterable[str]) -> list[str]:
        return [n for n in names if tensors[n].role == "activation" and n not in external]

    blocks = [block]
    # An operator each: what one operator writes would have to share a format.
    if entering := inner(read):
        blocks.insert(0, written_by(_BEFORE, tensors, entering))
    if anchored and not any(op.nests for op in kernel.operators):
        blocks.insert(0, beside(tensors))
    ends = {f"{_END}{i}": name for i, name in enumerate(inner(kernel.writes))}
    if ends:
        blocks.append(read_by(_AFTER, tensors, ends))
    inputs = tuple(n for n in read if n in graph.inputs)
    outputs = (*(n for n in graph.outputs if n in written), *ends)
    return replace(graph, tensors=tensors, blocks=tuple(blocks), inputs=inputs, outputs=outputs)


def _with_views(kernel: FusedKernel, views: Mapping[str, Operator]) -> tuple[Operator, ...]:
    """Return a kernel's operators, before each the views that it reads through."""
    out: dict[str, Operator] = {}

    def add(name: str) -> None:
        view = views.get(name)
        if view is not None and view.name not in out:
            add(view.reads[0])
            out[view.name] = view

    for operator in kernel.operators:
        for name in operator.reads:
            add(name)
        out[operator.name] = operator
    return tuple(out.values())


def views_of(graph: Graph) -> dict[str, Operator]:
    """Return output of a view -> the view."""
    return {
        name: operator
        for _, operator in graph.walk()
        if operator.kind == "view" and operator.reads
        for name in operator.writes
    }


def _formatted(graph: Graph, touching: Touching, options: Mapping[int, int]) -> Graph:
    """Return a kernel's graph with the formats of some options."""
    decisions = touching.space.decisions

    def of(*roles: str) -> dict[str, str]:
        return {
            name: str(decisions[i].options[options[i]])
            for name, i in touching.format.items()
            if i in options and name in graph.tensors and graph.tensors[name].role in roles
        }

    return with_formats(
        graph,
        of("weight"),
        of("activation", "state"),
        of("kv"),
        precision=touching.space.precision,
    )


def _priced(
    made: Graph,
    graph: Graph,
    kernel: FusedKernel,
    values: Mapping[str, Value],
    points: int,
    layers: float,
    pricing: Pricing,
) -> tuple[Priced, tuple[str, ...]]:
    lowered = pricing.lowered(made)
    own = [i for i, k in enumerate(lowered.kernels) if k.block.name not in _AROUND]
    if len(own) != 1:
        raise NotTabledError(f"{kernel.head.name} falls into {len(own)} kernels under some choice")
    table = pricing.bound(made, values, points)
    table = replace(table, layers=np.full((len(table.rows), 1), layers))
    priced = pricing.priced(table, own)
    external = {*graph.inputs, *(n for n in graph.outputs if not n.startswith(_END))}
    found = lowered.kernels[own[0]]
    tensors = tuple(_states(made, found, external)) if table.accesses is not None else ()
    return priced, tensors


_AROUND = frozenset({_BEFORE, _AFTER, "(beside)"})


def _states(graph: Graph, kernel: FusedKernel, external: set[Any]) -> Iterator[str]:
    for side in (kernel.reads, kernel.writes):
        for name in side:
            if graph.tensors[name].role == "activation" and name not in external:
                yield name
