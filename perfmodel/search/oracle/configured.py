"""Tabulated costs of one network's configurations: kernels from tables, residency evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.residency import residency_needs
from perfmodel.formats import stored_bits
from perfmodel.optimise.deadline import Deadline
from perfmodel.search.oracle.chain import NetworkSums
from perfmodel.search.oracle.kernel_tables import DecisionIndex, KernelTable, kernel_table
from perfmodel.search.oracle.pricing import Pricing, refuse_conversions
from perfmodel.search.oracle.rows import Floats, Index, NotTabledError, in_order
from perfmodel.search.space.configurations import ConfigurationSpace
from perfmodel.workload.fuse import aliases
from perfmodel.workload.graph import Graph
from perfmodel.workload.lifetimes import Lifetimes
from perfmodel.workload.program import PolynomialProgram
from perfmodel.workload.symbols import Dim, free_parameters

#: Kernels times networks evaluated at once.
_CHUNK = 200_000


@dataclass(frozen=True, eq=False)
class ConfiguredTensors:
    """Tensors of one role, with their elements and their bits under every option.

    Attributes
    ----------
    names
        Names of the tensors.
    program
        Program that computes ``elements`` of each tensor.
    bits
        One array per tensor: bits under every option of its decision, or a single number.
    decisions
        Decision of each tensor's format; -1 for none.
    free
        Free dimensions that each tensor's elements depend on.
    defaults
        Free dimension -> default value.
    bound
        Free dimension -> (decision that binds it, value under each option).
    """

    names: tuple[str, ...]
    program: PolynomialProgram
    bits: tuple[Floats, ...]
    decisions: tuple[int, ...]
    free: tuple[frozenset[str], ...]
    defaults: Mapping[str, float]
    bound: Mapping[str, tuple[int, Floats]]

    def bytes_of(self, choices: Index, values: Mapping[str, Value]) -> Floats:
        """Return bytes = elements * bits / 8, ``(tensors, networks)``."""
        n = len(choices)
        if not self.names:
            return np.zeros((0, n))
        elements = np.asarray(self.program(values, n)["elements"], dtype=float)
        bits = np.stack(
            [
                b[choices[:, d]] if d >= 0 else np.full(n, b[0])
                for b, d in zip(self.bits, self.decisions, strict=True)
            ]
        )
        return elements * (bits / 8.0)

    @cached_property
    def tables(self) -> list[tuple[tuple[int, ...], Floats]]:
        """Bytes of each tensor as a table over the decisions it depends on, ascending."""
        return [self._table(i) for i in range(len(self.names))]

    def _table(self, i: int) -> tuple[tuple[int, ...], Floats]:
        """Return the bytes of one tensor as a table over the decisions it depends on."""
        numbers = dict(self.bound[name] for name in self.free[i] if name in self.bound)
        numeric = sorted(numbers)
        grid = np.meshgrid(*(numbers[d] for d in numeric), indexing="ij")
        # Dimensions that the tensor does not depend on may have any of their values.
        values: dict[str, Value] = {
            **self.defaults,
            **{
                name: np.ravel(grid[numeric.index(d)]) if d in numbers else options[0]
                for name, (d, options) in self.bound.items()
            },
        }
        shape = [len(numbers[d]) for d in numeric]
        column = np.asarray(self.program(values, prod(shape))["elements"], dtype=float)[i]
        elements = np.broadcast_to(column, (prod(shape),)).reshape(shape)
        own, bits = self.decisions[i], self.bits[i] / 8.0
        if own < 0:
            return tuple(numeric), elements * bits[0]
        order = [*numeric, own]
        ascending: list[int] = np.argsort(order).tolist()
        table = np.multiply.outer(elements, bits).transpose(ascending)
        return tuple(order[k] for k in ascending), table

    def least(self, allowed: Sequence[Sequence[int]]) -> Floats:
        """Return the minimum bytes of each tensor over the allowed options of each decision."""
        return np.array(
            [
                table[np.ix_(*(allowed[d] for d in decisions))].min()
                for decisions, table in self.tables
            ]
        )


class ConfigurationCosts:
    """Sums over the configurations of a space with fixed hardware.

    Attributes
    ----------
    kernels
        Tables of the kernels, in order of execution.
    weights, caches, activations
        Stored tensors by role, and the activations.

    Raises
    ------
    NotTabledError
        A choice changes the kernels, or one kernel depends on too many combinations.
    """

    def __init__(
        self,
        space: ConfigurationSpace,
        pricing: Pricing,
        numbers: Mapping[str, float],
        deadline: Deadline | None = None,
    ) -> None:
        self.space, self.pricing = space, pricing
        fusion = pricing.job.model.fusion
        graph = space.plain(pricing.job.model.semantics)
        index = self.index = DecisionIndex(space, graph)
        if index.formats_activations:
            kinds = {"gemm", "conv", "depthwise", "attention", "moe", "recurrent"}
            if not fusion.elementwise or (fusion.into and not kinds <= set(fusion.into)):
                raise NotTabledError("conversions are kernels of their own under this runtime")
        refuse_conversions(graph, pricing.layout)
        lowered = pricing.lowered(graph)
        self.defaults: dict[str, float] = {
            **{n: float(v) for n, v in graph.defaults.items()},
            **{n: float(np.ravel(v)[0]) for n, v in space.base.parameters.items()},
            **numbers,
        }
        sample = lowered.bind(
            {**self.defaults, **self._values(np.zeros((1, len(space.decisions)), dtype=np.intp))},
            1,
            accesses=True,
            nests=pricing.job.model.kind.needs_nests,
        )
        assert sample.accesses is not None
        anchored = sample.nests is not None and len(sample.nests) > 0
        layers = np.broadcast_to(np.asarray(sample.layers, dtype=float), (len(sample.rows), 1))
        tables: list[KernelTable] = []
        for i, kernel in enumerate(lowered.kernels):
            if deadline is not None:
                deadline.check(f"{i} of {len(lowered.kernels)} kernels had been priced")
            each = float(layers[i, 0])
            tables.append(
                kernel_table(kernel, index, pricing, self.defaults, each, anchored=anchored)
            )
        self.names = in_order(name for kernel in tables for name in kernel.names)
        self.kernels: tuple[KernelTable, ...] = tuple(kernel.over(self.names) for kernel in tables)
        self.priced = tuple(dict.fromkeys(p for k in self.kernels for p in k.priced))
        lives = sample.accesses.lifetimes
        self.lives: Lifetimes = lives
        self.live = _live(lives)
        self.activations = self._stored(dict.fromkeys(lives.names, 1))
        self.weights = self._stored(graph.stored_weights())
        self.caches = self._stored(_caches(graph))
        self._whole_run = (self.weights, self.caches)
        self.alias = alias = aliases(graph)
        place = {name: i for i, name in enumerate(lives.names)}
        self._flatten(alias, place)

    def _stored(self, copies: Mapping[str, Dim]) -> ConfiguredTensors:
        """Return tensors with their numbers of copies, and their bits under every option."""
        graph, space = self.index.graph, self.space
        bits: list[Floats] = []
        decisions: list[int] = []
        for name in copies:
            decision = self.index.by_tensor.get(name, -1)
            decisions.append(decision)
            own = self.pricing.bits(graph.tensors[name])
            if decision < 0:
                bits.append(np.array([own]))
                continue
            options = space.decisions[decision].options
            bits.append(np.array([stored_bits(str(o)) if o else own for o in options]))
        elements = [times * graph.tensors[name].elements for name, times in copies.items()]
        free = tuple(free_parameters(each) for each in elements)
        bound = {
            name: (i, np.array(space.decisions[i].options, dtype=float))
            for name, i in self.index.by_dimension.items()
        }
        program = PolynomialProgram({"elements": elements})
        return ConfiguredTensors(
            tuple(copies), program, tuple(bits), tuple(decisions), free, self.defaults, bound
        )

    def _flatten(self, alias: Mapping[str, str], place: Mapping[str, int]) -> None:
        """Concatenate all tables, with the strides from a choice to its entries."""
        n, state_count = len(self.space.decisions), self.pricing.states.count
        rows = len(self.kernels)
        most = max((len(k.tensors) for k in self.kernels), default=0)
        radix = np.zeros((n, rows), dtype=np.intp)
        self._touched: Index = np.full((rows, most), len(place), dtype=np.intp)
        self._weight: Index = np.zeros((rows, most), dtype=np.intp)
        first: list[int] = [0]
        parts: list[Floats] = []
        for row, kernel in enumerate(self.kernels):
            states = kernel.values.shape[len(kernel.decisions)]
            step = states
            for i in reversed(kernel.decisions):
                radix[i, row] = step
                step *= len(self.space.decisions[i].options)
            for k, name in enumerate(kernel.tensors):
                self._touched[row, k] = place[alias.get(name, name)]
                self._weight[row, k] = state_count**k
            parts.append(kernel.values.reshape(step, self.pricing.modes, len(self.names)))
            first.append(first[-1] + step)
        self._radix = radix
        self._first: Index = np.array(first[:-1], dtype=np.intp)
        self._flat: Floats = np.ascontiguousarray(np.concatenate(parts))

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
        values = {**self.defaults, **self._values(choices)}
        sizes = self.activations.bytes_of(choices, values)
        index = choices @ self._radix + self._first
        if self.pricing.states.count > 1 and len(sizes):
            state = self.states(sizes)
            index = index + (state[self._touched] * self._weight[:, :, None]).sum(axis=1).T
        stored = [each.bytes_of(choices, values).sum(axis=0) for each in self._whole_run]
        stored.append((self.live @ sizes).max(axis=0))
        return NetworkSums(self.names, self._flat[index].sum(axis=1), np.stack(stored))

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
        sizes = self.activations.least(allowed)
        stored = [each.least(allowed).sum() for each in self._whole_run]
        stored.append((self.live @ sizes).max(initial=0.0))
        return NetworkSums(self.names, total[None], np.array(stored)[:, None])

    def _values(self, choices: Index) -> dict[str, Value]:
        """Return the free dimensions that decisions bind, each of shape ``(networks,)``."""
        return {
            name: np.array(self.space.decisions[i].options, dtype=float)[choices[:, i]]
            for name, i in self.index.by_dimension.items()
        }


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
