"""Many polynomials evaluated at once over many points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from perfmodel.arrays import Array, Value, is_array, namespace
from perfmodel.workload.symbols import AtomValues, Dim, Monomial, Poly, parameters_of, poly

_ONE: Final = Poly({(): 1.0})


class Program:
    """Columns of polynomials compiled to one small matrix over their common monomials.

    Polynomials that differ by a factor are evaluated once (a transformer's GEMMs are all multiples
    of the number of tokens), so a million points cost a few multiplications each.

    Parameters
    ----------
    columns
        Column name -> its entries.
    """

    def __init__(self, columns: Mapping[str, Sequence[Dim]]) -> None:
        monomials: dict[Monomial, int] = {}
        unique: dict[Poly, int] = {}
        one: Monomial = ()
        entries = [entry for column in columns.values() for entry in column]
        index = np.zeros(len(entries), dtype=np.intp)
        scale = np.zeros((len(entries), 1))
        fixed = np.ones(len(entries), dtype=bool)
        for i, given in enumerate(entries):
            if isinstance(given, int | float):
                # The most frequent by far where a network's sizes are all given.
                if given:
                    scale[i] = given
                    index[i] = unique.setdefault(_ONE, len(unique))
                    monomials.setdefault(one, len(monomials))
                continue
            entry = poly(given)
            if not entry.terms:
                continue
            fixed[i] = len(entry.terms) == 1 and () in entry.terms
            factor = next(iter(entry.terms.values()))
            base = Poly({m: c / factor for m, c in entry.terms.items()})
            scale[i] = factor
            index[i] = unique.setdefault(base, len(unique))
            for monomial in base.terms:
                monomials.setdefault(monomial, len(monomials))
        if not unique:
            unique[_ONE] = 0
            monomials[one] = 0
        self.monomials: tuple[Monomial, ...] = tuple(monomials)
        self.coefficients: Array = np.zeros((len(unique), len(monomials)))
        for base, row in unique.items():
            for monomial, c in base.terms.items():
                self.coefficients[row, monomials[monomial]] = c
        self._identity = self.coefficients.shape[0] == self.coefficients.shape[1] and bool(
            np.array_equal(self.coefficients, np.eye(len(unique)))
        )
        self._index = index
        self._scale = scale
        self._slices: dict[str, slice] = {}
        self._fixed: dict[str, Array] = {}
        at = 0
        for name, column in columns.items():
            here = slice(at, at + len(column))
            at += len(column)
            self._slices[name] = here
            if fixed[here].all():
                self._fixed[name] = scale[here]
        self.parameters: frozenset[str] = frozenset[str]().union(
            *(parameters_of(atom) for monomial in monomials for atom, _ in monomial)
        )

    def __call__(
        self, values: Mapping[str, Value], points: int = 1, *, relaxed: bool = False
    ) -> dict[str, Value]:
        """Evaluate every column.

        Parameters
        ----------
        values
            Parameter name to a number, or to an array of shape ``(points,)``.
        points
            Number of points; 1 when every value is a number.
        relaxed
            Take the continuous form of ceilings and floors.

        Returns
        -------
        dict of name to array of shape ``(entries, points)``
            ``(entries, 1)`` for a column that does not vary.
        """
        atoms = AtomValues(values, relaxed)
        rows = [atoms.monomial(m) for m in self.monomials]
        varies = False
        foreign = False
        for row in rows:
            if type(row) is not float and is_array(row):
                varies = varies or bool(np.ndim(row))
                foreign = foreign or not isinstance(row, np.ndarray | np.generic)
        if not varies and not foreign:
            unique = np.array(rows, dtype=float)[:, None]
            unique = unique if self._identity else self.coefficients @ unique
            flat = unique[self._index] * self._scale
            return {name: flat[here] for name, here in self._slices.items()}
        xp = namespace(*rows)
        table = xp.stack([xp.broadcast_to(xp.asarray(row, dtype=float), (points,)) for row in rows])
        unique = table if self._identity else self.coefficients @ table
        return {
            name: self._fixed[name]
            if name in self._fixed
            else unique[self._index[here]] * self._scale[here]
            for name, here in self._slices.items()
        }
