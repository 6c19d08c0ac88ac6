"""Lower bounds of partial choices for many prices, from variable elimination over all decisions.

Each table of the elimination (`perfmodel.optimise.elimination`) is stored as the excess of an
option over the minimum. In reverse elimination order, the bound of a partial choice is the root
bound plus the excesses of its options.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perfmodel.optimise.elimination import Bag, FactorTable, eliminate
from perfmodel.search.exact.choice_sums import Floats, Ints
from perfmodel.search.exact.presolve import Factor, ReducedProblem


@dataclass(frozen=True, eq=False)
class Bucket:
    """The options of a decision, given the earlier decisions it depends on.

    Attributes
    ----------
    bag
        The decision, and the others that it depends on.
    rises : ndarray, shape (options of others, options, P)
        Increase of each price's bound by an option; infinite where forbidden.
    cheapest : ndarray of int, shape (options of others, P)
    factors
        Tables of the problem that are added with this decision.
    """

    bag: Bag
    rises: Floats
    cheapest: Ints
    factors: tuple[Factor, ...]


@dataclass(frozen=True, eq=False)
class Elimination:
    """Buckets in the order of decision, which reverses the elimination order.

    Attributes
    ----------
    bounds : ndarray, shape (P,)
        Root bounds of the whole problem, including its constant.
    """

    buckets: tuple[Bucket, ...]
    bounds: Floats
    prices: Floats


def buckets_of(p: ReducedProblem, order: Sequence[Bag], prices: Floats) -> Elimination:
    """Eliminate all decisions, and return their buckets.

    Parameters
    ----------
    prices : ndarray, shape (P, R)
    """
    tables: list[FactorTable] = [
        ((i,), p.cost[i, :k, None] + p.weights[i, :k] @ prices.T)
        for i, k in enumerate(p.count.tolist())
    ]
    tables += [
        (factor.scope, factor.cost[..., None] + factor.weights @ prices.T) for factor in p.factors
    ]
    turn = {bag.variable: k for k, bag in enumerate(order)}
    own: dict[int, list[Factor]] = {}
    for factor in p.factors:
        own.setdefault(min(turn[i] for i in factor.scope), []).append(factor)
    bounds: Floats = p.constant - prices @ p.room
    buckets: list[Bucket] = []
    for k, (bag, total, least) in enumerate(eliminate(order, tables)):
        with np.errstate(invalid="ignore"):
            rises: Floats = total - least[..., None, :]
        # inf - inf is NaN: all options are forbidden there.
        rises[np.isnan(rises)] = np.inf
        if not bag.others:
            bounds = bounds + least
        cheapest: Ints = total.argmin(axis=-2).astype(np.int64)
        buckets.append(Bucket(bag, rises, cheapest, tuple(own.get(k, ()))))
    return Elimination(tuple(reversed(buckets)), bounds, prices)
