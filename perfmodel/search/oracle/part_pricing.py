"""Cost tables of the kernels of one part of a network.

A part of a network (`perfmodel.search.oracle.network_parts`) depends on few of a space's decisions:
on the formats of its tensors, on the free dimensions in its sizes, and on the layouts in which
activations enter it, which are a decision that earlier ones determine
(`perfmodel.search.oracle.entering_layouts`). Its kernels and conversions are those that a runtime
executes of a separate graph under every combination of these formats and layouts. Each kernel is
priced once in its own formats; those of its weights change no other kernel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from typing import TypeAlias

import numpy as np

from perfmodel.arrays import Value
from perfmodel.search.oracle.activation_states import Table, without_constant_axes
from perfmodel.search.oracle.entering_layouts import EnteringLayouts
from perfmodel.search.oracle.kernel_pricing import Floats, Index, NotTabledError, Priced, over
from perfmodel.search.oracle.kernel_tables import DecisionIndex, KernelTable, merged
from perfmodel.search.oracle.network_parts import NetworkPart
from perfmodel.search.oracle.part_graphs import AUXILIARY, PartGraph
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.workload.fuse import FusedKernel
from perfmodel.workload.graph import Graph, Operator
from perfmodel.workload.layout_conversions import TensorLayout
from perfmodel.workload.operator_table import OperatorTable
from perfmodel.workload.rewrite import with_formats
from perfmodel.workload.symbols import evaluate

#: Largest number of option combinations per part; beyond it the space is predicted.
MAX_COMBINATIONS = 20_000
#: Largest number of entries of a table in which the costs of several kernels are added.
_MAX_MERGED = 4096

#: Activations that each of several kernels in a row accesses.
Steps: TypeAlias = tuple[tuple[str, ...], ...]

_NUMERIC = frozenset({"channels", "parameter"})


@dataclass(frozen=True, slots=True)
class PartTables:
    """Costs of a part under every combination of options.

    Attributes
    ----------
    kernels
        Its kernels, some of which exclude each other.
    priced
        Formats that the kind's energies cover under any option (`Terms.priced`).
    steps
        The distinct sequences of kernels that it is under some option.
    variant
        Sequence under each combination of options, as an index of `steps`.
    sizes
        Bytes of the activations between these kernels; 0 where they do not exist.
    formats
        Decisions on the formats of its activations.
    leaving
        Layouts of activations after the part, by options of `formats` and index of the layouts that
        enter it.
    """

    kernels: tuple[KernelTable, ...]
    priced: tuple[str, ...]
    steps: tuple[Steps, ...]
    variant: Table
    sizes: Mapping[str, Table]
    formats: tuple[int, ...]
    leaving: Mapping[tuple[int, ...], Mapping[str, TensorLayout]]


class PartPricing:
    """Pricing of a part of a network under every combination of options, in all states.

    The combinations of numeric options are priced at once, as columns of numbers; each combination
    of formats and layouts is a separate graph.

    Parameters
    ----------
    defaults
        Values of free dimensions that no decision binds.
    layers
        Shares of its kernels of the per-layer cost (`OperatorTable.layers`).
    place
        Place of its first loop nest among those of the network.
    fixed
        Activation -> its state of residency, where every configuration has the same.
    entering
        Layouts in which activations may enter the part.
    anchored
        Whether the network has loop nests (see `perfmodel.search.oracle.kernel_pricing.price`).

    Raises
    ------
    NotTabledError
        Too many combinations, or a choice that leaves no kernel.
    """

    def __init__(
        self,
        part: NetworkPart,
        index: DecisionIndex,
        pricing: Pricing,
        defaults: Mapping[str, float],
        layers: Sequence[float],
        place: int,
        fixed: Mapping[str, int],
        entering: EnteringLayouts,
        *,
        anchored: bool,
    ) -> None:
        self._part, self._index, self._pricing, self._fixed = part, index, pricing, fixed
        self._structure, self._place = pricing.structure, place
        self._entering, self._entering_decision = entering.possible, entering.decision
        decisions = index.by_kernels(part.kernels)
        self._options = {i: index.space.decisions[i].options for i in decisions}
        roles = {i: index.space.decisions[i].role for i in decisions}
        self._numeric = [i for i in decisions if roles[i] in _NUMERIC]
        self._weights = [i for i in decisions if roles[i] in {"weights", "kv"}]
        self._formats = [i for i in decisions if roles[i] == "activations"]
        combinations = prod(map(len, self._options.values())) * len(self._entering)
        if combinations > MAX_COMBINATIONS:
            head = part.kernels[0].head.name
            raise NotTabledError(f"{head} takes {combinations} combinations of options")
        self._values, self._points = _dimension_values(index, self._numeric, defaults)
        self._graph = PartGraph(part, index.graph, index.views, anchored=anchored)
        self._layers: dict[str, float] = {}
        for kernel, share in zip(part.kernels, layers, strict=True):
            name = kernel.block.name
            self._layers[name] = self._layers.get(name, 0.0) + share
        self._kernels: dict[tuple[object, ...], _KernelForms] = {}
        self._priced: dict[str, None] = {}

    @property
    def _shape(self) -> tuple[int, ...]:
        """Number of options of each decision on formats of activations, and of layouts."""
        return (*(len(self._options[i]) for i in self._formats), len(self._entering))

    def tables(self) -> PartTables:
        """Return the tables of the part."""
        steps: dict[Steps, int] = {}
        variant = np.zeros(self._shape, dtype=np.intp)
        sizes: dict[str, Floats] = {}
        leaving: dict[tuple[int, ...], Mapping[str, TensorLayout]] = {}
        for at in np.ndindex(self._shape):
            graph, leaving[at] = self._converted(at, {})
            own = self._own_kernels(graph)
            kernels = list(own.values())
            self._price(at, graph, dict(zip(own, self._forms(at, graph, kernels), strict=True)))
            activations = tuple(
                tuple(n for n in (*k.reads, *k.writes) if graph.tensors[n].role == "activation")
                for k in kernels
            )
            variant[at] = steps.setdefault(activations, len(steps))
            for name in {name for step in activations for name in step} - self._graph.outside:
                size = sizes.setdefault(name, np.zeros((*self._shape, self._points)))
                size[at] = self._bytes(graph, name)
        each = [self._table(forms) for forms in self._kernels.values()]
        joined = merged(each, self._pricing.states.count, _MAX_MERGED)
        return PartTables(
            tuple(joined),
            tuple(self._priced),
            tuple(steps),
            self._over_decisions(variant.astype(float)),
            {name: self._over_decisions(size) for name, size in sizes.items()},
            tuple(self._formats),
            leaving,
        )

    def _converted(
        self, at: tuple[int, ...], weights: Mapping[int, int]
    ) -> tuple[Graph, Mapping[str, TensorLayout]]:
        """Return the part's graph as executed under some options, and the layouts after it."""
        options = dict.fromkeys(self._weights, 0) | dict(weights)
        options |= dict(zip(self._formats, at, strict=False))
        formats = {i: str(self._options[i][option]) for i, option in options.items()}
        graph, index = self._graph.graph, self._index

        def formats_of(*roles: str) -> dict[str, str]:
            return {
                name: formats[decision]
                for name, decision in index.by_tensor.items()
                if decision in formats
                and name in graph.tensors
                and graph.tensors[name].role in roles
            }

        formatted = with_formats(
            graph,
            formats_of("weight"),
            formats_of("activation", "state"),
            formats_of("kv"),
            precision=index.space.precision,
        )
        layouts = dict(zip(self._part.crossing, self._entering[at[-1]], strict=False))
        formatted = self._graph.repeated(formatted)
        if not self._part.converts:
            return formatted, {}
        return self._structure.converted_part(formatted, layouts, AUXILIARY)

    def _own_kernels(self, graph: Graph) -> dict[int, FusedKernel]:
        """Return the kernels that are not auxiliary, by their row."""
        kernels = self._structure.lowered(graph).kernels
        own = {i: k for i, k in enumerate(kernels) if k.block.name not in AUXILIARY}
        if not own:
            head = self._part.kernels[0].head.name
            raise NotTabledError(f"{head} has no kernel under some choice")
        return own

    def _forms(
        self, at: tuple[int, ...], graph: Graph, kernels: Sequence[FusedKernel]
    ) -> list[tuple[_KernelForms, _FormattedKernel]]:
        """Record the kernels under one combination, and return each with its form."""
        by_block: dict[str, int] = {}
        for kernel in kernels:
            by_block[kernel.block.name] = by_block.get(kernel.block.name, 0) + 1
        out: list[tuple[_KernelForms, _FormattedKernel]] = []
        for kernel in kernels:
            accessed = (*kernel.reads, *kernel.writes)
            key = (kernel.operators[0].name, *kernel.reads, None, *kernel.writes)
            if key not in self._kernels:
                weights = {
                    self._index.by_tensor[n] for n in accessed if n in self._index.by_tensor
                }.intersection(self._weights)
                tensors = tuple(
                    name
                    for name in dict.fromkeys(accessed)
                    if graph.tensors[name].role == "activation"
                    and name not in self._graph.external
                    and name not in self._fixed
                )
                absent = np.full(self._shape, -1, dtype=np.intp)
                self._kernels[key] = _KernelForms(tuple(sorted(weights)), tensors, [], absent)
            forms = self._kernels[key]
            # The share of each is smaller by kernels elsewhere in the layer, and all add up to the
            # same.
            share = self._layers[kernel.block.name] / by_block[kernel.block.name]
            formats = tuple(
                graph.tensors[access.tensor].format
                for operator in kernel.operators
                for access in operator.accesses
            )
            form = forms.known(_FormattedKernel(kernel.operators, formats, share))
            forms.variant[at] = forms.forms.index(form)
            out.append((forms, form))
        return out

    def _price(
        self,
        at: tuple[int, ...],
        graph: Graph,
        kernels: Mapping[int, tuple[_KernelForms, _FormattedKernel]],
    ) -> None:
        """Price kernels under all options of their weights in which they have no costs yet.

        Parameters
        ----------
        kernels
            Row -> operators of a kernel and the form that they have.
        """
        new = {row: each for row, each in kernels.items() if not each[1].costs}
        weights = sorted({d for forms, _ in new.values() for d in forms.weights})
        for options in _diagonal_first([len(self._options[d]) for d in weights]):
            own = dict(zip(weights, options, strict=True))
            missing = {
                row: key
                for row, (forms, form) in new.items()
                if (key := tuple(own[d] for d in forms.weights)) not in form.costs
            }
            if not missing:
                continue
            formatted = self._converted(at, own)[0] if any(options) else graph
            table = self._structure.bound(formatted, self._values, self._points)
            layers = np.zeros((len(table.rows), 1))
            layers[list(kernels), 0] = [form.layers for _, form in kernels.values()]
            table = replace(table, layers=layers)
            if table.nests is not None:
                # Products that stand for others of the network have no place in it.
                is_own = np.isin(table.nests.row, list(kernels))
                table.nests.place = np.where(is_own, self._place + np.cumsum(is_own) - 1, -1)
            for row, key in missing.items():
                forms, form = kernels[row]
                if table.accesses is None:
                    forms.tensors = ()
                priced = self._priced_row(table, row, form.operators)
                if priced.combines and len(kernels) > 1:
                    raise NotTabledError(
                        "conversions of formats stand among layers that share what there is"
                    )
                states = self._pricing.states.count ** len(forms.tensors)
                form.costs[key] = priced.names, priced.values[:, 0, :states]

    def _priced_row(self, table: OperatorTable, row: int, operators: Sequence[Operator]) -> Priced:
        sequences = self._values.get("batch", 1.0)
        priced = self._pricing.priced(table, [row], self._fixed, sequences, columns=True)
        priced.refuse_network_wide()
        self._priced |= dict.fromkeys(priced.terms.priced)
        # Without a nest, the product beside the kernel is priced in a format of its own.
        has_nest = any(operator.nests for operator in operators)
        return priced.with_unsupported() if has_nest else priced

    def _bytes(self, graph: Graph, name: str) -> Value:
        tensor = graph.tensors[name]
        return evaluate(tensor.elements, self._values) * (self._structure.bits(tensor) / 8.0)

    def _table(self, forms: _KernelForms) -> KernelTable:
        """Return the table of a kernel over the decisions that affect it."""
        axes, variant = without_constant_axes(
            ((*self._formats, self._entering_decision), forms.variant.astype(float))
        )
        costs = [form.costs[key] for form in forms.forms for key in sorted(form.costs)]
        names = tuple(dict.fromkeys(name for own, _ in costs for name in own))
        # (forms and weights, modes, states, points, names) -> points before states before modes
        values = np.stack([over(each, own, names) for own, each in costs]).transpose(0, 3, 2, 1, 4)
        shape = (*(len(self._options[i]) for i in forms.weights), *self._numeric_shape)
        values = values.reshape(len(forms.forms), *shape, *values.shape[2:])
        values = np.concatenate([values, np.zeros((1, *values.shape[1:]))])[variant.astype(int)]
        axes = (*axes, *forms.weights, *self._numeric)
        return KernelTable(tuple(sorted(axes)), forms.tensors, names, _ascending(axes, values))

    @property
    def _numeric_shape(self) -> tuple[int, ...]:
        return tuple(len(self._options[i]) for i in self._numeric)

    def _over_decisions(self, values: Floats) -> Table:
        """Return a table of values over formats, layouts and, if they have one, the last axis."""
        axes = (*self._formats, self._entering_decision)
        if values.ndim > len(axes):
            values = values.reshape(*values.shape[:-1], *self._numeric_shape)
            axes = (*axes, *self._numeric)
        return without_constant_axes((tuple(sorted(axes)), _ascending(axes, values)))


