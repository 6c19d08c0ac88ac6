"""Tabulated costs of a space of architectures: compiled segments, and choices as rows of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from math import prod

import numpy as np

from perfmodel.arrays import Value
from perfmodel.optimise.deadline import Deadline
from perfmodel.search.oracle.form_stretches import stretches_of_forms
from perfmodel.search.oracle.kernel_pricing import ARRAYS, Floats, Index, NotTabledError
from perfmodel.search.oracle.network_combination import (
    ArchitectureCombination,
    refuse_bounds,
    without_columns,
)
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.space_segments import parts_of
from perfmodel.search.oracle.stretch_banks import DenseBank, StretchBank
from perfmodel.search.oracle.stretch_chain import NetworkSums, StretchChain, quantities
from perfmodel.workload.nas_spaces import ArchitectureSpace

_NOTHING: Mapping[str, float] = {}

#: Networks summed at once.
_CHUNK = 2000

#: Networks whose rows are combined at once.
_COMBINED = 200

#: Largest number of combinations of free dimensions (resolutions) with a table.
MAX_SETTINGS = 200


class ArchitectureCosts:
    """Sums over the networks of a space of architectures.

    Parameters
    ----------
    numbers
        Values of free dimensions that no decision binds (``batch``).

    Raises
    ------
    NotTabledError
        The space or the device does not decompose into segments.
    OutOfTimeError
        The deadline passed before the tables were complete.
    """

    def __init__(
        self,
        space: ArchitectureSpace,
        pricing: Pricing,
        numbers: Mapping[str, float] = _NOTHING,
        deadline: Deadline | None = None,
    ) -> None:
        model = pricing.job.model
        if "slots" in model.kind.network_wide and not model.bare:
            raise NotTabledError("all layers share the slots of one pipeline")
        self.space = space
        self.settings, values = _settings(space, numbers)
        points = prod(len(space.decisions[i].options) for i in self.settings)
        self._setting_places = _places([len(space.decisions[i].options) for i in self.settings])
        last = len(space.segments) - 1
        check = partial(_check, deadline, last=last)
        parts = parts_of(space)
        parts.prepare(check)
        self._columns: list[tuple[tuple[int, ...], Index, Index]] = []
        alike: dict[int, StretchBank] = {}
        for position, segment in enumerate(space.segments):
            check(position)
            sizes = [len(space.decisions[i].options) for i in segment.decisions]
            index = parts.numbers[position]
            if index is None:
                forms = parts.forms(position, pricing)
                index = forms.index
                compiler = parts.examples(position, forms.options)
                stretches = stretches_of_forms(forms, compiler, values, pricing)
                alike[position] = StretchBank(stretches, pricing)
            self._columns.append((segment.decisions, _places(sizes), index))
        compiled = parts.compiler.compiled(values, points, pricing, partial(check, last))
        ends: Index = self._columns[-1][2]
        banks: list[StretchBank] = [DenseBank(compiled, pricing, ends.tolist())]
        start = len(compiled.shape)
        for position, bank in alike.items():
            decisions, places, index = self._columns[position]
            self._columns[position] = (decisions, places, index + start)
            start += len(bank.stretches.shape)
            banks.append(bank)
        kinds = [priced for bank in reversed(banks) for priced in bank.stretches.priced]
        self.priced = tuple(dict.fromkeys(p for each in kinds for p in each.terms.priced))
        self._radix = np.zeros((len(space.decisions), len(self._columns)), dtype=np.intp)
        for column, (decisions, places, _) in enumerate(self._columns):
            self._radix[list(decisions), column] = places
        self._setting_radix = np.zeros(len(space.decisions), dtype=np.intp)
        self._setting_radix[list(self.settings)] = self._setting_places
        self._flat: Index = np.concatenate([index for _, _, index in self._columns])
        self._offsets: Index = np.cumsum([0, *(len(index) for _, _, index in self._columns[:-1])])
        summed, columns = without_columns(quantities(kinds))
        self.combination: ArchitectureCombination | None = None
        if columns:
            plain = [StretchBank(bank.stretches, pricing) for bank in banks]
            self.chain = StretchChain(plain, (*summed, *columns), pricing.states)
            if ARRAYS not in summed or pricing.leaves_room(self._least_arrays()):
                self.combination = ArchitectureCombination(self.chain.names, pricing)
        if self.combination is None:
            self.chain = StretchChain(banks, summed, pricing.states)

    def _least_arrays(self) -> float:
        """Return the fewest arrays of one copy of all matrices of some network."""
        least = self._least([range(len(decision.options)) for decision in self.space.decisions])
        return float(least.values[0, 0, self.chain.names.index(ARRAYS)])

    def one(self, choice: Sequence[int]) -> tuple[Floats, Floats]:
        """Return the sums of one network, ``(modes, quantities)``, and its stored bytes."""
        choices = np.array([choice], dtype=np.intp)
        if len(self.chain.banks) > 1:
            return self._sums(choices).one
        stretches, settings = self._places(choices)
        return self.chain.one(stretches[0], settings[0], self.combination)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the summed quantities."""
        return self.chain.names if self.combination is None else self.combination.names

    def least(self, allowed: Sequence[Sequence[int]]) -> NetworkSums:
        """Return a lower bound on the sums of all networks of allowed options, as one network.

        Raises
        ------
        InputError
            Layers share what the device has, so that there are no bounds.
        """
        return self._least(allowed) if self.combination is None else refuse_bounds()

    def _least(self, allowed: Sequence[Sequence[int]]) -> NetworkSums:
        settings = _combined(self.settings, self._setting_places, allowed)
        stretches = [
            np.unique(index[_combined(decisions, places, allowed)])
            for decisions, places, index in self._columns
        ]
        return self.chain.least(stretches, settings)

    def sums(self, choices: Index, deadline: Deadline | None = None) -> NetworkSums:
        """Return the sums of networks.

        Parameters
        ----------
        choices : array of shape ``(networks, decisions)``
            Option indices.

        Raises
        ------
        OutOfTimeError
            The deadline passed before all networks were summed.
        """
        parts: list[NetworkSums] = []
        size = _CHUNK if self.combination is None else _COMBINED
        for i in range(0, max(1, len(choices)), size):
            if deadline is not None:
                deadline.check(f"{i} of {len(choices)} members had been added up")
            parts.append(self._sums(choices[i : i + size]))
        return NetworkSums.joined(parts)

    def _sums(self, choices: Index) -> NetworkSums:
        sums = self.chain.sums(*self._places(choices), self.combination)
        return replace(sums, names=self.names)

    def _places(self, choices: Index) -> tuple[Index, Index]:
        """Return the stretch at each place of networks, and the index of their setting."""
        stretches = self._flat[choices @ self._radix + self._offsets]
        return stretches, choices @ self._setting_radix


