"""Tabulated costs of one network's configurations: formats, sparsity, widths and batch.

A cost of the whole network is a sum over its kernels,
cost(x) = sum over kernels k of T_k[x restricted to the decisions of k, states of its activations],
where T_k is the table of a kernel (`kernel_tables`) and a state says in which memory an activation
resides. States follow from the bytes of all live activations (`perfmodel.cost.residency`), which
are tables over decisions too. A configuration is thus costed by look-ups and additions, without
compiling or predicting its network; `perfmodel.search.oracle.oracle_costs` calls this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import prod
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.residency import residency_needs
from perfmodel.cost.totals import per_run_overhead_s, sequence_s
from perfmodel.formats import stored_bits
from perfmodel.optimise.deadline import Deadline
from perfmodel.search.oracle.kernel_pricing import Floats, Index, NotTabledError, in_order
from perfmodel.search.oracle.kernel_tables import (
    MAX_COMBINATIONS,
    DecisionIndex,
    KernelTable,
    kernel_table,
)
from perfmodel.search.oracle.pricing import Pricing, refuse_conversions
from perfmodel.search.oracle.stretch_chain import NetworkSums
from perfmodel.search.space.configuration_space import ConfigurationSpace
from perfmodel.workload.fuse import aliases
from perfmodel.workload.graph import Graph
from perfmodel.workload.lifetimes import Lifetimes, lifetimes_of
from perfmodel.workload.symbols import Dim, evaluate, free_parameters

#: Kernels times networks evaluated at once.
_CHUNK = 200_000
#: Largest number of sequences of kernels whose lifetimes are kept.
_MAX_SEQUENCES: Final = 256

#: Decisions, ascending, and values with an axis for the options of each.
Table: TypeAlias = tuple[tuple[int, ...], Floats]


class StackedTables:
    """Tables over decisions in one array, from which a configuration takes one entry of each.

    Parameters
    ----------
    tables
        The tables; axes after those of the decisions belong to an entry.
    options
        Number of options of each decision of the space.
    has_states
        Whether an axis of states stands between those of the decisions and of the entry.
    """

    def __init__(
        self, tables: Sequence[Table], options: Sequence[int], *, has_states: bool = False
    ) -> None:
        most = max((len(decisions) for decisions, _ in tables), default=0)
        self._decisions: Index = np.zeros((len(tables), most), dtype=np.intp)
        self._strides: Index = np.zeros((len(tables), most), dtype=np.intp)
        starts = [0]
        entries: list[Floats] = []
        for row, (decisions, values) in enumerate(tables):
            axes = len(decisions) + has_states
            stride = prod(values.shape[len(decisions) : axes])
            for k in reversed(range(len(decisions))):
                self._decisions[row, k], self._strides[row, k] = decisions[k], stride
                stride *= options[decisions[k]]
            entries.append(values.reshape(stride, *values.shape[axes:]))
            starts.append(starts[-1] + stride)
        self._starts: Index = np.array(starts[:-1], dtype=np.intp)
        self.entries: Floats = np.concatenate(entries) if entries else np.zeros(0)

    def places(self, choices: Index) -> Index:
        """Return the place in `entries` of each table's entry, ``(configurations, tables)``."""
        return (choices[:, self._decisions] * self._strides).sum(axis=-1) + self._starts


class ConfiguredTensors:
    """Bytes of tensors of one role, each over the decisions that it depends on.

    Attributes
    ----------
    tables
        One table per tensor.
    is_fixed
        Whether no decision affects any of them.
    """

    def __init__(self, tables: Sequence[Table], options: Sequence[int]) -> None:
        self.tables = tuple(tables)
        self.is_fixed = not any(decisions for decisions, _ in tables)
        self._each = StackedTables(self.tables, options)
        by_decisions: dict[tuple[int, ...], Floats] = {}
        for decisions, values in self.tables:
            by_decisions[decisions] = values + by_decisions.get(decisions, 0.0)
        self._sums = StackedTables(list(by_decisions.items()), options)

    def bytes_of(self, choices: Index) -> Floats:
        """Return the bytes of each tensor, ``(tensors, networks)``."""
        return self._each.entries[self._each.places(choices)].T

    def total_bytes(self, choices: Index) -> Floats:
        """Return the bytes of all tensors, ``(networks,)``."""
        return self._sums.entries[self._sums.places(choices)].sum(axis=1)

    def range(self, allowed: Sequence[Sequence[int]]) -> tuple[Floats, Floats]:
        """Return the least and the most bytes of each tensor over allowed options of decisions."""
        tables = [
            table[np.ix_(*(allowed[d] for d in decisions))] for decisions, table in self.tables
        ]
        return np.array([t.min() for t in tables]), np.array([t.max() for t in tables])


