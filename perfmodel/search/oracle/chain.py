"""Networks made of stretches in a row: what each stretch costs in every context, and their sums.

A context is how long the activation that leaves a stretch lives on, and the states of what enters
and what leaves it. Neighbours decide it: `StretchChain` finds it, banks know what costs what in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import numpy as np

from perfmodel.search.oracle.fragment import Fragment
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.rows import Floats, Index, NotTabledError, Priced, States

#: Fragments times lengths up to which all are costed beforehand.
EAGER = 1000


@dataclass(frozen=True, slots=True)
class NetworkSums:
    """Sums over networks.

    Attributes
    ----------
    names
        Quantities of `values`.
    values : array of shape ``(networks, modes, quantities)``
    weight_bytes, kv_bytes, peak_bytes : arrays of shape ``(networks,)``
    """

    names: tuple[str, ...]
    values: Floats
    weight_bytes: Floats
    kv_bytes: Floats
    peak_bytes: Floats

    @classmethod
    def joined(cls, parts: Sequence[NetworkSums]) -> NetworkSums:
        """Return the networks of all parts, one after the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            parts[0].names,
            np.concatenate([p.values for p in parts]),
            np.concatenate([p.weight_bytes for p in parts]),
            np.concatenate([p.kv_bytes for p in parts]),
            np.concatenate([p.peak_bytes for p in parts]),
        )


@dataclass(frozen=True, slots=True)
class Context:
    """Where stretches stand, an array of shape ``(networks,)`` each.

    Attributes
    ----------
    following
        Place of how many kernels the leaving activation lives on, in `StretchChain.lengths`.
    enters, leaves
        States of the activations.
    setting
        Index of the setting (resolution).
    """

    following: Index
    enters: Index
    leaves: Index
    setting: Index


class Bank(Protocol):
    """Stretches of one kind.

    Attributes
    ----------
    lengths : array of shape ``(stretches,)``
        Kernels for which the entering activation lives on; 0 for a stretch without kernels.
    weight_bytes, kv_bytes, peak_bytes : arrays of shape ``(stretches, settings)``
    """

    lengths: Index
    weight_bytes: Floats
    kv_bytes: Floats
    peak_bytes: Floats

    def prepare(self, lengths: Sequence[int], names: Sequence[str]) -> tuple[Floats, Floats]:
        """Table costs for such lengths of leaving activations, in these quantities.

        Returns
        -------
        made, read : arrays of shape ``(stretches, lengths, settings)``
            Need of the leaving activation where it is made, if it lives so long; need of the
            entering one here, if the leaving one lives so long.
        """
        ...

    def costs(self, stretches: Index, context: Context) -> Floats:
        """Return costs ``(networks, modes, quantities)``."""
        ...

    def least(self, stretches: Index, settings: Sequence[int]) -> Floats:
        """Return the least of each quantity in any context, ``(modes, quantities)``."""
        ...