def _check(deadline: Deadline | None, at: int, last: int) -> None:
    if deadline is not None:
        deadline.check(f"{at} of {last + 1} segments had been priced")


def _places(sizes: Sequence[int]) -> Index:
    """Return the strides that map option indices to one index, the last varying fastest."""
    places = [prod(sizes[i + 1 :]) for i in range(len(sizes))]
    return np.array(places, dtype=np.intp)


def _combined(decisions: Sequence[int], places: Index, allowed: Sequence[Sequence[int]]) -> Index:
    """Return the index of each combination of the allowed options of decisions."""
    out: Index = np.zeros(1, dtype=np.intp)
    for decision, place in zip(decisions, places, strict=True):
        out = np.add.outer(out, place * np.array(allowed[decision])).ravel()
    return out


def _settings(
    space: ArchitectureSpace, numbers: Mapping[str, float]
) -> tuple[tuple[int, ...], dict[str, Value]]:
    """Return the decisions that bind free dimensions, and the values of all combinations."""
    binds = space.binds
    sizes = [len(space.decisions[i].options) for i in binds]
    if prod(sizes) > MAX_SETTINGS:
        raise NotTabledError(f"free dimensions take {prod(sizes)} combinations of numbers")
    base = [0] * len(space.decisions)
    rows: list[Mapping[str, float]] = []
    for option in product(*(range(n) for n in sizes)):
        choice = list(base)
        for i, setting in zip(binds, option, strict=True):
            choice[i] = setting
        rows.append({**space.parameters(tuple(choice)), **numbers})
    if len(rows) == 1:
        return binds, dict(rows[0])
    return binds, {
        name: np.array([row[name] for row in rows], dtype=float)
        if len({row[name] for row in rows}) > 1
        else rows[0][name]
        for name in rows[0]
    }
