"""One kernel of a network under every combination of the decisions that touch it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.search.oracle.fragment import beside
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.rows import Floats, NotTabledError, Priced
from perfmodel.search.space.configurations import ConfigurationSpace
from perfmodel.workload.fuse import FusedKernel
from perfmodel.workload.graph import Access, Block, Graph, Operator, Tensor
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


class Touching:
    """Which decisions touch what."""

    def __init__(self, space: ConfigurationSpace, graph: Graph) -> None:
        from perfmodel.workload.rewrite import format_groups

        self.space, self.graph = space, graph
        self.views = views_of(graph)
        self.weight: dict[str, int] = {}
        self.activation: dict[str, int] = {}
        self.kv: dict[str, int] = {}
        self.parameter: dict[str, int] = {}
        groups = {t: g.tensors for g in format_groups(graph) for t in g.tensors}
        for i, decision in enumerate(space.decisions):
            for member in decision.members:
                if decision.role == "weights":
                    self.weight[member] = i
                elif decision.role == "kv":
                    self.kv[member] = i
                elif decision.role == "activations":
                    self.activation |= dict.fromkeys(groups[member], i)
                elif decision.role == "channels":
                    self.parameter[space.width_names[member]] = i
                elif decision.role == "parameter":
                    self.parameter[member] = i

    def of(self, kernel: FusedKernel) -> list[int]:
        """Return the decisions that touch a kernel."""
        found: set[int] = set()
        for operator in kernel.operators:
            for access in operator.accesses:
                for table in (self.weight, self.activation, self.kv):
                    if access.tensor in table:
                        found.add(table[access.tensor])
        for name in _parameters(kernel):
            if name in self.parameter:
                found.add(self.parameter[name])
        return sorted(found)


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
    kernel: FusedKernel, touching: Touching, pricing: Pricing, defaults: Mapping[str, float],
    layers: float, *, anchored: bool,
) -> KernelTable:  # fmt: skip
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
        counted = (replace(b, count=kernel.block.count) if b.name not in _AROUND else b
                   for b in made.blocks)  # fmt: skip
        made = replace(made, blocks=tuple(counted))
        priced, tensors = _priced(made, graph, kernel, values, points, layers, pricing)
        cells.append(priced)
    names = tuple(dict.fromkeys(name for cell in cells for name in cell.names))
    if any(cell.terms.unsupported for cell in cells):
        raise NotTabledError("the engine does not compute a format in any form")
    modes, _, states = cells[0].values.shape[:3]
    stacked = np.zeros((len(cells), points, states, modes, len(names)))
    for k, cell in enumerate(cells):
        columns = [names.index(name) for name in cell.names]
        stacked[k][..., columns] = np.moveaxis(cell.values[:, 0], (0, 1, 2), (2, 1, 0))
    # Axes: kinds ..., numbers ...; then in the order of the decisions.
    shape = [len(space.decisions[i].options) for i in (*kinds, *numeric)]
    spread = stacked.reshape(*shape, states, modes, len(names))
    order = [(*kinds, *numeric).index(i) for i in decisions]
    rest = [len(order), len(order) + 1, len(order) + 2]
    covered = tuple(dict.fromkeys(p for cell in cells for p in cell.terms.priced))
    values = np.transpose(spread, [*order, *rest])
    return KernelTable(tuple(decisions), tensors, names, values, covered)


def _numbers(
    space: ConfigurationSpace, touching: Touching, numeric: Sequence[int],
    defaults: Mapping[str, float],
) -> tuple[dict[str, Value], int]:  # fmt: skip
    """Return free dimensions over every combination of numeric options, and how many."""
    values: dict[str, Value] = dict(defaults)
    names = {i: name for name, i in touching.parameter.items() if i in numeric}
    several = {i: [n for n, k in touching.parameter.items() if k == i] for i in names}
    combos = list(product(*(space.decisions[i].options for i in numeric)))
    for k, i in enumerate(numeric):
        column = [float(combo[k]) for combo in combos]
        for name in several[i]:
            values[name] = np.array(column) if len(combos) > 1 else column[0]
    return values, len(combos)


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
        o.tensor for op in operators for n in op.nests for o in n.operands
        if o.tensor in graph.tensors
    )  # fmt: skip
    tensors: dict[str, Tensor] = {name: graph.tensors[name] for name in names}
    external = {*graph.inputs, *graph.outputs}
    written = {n for op in operators for n in op.writes}
    kept = dict.fromkeys(n for op in operators for n in op.reads if n not in written)
    entering = [n for n in kept if tensors[n].role == "activation" and n not in external]
    leaving = [
        n for n in kernel.writes if tensors[n].role == "activation" and n not in external
    ]  # fmt: skip
    blocks = [block]
    if entering:
        # An operator each: what one operator writes would have to share a format.
        made = tuple(
            Operator(f"{_BEFORE}{i}", "copy", (Access(n, "write", tensors[n].elements),))
            for i, n in enumerate(entering)
        )
        blocks.insert(0, Block(_BEFORE, 1, made))
    if anchored and not any(op.nests for op in kernel.operators):
        blocks.insert(0, beside(tensors))
    ends = tuple(f"{_END}{i}" for i in range(len(leaving)))
    if leaving:
        tensors |= {end: Tensor(end, (0,)) for end in ends}
        taken = tuple(
            Operator(f"{_AFTER}{end}", "copy",
                     (Access(n, "read", tensors[n].elements), Access(end, "write", 0)))
            for n, end in zip(leaving, ends, strict=True)
        )  # fmt: skip
        blocks.append(Block(_AFTER, 1, taken))
    inputs = tuple(n for n in kept if n in graph.inputs)
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
        name: operator for _, operator in graph.walk()
        if operator.kind == "view" and operator.reads for name in operator.writes
    }  # fmt: skip


def _formatted(graph: Graph, touching: Touching, options: Mapping[int, int]) -> Graph:
    """Return a kernel's graph with the formats of some options."""
    decisions = touching.space.decisions

    def of(table: Mapping[str, int], role: str) -> dict[str, str]:
        return {
            name: str(decisions[i].options[options[i]])
            for name, i in table.items()
            if i in options and name in graph.tensors and graph.tensors[name].role in role
        }

    return with_formats(
        graph, of(touching.weight, "weight"), of(touching.activation, "activation state"),
        of(touching.kv, "kv"), precision=touching.space.precision,
    )  # fmt: skip


def _priced(
    made: Graph, graph: Graph, kernel: FusedKernel, values: Mapping[str, Value], points: int,
    layers: float, pricing: Pricing,
) -> tuple[Priced, tuple[str, ...]]:  # fmt: skip
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