class DenseBank:
    """Fragments, each costed in all states of a context at once.

    Few are costed beforehand; of many each when it is first asked for, which changes no number.

    Parameters
    ----------
    fragments
        The stretches.
    ends
        Which of them may end a network; only these stand where nothing follows.
    """

    def __init__(
        self, fragments: Sequence[Fragment], ends: frozenset[int], points: int, pricing: Pricing
    ) -> None:
        self._fragments, self._ends = tuple(fragments), ends
        self._points, self._pricing = points, pricing
        self.lengths: Index = np.array(
            [f.last_read + 1 if f.kernels else 0 for f in fragments], dtype=np.intp
        )
        self.weight_bytes, self.kv_bytes, self.peak_bytes = (
            np.stack([np.broadcast_to(getattr(f, name), (points,)) for f in fragments])
            for name in ("weight_bytes", "kv_bytes", "peak_bytes")
        )
        self._costs: Floats = np.zeros(0)

    def prepare(self, lengths: Sequence[int], names: Sequence[str]) -> tuple[Floats, Floats]:
        """See `Bank.prepare`."""
        n, points, pricing = len(self._fragments), self._points, self._pricing
        c = pricing.states.count
        made = np.zeros((n, len(lengths), points))
        read = np.zeros((n, len(lengths), points))
        # Memory that nothing is written to is not taken.
        self._costs = np.zeros((n, len(lengths), c, c, points, pricing.modes, len(names)))
        self._known = np.zeros((n, len(lengths)), dtype=np.bool_)
        self._lengths, self._names = tuple(lengths), tuple(names)
        for i, fragment in enumerate(self._fragments):
            for k, length in enumerate(lengths):
                if not fragment.kernels or (length == 0) is not (i in self._ends):
                    continue
                if not pricing.job.bare:
                    made[i, k] = fragment.made_need(length)
                    read[i, k] = fragment.need(0, length)
        self._complete = n * len(lengths) <= EAGER
        if self._complete:
            pairs = np.argwhere(np.ones((n, len(lengths)), dtype=np.bool_))
            self._fill(pairs[:, 0], pairs[:, 1])
        return made, read

    def _fill(self, stretches: Index, following: Index) -> None:
        """Cost fragments that are not yet."""
        missing = np.unique(
            np.stack([stretches, following], axis=1)[~self._known[stretches, following]], axis=0
        )
        pairs: list[tuple[int, int]] = missing.tolist()
        for i, each in groupby(pairs, key=lambda pair: pair[0]):
            fragment = self._fragments[i]
            places = [k for _, k in each]
            self._known[i, places] = True
            real = [k for k in places if (self._lengths[k] == 0) is (i in self._ends)]
            if fragment.kernels and real:
                lengths = [self._lengths[k] for k in real]
                states = self._pricing.states
                self._costs[i, real] = contexts(fragment, lengths, states, self._names)

    def costs(self, stretches: Index, context: Context) -> Floats:
        """See `Bank.costs`."""
        c = context
        if not (self._complete or self._known[stretches, c.following].all()):
            self._fill(stretches, c.following)
        return self._costs[stretches, c.following, c.enters, c.leaves, c.setting]

    def alone(
        self, stretches: Index, following: Index, enters: Index, leaves: Index, setting: int
    ) -> Floats:
        """Return the summed costs of one network's stretches, ``(quantities,)``."""
        if not (self._complete or self._known[stretches, following].all()):
            self._fill(stretches, following)
        return self._costs[stretches, following, enters, leaves, setting, 0].sum(axis=0)

    def least(self, stretches: Index, settings: Sequence[int]) -> Floats:
        """See `Bank.least`."""
        following = [
            [k for k, length in enumerate(self._lengths) if (length == 0) is (i in self._ends)]
            for i in stretches.tolist()
        ]
        at = [(i, k) for i, ks in zip(stretches.tolist(), following, strict=True) for k in ks]
        pairs = np.array(at, dtype=np.intp).reshape(-1, 2)
        if not (self.lengths[stretches] > 0).all():
            # A stretch without kernels costs nothing.
            return np.zeros((self._pricing.modes, len(self._names)))
        self._fill(pairs[:, 0], pairs[:, 1])
        found = self._costs[pairs[:, 0], pairs[:, 1]][:, :, :, list(settings)]
        return found.min(axis=(0, 1, 2, 3))


def contexts(f: Fragment, lengths: Sequence[int], states: States, names: Sequence[str]) -> Floats:
    """Return costs of a fragment ``(lengths, enters, leaves, settings, modes, quantities)``."""
    assert f.priced is not None
    c, points = states.count, f.sizes.shape[1]
    own: list[Index] = [
        np.arange(c)[None, :, None, None],
        np.arange(c)[None, None, :, None],
        *(
            states.of(np.stack([f.need(t, n) for n in lengths]))[:, None, None, :]
            for t in range(2, len(f.sizes))
        ),
    ]
    columns = [list(names).index(name) for name in f.priced.names]
    modes = len(f.priced.values)
    shape = (len(lengths), c, c, points)
    out = np.zeros((*shape, modes, len(names)))
    at: Index = np.arange(points, dtype=np.intp)
    for row, tensors in enumerate(f.rows):
        index: Index = np.zeros((1, 1, 1, 1), dtype=np.intp)
        for k, t in enumerate(tensors):
            index = index + own[t] * c**k
        found = f.priced.values[:, row][:, np.broadcast_to(index, shape), at]
        out[..., columns] += np.moveaxis(found, 0, 4)
    return out