class SequenceLifetimes(NamedTuple):
    """Live ranges of activations in one sequence of kernels.

    Attributes
    ----------
    places
        Place of each of its activations among all.
    lives
        Their lifetimes, in the same order.
    """

    places: Index
    lives: Lifetimes

    def peak_bytes(self, sizes: Floats) -> Floats:
        """Return the most bytes that are live at one step, of sizes ``(activations, networks)``."""
        first, last = np.array(self.lives.intervals, dtype=np.intp).T
        change = np.zeros((last.max() + 2, sizes.shape[1]))
        np.add.at(change, first, sizes)
        np.subtract.at(change, last + 1, sizes)
        return change.cumsum(axis=0).max(axis=0)


class ConfigurationCosts:
    """Sums over the configurations of a space with fixed hardware.

    Attributes
    ----------
    kernels
        Tables of the kernels, in order of execution.
    lives, live
        Lifetimes of the activations where no conversion is a kernel of its own.
    weights, caches, activations
        Stored tensors by role, and the activations, of which those between an operator and a
        conversion of its result are last.

    Raises
    ------
    NotTabledError
        A choice changes the kernels of a layer, or one kernel depends on too many combinations.
    """

    def __init__(
        self,
        space: ConfigurationSpace,
        pricing: Pricing,
        numbers: Mapping[str, float],
        deadline: Deadline | None = None,
    ) -> None:
        self.space, self.pricing = space, pricing
        self._options = tuple(len(decision.options) for decision in space.decisions)
        fusion = pricing.job.model.fusion
        graph = _executed(space.plain(pricing.job.model.semantics), space, pricing)
        index = self.index = DecisionIndex(space, graph)
        kinds = {"gemm", "conv", "depthwise", "attention", "moe", "recurrent"}
        fuses = fusion.elementwise and (not fusion.into or kinds <= set(fusion.into))
        self._converts = index.formats_activations and not fuses
        if self._converts and pricing.layout is not None:
            raise NotTabledError("conversions of formats meet those of layouts under this runtime")
        lowered = pricing.lowered(graph)
        self.defaults: dict[str, float] = {
            **{n: float(v) for n, v in graph.defaults.items()},
            **{n: float(np.ravel(v)[0]) for n, v in space.base.parameters.items()},
            **numbers,
        }
        sample = lowered.bind(
            {**self.defaults, **{d: float(o[0]) for d, o in index.numeric_options.items()}},
            1,
            accesses=True,
            nests=pricing.job.model.kind.needs_nests,
        )
        assert sample.accesses is not None
        anchored = sample.nests is not None and len(sample.nests) > 0
        layers = np.broadcast_to(np.asarray(sample.layers, dtype=float), (len(sample.rows), 1))
        lives = sample.accesses.lifetimes
        self.lives: Lifetimes = lives
        self.live = _live(lives)
        self.activations = self._stored(dict.fromkeys(lives.names, 1))
        fixed = {} if self._converts else self._fixed_states()
        tables: list[KernelTable] = []
        for i, kernel in enumerate(lowered.kernels):
            if deadline is not None:
                deadline.check(f"{i} of {len(lowered.kernels)} kernels had been priced")
            each = float(layers[i, 0])
            tables.append(
                kernel_table(kernel, index, pricing, self.defaults, each, fixed, anchored=anchored)
            )
        tables += self._sequence_tables()
        self.names = in_order(name for kernel in tables for name in kernel.names)
        self.kernels: tuple[KernelTable, ...] = tuple(kernel.over(self.names) for kernel in tables)
        self.priced = tuple(dict.fromkeys(p for k in self.kernels for p in k.priced))
        self.weights = self._stored(graph.stored_weights())
        self.caches = self._stored(_caches(graph))
        self.alias = aliases(graph)
        self._add_activations_between(graph)
        self._stack()

    def _sequence_tables(self) -> list[KernelTable]:
        """Return the seconds of the sequences of a run beyond those of the first batch."""
        decision = self.index.by_dimension.get("batch")
        setting = self.pricing.setting
        if decision is None or not sequence_s(setting):
            return []
        batches = self.index.numeric_options["batch"]
        seconds = per_run_overhead_s(replace(setting, sequences=batches)) - self.pricing.per_run_s
        values = np.broadcast_to(
            seconds[:, None, None, None], (len(batches), 1, self.pricing.modes, 1)
        )
        # No kernel: one sequence of none.
        return [
            KernelTable(
                (decision,), (), ("latency_s",), values, (), ((),), np.zeros(len(batches)), {}
            )
        ]

    def _stored(self, copies: Mapping[str, Dim]) -> ConfiguredTensors:
        """Return the bytes of tensors, as tensor -> number of copies."""
        return ConfiguredTensors([self._bytes(*each) for each in copies.items()], self._options)

    def _bytes(self, name: str, copies: Dim) -> Table:
        """Return bytes = copies * elements * bits / 8 of a tensor.

        Raises
        ------
        NotTabledError
            Too many combinations of options affect it.
        """
        tensor, index = self.index.graph.tensors[name], self.index
        elements = copies * tensor.elements
        free = free_parameters(elements) & index.by_dimension.keys()
        own = index.by_tensor.get(name)
        affecting = {index.by_dimension[dimension] for dimension in free}
        decisions = sorted(affecting if own is None else affecting | {own})
        shape = tuple(self._options[i] for i in decisions)
        if prod(shape) > MAX_COMBINATIONS:
            raise NotTabledError(f"{name} takes {prod(shape)} combinations of options")
        option = dict(zip(decisions, np.ix_(*map(range, shape)), strict=True))
        values: dict[str, Value] = dict(self.defaults)
        for dimension in free:
            i = index.by_dimension[dimension]
            values[dimension] = index.numeric_options[dimension][option[i]]
        bits: Value = self.pricing.bits(tensor)
        if own is not None:
            formats = self.space.decisions[own].options
            bits = np.array([stored_bits(str(f)) if f else bits for f in formats])[option[own]]
        table = np.asarray(evaluate(elements, values) * (bits / 8.0), dtype=float)
        return tuple(decisions), np.broadcast_to(table, shape)

    def _fixed_states(self) -> dict[str, int]:
        """Return the state of each activation whose state is the same in every configuration.

        Needs are sums of sizes, so the smallest and the largest sizes bound them.
        """
        if not self.lives.names:
            return {}
        everything = [range(count) for count in self._options]
        least, most = self.states(np.stack(self.activations.range(everything), axis=1))[:-1].T
        return {
            name: low
            for name, low, high in zip(self.lives.names, least.tolist(), most.tolist(), strict=True)
            if low == high
        }

    def _add_activations_between(self, graph: Graph) -> None:
        """Add the activations between operators and conversions of their results."""
        between = [(k.decisions, n, size) for k in self.kernels for n, size in k.sizes.items()]
        self.tensors = (*self.lives.names, *(name for _, name, _ in between))
        place = {name: i for i, name in enumerate(self.tensors)}
        self._ends = [
            [place[n] for n in names if n in place] for names in (graph.inputs, graph.outputs)
        ]
        extra = [(decisions, size) for decisions, _, size in between]
        self.activations = ConfiguredTensors([*self.activations.tables, *extra], self._options)
        self._sequences: dict[tuple[int, ...], SequenceLifetimes] = {}

    def _stack(self) -> None:
        """Concatenate the tables of all kernels, with the digits of their states."""
        state_count = self.pricing.states.count
        place = {name: i for i, name in enumerate(self.tensors)}
        most = max((len(k.tensors) for k in self.kernels), default=0)
        self._touched: Index = np.full((len(self.kernels), most), len(place), dtype=np.intp)
        self._weight: Index = np.zeros((len(self.kernels), most), dtype=np.intp)
        for row, kernel in enumerate(self.kernels):
            for k, name in enumerate(kernel.tensors):
                self._touched[row, k] = place[self.alias.get(name, name)]
                self._weight[row, k] = state_count**k
        self._stacked = StackedTables(
            [(kernel.decisions, kernel.values) for kernel in self.kernels],
            self._options,
            has_states=True,
        )
        self._variants = StackedTables(
            [(kernel.decisions, kernel.variant) for kernel in self.kernels],
            self._options,
        )

    @cached_property
    def varies(self) -> bool:
        """Whether conversions are kernels of their own in some configurations."""
        return any(len(kernel.steps) > 1 for kernel in self.kernels)

    def _sequence(self, variants: tuple[int, ...]) -> SequenceLifetimes:
        """Return the lifetimes in a sequence of kernels, as the variant of each."""
        known = self._sequences.get(variants)
        if known is None:
            if len(self._sequences) >= _MAX_SEQUENCES:
                self._sequences.clear()
            each = zip(self._steps, variants, strict=True)
            known = self._lifetimes_of([step for steps, v in each for step in steps[v]])
            self._sequences[variants] = known
        return known

    @cached_property
    def _steps(self) -> list[list[list[list[int]]]]:
        """Places of the activations that each variant of each kernel accesses, step by step."""
        place = {name: i for i, name in enumerate(self.tensors)}
        return [
            [[[place[self.alias.get(n, n)] for n in step] for step in steps] for steps in k.steps]
            for k in self.kernels
        ]

    def _lifetimes_of(self, steps: Sequence[Sequence[int]]) -> SequenceLifetimes:
        """Return the lifetimes in kernels that access the activations at some places."""
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for i, step in enumerate(steps):
            for at in step:
                first.setdefault(at, i)
                last[at] = i
        inputs, outputs = self._ends
        first |= {at: 0 for at in inputs if at in first}
        last |= {at: len(steps) - 1 for at in outputs if at in last}
        intervals = [(first[at], last[at]) for at in first]
        lives = lifetimes_of([*map(self.tensors.__getitem__, first)], [""] * len(first), intervals)
        return SequenceLifetimes(np.array([*first], dtype=np.intp), lives)

    # sums

    def sums(self, choices: Index, deadline: Deadline | None = None) -> NetworkSums:
        """Return the sums of networks; `choices` has shape ``(networks, decisions)``.

        Raises
        ------
        OutOfTimeError
            The deadline passed before all networks were summed.
        """
        size = max(1, _CHUNK // max(1, len(self.kernels)))
        parts: list[NetworkSums] = []
        for i in range(0, len(choices), size):
            if deadline is not None:
                deadline.check(f"{i} of {len(choices)} members had been added up")
            parts.append(self._sums(choices[i : i + size]))
        return NetworkSums.joined(parts)

    def one(self, choice: Sequence[int]) -> tuple[Floats, Floats]:
        """Return the sums of one network with a single mode."""
        return self._sums(np.array([choice], dtype=np.intp)).one

    def _sums(self, choices: Index) -> NetworkSums:
        if not self.varies:
            return self._sums_in(choices, None)
        variants = self._variants.entries[self._variants.places(choices)].astype(np.intp)
        members: dict[tuple[int, ...], list[int]] = {}
        for i, each in enumerate(variants.tolist()):
            members.setdefault(tuple(each), []).append(i)
        parts = [self._sums_in(choices[own], self._sequence(v)) for v, own in members.items()]
        joined = NetworkSums.joined(parts)
        order = np.argsort(np.concatenate([*members.values()]))
        return NetworkSums(self.names, joined.values[order], joined.stored[:, order])

    def _sums_in(self, choices: Index, sequence: SequenceLifetimes | None) -> NetworkSums:
        """Return the sums of networks in a sequence of kernels, by default without conversions."""
        places = self._stacked.places(choices)
        if sequence is not None:
            peak_bytes = sequence.peak_bytes(self.activations.bytes_of(choices)[sequence.places])
        elif self.activations.is_fixed:
            peak_bytes = np.full(len(choices), self._fixed_peak_bytes)
        else:
            peak_bytes = self._peak_bytes(choices)
        if self._touched.size:
            state = self._states_in(choices, sequence)
            places = places + (state[self._touched] * self._weight[:, :, None]).sum(axis=1).T
        stored = [self.weights.total_bytes(choices), self.caches.total_bytes(choices), peak_bytes]
        values = self._stacked.entries[places].sum(axis=1)
        return NetworkSums(self.names, values, np.stack(stored))

    def _states_in(self, choices: Index, sequence: SequenceLifetimes | None) -> Index:
        """Return the states of all activations, ``(activations + 1, networks)``."""
        sizes = self.activations.bytes_of(choices)
        if sequence is None:
            return self.states(sizes)
        state = np.zeros((len(sizes) + 1, len(choices)), dtype=np.intp)
        need = residency_needs(sequence.lives, sizes[sequence.places])
        state[sequence.places] = self.pricing.states.of(need)
        return state

    def _peak_bytes(self, choices: Index) -> Floats:
        return (self.live @ self.activations.bytes_of(choices)).max(axis=0)

    @cached_property
    def _fixed_peak_bytes(self) -> float:
        """Peak of live activations if no decision affects their sizes."""
        return float(self._peak_bytes(np.zeros((1, len(self._options)), dtype=np.intp))[0])

    def states(self, sizes: Floats) -> Index:
        """Return the states of activations, ``(activations + 1, networks)``; the last is none."""
        need = residency_needs(self.lives, sizes)
        none = np.zeros((1, sizes.shape[1]), dtype=np.intp)
        return np.concatenate([self.pricing.states.of(need), none])

    def least(self, allowed: Sequence[Sequence[int]]) -> NetworkSums:
        """Return a lower bound on the sums of all networks of allowed options, as one network."""
        total = np.zeros((self.pricing.modes, len(self.names)))
        for kernel in self.kernels:
            values = kernel.values[np.ix_(*(allowed[i] for i in kernel.decisions))]
            total += values.min(axis=tuple(range(len(kernel.decisions) + 1)))
        sizes, _ = self.activations.range(allowed)
        stored = [each.range(allowed)[0].sum() for each in (self.weights, self.caches)]
        # Conversions change which activations are live together.
        stored.append(np.float64(0.0) if self.varies else (self.live @ sizes).max(initial=0.0))
        return NetworkSums(self.names, total[None], np.array(stored)[:, None])


def _executed(graph: Graph, space: ConfigurationSpace, pricing: Pricing) -> Graph:
    """Return the network as the runtime executes it, if that is the same in all configurations.

    Raises
    ------
    NotTabledError
        Conversions of formats or layouts depend on decisions.
    """
    roles = {decision.role for decision in space.decisions}
    if roles.isdisjoint({"activations", "channels"}):
        return pricing.executed(graph)
    refuse_conversions(graph, pricing.layout)
    return pricing.executed_part(graph, any_format="activations" in roles)


def _live(lives: Lifetimes) -> Floats:
    """Return 1 where an activation is live, else 0, ``(distinct steps, activations)``."""
    end = max((last for _, last in lives.intervals), default=0)
    steps = np.zeros((end + 1, len(lives.names)))
    for i, (first, last) in enumerate(lives.intervals):
        steps[first : last + 1, i] = 1.0
    return np.unique(steps, axis=0) if len(lives.names) else np.zeros((1, 0))


def _caches(graph: Graph) -> dict[str, Dim]:
    caches: dict[str, Dim] = {}
    for block, operator in graph.walk():
        for access in operator.accesses:
            if graph.tensors[access.tensor].role in {"kv", "state"}:
                caches.setdefault(access.tensor, block.stored)
    return caches
