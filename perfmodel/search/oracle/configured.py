"""Costs of the configurations of one network: its kernels tabled, its residency evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.residency import reduce_rows
from perfmodel.formats import stored_bits
from perfmodel.schedule.deadline import Deadline
from perfmodel.search.oracle.chain import NetworkSums
from perfmodel.search.oracle.kernel_tables import KernelTable, Touching, kernel_table
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.rows import Floats, Index, NotTabledError
from perfmodel.search.space.configurations import ConfigurationSpace
from perfmodel.workload.fuse import aliases
from perfmodel.workload.lifetimes import Lifetimes
from perfmodel.workload.program import PolynomialProgram
from perfmodel.workload.symbols import Dim, free_parameters

#: Rows times networks evaluated at once.
_CHUNK = 200_000


@dataclass(frozen=True, slots=True)
class ConfiguredTensors:
    """Tensors of one role, their elements and bits under every option.

    Attributes
    ----------
    names
        Of the tensors.
    program
        Gives ``elements`` of each.
    bits
        One array an own option of the tensor's decision, or of one number.
    decisions
        Decision of each, -1 for none.
    free
        Free dimensions that each one's elements depend on.
    """

    names: tuple[str, ...]
    program: PolynomialProgram
    bits: tuple[Floats, ...]
    decisions: tuple[int, ...]
    free: tuple[frozenset[str], ...]

    def bytes_of(self, choices: Index, values: Mapping[str, Value]) -> Floats:
        """Return bytes ``(tensors, networks)``."""
        n = len(choices)
        if not self.names:
            return np.zeros((0, n))
        elements = np.asarray(self.program(values, n)["elements"], dtype=float)
        bits = np.stack([
            b[choices[:, d]] if d >= 0 else np.full(n, b[0])
            for b, d in zip(self.bits, self.decisions, strict=True)
        ])  # fmt: skip
        return elements * (bits / 8.0)


class ConfigurationCosts:
    """Sums over any configurations of a space whose hardware is fixed.

    Attributes
    ----------
    kernels
        Tables of the kernels, in order.
    weights, caches, activations
        What is stored, and what lives when.

    Raises
    ------
    NotTabledError
        A choice makes other kernels, or too many combinations touch one.
    """

    def __init__(
        self, space: ConfigurationSpace, pricing: Pricing, given: Mapping[str, float],
        deadline: Deadline | None = None,
    ) -> None:  # fmt: skip
        self.space, self.pricing = space, pricing
        fusion = pricing.job.static.fusion
        graph = space.plain(pricing.job.static.semantics)
        touching = self.touching = Touching(space, graph)
        if touching.activation:
            kinds = {"gemm", "conv", "depthwise", "attention", "moe", "recurrent"}
            if not fusion.elementwise or (fusion.into and not kinds <= set(fusion.into)):
                raise NotTabledError("conversions are kernels of their own under this runtime")
        pricing.refuse_conversions(graph)
        lowered = pricing.lowered(graph)
        self.defaults: dict[str, float] = {
            **{n: float(v) for n, v in graph.defaults.items()},
            **{n: float(np.ravel(v)[0]) for n, v in space.base.parameters.items()}, **given,
        }  # fmt: skip
        sample = lowered.bind(
            {**self.defaults, **self._values(np.zeros((1, len(space.decisions)), dtype=np.intp))},
            1, accesses=True, nests=getattr(pricing.job.static.kind, "needs_nests", False),
        )  # fmt: skip
        assert sample.accesses is not None
        anchored = sample.nests is not None and len(sample.nests) > 0
        layers = np.broadcast_to(np.asarray(sample.layers, dtype=float), (len(sample.rows), 1))
        made: list[KernelTable] = []
        for i, kernel in enumerate(lowered.kernels):
            if deadline is not None:
                deadline.check(f"{i} of {len(lowered.kernels)} kernels had been priced")
            each = float(layers[i, 0])
            made.append(
                kernel_table(kernel, touching, pricing, self.defaults, each, anchored=anchored)
            )
        self.kernels: tuple[KernelTable, ...] = tuple(made)
        self._names = _quantities(self.kernels)
        self.priced = tuple(dict.fromkeys(p for k in self.kernels for p in k.priced))
        lives = sample.accesses.lifetimes
        self.lives: Lifetimes = lives
        self.live = _live(lives)
        self.activations = self._stored(dict.fromkeys(lives.names, 1))
        self.weights = self._stored(graph.stored_weights())
        self.caches = self._stored(_caches(graph))
        self.alias = alias = aliases(graph)
        place = {name: i for i, name in enumerate(lives.names)}
        self._flatten(alias, place)

    def _stored(self, copies: Mapping[str, Dim]) -> ConfiguredTensors:
        graph, space = self.touching.graph, self.space
        tables = (self.touching.weight, self.touching.activation, self.touching.kv)
        bits: list[Floats] = []
        decisions: list[int] = []
        for name in copies:
            decision = next((t[name] for t in tables if name in t), -1)
            decisions.append(decision)
            own = self.pricing.bits(graph.tensors[name])
            if decision < 0:
                bits.append(np.array([own]))
                continue
            options = space.decisions[decision].options
            bits.append(np.array([stored_bits(str(o)) if o else own for o in options]))
        elements = [times * graph.tensors[name].elements for name, times in copies.items()]
        free = tuple(free_parameters(each) for each in elements)
        return ConfiguredTensors(
            tuple(copies),
            PolynomialProgram({"elements": elements}),
            tuple(bits),
            tuple(decisions),
            free,
        )

    def _flatten(self, alias: Mapping[str, str], place: Mapping[str, int]) -> None:
        """Lay all tables one after the other, and say where a choice finds its entries."""
        n, c = len(self.space.decisions), self.pricing.states.count
        rows = len(self.kernels)
        most = max((len(k.tensors) for k in self.kernels), default=0)
        radix = np.zeros((n, rows), dtype=np.intp)
        self._touched: Index = np.full((rows, most), len(place), dtype=np.intp)
        self._weight: Index = np.zeros((rows, most), dtype=np.intp)
        first: list[int] = [0]
        parts: list[Floats] = []
        for r, kernel in enumerate(self.kernels):
            states = kernel.values.shape[len(kernel.decisions)]
            step = states
            for i in reversed(kernel.decisions):
                radix[i, r] = step
                step *= len(self.space.decisions[i].options)
            for k, name in enumerate(kernel.tensors):
                self._touched[r, k] = place[alias.get(name, name)]
                self._weight[r, k] = c**k
            columns = [self._names.index(name) for name in kernel.names]
            flat = kernel.values.reshape(step, self.pricing.modes, len(kernel.names))
            full = np.zeros((step, self.pricing.modes, len(self._names)))
            full[:, :, columns] = flat
            parts.append(full)
            first.append(first[-1] + step)
        self._radix = radix
        self._first: Index = np.array(first[:-1], dtype=np.intp)
        self._flat: Floats = np.concatenate(parts)

    # sums

    @property
    def names(self) -> tuple[str, ...]:
        """Quantities that are summed."""
        return self._names

    def sums(self, choices: Index, deadline: Deadline | None = None) -> NetworkSums:
        """Add up networks; `choices` of shape ``(networks, decisions)``.

        Raises
        ------
        OutOfTimeError
            The deadline passed before.
        """
        size = max(1, _CHUNK // max(1, len(self.kernels)))
        parts: list[NetworkSums] = []
        for i in range(0, len(choices), size):
            if deadline is not None:
                deadline.check(f"{i} of {len(choices)} members had been added up")
            parts.append(self._sums(choices[i : i + size]))
        return NetworkSums.joined(parts)

    def one(self, choice: Sequence[int]) -> tuple[Floats, float, float, float] | None:
        """Add up one network."""
        sums = self._sums(np.array([choice], dtype=np.intp))
        return (sums.values[0, 0], float(sums.weight_bytes[0]), float(sums.kv_bytes[0]),
                float(sums.peak_bytes[0]))  # fmt: skip

    def _sums(self, choices: Index) -> NetworkSums:
        values = {**self.defaults, **self._values(choices)}
        sizes = self.activations.bytes_of(choices, values)
        index = choices @ self._radix + self._first
        if self.pricing.states.count > 1 and len(sizes):
            state = self.states(sizes)
            index = index + (state[self._touched] * self._weight[:, :, None]).sum(axis=1).T
        return NetworkSums(
            self._names, self._flat[index].sum(axis=1),
            self.weights.bytes_of(choices, values).sum(axis=0),
            self.caches.bytes_of(choices, values).sum(axis=0), (self.live @ sizes).max(axis=0),
        )  # fmt: skip

    def states(self, sizes: Floats) -> Index:
        """Return states of activations ``(activations + 1, networks)``; the last is none."""
        lives = self.lives
        held = reduce_rows(np.add, sizes[lives.shorter], lives.sets)
        need = reduce_rows(np.maximum, held, lives.pairs)
        found = self.pricing.states.of(need)
        return np.concatenate([found, np.zeros((1, sizes.shape[1]), dtype=np.intp)])

    def least(self, allowed: Sequence[Sequence[int]]) -> NetworkSums:
        """Return sums that no network of allowed options is below, as one network's."""
        modes, m = self.pricing.modes, len(self._names)
        total = np.zeros((modes, m))
        for kernel in self.kernels:
            cut = kernel.values[np.ix_(*(allowed[i] for i in kernel.decisions))]
            axes = tuple(range(len(kernel.decisions) + 1))
            columns = [self._names.index(name) for name in kernel.names]
            total[:, columns] += cut.min(axis=axes)
        sizes = self._least_bytes(self.activations, allowed)
        return NetworkSums(
            self._names, total[None], np.array([self._least_bytes(self.weights, allowed).sum()]),
            np.array([self._least_bytes(self.caches, allowed).sum()]),
            np.array([(self.live @ sizes).max(initial=0.0)]),
        )  # fmt: skip

    def _least_bytes(self, stored: ConfiguredTensors, allowed: Sequence[Sequence[int]]) -> Floats:
        """Return the least bytes of each tensor: sizes grow with every number they depend on."""
        if not stored.names:
            return np.zeros(0)
        low: dict[str, Value] = dict(self.defaults)
        for name, i in self.touching.parameter.items():
            low[name] = min(float(self.space.decisions[i].options[k]) for k in allowed[i])
        elements = np.asarray(stored.program(low, 1)["elements"], dtype=float)[:, 0]
        bits = [
            min(b[k] for k in allowed[d]) if d >= 0 else b[0]
            for b, d in zip(stored.bits, stored.decisions, strict=True)
        ]
        return elements * (np.array(bits) / 8.0)

    def _values(self, choices: Index) -> dict[str, Value]:
        """Return free dimensions that decisions bind, each of shape ``(networks,)``."""
        return {
            name: np.array(self.space.decisions[i].options, dtype=float)[choices[:, i]]
            for name, i in self.touching.parameter.items()
        }


