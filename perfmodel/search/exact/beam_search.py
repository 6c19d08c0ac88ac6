"""Beam search over the core of a choice problem, for a good incumbent.

The core is that of a multiple-choice knapsack (Pisinger, A minimal algorithm for the
multiple-choice knapsack problem, European Journal of Operational Research 83, 1995): at the optimal
prices most decisions have one option that is clearly the cheapest, and only the others need search.

A partial choice that has fixed the options x_j of the decisions j <= i is dropped if its Lagrangian
bound at some vector of prices w >= 0 reaches the incumbent::

    constant + sum_{j <= i} cost[j, x_j] + (sum_{j <= i} weights[j, x_j] - room) . w
             + sum_{j > i} min_k (cost[j, k] + weights[j, k] . w)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from perfmodel.search.exact.choice_incumbent import ChoiceIncumbent
from perfmodel.search.exact.choice_sums import Floats, Ints
from perfmodel.search.exact.linear_relaxation import Relaxation, relative_price_changes
from perfmodel.search.exact.presolve import ReducedProblem
from perfmodel.search.exact.price_pool import sample_prices

#: Number of price vectors at which each partial choice is bounded: the optimal one, and others that
#: are optimal for randomly shifted rooms (`perfmodel.search.exact.price_pool`).
POOL_SIZE = 24


def beam_search(
    p: ReducedProblem, at: Relaxation, incumbent: ChoiceIncumbent, *, core: int, width: int
) -> None:
    """Improve an incumbent by beam search.

    Parameters
    ----------
    core
        Number of decisions to search; the others take the cheapest option at the optimal prices.
    width
        Beam width: number of partial choices after each decision.
    """
    order = np.argsort(relative_price_changes(p, at), kind="stable")
    open_, settled = order[:core], order[core:]
    room: Floats = p.room - p.weights[settled, at.local[settled]].sum(axis=0)
    part = replace(
        p,
        count=p.count[open_],
        cost=p.cost[open_],
        weights=p.weights[open_],
        room=room,
        constant=p.constant + float(p.cost[settled, at.local[settled]].sum()),
        factors=(),
    )
    local_options = _search(part, at.prices, incumbent, width)
    if len(local_options):
        local: Ints = np.repeat(at.local[None], len(local_options), axis=0)
        local[:, open_] = local_options
        incumbent.offer_all(p.choices(local))


def _search(p: ReducedProblem, prices: Floats, incumbent: ChoiceIncumbent, width: int) -> Ints:
    """Return the successive best choices of the search, the last one the best, shape (N, n)."""
    pool, value = sample_prices(p, prices, POOL_SIZE, incumbent.random()), incumbent.value
    n = len(p.count)
    rows = np.arange(n)[:, None]
    least = p.cost[rows, pool.cheapest]

    def suffix_sums(values: Floats) -> Floats:
        """Return the sums over decisions i, i + 1, ... for each i, with a zero row at the end."""
        end = np.zeros((1, *values.shape[1:]))
        return np.concatenate((np.cumsum(values[::-1], axis=0)[::-1], end))

    open_use = suffix_sums(pool.use.transpose(1, 0, 2))
    open_cost = suffix_sums(least)
    open_priced: Floats = open_cost + (open_use * pool.prices).sum(axis=2)
    cost: Floats = np.array([p.constant])
    use: Floats = np.zeros((1, len(p.room)))
    partial: Ints = np.zeros((1, 0), dtype=np.int64)
    best: list[Ints] = []
    for i in range(n):
        k = int(p.count[i])
        cost = (cost[:, None] + p.cost[i, :k]).ravel()
        use = (use[:, None] + p.weights[i, :k]).reshape(len(cost), -1)
        partial = np.column_stack(
            (np.repeat(partial, k, axis=0), np.tile(np.arange(k), len(partial)))
        )
        fits = np.all(use[:, None] + open_use[i + 1] <= p.room, axis=2)
        ends = np.where(fits, cost[:, None] + open_cost[i + 1], np.inf)
        state, price = np.unravel_index(int(ends.argmin()), ends.shape)
        if ends[state, price] < value:
            value = float(ends[state, price])
            best.append(np.concatenate((partial[state], pool.cheapest[i + 1 :, price])))
        bound = (cost[:, None] + (use - p.room) @ pool.prices.T + open_priced[i + 1]).max(axis=1)
        keep = np.flatnonzero(bound < value)
        if len(keep) > width:
            keep = keep[np.argpartition(bound[keep], width)[:width]]
        cost, use, partial = cost[keep], use[keep], partial[keep]
        if not len(keep):
            break
    return np.array(best, dtype=np.int64).reshape(len(best), n)
