"""Networks as chains of stretches: the context of each stretch, and the sums over the chain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np

from perfmodel.search.oracle.kernel_pricing import (
    Floats,
    Index,
    NotTabledError,
    Priced,
    States,
    in_order,
)
from perfmodel.search.oracle.stretch_banks import Context, DenseBank, StretchBank

#: Function of costs of rows, ``(networks, rows, modes, quantities)``, instead of their sum.
Combine: TypeAlias = Callable[[Floats], Floats]

#: Rows of `NetworkSums.stored`, under the names of predictions.
STORED = ("weight_bytes", "kv_bytes", "activation_bytes")


@dataclass(frozen=True, slots=True)
class NetworkSums:
    """Sums of quantities over networks.

    Attributes
    ----------
    names
        Names of the quantities in `values`.
    values : array of shape ``(networks, modes, quantities)``
    stored : array of shape ``(3, networks)``
        Bytes, in the order of `STORED`.
    """

    names: tuple[str, ...]
    values: Floats
    stored: Floats

    @property
    def one(self) -> tuple[Floats, Floats]:
        """Values ``(modes, quantities)`` and stored bytes ``(3,)`` of a single network."""
        return self.values[0], self.stored[:, 0]

    @classmethod
    def joined(cls, parts: Sequence[NetworkSums]) -> NetworkSums:
        """Return the networks of all parts, concatenated."""
        if len(parts) == 1:
            return parts[0]
        values = np.concatenate([part.values for part in parts])
        return cls(parts[0].names, values, np.concatenate([p.stored for p in parts], axis=1))


class StretchChain:
    """Sums over networks that are chains of stretches from one or more banks.

    Parameters
    ----------
    banks
        Banks; their stretches are numbered consecutively.
    names
        Names of the summed quantities: `quantities` of all kernels in the banks.
    """

    def __init__(self, banks: Sequence[StretchBank], names: Sequence[str], states: States) -> None:
        self.banks, self.names, self.states = tuple(banks), tuple(names), states
        lengths = np.concatenate([bank.stretches.lengths for bank in banks])
        self.lengths: tuple[int, ...] = tuple(sorted({0, *lengths.tolist()}))
        self.full = lengths > 0
        self.length: Index = np.searchsorted(np.array(self.lengths), lengths)
        self.starts = np.cumsum([0, *(len(bank.stretches.lengths) for bank in banks)])
        needs = [bank.prepare(self.lengths, self.names) for bank in banks]
        #: Need of the entering activation at its reader, and of the leaving one at its producer, by
        #: the number of kernels for which the latter remains live: ``(stretches, lengths,
        #: settings)``, bytes.
        self._need_at_reader, self._need_at_maker = np.ascontiguousarray(
            np.concatenate(needs, axis=1)
        )
        self._thresholds = np.asarray(states.thresholds)
        self.dense = len(self.banks) == 1 and isinstance(self.banks[0], DenseBank)
        stored = np.concatenate([bank.stretches.stored for bank in banks])
        self._stored = np.ascontiguousarray(np.moveaxis(stored, -1, 0))

    def sums(
        self,
        stretches: Index,
        settings: Index,
        combine: Combine | None = None,
    ) -> NetworkSums:
        """Return the sums of networks.

        Parameters
        ----------
        stretches : array of shape ``(networks, places)``
            Stretch at each place, numbered over all banks.
        settings : array of shape ``(networks,)``
        combine
            Function of the costs of all rows that replaces their sum.
        """
        n, places = stretches.shape
        full = self.full[stretches]
        following = np.zeros((n, places), dtype=np.intp)
        after = np.full((n, places), places, dtype=np.intp)
        length, later = np.zeros(n, dtype=np.intp), np.full(n, places, dtype=np.intp)
        for place in range(places - 1, -1, -1):
            following[:, place], after[:, place] = length, later
            length = np.where(full[:, place], self.length[stretches[:, place]], length)
            later = np.where(full[:, place], place, later)
        # One extra column for the network's output, whose state has no effect.
        state = np.zeros((n, places + 1), dtype=np.intp)
        before = np.full(n, -1, dtype=np.intp)
        for place in range(places):
            own = stretches[:, place]
            need_at_maker = np.where(
                before >= 0, self._need_at_maker[before, self.length[own], settings], 0.0
            )
            read = self._need_at_reader[own, following[:, place], settings]
            state[:, place] = self.states.of(np.maximum(read, need_at_maker))
            before = np.where(full[:, place], own, before)
        leaves = state[np.arange(n)[:, None], after]
        contexts = [
            Context(following[:, place], state[:, place], leaves[:, place], settings)
            for place in range(places)
        ]
        each = zip(stretches.T, contexts, strict=True)
        if combine is None:
            values = sum(self._costs(own, context) for own, context in each)
        else:
            rows = [row for own, context in each for row in self._rows(own, context)]
            values = combine(np.stack(rows, axis=1))
        return NetworkSums(
            self.names,
            np.asarray(values),
            _over_places(self._stored[:, stretches, settings[:, None]]),
        )

    def one(
        self, stretches: Index, setting: int, combine: Combine | None = None
    ) -> tuple[Floats, Floats]:
        """Return the sums of one network, all from one bank; `combine` is as for `sums`.

        Returns
        -------
        values, stored
            As in `NetworkSums`, ``(modes, quantities)`` and ``(3,)``.
        """
        own = stretches[self.full[stretches]]
        length = self.length[own]
        following = np.zeros_like(length)
        following[:-1] = length[1:]
        need = self._need_at_reader[own, following, setting]
        need_at_maker = self._need_at_maker[own[:-1], following[:-1], setting]
        np.maximum(need[1:], need_at_maker, out=need[1:])
        state = cast("Index", self._thresholds.searchsorted(need))
        leaves: Index = np.zeros_like(state)
        leaves[:-1] = state[1:]
        context = Context(following, state, leaves, setting)
        if combine is None:
            values = self.banks[0].costs(own, context).sum(axis=0)
        else:
            rows = np.stack([*self.banks[0].rows(own, context)], axis=1)
            (values,) = combine(rows.reshape(1, -1, *rows.shape[2:]))
        return values, _over_places(self._stored[:, own, setting])

    def least(self, stretches: Sequence[Index], settings: Index) -> NetworkSums:
        """Return a lower bound on the sums of all networks, as one network.

        Parameters
        ----------
        stretches
            Allowed stretches at each place.
        settings
            Allowed settings.
        """
        values: list[Floats] = []
        stored: list[Floats] = []
        for own in stretches:
            parts = [
                bank.least(own[at] - start, settings) for bank, start, at in self._by_bank(own)
            ]
            values.append(np.min(parts, axis=0))
            stored.append(self._stored[:, own[:, None], settings].min(axis=(1, 2)))
        total = np.sum(values, axis=0, keepdims=True)
        return NetworkSums(self.names, total, _over_places(np.stack(stored, axis=-1))[:, None])

    def _by_bank(self, stretches: Index) -> list[tuple[StretchBank, int, Index]]:
        """Return (bank, number of its first stretch, positions of its stretches) for each bank."""
        bank = np.searchsorted(self.starts, stretches, side="right") - 1
        return [
            (self.banks[i], int(self.starts[i]), np.flatnonzero(bank == i))
            for i in np.unique(bank).tolist()
        ]

    def _rows(self, stretches: Index, context: Context) -> list[Floats]:
        """Return the costs of each kernel of stretches; 0 where a stretch has no further one."""
        out: list[Floats] = []
        for bank, start, at in self._by_bank(stretches):
            own = Context(*(np.asarray(part)[at] for part in context))
            for step, costs in enumerate(bank.rows(stretches[at] - start, own)):
                if step == len(out):
                    out.append(np.zeros((len(stretches), *costs.shape[1:])))
                out[step][at] = costs
        return out

    def _costs(self, stretches: Index, context: Context) -> Floats:
        """Return the costs of stretches in their contexts, each from its bank."""
        if self.dense:
            return self.banks[0].costs(stretches, context)
        parts = self._by_bank(stretches)
        if len(parts) == 1:
            bank, start, _ = parts[0]
            return bank.costs(stretches - start, context)
        out: Floats | None = None
        for bank, start, at in parts:
            own = Context(*(np.asarray(part)[at] for part in context))
            costs = bank.costs(stretches[at] - start, own)
            if out is None:
                out = np.zeros((len(stretches), *costs.shape[1:]))
            out[at] = costs
        assert out is not None
        return out


def _over_places(stored: Floats) -> Floats:
    """Return the stored bytes of networks from those of their places, ``(3, ..., places)``.

    Weights and caches add up over places; live activations take the maximum.
    """
    out = stored.sum(axis=-1)
    out[2] = stored[2].max(axis=-1)
    return out


def quantities(priced: Sequence[Priced]) -> tuple[str, ...]:
    """Return the quantities of all kernels, in the order of predictions.

    Raises
    ------
    NotTabledError
        The engine does not support a format in any form, or is dedicated to the network.
    """
    for each in priced:
        if each.terms.unsupported:
            raise NotTabledError("the engine does not compute a format in any form")
        each.refuse_network_wide()
    return in_order(name for each in priced for name in each.names)
