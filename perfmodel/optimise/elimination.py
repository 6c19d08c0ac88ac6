"""Variable elimination: exact minimum of a sum of tables, each over a few variables.

Bertele and Brioschi, "Nonserial Dynamic Programming", 1972; bucket elimination in Dechter,
Artificial Intelligence 113, 1999: minimise over one variable after another, each time replacing
the tables that contain it by one over its neighbours,

``m(others) = min over x of sum of t(x, others)`` over the tables t that contain x.

On a chain it is Viterbi's algorithm; in an order that keeps the tables small it is dynamic
programming over a tree decomposition: the size of the largest table grows exponentially with the
width of the graph, not with its length.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

#: Variables, and values with one axis per variable; all tables may share further trailing axes.
FactorTable: TypeAlias = tuple[tuple[int, ...], Floats]


class Bag(NamedTuple):
    """A variable and its remaining neighbours at its elimination, ascending."""

    variable: int
    others: tuple[int, ...]

    @property
    def scope(self) -> tuple[int, ...]:
        """Neighbours, followed by the variable itself."""
        return (*self.others, self.variable)


class Eliminated(NamedTuple):
    """Result of eliminating one variable.

    Attributes
    ----------
    total : ndarray
        Sum of the tables that contain the variable, with one axis per variable of the scope.
    least : ndarray
        Its minimum over the variable.
    """

    bag: Bag
    total: Floats
    least: Floats


def least_fill(neighbours: Sequence[set[int]], i: int) -> tuple[int, int]:
    """Rank a variable by the fill-in of its elimination, then by its number of neighbours."""
    return sum(b not in neighbours[a] for a, b in combinations(sorted(neighbours[i]), 2)), len(
        neighbours[i]
    )


def elimination_order(
    count: int,
    scopes: Iterable[Sequence[int]],
    rank: Callable[[Sequence[set[int]], int], Any] = least_fill,
) -> list[Bag]:
    """Return an order of all variables, least rank first, updated after each elimination.

    Parameters
    ----------
    count
        Number of variables.
    scopes
        Variables of each table.
    rank
        (neighbours of every variable at the time, a variable) -> rank to minimise.
    """
    neighbours: list[set[int]] = [set() for _ in range(count)]
    for scope in scopes:
        for i in scope:
            neighbours[i].update(j for j in scope if j != i)
    ranks = {i: rank(neighbours, i) for i in range(count)}
    heap = [(value, i) for i, value in ranks.items()]
    heapq.heapify(heap)
    order: list[Bag] = []
    while heap:
        value, i = heapq.heappop(heap)
        if ranks.get(i) != value:
            continue  # eliminated, or its rank is outdated
        del ranks[i]
        adjacent = neighbours[i]
        order.append(Bag(i, tuple(sorted(adjacent))))
        for j in adjacent:
            neighbours[j] |= adjacent
            neighbours[j] -= {i, j}
        for j in adjacent.union(*(neighbours[j] for j in adjacent)):
            value = rank(neighbours, j)
            if value != ranks[j]:
                ranks[j] = value
                heapq.heappush(heap, (value, j))
    return order


def eliminate(order: Sequence[Bag], tables: Iterable[FactorTable]) -> Iterator[Eliminated]:
    """Eliminate all variables in order; yield each with the sum of the tables that contain it.

    Parameters
    ----------
    order
        Result of `elimination_order`.
    tables
        At least one table per variable.
    """
    turn = {bag.variable: k for k, bag in enumerate(order)}
    pending: list[list[FactorTable]] = [[] for _ in order]
    for scope, values in tables:
        pending[min(turn[i] for i in scope)].append((scope, values))
    for k, bag in enumerate(order):
        aligned = [_aligned(table, bag.scope) for table in pending[k]]
        pending[k].clear()
        total: Floats = np.zeros(np.broadcast_shapes(*(values.shape for values in aligned)))
        for values in aligned:
            total += values
        least: Floats = total.min(axis=len(bag.others))
        if bag.others:
            pending[min(turn[i] for i in bag.others)].append((bag.others, least))
        yield Eliminated(bag, total, least)


def _aligned(table: FactorTable, scope: tuple[int, ...]) -> Floats:
    """Return a table with its axes in the order of a scope, of length 1 for missing variables."""
    own, values = table
    order = sorted(range(len(own)), key=lambda axis: scope.index(own[axis]))
    values = values.transpose([*order, *range(len(own), values.ndim)])
    return np.expand_dims(values, tuple(axis for axis, i in enumerate(scope) if i not in own))
