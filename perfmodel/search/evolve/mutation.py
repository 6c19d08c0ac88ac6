"""Moves in a space of choices: sampling, mutation and canonical form.

A space's own ``canonical`` and ``mutate`` are used if it has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any, cast

import numpy as np

from perfmodel.search.evolve.objectives import Index

Choice = tuple[int, ...]

#: Largest space that is enumerated when sampling finds nothing new.
_LISTED = 200_000


class Moves:
    """Sampling, mutation and canonical form of choices.

    Parameters
    ----------
    space
        Space with `decisions`. Its own ``canonical`` and ``mutate`` are used if it has them.
    canonical
        Whether choices that describe the same network count as one.
    """

    def __init__(self, space: Any, *, canonical: bool = True) -> None:
        self.sizes = np.array([len(d.options) for d in space.decisions], dtype=np.intp)
        self.size = prod(self.sizes.tolist())
        self._normal = getattr(space, "canonical", None) if canonical else None
        self._mutate = getattr(space, "mutate", None)
        self._known: dict[Choice, Choice] = {}

    def canonical(self, row: Sequence[int]) -> Choice:
        """Return the representative of all choices that describe the same network."""
        key = tuple(row)
        if self._normal is None:
            return key
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = tuple(self._normal(key))
        return known

    def sample(self, n: int, rng: np.random.Generator) -> Index:
        """Return `n` uniform random choices, shape ``(n, decisions)``."""
        return rng.integers(0, self.sizes, (n, len(self.sizes)), dtype=np.intp)

    def mutated(self, rows: Index, rng: np.random.Generator) -> Index:
        """Return rows in which each of n decisions changes its option with probability 1 / n."""
        flips = rng.random(rows.shape) < 1.0 / max(len(self.sizes), 1)
        steps = rng.integers(1, np.maximum(self.sizes, 2), rows.shape)
        return np.where(flips, (rows + steps) % self.sizes, rows)

    def mutate(self, row: Choice, rng: np.random.Generator) -> Choice:
        """Return a neighbour of a choice: at least one decision changes."""
        if self.size < 2:
            return row
        if self._mutate is not None:
            return tuple(self._mutate(row, rng))
        open_to_change = np.flatnonzero(self.sizes > 1).tolist()
        rows = self.mutated(np.array([row], dtype=np.intp), rng)
        child = cast("list[int]", rows[0].tolist())
        if tuple(child) == row:
            i = open_to_change[int(rng.integers(len(open_to_change)))]
            options = cast("list[int]", self.sizes.tolist())[i]
            child[i] = (row[i] + int(rng.integers(1, options))) % options
        return tuple(child)

    def left(self, seen: Any, rng: np.random.Generator) -> list[Choice]:
        """Return the unseen choices, canonical and shuffled; empty for a large space."""
        if self.size > _LISTED:
            return []
        every = (self.canonical(c) for c in product(*(range(s) for s in self.sizes.tolist())))
        unseen = [c for c in dict.fromkeys(every) if c not in seen]
        return [unseen[i] for i in rng.permutation(len(unseen)).tolist()]
