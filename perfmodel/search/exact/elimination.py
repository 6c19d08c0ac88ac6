"""Tables over several decisions, eliminated decision by decision for many prices at once.

Bucket elimination (Dechter, Artificial Intelligence 113, 1999): the tables that hold a decision are
added up and its least taken, which leaves a table over its neighbours. In an order that keeps these
small this is dynamic programming over a tree decomposition. What is kept here is by how much each
option exceeds the least: in the opposite order, a partial choice's bound is the sum of what it
took.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perfmodel.search.exact.problem import Floats, Ints
from perfmodel.search.exact.reduced import Factor, Reduced


@dataclass(frozen=True, eq=False)
class Bucket:
    """What a decision takes, given decisions that are made before it.

    Attributes
    ----------
    decision
    others
        Decisions on which it depends.
    rises : ndarray, shape (options of others, options, P)
        By how much an option raises each price's bound; infinite where forbidden.
    cheapest : ndarray of int, shape (options of others, P)
    factors
        Tables of the problem that are decided with it.
    """

    decision: int
    others: tuple[int, ...]
    rises: Floats
    cheapest: Ints
    factors: tuple[Factor, ...]


@dataclass(frozen=True, eq=False)
class Elimination:
    """Buckets in the order in which decisions are made.

    Attributes
    ----------
    bounds : ndarray, shape (P,)
        Of the whole problem, with its constant; what decisions take is added.
    """

    buckets: tuple[Bucket, ...]
    bounds: Floats
    prices: Floats


def elimination_order(p: Reduced) -> list[int]:
    """Return an order by least fill: next the decision that joins the fewest new pairs."""
    near: list[set[int]] = [set() for _ in range(len(p.count))]
    for f in p.factors:
        for i in f.scope:
            near[i].update(j for j in f.scope if j != i)
    left = set(range(len(near)))
    fill = {i: _fill(near, i) for i in left}
    order: list[int] = []
    while left:
        best = min(left, key=lambda i: (fill[i], len(near[i]), i))
        order.append(best)
        left.remove(best)
        around = near[best]
        touched = set(around)
        for i in around:
            near[i] |= around
            near[i] -= {i, best}
            touched |= near[i]
        for i in touched & left:
            fill[i] = _fill(near, i)
    return order


def _fill(near: list[set[int]], i: int) -> int:
    around = sorted(near[i])
    return sum(b not in near[a] for k, a in enumerate(around) for b in around[k + 1 :])


def table_entries(p: Reduced, order: list[int]) -> int:
    """Return the entries of all tables that an elimination builds, for one price."""
    near: list[set[int]] = [set() for _ in range(len(p.count))]
    for f in p.factors:
        for i in f.scope:
            near[i].update(j for j in f.scope if j != i)
    count = p.count.tolist()
    total = 0
    for i in order:
        entries = count[i]
        for j in near[i]:
            entries *= count[j]
            near[j] |= near[i]
            near[j] -= {i, j}
        total += entries
    return total


def eliminate(p: Reduced, order: list[int], prices: Floats) -> Elimination:
    """Eliminate every decision.

    Parameters
    ----------
    prices : ndarray, shape (P, R)
    """
    held: dict[int, list[tuple[tuple[int, ...], Floats]]] = {i: [] for i in order}
    first = {i: k for k, i in enumerate(order)}
    own: dict[int, list[Factor]] = {i: [] for i in order}
    for f in p.factors:
        own[min(f.scope, key=first.__getitem__)].append(f)
    bounds: Floats = p.constant - prices @ p.room
    buckets: list[Bucket] = []
    for i in order:
        k = int(p.count[i])
        parts = [((i,), p.cost[i, :k, None] + p.weights[i, :k] @ prices.T)]
        parts += [(f.scope, f.cost[..., None] + f.weights @ prices.T) for f in own[i]]
        parts += held.pop(i)
        others = tuple(sorted({j for scope, _ in parts for j in scope if j != i}))
        whole = (*others, i)
        table: Floats = np.zeros((*(int(p.count[j]) for j in whole), len(prices)))
        for scope, values in parts:
            table += _aligned(scope, values, whole)
        least = table.min(axis=-2)
        with np.errstate(invalid="ignore"):
            rises: Floats = table - least[..., None, :]
        # Where nothing is allowed, nothing becomes allowed by the difference of infinities.
        rises[np.isnan(rises)] = np.inf
        if others:
            held[min(others, key=first.__getitem__)].append((others, least))
        else:
            bounds = bounds + least
        cheapest: Ints = table.argmin(axis=-2).astype(np.int64)
        buckets.append(Bucket(i, others, rises, cheapest, tuple(own[i])))
    return Elimination(tuple(reversed(buckets)), bounds, prices)


def _aligned(scope: tuple[int, ...], values: Floats, whole: tuple[int, ...]) -> Floats:
    """Return a table with its axes in another order and of length 1 where it has none."""
    order = sorted(range(len(scope)), key=lambda a: whole.index(scope[a]))
    moved = values.transpose([*order, len(scope)])
    inside = set(scope)
    sizes = iter(moved.shape)
    return moved.reshape([next(sizes) if j in inside else 1 for j in whole] + [values.shape[-1]])
