"""A good choice, quickly: a beam over the decisions that the relaxation leaves open.

Pisinger's core of a multiple-choice knapsack (A minimal algorithm for the multiple-choice knapsack
problem, European Journal of Operational Research 83, 1995): at the best prices most decisions have
one option that is clearly the cheapest, and only the others are worth a search.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from perfmodel.search.exact.incumbent import ChoiceIncumbent
from perfmodel.search.exact.pool import make_pool
from perfmodel.search.exact.problem import Floats, Ints
from perfmodel.search.exact.reduced import Reduced
from perfmodel.search.exact.relaxation import Relaxation, undecided

PRICES = 24


def beam(
    p: Reduced, at: Relaxation, incumbent: ChoiceIncumbent, *, core: int, width: int, seed: int
) -> None:
    """Improve an incumbent.

    Parameters
    ----------
    core
        Decisions that are searched; the others take the cheapest option at the best prices.
    width
        Partial choices that are kept at each decision.
    """
    order = np.argsort(undecided(p, at), kind="stable")
    open_, rest = order[:core], order[core:]
    room: Floats = p.room - p.weights[rest, at.local[rest]].sum(axis=0)
    part = replace(
        p,
        count=p.count[open_],
        cost=p.cost[open_],
        weights=p.weights[open_],
        room=room,
        constant=p.constant + float(p.cost[rest, at.local[rest]].sum()),
        factors=(),
    )
    found = _search(part, at.prices, incumbent.value, width, seed)
    if len(found):
        local: Ints = np.repeat(at.local[None], len(found), axis=0)
        local[:, open_] = found
        incumbent.offer_all(p.choices(local))


def _search(p: Reduced, prices: Floats, value: float, width: int, seed: int) -> Ints:
    """Return the choices that were best when found, the last one the best, shape (some, n)."""
    pool = make_pool(p, prices, PRICES, seed)
    n = len(p.count)
    rows = np.arange(n)[:, None]
    least = p.cost[rows, pool.cheapest]

    def left(of: Floats) -> Floats:
        """Sums over the decisions from each on."""
        end = np.zeros((1, *of.shape[1:]))
        return np.concatenate((np.cumsum(of[::-1], axis=0)[::-1], end))

    use_left = left(pool.use.transpose(1, 0, 2))
    cost_left = left(least)
    priced_left: Floats = cost_left + (use_left * pool.prices).sum(axis=2)
    cost: Floats = np.array([p.constant])
    use: Floats = np.zeros((1, len(p.room)))
    made: Ints = np.zeros((1, 0), dtype=np.int64)
    best: list[Ints] = []
    for i in range(n):
        k = int(p.count[i])
        cost = (cost[:, None] + p.cost[i, :k]).ravel()
        use = (use[:, None] + p.weights[i, :k]).reshape(len(cost), -1)
        made = np.column_stack((np.repeat(made, k, axis=0), np.tile(np.arange(k), len(made))))
        fits = np.all(use[:, None] + use_left[i + 1] <= p.room, axis=2)
        ends = np.where(fits, cost[:, None] + cost_left[i + 1], np.inf)
        state, price = np.unravel_index(int(ends.argmin()), ends.shape)
        if ends[state, price] < value:
            value = float(ends[state, price])
            best.append(np.concatenate((made[state], pool.cheapest[i + 1 :, price])))
        bound = (cost[:, None] + (use - p.room) @ pool.prices.T + priced_left[i + 1]).max(axis=1)
        keep = np.flatnonzero(bound < value)
        if len(keep) > width:
            keep = keep[np.argpartition(bound[keep], width)[:width]]
        cost, use, made = cost[keep], use[keep], made[keep]
        if not len(keep):
            break
    return np.array(best, dtype=np.int64).reshape(len(best), n)