@dataclass(slots=True)
class _FormattedKernel:
    """A kernel in some formats of its activations.

    Attributes
    ----------
    layers
        Its share of the per-layer cost.
    costs
        Options of the decisions on its weights -> names of quantities, and their values in all
        states of its activations, ``(modes, states, points, quantities)``.
    """

    operators: tuple[Operator, ...]
    formats: tuple[str, ...]
    layers: float
    costs: dict[tuple[int, ...], tuple[tuple[str, ...], Floats]] = field(
        default_factory=dict[tuple[int, ...], tuple[tuple[str, ...], Floats]], compare=False
    )


@dataclass(slots=True)
class _KernelForms:
    """Operators that are one kernel with the same accesses under some combinations of options.

    Attributes
    ----------
    weights
        Decisions on the formats of its weights.
    tensors
        Its activations with several states.
    forms
        The kernel in different formats.
    variant
        Combination of the part's formats and layouts -> index of `forms`, -1 for no such kernel.
    """

    weights: tuple[int, ...]
    tensors: tuple[str, ...]
    forms: list[_FormattedKernel]
    variant: Index

    def known(self, form: _FormattedKernel) -> _FormattedKernel:
        """Return the known form that costs the same as a form, which is added if it is new."""
        if form not in self.forms:
            self.forms.append(form)
        return self.forms[self.forms.index(form)]


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


def _diagonal_first(counts: Sequence[int]) -> list[tuple[int, ...]]:
    """Return all combinations of options, those with few different options first."""
    return sorted(product(*map(range, counts)), key=lambda each: len(set(each)))


def _ascending(axes: Sequence[int], values: Floats) -> Floats:
    """Return values with the axes of their decisions, which come first, in ascending order."""
    order = sorted(range(len(axes)), key=axes.__getitem__)
    return values.transpose(*order, *range(len(axes), values.ndim))
