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
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import TypeAlias

import numpy as np

from perfmodel.arrays import Value
from perfmodel.search.oracle.activation_states import Table, without_constant_axes
from perfmodel.search.oracle.compiled_parts import CompiledPart, PartVariant
from perfmodel.search.oracle.entering_layouts import EnteringLayouts
from perfmodel.search.oracle.kernel_pricing import Floats, Index, NotTabledError, Priced, over
from perfmodel.search.oracle.kernel_tables import DecisionIndex, KernelTable, merged
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.workload.graph import Graph, Operator
from perfmodel.workload.layout_conversions import TensorLayout
from perfmodel.workload.operator_table import OperatorTable
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
    """

    kernels: tuple[KernelTable, ...]
    priced: tuple[str, ...]
    steps: tuple[Steps, ...]
    variant: Table
    sizes: Mapping[str, Table]


class PartPricing:
    """Pricing of a part of a network under every combination of options, in all states.

    The combinations of numeric options are priced at once, as columns of numbers; each combination
    of formats and layouts is a separate graph.

    Parameters
    ----------
    compiled
        Its operator tables.
    fixed
        Activation -> its state of residency, where every configuration has the same.
    entering
        Layouts in which activations may enter the part.

    Raises
    ------
    NotTabledError
        Too many combinations, or a choice that leaves no kernel.
    """

    def __init__(
        self,
        compiled: CompiledPart,
        index: DecisionIndex,
        pricing: Pricing,
        fixed: Mapping[str, int],
        entering: EnteringLayouts,
    ) -> None:
        self._part, self._index, self._pricing, self._fixed = compiled, index, pricing, fixed
        self._entering, self._options = entering, compiled.options
        formats, names = compiled.formats, compiled.part.entering
        #: Decisions on formats of activations, then on the layouts in which they enter.
        self._axes = (*formats, *entering.decisions(names))
        self._shape = (*(len(self._options[i]) for i in formats), *entering.options(names))
        combinations = prod(map(len, self._options.values())) * prod(entering.options(names))
        if combinations > MAX_COMBINATIONS:
            head = compiled.part.kernels[0].head.name
            raise NotTabledError(f"{head} takes {combinations} combinations of options")
        self._kernels: dict[tuple[object, ...], _KernelForms] = {}
        self._priced: dict[str, None] = {}

    def tables(self) -> PartTables:
        """Return the tables of the part, and record in which layouts activations leave it."""
        steps: dict[Steps, int] = {}
        variant = np.zeros(self._shape, dtype=np.intp)
        sizes: dict[str, Floats] = {}
        after: dict[tuple[int, ...], Mapping[str, TensorLayout]] = {}
        for at in np.ndindex(self._shape):
            part = self._variant(at, {})
            graph, after[at] = part.graph, part.leaving
            kernels = list(part.kernels.values())
            self._price(at, part, dict(zip(part.kernels, self._forms(at, part), strict=True)))
            activations = tuple(
                tuple(n for n in (*k.reads, *k.writes) if graph.tensors[n].role == "activation")
                for k in kernels
            )
            variant[at] = steps.setdefault(activations, len(steps))
            for name in {name for step in activations for name in step} - self._part.graph.outside:
                size = sizes.setdefault(name, np.zeros((*self._shape, self._part.points)))
                size[at] = self._bytes(graph, name)
        self._entering.leave(self._part.part.leaving, self._axes, after)
        each = [self._table(forms) for forms in self._kernels.values()]
        joined = merged(each, self._pricing.states.count, _MAX_MERGED)
        return PartTables(
            tuple(joined),
            tuple(self._priced),
            tuple(steps),
            self._over_decisions(variant.astype(float)),
            {name: self._over_decisions(size) for name, size in sizes.items()},
        )

    def _variant(self, at: tuple[int, ...], weights: Mapping[int, int]) -> PartVariant:
        """Return the part under some options."""
        formats = len(self._part.formats)
        layouts = self._entering.of(self._part.part.entering, at[formats:])
        return self._part.variant(at[:formats], layouts, weights)

    def _forms(
        self, at: tuple[int, ...], part: PartVariant
    ) -> list[tuple[_KernelForms, _FormattedKernel]]:
        """Record the kernels under one combination, and return each with its form."""
        graph = part.graph
        out: list[tuple[_KernelForms, _FormattedKernel]] = []
        for kernel, share in zip(part.kernels.values(), part.shares, strict=True):
            accessed = (*kernel.reads, *kernel.writes)
            key = (kernel.operators[0].name, *kernel.reads, None, *kernel.writes)
            if key not in self._kernels:
                weights = {
                    self._index.by_tensor[n] for n in accessed if n in self._index.by_tensor
                }.intersection(self._part.weights)
                tensors = tuple(
                    name
                    for name in dict.fromkeys(accessed)
                    if graph.tensors[name].role == "activation"
                    and name not in self._part.graph.external
                    and name not in self._fixed
                )
                absent = np.full(self._shape, -1, dtype=np.intp)
                self._kernels[key] = _KernelForms(tuple(sorted(weights)), tensors, [], absent)
            forms = self._kernels[key]
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
        part: PartVariant,
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
            table = (self._variant(at, own) if any(options) else part).table
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
        sequences = self._part.values.get("batch", 1.0)
        priced = self._pricing.priced(table, [row], self._fixed, sequences, columns=True)
        priced.refuse_network_wide()
        self._priced |= dict.fromkeys(priced.terms.priced)
        # Without a nest, the product beside the kernel is priced in a format of its own.
        has_nest = any(operator.nests for operator in operators)
        return priced.with_unsupported() if has_nest else priced

    def _bytes(self, graph: Graph, name: str) -> Value:
        tensor = graph.tensors[name]
        bits = self._pricing.structure.bits(tensor)
        return evaluate(tensor.elements, self._part.values) * (bits / 8.0)

    def _table(self, forms: _KernelForms) -> KernelTable:
        """Return the table of a kernel over the decisions that affect it."""
        axes, variant = without_constant_axes((self._axes, forms.variant.astype(float)))
        costs = [form.costs[key] for form in forms.forms for key in sorted(form.costs)]
        names = tuple(dict.fromkeys(name for own, _ in costs for name in own))
        # (forms and weights, modes, states, points, names) -> points before states before modes
        values = np.stack([over(each, own, names) for own, each in costs]).transpose(0, 3, 2, 1, 4)
        shape = (*(len(self._options[i]) for i in forms.weights), *self._numeric_shape)
        values = values.reshape(len(forms.forms), *shape, *values.shape[2:])
        values = np.concatenate([values, np.zeros((1, *values.shape[1:]))])[variant.astype(int)]
        axes = (*axes, *forms.weights, *self._part.numeric)
        return KernelTable(tuple(sorted(axes)), forms.tensors, names, _ascending(axes, values))

    @property
    def _numeric_shape(self) -> tuple[int, ...]:
        return tuple(len(self._options[i]) for i in self._part.numeric)

    def _over_decisions(self, values: Floats) -> Table:
        """Return a table of values over formats, layouts and, if they have one, the last axis."""
        axes = self._axes
        if values.ndim > len(axes):
            values = values.reshape((*values.shape[:-1], *self._numeric_shape))
            axes = (*axes, *self._part.numeric)
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


def _diagonal_first(counts: Sequence[int]) -> list[tuple[int, ...]]:
    """Return all combinations of options, those with few different options first."""
    return sorted(product(*map(range, counts)), key=lambda each: len(set(each)))


def _ascending(axes: Sequence[int], values: Floats) -> Floats:
    """Return values with the axes of their decisions, which come first, in ascending order."""
    order = sorted(range(len(axes)), key=axes.__getitem__)
    return values.transpose(*order, *range(len(axes), values.ndim))
