"""Conversion of tabulated costs to a choice problem: metrics as sums of tables over decisions.

The cost of a kernel depends on the residency of its activations, which the sizes of other tensors
affect. If the residency is the same in every configuration of the space, the tables equal the
metric; otherwise they are a lower and an upper bound on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Literal, TypeAlias

import numpy as np

from perfmodel.search.exact import Sum, Term
from perfmodel.search.oracle.configuration_costs import ConfigurationCosts
from perfmodel.search.oracle.kernel_pricing import UNSUPPORTED, Floats
from perfmodel.search.oracle.metric_reader import MetricReader

#: Lower or upper bound of a metric.
Side: TypeAlias = Literal["least", "most"]


class MetricTables:
    """Metrics of a space as sums of tables.

    Attributes
    ----------
    exact
        Whether the lower and upper bounds of every metric coincide.
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
        self.exact = costs.pricing.modes == 1 and not any(k.tensors for k in costs.kernels)

    def metric(self, name: str, side: Side) -> tuple[Sum, ...]:
        """Return a metric as sums, whose maximum is its value.

        Parameters
        ----------
        name
            One of the reader's metrics, which are affine (`MetricReader.affine`).
        side
            Lower or upper bound, for a metric that is not exact.
        """
        at = self.reader.metrics.index(name)
        return self._sums(self.reader.coefficients[at], float(self.reader.constant[at]), side)

    def capacities(self) -> list[tuple[str, float, tuple[Sum, ...]]]:
        """Return statement, capacity and demand (bytes) of every memory that a network must fit.

        The last one may count kernels in formats that the engine lacks, of which there may be none.
        """
        n = len(self.reader.metrics)
        return [
            (
                "the engine computes every format"
                if memory == UNSUPPORTED
                else f"{memory} holds the network",
                float(self.reader.capacities[i]),
                self._sums(
                    self.reader.coefficients[n + i], float(self.reader.constant[n + i]), "most"
                ),
            )
            for i, memory in enumerate(self.reader.memories)
        ]

    def _sums(self, coefficients: Floats, constant: float, side: Side) -> tuple[Sum, ...]:
        """Return an affine metric as sums of tables; one per step for live activations."""
        count = len(self.costs.names)
        terms = _Terms()
        if np.any(coefficients[:count]):
            for kernel in self.costs.kernels:
                projected = kernel.values @ coefficients[:count]
                terms.add(kernel.decisions, self._reduced(projected, kernel.tensors, side))
        for stored, multiple in (
            (self.costs.weights, coefficients[count]),
            (self.costs.caches, coefficients[count + 1]),
        ):
            if multiple:
                for decisions, table in stored.tables:
                    terms.add(decisions, multiple * table)
        shared = terms.sum(constant)
        if not coefficients[count + 2]:
            return (shared,)
        sums: list[Sum] = []
        tables = self.costs.activations.tables
        for step in self.costs.live:
            own = _Terms()
            for i in np.flatnonzero(step).tolist():
                decisions, table = tables[i]
                own.add(decisions, coefficients[count + 2] * table)
            live = own.sum(0.0)
            sums.append(Sum(shared.constant + live.constant, (*shared.terms, *live.terms)))
        return tuple(sums) or (shared,)

    def _reduced(self, values: Floats, tensors: Sequence[str], side: Side) -> Floats:
        """Return a kernel's table minimised or maximised over possible states and modes."""
        state_count = self.costs.pricing.states.count
        place = {name: i for i, name in enumerate(self.costs.lives.names)}
        ranges: list[range] = []
        for name in tensors:
            at = place[self.costs.alias.get(name, name)]
            ranges.append(range(int(self._low[at]), int(self._high[at]) + 1))
        index = [
            sum(state * state_count**k for k, state in enumerate(states))
            for states in product(*ranges)
        ]
        allowed = values[..., index, :]
        axes = (allowed.ndim - 2, allowed.ndim - 1)
        return allowed.min(axis=axes) if side == "least" else allowed.max(axis=axes)


class _Terms:
    """Sum of tables, in which tables over the same decisions are merged."""

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
        """Return all tables as one sum."""
        terms = tuple(Term(d, np.ascontiguousarray(v)) for d, v in self.tables.items())
        return Sum(constant + self.constant, terms)


def negated(total: Sum) -> Sum:
    """Return the negated sum, to maximise it."""
    return Sum(-total.constant, tuple(Term(d, -v) for d, v in total.terms))


def added(*sums: Sum) -> Sum:
    """Return the sum of several sums."""
    terms = tuple(term for each in sums for term in each.terms)
    return Sum(sum(each.constant for each in sums), terms)
