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
from math import prod

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.residency import residency_needs
from perfmodel.cost.totals import per_run_overhead_s, sequence_s
from perfmodel.formats import stored_bits
from perfmodel.optimise.deadline import Deadline
from perfmodel.search.oracle.activation_states import ActivationStates, KernelSteps, Table
from perfmodel.search.oracle.compiled_parts import CompiledParts, compiled_parts
from perfmodel.search.oracle.entering_layouts import EnteringLayouts
from perfmodel.search.oracle.kernel_pricing import ROW, Floats, Index, NotTabledError
from perfmodel.search.oracle.kernel_tables import KernelTable, merged
from perfmodel.search.oracle.network_combination import (
    NetworkCombination,
    refuse_bounds,
    table_names,
)
from perfmodel.search.oracle.part_pricing import MAX_COMBINATIONS, PartPricing, PartTables
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.stacked_tables import ConfiguredTensors, JoinedPlaces, StackedTables
from perfmodel.search.oracle.stretch_chain import NetworkSums
from perfmodel.search.oracle.table_structure import TableKey
from perfmodel.search.space.configuration_space import ConfigurationSpace
from perfmodel.workload.fuse import aliases
from perfmodel.workload.graph import Graph
from perfmodel.workload.layout_conversions import input_layouts
from perfmodel.workload.lifetimes import Lifetimes
from perfmodel.workload.symbols import Dim, evaluate, free_parameters

#: Most activations whose states are worked out for each network, at some 0.2 ms each.
_MAX_COMPUTED = 64
#: Kernels times networks evaluated at once.
_CHUNK = 200_000


