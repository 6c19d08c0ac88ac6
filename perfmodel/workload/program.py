"""Simultaneous evaluation of many polynomials at many points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Array, Value, is_array, namespace
from perfmodel.workload.symbols import AtomValues, Dim, Monomial, Poly, parameters_of, poly

_ONE: Final = Poly({(): 1.0})
_Places: TypeAlias = npt.NDArray[np.intp]


class PolynomialProgram:
    """Columns of polynomials, compiled to a matrix over their common monomials.

    Polynomials that differ by a factor are evaluated once (the GEMMs of a transformer are all
    multiples of the number of tokens), so each point costs few multiplications.

    Parameters
    ----------
    columns
        Column name -> its polynomials.
    """

    def __init__(self, columns: Mapping[str, Sequence[Dim]]) -> None:
        monomials: dict[Monomial, int] = {}
        unique: dict[Poly, int] = {}
        one: Monomial = ()
        # Monomial -> row of the base that consists of that monomial only.
        singles: dict[Monomial, int] = {}
        entries = [entry for column in columns.values() for entry in column]
        index = np.zeros(len(entries), dtype=np.intp)
        scale = np.zeros((len(entries), 1))
        fixed = np.ones(len(entries), dtype=bool)
        for i, dim in enumerate(entries):
            if isinstance(dim, int | float):
                # By far the most frequent case if all sizes of the network are numbers.
                if dim:
                    scale[i] = dim
                    index[i] = unique.setdefault(_ONE, len(unique))
                    monomials.setdefault(one, len(monomials))
                continue
            entry = poly(dim)
            if not entry.terms:
                continue
            monomial, factor = next(iter(entry.terms.items()))
            if len(entry.terms) == 1:
                row = singles.get(monomial)
                if row is None:
                    row = unique.setdefault(Poly({monomial: 1.0}), len(unique))
                    singles[monomial] = row
                    monomials.setdefault(monomial, len(monomials))
                scale[i], index[i], fixed[i] = factor, row, not monomial
                continue
            fixed[i] = False
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
        self._first, self._further = _terms(unique, monomials)
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
            Parameter name -> number, or array of shape ``(points,)``.
        points
            Number of points; 1 if all values are numbers.
        relaxed
            Whether ceilings and floors take their continuous forms.

        Returns
        -------
        dict of name to array of shape ``(entries, points)``
            ``(entries, 1)`` for a column that does not vary over points.
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
            unique = self._summed(np.array(rows, dtype=float)[:, None])
            flat = unique[self._index] * self._scale
            return {name: flat[here] for name, here in self._slices.items()}
        xp = namespace(*rows)
        table = xp.stack([xp.broadcast_to(xp.asarray(row, dtype=float), (points,)) for row in rows])
        if not foreign:
            unique = self._summed(table)
        else:
            unique = table if self._identity else self.coefficients @ table
        return {
            name: self._fixed[name]
            if name in self._fixed
            else unique[self._index[here]] * self._scale[here]
            for name, here in self._slices.items()
        }

    def _summed(self, table: Array) -> Array:
        """Sum the terms of every base in a fixed order.

        A matrix product would do the same, but a BLAS may sum in a different order in the last
        columns or on another processor: points of equal values would then differ in their last bit,
        so that one would dominate the other.
        """
        if self._identity:
            return table
        unique = table[self._first]
        for rows, places, factors in self._further:
            unique[rows] += factors * table[places]
        return unique


def _terms(
    unique: Mapping[Poly, int], monomials: Mapping[Monomial, int]
) -> tuple[_Places, list[tuple[_Places, _Places, Array]]]:
    """Return the monomial of each base's first term, whose factor is 1, and its further terms.

    The latter are the second terms of all bases with at least two, then the third, and so on, as
    (rows, monomials, factors).
    """
    first = np.zeros(len(unique), dtype=np.intp)
    further: list[list[tuple[int, int, float]]] = []
    for base, row in unique.items():
        for k, (monomial, c) in enumerate(base.terms.items()):
            if not k:
                first[row] = monomials[monomial]
                continue
            if k > len(further):
                further.append([])
            further[k - 1].append((row, monomials[monomial], c))
    return first, [
        (
            np.array([row for row, _, _ in terms], dtype=np.intp),
            np.array([place for _, place, _ in terms], dtype=np.intp),
            np.array([[factor] for _, _, factor in terms]),
        )
        for terms in further
    ]