def numeric_of(stored: ConfiguredTensors, i: int, touching: Touching) -> list[int]:
    """Return the decisions that the number of a tensor's elements depends on, ascending."""
    return sorted({d for name, d in touching.parameter.items() if name in stored.free[i]})


def _quantities(kernels: Sequence[KernelTable]) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for kernel in kernels:
        names |= dict.fromkeys(kernel.names)
    order = ("latency_s", "macs", "bit_operations", "vector_ops")
    heads = ("traffic ", "operations ", "energy ")
    return (*order, *(n for head in heads for n in names if n.startswith(head)))


def _live(lives: Lifetimes) -> Floats:
    """Return 1 where an activation is live at a step, ``(steps, activations)``, steps distinct."""
    end = max((b for _, b in lives.intervals), default=0)
    steps = np.zeros((end + 1, len(lives.names)))
    for i, (a, b) in enumerate(lives.intervals):
        steps[a : b + 1, i] = 1.0
    return np.unique(steps, axis=0) if len(lives.names) else np.zeros((1, 0))


def _caches(graph: object) -> dict[str, Dim]:
    from perfmodel.workload.graph import Graph

    assert isinstance(graph, Graph)
    found: dict[str, Dim] = {}
    for block, operator in graph.walk():
        for access in operator.accesses:
            if graph.tensors[access.tensor].role in {"kv", "state"}:
                found.setdefault(access.tensor, block.stored)
    return found