class ConfigurationCosts:
    """Sums over the configurations of a space with fixed hardware.

    Attributes
    ----------
    kernels
        Tables of the kernels, part by part in order of execution.
    combination
        Quantities that are no sums over kernels, where layers share what the device has.
    varies
        Whether conversions are kernels of their own in some configurations.
    lives, live
        Lifetimes of the activations where no conversion is a kernel of its own.
    weights, caches, activations
        Stored tensors by role, and the activations, of which those between an operator and a
        conversion of its result are last.

    Raises
    ------
    NotTabledError
        A part of the network depends on too many combinations of options.
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
        self._everything = [range(count) for count in self._options]
        plain = space.plain(pricing.job.model.semantics)
        self.defaults: dict[str, float] = {
            **{n: float(v) for n, v in plain.defaults.items()},
            **{n: float(np.ravel(v)[0]) for n, v in space.base.parameters.items()},
            **numbers,
        }
        compiled = compiled_parts(plain, space, TableKey.of(pricing.structure, self.defaults, 1))
        index, sample = compiled.index, compiled.sample
        self.index, graph = index, index.graph
        assert sample.accesses is not None
        lives = sample.accesses.lifetimes
        self.lives: Lifetimes = lives
        self.live = _live(lives)
        self.activations = self._stored(dict.fromkeys(lives.names, 1))
        tabled = self._priced(compiled, deadline)
        self._options += self._layouts.counts
        self.varies = any([len(steps) for steps in part.steps] != [1] for part in tabled)
        sequences = self._sequence_tables()
        tables = [*(kernel for part in tabled for kernel in part.kernels), *sequences]
        names = table_names(tables, pricing)
        self.kernels: tuple[KernelTable, ...] = tuple(kernel.over(names) for kernel in tables)
        self.caches = self._stored(_caches(graph))
        self.combination: NetworkCombination | None = None
        if names and names[-1].startswith(ROW):
            low, high = (each.sum() for each in self.caches.range(self._everything))
            kv_bytes = low if low == high else None
            self.combination = NetworkCombination(self.kernels, names, sample, pricing, kv_bytes)
        self.names = names if self.combination is None else self.combination.names
        self.priced = tuple(dict.fromkeys(p for part in tabled for p in part.priced))
        # Kernels of a part may exclude each other, so that their least sum is not that of each.
        apart = [[kernel.least for kernel in part.kernels] for part in tabled]
        self._least = [
            table.over(self.names)
            for kernels in (*apart, sequences)
            for table in merged(kernels, 1, MAX_COMBINATIONS)
        ]
        self.weights = self._stored(graph.stored_weights())
        self.alias = aliases(graph)
        self._add_activations_between(tabled)
        self._stack(graph, tabled)

    def _priced(self, compiled: CompiledParts, deadline: Deadline | None) -> list[PartTables]:
        """Return the tables of the parts, and record in which layouts activations enter them."""
        fixed = {} if compiled.converts else self._fixed_states()
        parts = compiled.parts
        inputs = input_layouts(self.index.graph, self.pricing.structure.execution.layout)
        self._layouts = EnteringLayouts(inputs, len(self.space.decisions))
        out: list[PartTables] = []
        for i, part in enumerate(parts):
            if deadline is not None:
                deadline.check(f"{i} of {len(parts)} parts of the network had been priced")
            tables = PartPricing(part, self.index, self.pricing, fixed, self._layouts)
            out.append(tables.tables())
        return out

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
        return [KernelTable((decision,), (), ("latency_s",), values)]

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
        bits: Value = self.pricing.structure.bits(tensor)
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
        ranges = self.activations.range(self._everything)
        least, most = self.states(np.stack(ranges, axis=1))[:-1].T
        return {
            name: low
            for name, low, high in zip(self.lives.names, least.tolist(), most.tolist(), strict=True)
            if low == high
        }

    def _add_activations_between(self, parts: Sequence[PartTables]) -> None:
        """Add the activations between the kernels of a part, which are not in all sequences."""
        between = {name: size for part in parts for name, size in part.sizes.items()}
        accessed = {n for part in parts for s in part.steps for step in s for n in step}
        stored = {self.alias.get(name, name) for name in accessed} - between.keys()
        own = dict(zip(self.lives.names, self.activations.tables, strict=True))
        own = {name: size for name, size in own.items() if name in stored or not self.varies}
        self.tensors = (*own, *between)
        self.activations = ConfiguredTensors([*own.values(), *between.values()], self._options)

    def _stack(self, graph: Graph, parts: Sequence[PartTables]) -> None:
        """Concatenate the tables of all kernels, with the digits of their states."""
        place = {name: i for i, name in enumerate(self.tensors)}
        each = [[place[self.alias.get(n, n)] for n in kernel.tensors] for kernel in self.kernels]
        self._states = self._activation_states(graph, parts, place)
        tables, column = self._looked_up({i for row in each for i in row})
        self._near = StackedTables(tables, self._options)
        state, self._near_bytes = self._near.entries.reshape(-1, 2).T.copy()
        self._near_state: Index = state.astype(np.intp)
        # Padding has a weight of 0.
        most = max(map(len, each), default=0)
        self._touched: Index = np.zeros((len(each), most), dtype=np.intp)
        self._weight: Index = np.zeros((len(each), most), dtype=np.intp)
        for row, activations in enumerate(each):
            self._touched[row, : len(activations)] = [column[i] for i in activations]
            self._weight[row, : len(activations)] = self.pricing.states.count ** np.arange(
                len(activations)
            )
        self._stacked = StackedTables(
            [(kernel.decisions, kernel.values) for kernel in self.kernels],
            self._options,
            has_states=True,
        )
        self._places = JoinedPlaces(
            [self._near, self._stacked, self.weights.sums, self.caches.sums]
        )

    def _activation_states(
        self, graph: Graph, parts: Sequence[PartTables], place: Mapping[str, int]
    ) -> ActivationStates | None:
        """Return the tables of activations; ``None`` if residency is worked out for each network.

        That is so where no conversion is a kernel of its own, and activations have one size each,
        or so many are live together that their tables would be large.
        """
        if self.activations.is_fixed and not self.varies:
            return None
        kernels = [
            KernelSteps(
                part.variant,
                tuple(
                    tuple(tuple(place[self.alias.get(n, n)] for n in step) for step in steps)
                    for steps in part.steps
                ),
            )
            for part in parts
        ]
        inputs, outputs = (
            [place[name] for name in names if name in place]
            for names in (graph.inputs, graph.outputs)
        )
        states = ActivationStates(
            self.activations.tables, kernels, inputs, outputs, self._options, self.pricing.states
        )
        return states if self.varies or None not in states.tables else None

    def _looked_up(self, touched: set[int]) -> tuple[list[Table], dict[int, int]]:
        """Return the tables of activations that are looked up, and the column of each state.

        Those whose state no kernel reads are left out where others always have more live bytes.
        """
        self._computed: list[int] = []
        if self._states is None:
            if self.activations.is_fixed:
                peak_bytes = self._peak_bytes(np.zeros((1, len(self._options)), dtype=np.intp))
                return [((), np.array([0.0, *peak_bytes]))], {}
            return [], {i: i for i in touched}
        tables = {i: table for i, table in enumerate(self._states.tables) if table is not None}
        least = max((values[..., 1].min() for _, values in tables.values()), default=0.0)
        own = [i for i, (_, v) in tables.items() if i in touched or v[..., 1].max() >= least]
        self._computed = [i for i, table in enumerate(self._states.tables) if table is None]
        if len(self._computed) > _MAX_COMPUTED:
            count = len(self._computed)
            raise NotTabledError(f"the states of {count} activations take many decisions each")
        return [tables[i] for i in own], {i: k for k, i in enumerate((*own, *self._computed))}

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
            values, stored = self._sums(self._layouts.appended(choices[i : i + size]))
            parts.append(NetworkSums(self.names, values, stored.T))
        return NetworkSums.joined(parts)

    def one(self, choice: Sequence[int]) -> tuple[Floats, Floats]:
        """Return the sums of one network, ``(modes, quantities)``, and its stored bytes."""
        return self._sums(np.array(self._layouts.appended_to_one(choice), dtype=np.intp))

    def _sums(self, choices: Index) -> tuple[Floats, Floats]:
        """Return ``(..., modes, quantities)`` and ``(..., 3)`` of choices ``(..., decisions)``."""
        near, kernels, weights, caches = self._places(choices)
        state, peak_bytes = self._states_and_peak(choices, near)
        if self._touched.size:
            kernels = kernels + (state[..., self._touched] * self._weight).sum(axis=-1)
        stored = np.empty((*choices.shape[:-1], 3))
        stored[..., 0] = self.weights.sums.entries[weights].sum(axis=-1)
        stored[..., 1] = self.caches.sums.entries[caches].sum(axis=-1)
        stored[..., 2] = peak_bytes
        entries = self._stacked.entries[kernels]
        combine = self.combination
        return entries.sum(axis=-3) if combine is None else combine(entries, stored[..., 1]), stored

    def _states_and_peak(self, choices: Index, near: Index) -> tuple[Index, Floats]:
        """Return states of activations, ``(..., activations)``, and the peak of live bytes."""
        if len(self._near.starts):
            state = self._near_state[near]
            peak_bytes = self._near_bytes[near].max(axis=-1)
            for activation in self._computed:
                assert self._states is not None
                own = self._states.evaluated(activation, choices.reshape(-1, choices.shape[-1]))
                own = own.reshape(*choices.shape[:-1], 2)
                state = np.concatenate([state, own[..., :1].astype(np.intp)], axis=-1)
                peak_bytes = np.maximum(peak_bytes, own[..., 1])
            return state, peak_bytes
        sizes = self.activations.bytes_of(choices.reshape(-1, choices.shape[-1]))
        state, peak_bytes = self.states(sizes).T, (self.live @ sizes).max(axis=0)
        before = choices.shape[:-1]
        return state.reshape(*before, -1), peak_bytes.reshape(before)

    def _peak_bytes(self, choices: Index) -> Floats:
        return (self.live @ self.activations.bytes_of(choices)).max(axis=0)

    def states(self, sizes: Floats) -> Index:
        """Return the states of activations, ``(activations + 1, networks)``; the last is none."""
        need = residency_needs(self.lives, sizes)
        none = np.zeros((1, sizes.shape[1]), dtype=np.intp)
        return np.concatenate([self.pricing.states.of(need), none])

    def least(self, allowed: Sequence[Sequence[int]]) -> NetworkSums:
        """Return a lower bound on the sums of all networks of allowed options, as one network.

        Raises
        ------
        InputError
            Layers share what the device has, so that there are no bounds.
        """
        if self.combination is not None:
            refuse_bounds()
        allowed = [*allowed, *map(range, self._layouts.counts)]
        total = np.zeros((self.pricing.modes, len(self.names)))
        for kernel in self._least:
            values = kernel.values[np.ix_(*(allowed[i] for i in kernel.decisions))]
            total += values.min(axis=tuple(range(len(kernel.decisions) + 1)))
        sizes, _ = self.activations.range(allowed)
        stored = [each.range(allowed)[0].sum() for each in (self.weights, self.caches)]
        # Conversions change which activations are live together.
        stored.append(np.float64(0.0) if self.varies else (self.live @ sizes).max(initial=0.0))
        return NetworkSums(self.names, total[None], np.array(stored)[:, None])


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
