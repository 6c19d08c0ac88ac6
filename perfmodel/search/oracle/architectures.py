"""Costs of a space of architectures: its segments compiled, and choices as rows of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from math import prod

import numpy as np

from perfmodel.arrays import Value
from perfmodel.optimise.deadline import Deadline
from perfmodel.search.oracle.alike import stretches_of_forms
from perfmodel.search.oracle.banks import DenseBank, StretchBank
from perfmodel.search.oracle.chain import NetworkSums, StretchChain, quantities
from perfmodel.search.oracle.fragment import Fragment, stretches_of
from perfmodel.search.oracle.parts import parts_of
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.rows import Floats, Index, NotTabledError
from perfmodel.workload.nas_spaces import ArchitectureSpace

_NOTHING: Mapping[str, float] = {}

#: Networks added up at once.
_CHUNK = 2000

#: Combinations of free dimensions (resolutions) that are tabled.
MOST_SETTINGS = 200


class ArchitectureCosts:
    """Sums over any networks of a space.

    Parameters
    ----------
    given
        Numbers for free dimensions that no decision binds (``batch``).

    Raises
    ------
    NotTabledError
        The space or the device does not fall apart into segments.
    OutOfTimeError
        The deadline passed before.
    """

    def __init__(
        self,
        space: ArchitectureSpace,
        pricing: Pricing,
        given: Mapping[str, float] = _NOTHING,
        deadline: Deadline | None = None,
    ) -> None:
        self.space = space
        self.settings, values = _settings(space, given)
        points = prod(len(space.decisions[i].options) for i in self.settings)
        self._setting_places = _places([len(space.decisions[i].options) for i in self.settings])
        last = len(space.segments) - 1
        check = partial(_check, deadline, last=last)
        parts = parts_of(space, check)
        self._columns: list[tuple[tuple[int, ...], Index, Index]] = []
        alike: dict[int, StretchBank] = {}
        for s, segment in enumerate(space.segments):
            check(s)
            sizes = [len(space.decisions[i].options) for i in segment.decisions]
            index = parts.numbers(s)
            if index is None:
                forms = parts.forms(s, pricing)
                index = forms.index
                stretches = stretches_of_forms(forms, partial(parts.stretch, s), values, pricing)
                alike[s] = StretchBank(stretches, pricing)
            self._columns.append((segment.decisions, _places(sizes), index))
        fragments = parts.stretches.compiled(values, points, pricing, partial(check, last))
        ends = _possible_ends(
            fragments, [column for s, column in enumerate(self._columns) if s not in alike]
        )
        banks: list[StretchBank] = []
        banks.append(DenseBank(stretches_of(fragments, points), pricing, ends))
        start = len(fragments)
        for s, bank in alike.items():
            decisions, places, index = self._columns[s]
            self._columns[s] = (decisions, places, index + start)
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
        self.chain = StretchChain(banks, quantities(kinds), pricing.states)

    def one(self, choice: Sequence[int]) -> tuple[Floats, Floats]:
        """Add up one network that has one mode."""
        choices = np.array([choice], dtype=np.intp)
        if not self.chain.dense:
            return self._sums(choices).one
        stretches, settings = self._places(choices)
        return self.chain.one(stretches[0], settings[0])

    @property
    def names(self) -> tuple[str, ...]:
        """Quantities that are summed."""
        return self.chain.names

    def least(self, allowed: Sequence[Sequence[int]]) -> NetworkSums:
        """Return sums that no network of allowed options is below, as one network's."""
        settings = _combined(self.settings, self._setting_places, allowed)
        stretches = [
            np.unique(index[_combined(decisions, places, allowed)])
            for decisions, places, index in self._columns
        ]
        return self.chain.least(stretches, settings)

    def sums(self, choices: Index, deadline: Deadline | None = None) -> NetworkSums:
        """Add up networks.

        Parameters
        ----------
        choices : array of shape ``(networks, decisions)``
            Option indices.

        Raises
        ------
        OutOfTimeError
            The deadline passed before.
        """
        parts: list[NetworkSums] = []
        for i in range(0, max(1, len(choices)), _CHUNK):
            if deadline is not None:
                deadline.check(f"{i} of {len(choices)} members had been added up")
            parts.append(self._sums(choices[i : i + _CHUNK]))
        return NetworkSums.joined(parts)

    def _sums(self, choices: Index) -> NetworkSums:
        return self.chain.sums(*self._places(choices))

    def _places(self, choices: Index) -> tuple[Index, Index]:
        """Return the stretch at each place of networks, and their settings."""
        stretches = self._flat[choices @ self._radix + self._offsets]
        return stretches, choices @ self._setting_radix


def _check(deadline: Deadline | None, at: int, last: int) -> None:
    if deadline is not None:
        deadline.check(f"{at} of {last + 1} segments had been priced")


def _places(sizes: Sequence[int]) -> Index:
    """Return what turns option indices into one index, the last varying fastest."""
    places = [prod(sizes[i + 1 :]) for i in range(len(sizes))]
    return np.array(places, dtype=np.intp)


def _combined(decisions: Sequence[int], places: Index, allowed: Sequence[Sequence[int]]) -> Index:
    """Return the index of each combination of the allowed options of decisions."""
    out: Index = np.zeros(1, dtype=np.intp)
    for decision, place in zip(decisions, places, strict=True):
        out = np.add.outer(out, place * np.array(allowed[decision])).ravel()
    return out


def _settings(
    space: ArchitectureSpace, given: Mapping[str, float]
) -> tuple[tuple[int, ...], dict[str, Value]]:
    """Return the decisions that bind free dimensions, and their numbers over all combinations."""
    binds = space.binds
    sizes = [len(space.decisions[i].options) for i in binds]
    if prod(sizes) > MOST_SETTINGS:
        raise NotTabledError(f"free dimensions take {prod(sizes)} combinations of numbers")
    base = [0] * len(space.decisions)
    rows: list[Mapping[str, float]] = []
    for option in product(*(range(n) for n in sizes)):
        choice = list(base)
        for i, chosen in zip(binds, option, strict=True):
            choice[i] = chosen
        rows.append({**space.parameters(tuple(choice)), **given})
    if len(rows) == 1:
        return binds, dict(rows[0])
    return binds, {
        name: np.array([row[name] for row in rows], dtype=float)
        if len({row[name] for row in rows}) > 1
        else rows[0][name]
        for name in rows[0]
    }


def _possible_ends(
    fragments: Sequence[Fragment], columns: Sequence[tuple[tuple[int, ...], Index, Index]]
) -> set[int]:
    """Return fragments that may stand last because all that follow may be empty."""
    found: set[int] = set()
    for _, _, index in reversed(columns):
        mine: list[int] = index.tolist()
        found |= set(mine)
        if all(fragments[i].touched for i in mine):
            break
    return found
