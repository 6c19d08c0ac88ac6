"""Sums of tables over decisions: the objective and the limits of a choice problem.

``value(x) = constant + sum_t f_t(x)``, where the table f_t depends on the options that a choice x
selects for one decision or for several. `Sum` is how users and other modules state a sum;
`PackedSum` has the same tables as arrays, with which solvers evaluate many choices at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Sums of integers below this are exact: a double holds every integer up to 2^53, or 9e15.
_MAX_EXACT: Final = 1e15


class Term(NamedTuple):
    """A table over the options of zero or more decisions.

    Attributes
    ----------
    decisions
        Indices of distinct decisions, ascending; may be empty.
    values : ndarray
        One axis per decision, with one entry per option. ``+inf`` forbids the combination, in the
        objective as well as in limits.
    """

    decisions: tuple[int, ...]
    values: Floats


@dataclass(frozen=True, eq=False)
class Sum:
    """A sum of a constant and tables.

    Attributes
    ----------
    constant
        Term that is independent of the choice.
    terms
        Tables; several may depend on the same decisions.
    """

    constant: float = 0.0
    terms: tuple[Term, ...] = ()

    @classmethod
    def of(cls, tables: Sequence[ArrayLike], constant: float = 0.0) -> Sum:
        """Return the sum with one table per decision, ``tables[i][option of i]``."""
        return cls(
            constant,
            tuple(Term((i,), np.asarray(t, dtype=np.float64)) for i, t in enumerate(tables)),
        )


class PackedSum:
    """A sum as arrays: all tables of one decision in one block, the others separately.

    Tables over the same decisions are added up.

    Attributes
    ----------
    constant
        Term that is independent of the choice.
    owner, block
        Decision of each table of one decision, shape (tables,), and its values, shape (tables, most
        options); infinite for options that the decision does not have.
    shared
        Decisions -> table over them, for tables of several decisions.
    """

    def __init__(self, total: Sum, options: Sequence[int]) -> None:
        self.constant = float(total.constant)
        single: list[Term] = []
        shared: dict[tuple[int, ...], Floats] = {}
        for term in total.terms:
            if len(term.decisions) == 1:
                single.append(term)
            elif not term.decisions:
                self.constant += float(term.values)
            else:
                earlier = shared.get(term.decisions)
                shared[term.decisions] = term.values if earlier is None else earlier + term.values
        self.shared = shared
        decisions = [term.decisions[0] for term in single]
        width = max([options[i] for i in decisions], default=0)
        owner: Ints = np.array(decisions, dtype=np.int64)
        block: Floats = np.full((len(single), width), np.inf)
        for row, term in enumerate(single):
            block[row, : len(term.values)] = term.values
        if len(decisions) != len(set(decisions)):
            unique, inverse = np.unique(owner, return_inverse=True)
            merged: Floats = np.zeros((len(unique), width))
            np.add.at(merged, inverse, block)
            owner, block = unique.astype(np.int64), merged
        self.owner = owner
        self.block: Floats = block

    def at(self, choices: Ints) -> Floats:
        """Return the sum for each row of choices."""
        out: Floats = np.full(len(choices), self.constant)
        if len(self.owner):
            out += self.block[np.arange(len(self.owner)), choices[:, self.owner]].sum(axis=1)
        for scope, values in self.shared.items():
            out += values[tuple(choices[:, i] for i in scope)]
        return out

    @cached_property
    def is_integral(self) -> bool:
        """Whether every sum of allowed options is a whole number that a float holds exactly."""
        numbers = (np.array([self.constant]), self.block, *self.shared.values())
        integral = all(bool(np.all(np.floor(v) == v, where=np.isfinite(v))) for v in numbers)
        return integral and self.size < _MAX_EXACT

    @cached_property
    def size(self) -> float:
        """Largest magnitude that the sum can have, as the reference of rounding errors."""
        total = abs(self.constant)
        for values in (self.block, *self.shared.values()):
            finite = np.where(np.isfinite(values), np.abs(values), 0.0)
            if finite.size:
                total += float(finite.max(axis=-1).sum() if values is self.block else finite.max())
        return total
