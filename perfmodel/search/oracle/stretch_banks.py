"""Stretches of networks as arrays of kernels, with costs in every context.

A context consists of the lifetime of the activation that leaves a stretch, and of the residency
states of the activations that enter and leave it. It depends on the neighbouring stretches
(`perfmodel.search.oracle.stretch_chain`); the states of internal activations follow from their
needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from perfmodel.search.oracle.kernel_pricing import Floats, Index, Priced
from perfmodel.search.oracle.pricing import Pricing

#: Largest number of stretches times lengths that is costed in advance.
MAX_EAGER_ENTRIES = 5000


class Context(NamedTuple):
    """Contexts of stretches, each an array of shape ``(networks,)``.

    Attributes
    ----------
    following
        Index in `StretchChain.lengths` of the number of kernels for which the leaving activation
        remains live.
    enters, leaves
        Residency states of the entering and the leaving activation.
    setting
        Index of the setting (resolution); a single number applies to all networks.
    """

    following: Index
    enters: Index
    leaves: Index
    setting: Index | int


@dataclass(frozen=True, slots=True)
class Stretches:
    """Stretches as arrays; several may share a shape.

    Attributes
    ----------
    priced
        Costs of the distinct kernels, numbered consecutively.
    kernels : array of shape ``(stretches, steps)``
        Number of the kernel at each step; -1 for none.
    shape : array of shape ``(stretches,)``
        Index of the shape: live ranges, and the activations that each kernel accesses.
    ranges : array of shape ``(shapes,)``
        Index of the live ranges of each shape; several shapes may share them.
    touched : array of shape ``(shapes, steps, accesses)``
        Activations that each kernel accesses: 0 enters, 1 leaves, -1 is none.
    lengths : array of shape ``(stretches,)``
        Kernels for which the entering activation remains live; 0 for a stretch without kernels.
    needs
        Lengths of the leaving activation -> needs in bytes under each of the live ranges, as
        `needs_of` returns them.
    stored : array of shape ``(stretches, settings, 3)``
        Bytes of weights, of caches, and peak bytes of live activations.
    """

    priced: Sequence[Priced]
    kernels: Index
    shape: Index
    ranges: Index
    touched: Index
    lengths: Index
    needs: Callable[[tuple[int, ...]], Floats]
    stored: Floats


def pad_rows(rows: Sequence[Sequence[int]]) -> Index:
    """Return rows as one array, padded with -1."""
    out: Index = np.full((len(rows), max(map(len, rows), default=0)), -1, dtype=np.intp)
    for line, row in zip(out, rows, strict=True):
        line[: len(row)] = row
    return out


def touched_activations(shapes: Sequence[Sequence[Sequence[int]]]) -> Index:
    """Return `Stretches.touched` from the accessed activations of each kernel of each shape."""
    steps = max(map(len, shapes), default=0)
    flat = pad_rows([row for shape in shapes for row in (*shape, *((),) * (steps - len(shape)))])
    return flat.reshape(len(shapes), steps, flat.shape[1])


def live_at(first: Index, last: Index) -> npt.NDArray[np.float32]:
    """Return 1 where an activation is live, else 0, ``(shapes, activations, steps)``.

    Parameters
    ----------
    first, last : arrays of shape ``(shapes, activations)``
        First and last kernel of each live range; -1 is the kernel before the stretch.
    """
    steps = np.arange(int(last.max(initial=-1)) + 1)
    live: npt.NDArray[np.bool_] = (first[..., None] <= steps) & (steps <= last[..., None])
    return live.astype(np.float32)


def peaks_of(
    first: Index,
    last: Index,
    sizes: npt.NDArray[np.floating],
) -> Floats:
    """Return the peak bytes of live activations, ``(shapes, settings)``; see `needs_of`."""
    live_bytes = sizes[..., None] * live_at(first, last)[:, None]
    return cast("Floats", live_bytes.sum(axis=2).max(axis=2, initial=0.0))


def needs_of(
    first: Index,
    last: Index,
    sizes: npt.NDArray[np.floating],
    lengths: Sequence[int],
) -> Floats:
    """Return the needs of activations in bytes, ``(shapes, lengths, settings, activations)``.

    The need of an activation is the maximum over its live range of the bytes of all live
    activations whose lifetime is no longer than its own, itself included.

    Parameters
    ----------
    first, last
        As for `live_at`. Activation 1 leaves the stretch.
    sizes : array of shape ``(shapes, settings, activations)``
        Bytes of the activations.
    lengths
        Numbers of kernels for which the leaving activation remains live.
    """
    live = live_at(first, last)[:, None]
    live_bytes = sizes[..., None] * live
    out = np.zeros((len(first), len(lengths), *sizes.shape[1:]))
    for k, length in enumerate(lengths):
        lives = last - first
        lives[:, 1] = length
        # [shape, 1, one, other]: whether the other activation counts towards the need of the one.
        counts = (lives[:, None] <= lives[:, :, None]) | np.eye(sizes.shape[-1], dtype=bool)
        beside = counts[:, None].astype(sizes.dtype) @ live_bytes
        out[:, k] = (beside * live).max(axis=-1, initial=0.0)
    return out


class StretchBank:
    """Stretches whose costs are summed kernel by kernel on demand."""

    def __init__(self, stretches: Stretches, pricing: Pricing) -> None:
        self.stretches, self.pricing = stretches, pricing

    def prepare(self, lengths: Sequence[int], names: Sequence[str]) -> Floats:
        """Tabulate the costs of the kernels in the named quantities.

        Parameters
        ----------
        lengths
            Possible lifetimes of leaving activations, in kernels.

        Returns
        -------
        array of shape ``(2, stretches, lengths, settings)``
            Needs of the entering and of the leaving activation within the stretch.
        """
        stretches, pricing = self.stretches, self.pricing
        needs = stretches.needs(tuple(lengths))
        # One extra activation stands for none: its state is 0.
        self._state = np.pad(pricing.states.of(needs), [(0, 0)] * 3 + [(0, 1)])
        self._radix: Index = pricing.states.count ** np.arange(stretches.touched.shape[2])
        settings = stretches.stored.shape[1]
        first: list[int] = [0]
        parts: list[Floats] = []
        for priced in stretches.priced:
            values = priced.over(names).transpose(3, 1, 2, 0, 4)
            _, rows, states, *tail = values.shape
            first += range(first[-1] + states, first[-1] + rows * states + 1, states)
            parts.append(values.reshape(settings, rows * states, *tail))
        # The last entry stands for no kernel, which costs nothing.
        parts.append(np.zeros((settings, 1, pricing.modes, len(names))))
        self._first: Index = np.array(first, dtype=np.intp)
        self._costs: Floats = np.ascontiguousarray(np.concatenate(parts, axis=1))
        return np.moveaxis(needs[..., :2][stretches.ranges[stretches.shape]], -1, 0)

    def costs(self, stretches: Index, context: Context) -> Floats:
        """Return the costs of stretches in their contexts, ``(networks, modes, quantities)``."""
        out = np.zeros((len(stretches), *self._costs.shape[2:]))
        for costs in self.rows(stretches, context):
            out += costs
        return out

    def rows(self, stretches: Index, context: Context) -> Iterator[Floats]:
        """Yield the costs of each kernel, until no stretch has a further one; see `costs`."""
        setting, shape = context.setting, self.stretches.shape[stretches]
        state = self._state[self.stretches.ranges[shape], context.following, setting]
        state[:, 0] = context.enters
        state[:, 1] = context.leaves
        touched, kernels = self.stretches.touched[shape], self.stretches.kernels[stretches]
        networks = np.arange(len(stretches))[:, None]
        for step in range(int((kernels >= 0).sum(axis=1).max(initial=0))):
            states = state[networks, touched[:, step]] @ self._radix
            yield self._costs[setting, self._first[kernels[:, step]] + states]

    def least(self, stretches: Index, settings: Index) -> Floats:
        """Return the minimum of each quantity over all contexts, ``(modes, quantities)``."""
        lowest = np.minimum.reduceat(self._costs[settings].min(axis=0), self._first)
        return lowest[self.stretches.kernels[stretches]].sum(axis=1).min(axis=0)


class DenseBank(StretchBank):
    """Stretches whose costs are tabulated over all states of a context.

    A small bank is tabulated in advance, a large one on demand; the results are the same.

    Parameters
    ----------
    ends
        Stretches that end a network: nothing follows them, and every other one has a successor.
    """

    def __init__(self, stretches: Stretches, pricing: Pricing, ends: Iterable[int]) -> None:
        super().__init__(stretches, pricing)
        self._ends = np.isin(np.arange(len(stretches.shape)), list(ends))

    def prepare(self, lengths: Sequence[int], names: Sequence[str]) -> Floats:
        """See `StretchBank.prepare`."""
        needs = super().prepare(lengths, names)
        full, (settings, states) = self.stretches.lengths > 0, (needs.shape[3], self._states)
        self._possible = self._ends[:, None] == (np.array(lengths) == 0)
        self._known = ~self._possible | ~full[:, None]
        # Untouched pages of np.zeros occupy no memory.
        self._table = np.zeros(
            (*needs.shape[1:3], states, states, settings, *self._costs.shape[2:])
        )
        self._complete = self._known.size <= MAX_EAGER_ENTRIES
        if self._complete:
            self._fill(*np.nonzero(~self._known))
        return needs * self._possible[..., None]

    @property
    def _states(self) -> int:
        return self.pricing.states.count

    def _fill(self, stretches: Index, following: Index) -> None:
        """Tabulate the pairs that are not yet known."""
        pairs = np.stack([stretches, following], axis=1)[~self._known[stretches, following]]
        own, length = np.unique(pairs, axis=0).T
        self._known[own, length] = True
        shape = (len(own), *self._table.shape[2:5])
        pair, *context = np.indices(shape).reshape(4, -1)
        costs = super().costs(own[pair], Context(length[pair], *context))
        self._table[own, length] = costs.reshape(*shape, *costs.shape[1:])

    def costs(self, stretches: Index, context: Context) -> Floats:
        """See `StretchBank.costs`."""
        following, enters, leaves, setting = context
        if not (self._complete or self._known[stretches, following].all()):
            self._fill(stretches, following)
        return self._table[stretches, following, enters, leaves, setting]

    def least(self, stretches: Index, settings: Index) -> Floats:
        """See `StretchBank.least`."""
        if not (self.stretches.lengths[stretches] > 0).all():
            # A stretch without kernels costs nothing.
            return np.zeros(self._table.shape[5:])
        at, following = np.nonzero(self._possible[stretches])
        self._fill(stretches[at], following)
        table = self._table[stretches[at], following][:, :, :, settings]
        return table.min(axis=(0, 1, 2, 3))
