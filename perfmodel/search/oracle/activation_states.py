"""States and live bytes of activations as tables over the decisions near them.

The need of an activation (`perfmodel.cost.residency.residency_needs`) is a sum over the tensors
that are live with it and live no longer. Few decisions affect it: formats and widths of these
tensors, and conversions that are kernels of their own, which move the ends of live ranges. Its
state is therefore a small table over these decisions, as are the bytes that are live at its first
step, whose maximum over all activations is the peak. A member looks its states and its peak up, and
no sequence of kernels is arranged for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from perfmodel.search.choice_rows import all_choices
from perfmodel.search.oracle.kernel_pricing import Floats, Index, NotTabledError, States

#: Decisions, ascending, and values with an axis for the options of each.
Table: TypeAlias = tuple[tuple[int, ...], Floats]

#: Largest number of pairs of a step and an activation evaluated at once.
_MAX_LIVE: Final = 100_000
#: Largest number of combinations of options of a table.
_MAX_COMBINATIONS: Final = 8192


@dataclass(frozen=True)
class KernelSteps:
    """A kernel of a network as the sequences of kernels that it may be.

    Attributes
    ----------
    variant
        Table of the sequence under each combination of options.
    steps
        Sequence -> the activations that each of its kernels accesses.
    """

    variant: Table
    steps: tuple[tuple[tuple[int, ...], ...], ...]

    @property
    def lengths(self) -> Index:
        """Number of kernels of each sequence."""
        return np.array(list(map(len, self.steps)), dtype=np.intp)

    def offsets(self, activation: int) -> list[list[int]]:
        """Return the steps of each sequence that access an activation."""
        return [[i for i, step in enumerate(s) if activation in step] for s in self.steps]


class _LiveRange(NamedTuple):
    """First and last kernel of an activation, and the step in each of their sequences."""

    first: int
    last: int
    first_step: Index
    last_step: Index


class ActivationStates:
    """States of activations and the peak of their bytes, as functions of decisions.

    Parameters
    ----------
    sizes
        Bytes of each activation.
    kernels
        Kernels in order of execution.
    inputs, outputs
        Activations that are live from the first kernel, and until the last.
    options
        Number of options of each decision of the space.

    Attributes
    ----------
    tables
        For each activation its state and the bytes that are live at its first step, on the last
        axis; ``None`` where too many combinations of options affect them.

    Raises
    ------
    NotTabledError
        A conversion decides whether a kernel accesses an activation.
    """

    def __init__(
        self,
        sizes: Sequence[Table],
        kernels: Sequence[KernelSteps],
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: Sequence[int],
        states: States,
    ) -> None:
        self._sizes = [without_constant_axes(table) for table in sizes]
        self._variants = [without_constant_axes(kernel.variant) for kernel in kernels]
        self._lengths = [kernel.lengths for kernel in kernels]
        self._options, self._states = options, states
        self._stride = max(int(lengths.max()) for lengths in self._lengths)
        self._ranges = _live_ranges(len(sizes), kernels, set(inputs), set(outputs))
        self._beside = _overlapping(self._ranges)
        self._shortest, self._longest = self._extreme_lives()
        self.tables = [self._table(activation) for activation in range(len(sizes))]

    def evaluated(self, activation: int, choices: Index) -> Floats:
        """Return state and live bytes of an activation, ``(configurations, 2)``.

        Parameters
        ----------
        choices : array of shape ``(configurations, decisions)``
        """
        beside = self._beside[activation]
        ranges = [self._ranges[i] for i in beside]
        sizes = np.stack([_entries(self._sizes[i], choices) for i in beside])
        kernels = range(min(r.first for r in ranges), max(r.last for r in ranges) + 1)
        variant = {k: _entries(self._variants[k], choices).astype(np.intp) for k in kernels}
        first_step = np.stack([r.first_step[variant[r.first]] for r in ranges])
        last_step = np.stack([r.last_step[variant[r.last]] for r in ranges])
        lengths = np.stack([self._lengths[k][variant[k]] for k in kernels])
        start = lengths.cumsum(axis=0) - lengths
        from_kernel, to_kernel = np.array([(r.first, r.last) for r in ranges]).T
        life = start[to_kernel - kernels.start] + last_step
        life -= start[from_kernel - kernels.start] + first_step
        # Order of steps, for which the number of kernels before them does not matter.
        first = from_kernel[:, None] * self._stride + first_step
        last = to_kernel[:, None] * self._stride + last_step
        own = beside.index(activation)
        counted = np.where(life <= life[own], sizes, 0.0)
        counted[own] = sizes[own]
        need: Floats = np.zeros(len(choices))
        at_once = max(1, _MAX_LIVE // first.size)
        for start in range(0, len(first), at_once):
            begin = first[start : start + at_once, None]
            live = (first <= begin) & (begin <= last)
            within = (first[own] <= begin[:, 0]) & (begin[:, 0] <= last[own])
            live_bytes = np.where(live, counted, 0.0).sum(axis=1)
            np.maximum(need, (live_bytes * within).max(axis=0), out=need)
        live_bytes = (sizes * ((first <= first[own]) & (first[own] <= last))).sum(axis=0)
        return np.stack([self._states.of(need).astype(float), live_bytes], axis=-1)

    def _table(self, activation: int) -> Table | None:
        decisions = self._decisions(activation)
        shape = tuple(self._options[i] for i in decisions)
        if prod(shape) > _MAX_COMBINATIONS:
            return None
        choices = np.zeros((prod(shape), len(self._options)), dtype=np.intp)
        choices[:, decisions] = all_choices(shape)
        return decisions, self.evaluated(activation, choices).reshape(*shape, 2)

    def _decisions(self, activation: int) -> tuple[int, ...]:
        """Return the decisions that affect the state and the live bytes of an activation."""
        own = self._ranges[activation]
        decisions: set[int] = set()
        kernels: set[int] = set()
        for other in self._beside[activation]:
            live_range = self._ranges[other]
            decisions.update(self._sizes[other][0])
            kernels |= {
                k for k in (live_range.first, live_range.last) if own.first <= k <= own.last
            }
            shorter = self._longest[other] <= self._shortest[activation]
            longer = self._shortest[other] > self._longest[activation]
            if not (shorter or longer or other == activation):
                kernels.update(range(own.first, own.last + 1))
                kernels.update(range(live_range.first, live_range.last + 1))
        decisions.update(d for k in kernels for d in self._variants[k][0])
        return tuple(sorted(decisions))

    def _extreme_lives(self) -> tuple[list[int], list[int]]:
        """Return the least and the largest number of steps of each live range."""
        least = [0, *accumulate(int(lengths.min()) for lengths in self._lengths)]
        most = [0, *accumulate(int(lengths.max()) for lengths in self._lengths)]
        shortest = [
            least[r.last] - least[r.first] + int(r.last_step.min() - r.first_step.max())
            for r in self._ranges
        ]
        longest = [
            most[r.last] - most[r.first] + int(r.last_step.max() - r.first_step.min())
            for r in self._ranges
        ]
        return shortest, longest


def _live_ranges(
    count: int, kernels: Sequence[KernelSteps], inputs: set[int], outputs: set[int]
) -> list[_LiveRange]:
    accessed: dict[int, list[int]] = {activation: [] for activation in range(count)}
    for k, kernel in enumerate(kernels):
        for activation in sorted({i for steps in kernel.steps for step in steps for i in step}):
            accessed[activation].append(k)
    end = max(k for k, kernel in enumerate(kernels) if kernel.lengths.any())
    ranges: list[_LiveRange] = []
    for activation, own in accessed.items():
        first, last = own[0], own[-1]
        between = first == last and activation not in inputs | outputs
        begins, ends = (kernels[k].offsets(activation) for k in (first, last))
        if not between and not (all(begins) and all(ends)):
            raise NotTabledError("conversions decide which kernels access an activation")
        # One between an operator and its conversion has no bytes in sequences without it.
        first_step = np.array([min(each, default=0) for each in begins], dtype=np.intp)
        last_step = np.array([max(each, default=0) for each in ends], dtype=np.intp)
        if activation in inputs:
            first, first_step = 0, np.zeros(len(kernels[0].steps), dtype=np.intp)
        if activation in outputs:
            last, last_step = end, kernels[end].lengths - 1
        ranges.append(_LiveRange(first, last, first_step, last_step))
    return ranges


def _overlapping(ranges: Sequence[_LiveRange]) -> list[list[int]]:
    """Return for each activation those that may be live with it, itself included."""
    first = np.array([r.first for r in ranges])
    last = np.array([r.last for r in ranges])
    return [np.flatnonzero((first <= r.last) & (r.first <= last)).tolist() for r in ranges]


def without_constant_axes(table: Table) -> Table:
    """Return a table without the decisions that change none of its values."""
    decisions, values = table
    for axis in reversed(range(len(decisions))):
        if (values == values.take([0], axis=axis)).all():
            values = np.asarray(values.take(0, axis=axis))
            decisions = (*decisions[:axis], *decisions[axis + 1 :])
    return decisions, values


def _entries(table: Table, choices: Index) -> Floats:
    """Return the entry of a table under each choice, ``(configurations,)``."""
    decisions, values = table
    return np.broadcast_to(values[tuple(choices[:, d] for d in decisions)], len(choices))
