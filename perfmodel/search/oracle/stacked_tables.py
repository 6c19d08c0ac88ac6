"""Tables over decisions in one array, from which a configuration takes one entry of each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import numpy as np

from perfmodel.search.oracle.activation_states import Table
from perfmodel.search.oracle.kernel_pricing import Floats, Index


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
        self.decisions: Index = np.zeros((len(tables), most), dtype=np.intp)
        self.strides: Index = np.zeros((len(tables), most), dtype=np.intp)
        starts = [0]
        entries: list[Floats] = []
        for row, (decisions, values) in enumerate(tables):
            axes = len(decisions) + has_states
            stride = prod(values.shape[len(decisions) : axes])
            for k in reversed(range(len(decisions))):
                self.decisions[row, k], self.strides[row, k] = decisions[k], stride
                stride *= options[decisions[k]]
            entries.append(values.reshape(stride, *values.shape[axes:]))
            starts.append(starts[-1] + stride)
        self.starts: Index = np.array(starts[:-1], dtype=np.intp)
        self.entries: Floats = np.concatenate(entries) if entries else np.zeros(0)

    def places(self, choices: Index) -> Index:
        """Return the place in `entries` of each table's entry, ``(configurations, tables)``."""
        return (choices[:, self.decisions] * self.strides).sum(axis=-1) + self.starts


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
        self.sums = StackedTables(list(by_decisions.items()), options)

    def bytes_of(self, choices: Index) -> Floats:
        """Return the bytes of each tensor, ``(tensors, networks)``."""
        return self._each.entries[self._each.places(choices)].T

    def range(self, allowed: Sequence[Sequence[int]]) -> tuple[Floats, Floats]:
        """Return the least and the most bytes of each tensor over allowed options of decisions."""
        tables = [
            table[np.ix_(*(allowed[d] for d in decisions))] for decisions, table in self.tables
        ]
        return np.array([t.min() for t in tables]), np.array([t.max() for t in tables])


class JoinedPlaces:
    """Places of the entries of several stacks of tables; of one configuration, in one step."""

    def __init__(self, stacks: Sequence[StackedTables]) -> None:
        self._stacks = stacks
        most = max(stack.decisions.shape[1] for stack in stacks)

        def joined(columns: Sequence[Index]) -> Index:
            return np.concatenate([np.pad(c, [(0, 0), (0, most - c.shape[1])]) for c in columns])

        self._decisions = joined([stack.decisions for stack in stacks])
        self._strides = joined([stack.strides for stack in stacks])
        self._starts = np.concatenate([stack.starts for stack in stacks])
        ends = np.cumsum([0, *(len(stack.starts) for stack in stacks)]).tolist()
        self._parts = [slice(*each) for each in pairwise(ends)]

    def __call__(self, choices: Index) -> list[Index]:
        """Return the places in each stack, ``(..., tables)``, of choices ``(..., decisions)``."""
        if choices.ndim > 1:
            # Without padding to the longest tables.
            return [stack.places(choices) for stack in self._stacks]
        places = (choices[self._decisions] * self._strides).sum(axis=1) + self._starts
        return [places[part] for part in self._parts]
