"""From tabled costs to a problem of choices: metrics as sums of tables over decisions.

What a kernel costs depends on where its activations stay, which the sizes of others decide. Where
that is the same in every configuration of the space, the tables are the metric; where it is not,
they are a lower and an upper bound, and the metric lies between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Literal, TypeAlias

import numpy as np

from perfmodel.search.exact import Sum, Term
from perfmodel.search.oracle.configured import ConfigurationCosts
from perfmodel.search.oracle.reader import MetricReader
from perfmodel.search.oracle.rows import Floats, Index

#: Which bound of a metric.
Side: TypeAlias = Literal["least", "most"]


class MetricTables:
    """Metrics of a space as sums of tables.

    Attributes
    ----------
    exact
        Whether least and most are the same for every metric.
    """

    def __init__(self, costs: ConfigurationCosts, reader: MetricReader) -> None:
        self.costs, self.reader = costs, reader
        sizes = [table for _, table in costs.activations.tables]
        low = np.array([table.min() for table in sizes], dtype=float)
        high = np.array([table.max() for table in sizes], dtype=float)
        if costs.pricing.states.count > 1 and len(low):
            self._low = costs.states(low[:, None])[:, 0]
            self._high = costs.states(high[:, None])[:, 0]
        else:
            self._low = self._high = np.zeros(len(low) + 1, dtype=np.intp)
        one_mode = costs.pricing.modes == 1
        self.exact = one_mode and bool((self._low == self._high)[self._used()].all())

    def _used(self) -> Index:
        names = {name: i for i, name in enumerate(self.costs.lives.names)}
        found = {self.costs.alias.get(t, t) for k in self.costs.kernels for t in k.tensors}
        return np.array(sorted(names[name] for name in found), dtype=np.intp)

    def metric(self, name: str, side: Side) -> tuple[Sum, ...]:
        """Return a metric as sums of which the largest is meant.

        Parameters
        ----------
        name
            One of the reader's metrics, `MetricReader.affine`.
        side
            Of a metric that is not exact: the bound from below or from above.
        """
        at = self.reader.metrics.index(name)
        return self._sums(self.reader.multiples[at], float(self.reader.constant[at]), side)

    def capacities(self) -> list[tuple[str, float, tuple[Sum, ...]]]:
        """Return name, bound and demand of every memory that a network must fit."""
        n = len(self.reader.metrics)
        return [
            (
                memory,
                float(self.reader.bounds[i]),
                self._sums(
                    self.reader.multiples[n + i], float(self.reader.constant[n + i]), "most"
                ),
            )
            for i, memory in enumerate(self.reader.memories)
        ]

    def _sums(self, multiples: Floats, constant: float, side: Side) -> tuple[Sum, ...]:
        m = len(self.costs.names)
        terms = _Terms()
        if np.any(multiples[:m]):
            for kernel in self.costs.kernels:
                projected = kernel.values @ multiples[:m]
                terms.add(kernel.decisions, self._reduced(projected, kernel.tensors, side))
        for stored, multiple in (
            (self.costs.weights, multiples[m]),
            (self.costs.caches, multiples[m + 1]),
        ):
            if multiple:
                for decisions, table in stored.tables:
                    terms.add(decisions, multiple * table)
        shared = terms.sum(constant)
        if not multiples[m + 2]:
            return (shared,)
        sums: list[Sum] = []
        tables = self.costs.activations.tables
        for step in self.costs.live:
            own = _Terms()
            for i in np.flatnonzero(step).tolist():
                decisions, table = tables[i]
                own.add(decisions, multiples[m + 2] * table)
            made = own.sum(0.0)
            sums.append(Sum(shared.constant + made.constant, (*shared.terms, *made.terms)))
        return tuple(sums) or (shared,)

    def _reduced(self, values: Floats, tensors: Sequence[str], side: Side) -> Floats:
        """Return a kernel's table without states and modes: the least or the most of them."""
        c = self.costs.pricing.states.count
        place = {name: i for i, name in enumerate(self.costs.lives.names)}
        ranges: list[range] = []
        for name in tensors:
            at = place[self.costs.alias.get(name, name)]
            ranges.append(range(int(self._low[at]), int(self._high[at]) + 1))
        index = [sum(state * c**k for k, state in enumerate(states)) for states in product(*ranges)]
        allowed = values[..., index, :]
        axes = (allowed.ndim - 2, allowed.ndim - 1)
        return allowed.min(axis=axes) if side == "least" else allowed.max(axis=axes)


class _Terms:
    """Tables, those over the same decisions added up."""

    def __init__(self) -> None:
        self.constant = 0.0
        self.tables: dict[tuple[int, ...], Floats] = {}

    def add(self, decisions: tuple[int, ...], values: Floats) -> None:
        """Add a table."""
        if not decisions:
            self.constant += float(values)
            return
        self.tables[decisions] = values + self.tables.get(decisions, 0.0)

    def sum(self, constant: float) -> Sum:
        """Return all of them as one sum."""
        terms = tuple(Term(d, np.ascontiguousarray(v)) for d, v in self.tables.items())
        return Sum(constant + self.constant, terms)


def negated(whole: Sum) -> Sum:
    """Return what is to be large as what is to be small."""
    return Sum(-whole.constant, tuple(Term(d, -v) for d, v in whole.terms))


def added(*sums: Sum) -> Sum:
    """Return the sum of sums."""
    terms = _Terms()
    for each in sums:
        for decisions, values in each.terms:
            terms.add(decisions, values)
    return terms.sum(sum(each.constant for each in sums))
