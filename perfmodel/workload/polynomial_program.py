"""Simultaneous evaluation of many polynomials at many points.

All columns of an operator table are polynomials over a few free dimensions. They are compiled to a
sparse matrix over their common monomials, of which polynomials that are multiples of each other
share a row, and one evaluation returns every column for all points of a sweep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Array, Value, is_array, namespace
from perfmodel.workload.symbols import AtomValues, Dim, Monomial, Poly, parameters_of

_ONE: Final = Poly({(): 1.0})
_Places: TypeAlias = npt.NDArray[np.intp]


class PolynomialProgram:
    """Columns of polynomials, compiled to a matrix over their common monomials.

    Every polynomial is written as ``scale * base``, where the first term of the base has the factor
    1. Polynomials that differ by a factor share a base, which is evaluated once (the GEMMs of a
    transformer are all multiples of the number of tokens), so each point costs few multiplications.

    Parameters
    ----------
    columns
        Column name -> its polynomials.
    """

    def __init__(self, columns: Mapping[str, Sequence[Dim]]) -> None:
        monomials: dict[Monomial, int] = {}
        bases: dict[Poly, int] = {}
        entries = [entry for column in columns.values() for entry in column]
        base_of_entry = [0] * len(entries)
        scales = [0.0] * len(entries)
        varies = [False] * len(entries)
        # Monomial -> the base that consists of this monomial only, by far the most frequent case.
        single_term_bases: dict[Monomial, int] = {}
        for i, dim in enumerate(entries):
            terms = dim.terms if isinstance(dim, Poly) else {(): float(dim)} if dim else {}
            if not terms:
                continue
            first, factor = next(iter(terms.items()))
            scales[i], varies[i] = factor, len(terms) > 1 or bool(first)
            known = single_term_bases.get(first) if len(terms) == 1 else None
            if known is None:
                base = Poly({monomial: c / factor for monomial, c in terms.items()})
                known = bases.setdefault(base, len(bases))
                for monomial in base.terms:
                    monomials.setdefault(monomial, len(monomials))
                if len(terms) == 1:
                    single_term_bases[first] = known
            base_of_entry[i] = known
        if not bases:
            bases[_ONE] = monomials[()] = 0
        self.monomials: tuple[Monomial, ...] = tuple(monomials)
        self.coefficients: Array = np.zeros((len(bases), len(monomials)))
        for base, row in bases.items():
            for monomial, c in base.terms.items():
                self.coefficients[row, monomials[monomial]] = c
        self._first, self._further = _terms(bases, monomials)
        is_square = self.coefficients.shape[0] == self.coefficients.shape[1]
        self._identity = is_square and bool(np.array_equal(self.coefficients, np.eye(len(bases))))
        self._index: _Places = np.array(base_of_entry, dtype=np.intp)
        self._scale: Array = np.array(scales)[:, None]
        self._slices: dict[str, slice] = {}
        self._fixed: dict[str, Array] = {}
        start = 0
        for name, column in columns.items():
            entries_of_column = self._slices[name] = slice(start, start + len(column))
            start += len(column)
            if not any(varies[entries_of_column]):
                self._fixed[name] = self._scale[entries_of_column]
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
        arrays = [row for row in rows if type(row) is not float and is_array(row)]
        is_foreign = any(not isinstance(row, np.ndarray | np.generic) for row in arrays)
        if not is_foreign and not any(np.ndim(row) for row in arrays):
            unique = self._summed(np.array(rows, dtype=float)[:, None])
            flat = unique[self._index] * self._scale
            return {name: flat[here] for name, here in self._slices.items()}
        xp = namespace(*rows)
        table = xp.stack([xp.broadcast_to(xp.asarray(row, dtype=float), (points,)) for row in rows])
        if not is_foreign:
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
    bases: Mapping[Poly, int], monomials: Mapping[Monomial, int]
) -> tuple[_Places, list[tuple[_Places, _Places, Array]]]:
    """Return the monomial of each base's first term, whose factor is 1, and its further terms.

    The latter are the second terms of all bases with at least two, then the third, and so on, as
    (rows, monomials, factors).
    """
    first = np.zeros(len(bases), dtype=np.intp)
    further: list[list[tuple[int, int, float]]] = []
    for base, row in bases.items():
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