class StretchChain:
    """Sums over networks that are rows of stretches from some banks.

    Parameters
    ----------
    banks
        Their stretches are numbered through.
    names
        Quantities, `quantities` of all that is in the banks.
    """

    def __init__(self, banks: Sequence[Bank], names: Sequence[str], states: States) -> None:
        self.banks, self.names, self.states = tuple(banks), tuple(names), states
        lengths = np.concatenate([bank.lengths for bank in banks])
        self.lengths: tuple[int, ...] = tuple(sorted({0, *lengths.tolist()}))
        self.full = lengths > 0
        self.length: Index = np.searchsorted(np.array(self.lengths), lengths)
        self.starts = np.cumsum([0, *(len(bank.lengths) for bank in banks)])
        pairs = [bank.prepare(self.lengths, self.names) for bank in banks]
        self.made = np.concatenate([made for made, _ in pairs])
        self.read = np.concatenate([read for _, read in pairs])
        self._thresholds = np.asarray(states.thresholds)
        self.alone = len(self.banks) == 1 and isinstance(self.banks[0], DenseBank)
        self.weights, self.kv, self.peak = (
            np.concatenate([getattr(bank, name) for bank in banks])
            for name in ("weight_bytes", "kv_bytes", "peak_bytes")
        )
        self._stored = np.stack([self.weights, self.kv], axis=-1)

    def sums(self, stretches: Index, settings: Index) -> NetworkSums:
        """Add up networks.

        Parameters
        ----------
        stretches : array of shape ``(networks, places)``
            Stretch at each place, numbered through the banks.
        settings : array of shape ``(networks,)``
        """
        n, places = stretches.shape
        full = self.full[stretches]
        following = np.zeros((n, places), dtype=np.intp)
        after = np.full((n, places), places, dtype=np.intp)
        length, later = np.zeros(n, dtype=np.intp), np.full(n, places, dtype=np.intp)
        for s in range(places - 1, -1, -1):
            following[:, s], after[:, s] = length, later
            length = np.where(full[:, s], self.length[stretches[:, s]], length)
            later = np.where(full[:, s], s, later)
        # One more column for what leaves the network, whose state does not matter.
        state = np.zeros((n, places + 1), dtype=np.intp)
        before = np.full(n, -1, dtype=np.intp)
        for s in range(places):
            f = stretches[:, s]
            made = np.where(before >= 0, self.made[before, self.length[f], settings], 0.0)
            state[:, s] = self.states.of(np.maximum(self.read[f, following[:, s], settings], made))
            before = np.where(full[:, s], f, before)
        leaves = state[np.arange(n)[:, None], after]
        values: Floats | None = None
        for s in range(places):
            context = Context(following[:, s], state[:, s], leaves[:, s], settings)
            part = self._costs(stretches[:, s], context)
            values = part if values is None else values + part
        assert values is not None
        at = settings[:, None]
        return NetworkSums(
            self.names, values, self.weights[stretches, at].sum(axis=1),
            self.kv[stretches, at].sum(axis=1), self.peak[stretches, at].max(axis=1),
        )  # fmt: skip

    def one(self, stretches: Index, setting: int) -> tuple[Floats, float, float, float]:
        """Add up one network that has one mode and stretches of one dense bank.

        Returns
        -------
        values, weight_bytes, kv_bytes, peak_bytes
            As `sums`.
        """
        bank = self.banks[0]
        assert isinstance(bank, DenseBank)
        there = stretches[self.full[stretches]]
        length = self.length[there]
        following = np.zeros_like(length)
        following[:-1] = length[1:]
        need = self.read[there, following, setting]
        made = self.made[there[:-1], following[:-1], setting]
        np.maximum(need[1:], made, out=need[1:])
        state: Index = np.asarray(self._thresholds.searchsorted(need), dtype=np.intp)
        leaves: Index = np.zeros_like(state)
        leaves[:-1] = state[1:]
        values = bank.alone(there, following, state, leaves, setting)
        weight, kv = self._stored[there, setting].sum(axis=0).tolist()
        return values, weight, kv, float(self.peak[there, setting].max())

    def least(self, stretches: Sequence[Index], settings: Sequence[int]) -> NetworkSums:
        """Return sums that no network is below, as one network's.

        Parameters
        ----------
        stretches
            Those that may stand at each place.
        settings
            Settings that may hold.
        """
        total: Floats | None = None
        weights = kv = peak = np.zeros(1)
        for found in stretches:
            bank = np.searchsorted(self.starts, found, side="right") - 1
            several: list[int] = np.unique(bank).tolist()
            parts = [
                self.banks[i].least(found[bank == i] - self.starts[i], settings) for i in several
            ]
            part = np.min(np.stack(parts), axis=0)
            total = part if total is None else total + part
            at = np.ix_(found, np.array(settings, dtype=np.intp))
            weights = weights + self.weights[at].min()
            kv = kv + self.kv[at].min()
            peak = np.maximum(peak, self.peak[at].min())
        assert total is not None
        return NetworkSums(self.names, total[None], weights, kv, peak)

    def _costs(self, stretches: Index, context: Context) -> Floats:
        bank = np.searchsorted(self.starts, stretches, side="right") - 1
        first = int(bank[0])
        if (bank == first).all():
            return self.banks[first].costs(stretches - self.starts[first], context)
        out: Floats | None = None
        several: list[int] = np.unique(bank).tolist()
        for i in several:
            mine = bank == i
            part = Context(
                context.following[mine], context.enters[mine], context.leaves[mine],
                context.setting[mine],
            )  # fmt: skip
            found = self.banks[i].costs(stretches[mine] - self.starts[i], part)
            if out is None:
                out = np.zeros((len(stretches), *found.shape[1:]))
            out[mine] = found
        assert out is not None
        return out


def quantities(priced: Sequence[Priced]) -> tuple[str, ...]:
    """Return the quantities of all rows, in the order in which predictions have them.

    Raises
    ------
    NotTabledError
        The engine does not compute a format in any form, or is made for the network.
    """
    names: dict[str, None] = {}
    for each in priced:
        names |= dict.fromkeys(each.names)
        if each.terms.unsupported:
            raise NotTabledError("the engine does not compute a format in any form")
        if each.terms.resources:
            raise NotTabledError("what a network takes of the engine's resources has no table")
    order = ("latency_s", "macs", "bit_operations", "vector_ops")
    heads = ("traffic ", "operations ", "energy ")
    rest = [name for head in heads for name in names if name.startswith(head)]
    return (*(name for name in order if name in names), *rest)
