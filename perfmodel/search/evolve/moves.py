"""Moves in a space of choices, whether or not the space brings its own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any, cast

import numpy as np

from perfmodel.search.evolve.question import Index

Choice = tuple[int, ...]

#: Spaces up to which what is left can be listed when drawing finds nothing new.
_LISTED = 200_000


class Moves:
    """Samples, changes and names choices.

    Parameters
    ----------
    space
        What has `decisions`. Its own ``canonical`` and ``mutate`` are taken where it has them.
    canonical
        Whether choices of the same network are one.
    """

    def __init__(self, space: Any, *, canonical: bool = True) -> None:
        self.sizes = np.array([len(d.options) for d in space.decisions], dtype=np.intp)
        self.size = prod(self.sizes.tolist())
        self._normal = getattr(space, "canonical", None) if canonical else None
        self._mutate = getattr(space, "mutate", None)
        self._known: dict[Choice, Choice] = {}

    def canonical(self, row: Sequence[int]) -> Choice:
        """Return the choice that stands for all of the same network."""
        key = tuple(row)
        if self._normal is None:
            return key
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = tuple(self._normal(key))
        return found

    def sample(self, n: int, rng: np.random.Generator) -> Index:
        """Return ``(n, decisions)``, each option equally likely."""
        return rng.integers(0, self.sizes, (n, len(self.sizes)), dtype=np.intp)

    def mutated(self, rows: Index, rng: np.random.Generator) -> Index:
        """Return rows in which each decision takes another option with probability one over n."""
        flips = rng.random(rows.shape) < 1.0 / max(len(self.sizes), 1)
        steps = rng.integers(1, np.maximum(self.sizes, 2), rows.shape)
        return np.where(flips, (rows + steps) % self.sizes, rows)

    def mutate(self, row: Choice, rng: np.random.Generator) -> Choice:
        """Return another choice near one: one decision changes, each other one may."""
        if self.size < 2:
            return row
        if self._mutate is not None:
            return tuple(self._mutate(row, rng))
        open_to_change = np.flatnonzero(self.sizes > 1).tolist()
        rows = self.mutated(np.array([row], dtype=np.intp), rng)
        made = cast("list[int]", rows[0].tolist())
        if tuple(made) == row:
            i = open_to_change[int(rng.integers(len(open_to_change)))]
            options = cast("list[int]", self.sizes.tolist())[i]
            made[i] = (row[i] + int(rng.integers(1, options))) % options
        return tuple(made)

    def left(self, seen: Any, rng: np.random.Generator) -> list[Choice]:
        """Return what is not in `seen`, canonical and shuffled; nothing of a large space."""
        if self.size > _LISTED:
            return []
        every = (self.canonical(c) for c in product(*(range(s) for s in self.sizes.tolist())))
        rest = [c for c in dict.fromkeys(every) if c not in seen]
        return [rest[i] for i in rng.permutation(len(rest)).tolist()]
