"""Many polynomials evaluated at once over many points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from perfmodel.arrays import Array, Value, is_array, namespace
from perfmodel.workload.symbols import AtomValues, Dim, Monomial, Poly, poly


class Program:
    """Polynomials compiled to one small matrix over their common monomials.

    Polynomials that differ by a factor are evaluated once (a transformer's GEMMs are all multiples
    of the number of tokens), so a million points cost a few multiplications each.

    Parameters
    ----------
    entries
        The quantities, in the order in which `__call__` returns them.
    """

    def __init__(self, entries: Sequence[Dim]) -> None:
        monomials: dict[Monomial, int] = {}
        unique: dict[Poly, int] = {}
        index = np.zeros(len(entries), dtype=np.intp)
        scale = np.zeros(len(entries))
        for i, entry in enumerate(entries):
            terms = poly(entry).terms
            if not terms:
                continue
            factor = next(iter(terms.values()))
            base = Poly({m: c / factor for m, c in terms.items()})
            scale[i] = factor
            index[i] = unique.setdefault(base, len(unique))
            for monomial in base.terms:
                monomials.setdefault(monomial, len(monomials))
        if not unique:
            unique[Poly({(): 1.0})] = 0
            monomials[()] = 0
        self.monomials: tuple[Monomial, ...] = tuple(monomials)
        self.coefficients: Array = np.zeros((len(unique), len(monomials)))
        for base, row in unique.items():
            for monomial, c in base.terms.items():
                self.coefficients[row, monomials[monomial]] = c
        self._identity = np.array_equal(self.coefficients, np.eye(*self.coefficients.shape))
        self.index = index
        self.scale = scale[:, None]
        self.parameters: frozenset[str] = frozenset(_parameters(self.monomials))

    def __call__(
        self, values: Mapping[str, Value], points: int = 1, *, relaxed: bool = False
    ) -> Value:
        """Evaluate every entry.

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
        array of shape ``(entries, points)``, or ``(entries, 1)`` when no entry varies
        """
        atoms = AtomValues(values, relaxed)
        rows = [atoms.monomial(m) for m in self.monomials]
        xp = namespace(*rows)
        if any(is_array(row) and np.ndim(row) for row in rows):
            table = xp.stack([xp.broadcast_to(xp.asarray(row), (points,)) for row in rows])
        else:
            table = xp.asarray(rows)[:, None]
        unique = table if self._identity else self.coefficients @ table
        return unique[self.index] * self.scale


def _parameters(monomials: Sequence[Monomial]) -> set[str]:
    names: set[str] = set()
    pending: list[Monomial] = list(monomials)
    while pending:
        for atom, _ in pending.pop():
            if atom.args:
                pending.extend(m for arg in atom.args for m in arg.terms)
            else:
                names.add(atom.name)
    return names
