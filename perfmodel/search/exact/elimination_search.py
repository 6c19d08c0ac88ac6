"""Solver of problems with tables over several decisions: dynamic programming with bounds.

Decisions are made in reverse elimination order. For every price of a pool, a partial choice stores
the Lagrangian value of its best completion (exact for that price, from the elimination's tables),
and is pruned as soon as one of these reaches the incumbent. Of two partial choices that agree in
all decisions on which later tables depend, one with no less cost and no less use is dropped:
non-dominated states over a tree decomposition.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from perfmodel.optimise.certified import Certified
from perfmodel.optimise.elimination import Bag, elimination_order
from perfmodel.search.exact.choice_incumbent import ChoiceIncumbent, ChoiceSearch
from perfmodel.search.exact.choice_milp import solve_by_milp
from perfmodel.search.exact.choice_solution import ChoiceSolution
from perfmodel.search.exact.choice_sums import Floats, Ints
from perfmodel.search.exact.linear_relaxation import linear_prices
from perfmodel.search.exact.presolve import NoChoice, ReducedProblem
from perfmodel.search.exact.variable_elimination import Bucket, buckets_of

#: Number of prices, and of table entries (for all prices) above which HiGHS solves the problem.
MAX_PRICES, MAX_TABLE_ENTRIES = 32, 4_000_000
#: States expanded at once, states after which HiGHS is preferred, completions tried at once.
STATES_PER_STEP, MAX_STATES, COMPLETED_STATES = 2048, 3_000_000, 8


def solve_coupled(p: ReducedProblem, incumbent: ChoiceIncumbent) -> ChoiceSolution:
    """Solve a reduced problem with tables over several decisions."""
    try:
        prices = linear_prices(p, incumbent.deadline)
    except NoChoice:
        return incumbent.certified(math.inf, "relaxation")
    incumbent.price(p, prices)
    order, bound = elimination_order(len(p.count), [f.scope for f in p.factors]), -math.inf
    sizes: list[int] = p.count.tolist()
    entries = sum(math.prod(sizes[i] for i in bag.scope) for bag in order)
    if entries <= MAX_TABLE_ENTRIES:
        count = min(MAX_PRICES, max(1, MAX_TABLE_ENTRIES // max(entries, 1))) if len(p.room) else 1
        pool = _pool(p, prices, count, incumbent.random())
        tree = _EliminationSearch(p, order, pool, incumbent).certified()
        incumbent.work["nodes"] += tree.work["nodes"]
        bound = tree.bound
        if tree.proved or incumbent.deadline.passed():
            return incumbent.certified(bound, "tree decomposition")
    # The programme covers only choices that may be better than the incumbent. The method is "milp",
    # as the proof is HiGHS's, within its tolerance.
    least = min(incumbent.value, solve_by_milp(p, incumbent))
    return incumbent.certified(max(bound, least), "milp")


def _pool(p: ReducedProblem, prices: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Return prices at and around the optimal ones, shape (count, R)."""
    rows = len(p.room)
    finite = p.cost[np.isfinite(p.cost)]
    spread = float(np.ptp(finite)) + sum(
        float(np.ptp(f.cost[np.isfinite(f.cost)])) for f in p.factors
    ) / max(1, len(p.count))
    # Rows are scaled to weights of about 1.
    unit = np.maximum(prices, 0.1 * (spread or 1.0))
    far = np.exp(rng.normal(size=(count - 1, rows)) * rng.uniform(0.05, 1.5, (count - 1, 1)))
    sampled: Floats = np.where(prices > 0.0, prices * far, 0.0)
    extra = rng.random((count - 1, rows)) < 1.0 / max(rows, 1)
    sampled += np.where(extra, unit * 10.0 ** rng.uniform(-1.5, 1.0, (count - 1, rows)), 0.0)
    return np.concatenate((prices[None], sampled))


@dataclass(eq=False)
class _States:
    """A block of S partial choices of equal depth: bounds at P prices, options, cost and use."""

    bounds: Floats  # (S, P)
    local: Ints  # (S, n), in the places of the decisions
    cost: Floats  # (S,)
    use: Floats  # (S, R)

    @cached_property
    def best(self) -> Floats:
        """The best bound of each state over prices, shape (S,)."""
        return self.bounds.max(axis=1)

    def select(self, at: Ints | slice) -> _States:
        return _States(self.bounds[at], self.local[at], self.cost[at], self.use[at])


class _EliminationSearch(ChoiceSearch[tuple[int, _States]]):
    """Search over partial choices in reverse elimination order; see `solve_coupled`."""

    def __init__(
        self, p: ReducedProblem, order: list[Bag], prices: Floats, incumbent: ChoiceIncumbent
    ) -> None:
        super().__init__(p, incumbent, MAX_STATES)
        self.tables, self.turn = buckets_of(p, order, prices), 0
        buckets = self.tables.buckets
        # For each depth, the decided decisions on which later ones depend.
        self.fronts: list[Ints] = []
        decided: set[int] = set()
        for i, bucket in enumerate(buckets):
            decided.add(bucket.bag.variable)
            needed = {j for later in buckets[i + 1 :] for j in later.bag.others}
            self.fronts.append(np.array(sorted(decided & needed), dtype=np.int64))

    def certified(self) -> Certified[tuple[int, ...]]:
        """Search all choices, and return the incumbent with its bound."""
        n, rows = len(self.p.count), len(self.p.room)
        local = np.zeros((1, n), dtype=np.int64)
        start = _States(self.tables.bounds[None], local, np.zeros(1), np.zeros((1, rows)))
        return self.run((0, start), float(self.tables.bounds.max()))

    def settled(self, node: tuple[int, _States]) -> bool:
        """Return whether every decision is made."""
        depth, states = node
        if depth < len(self.p.count):
            return False
        self.choices.offer_all(self.p.choices(states.local[np.argsort(states.best, kind="stable")]))
        return True

    def expand(self, node: tuple[int, _States], bound: float) -> list[tuple[float, Any]]:
        """Return the states deferred for later, and the children of the best states."""
        del bound
        depth, states = node
        order = np.flatnonzero(states.best < self.cut())
        order = order[np.argsort(states.best[order], kind="stable")]
        blocks = (
            [(depth, states.select(order[STATES_PER_STEP:]))]
            if len(order) > STATES_PER_STEP
            else []
        )
        states = states.select(order[:STATES_PER_STEP])
        if self.turn % 8 == 0:
            self._complete(depth, states.select(slice(0, COMPLETED_STATES)))
        self.turn += 1
        below = self._below(depth, states)
        self.nodes += len(below.cost) - 1
        blocks += [(depth + 1, below)] if len(below.cost) else []
        return [(float(block.best.min()), (at, block)) for at, block in blocks]

    def _below(self, depth: int, states: _States) -> _States:
        """Return the non-dominated children of states, with the next decision made."""
        bucket = self.tables.buckets[depth]
        rises = bucket.rises[tuple(states.local[:, j] for j in bucket.bag.others)]
        if not bucket.bag.others:
            rises = np.broadcast_to(rises, (len(states.cost), *rises.shape))
        bounds = states.bounds[:, None, :] + rises
        parent, option = np.nonzero(bounds.max(axis=2) < self.cut())
        local = states.local[parent]
        local[:, bucket.bag.variable] = option
        cost, use = self._added(bucket, local)
        below = _States(
            bounds[parent, option], local, states.cost[parent] + cost, states.use[parent] + use
        )
        return below.select(self._needed(depth, below))

    def _added(self, bucket: Bucket, local: Ints) -> tuple[Floats, Floats]:
        """Return the cost and use that the latest decision adds to partial choices."""
        i = bucket.bag.variable
        cost, use = self.p.cost[i, local[:, i]], self.p.weights[i, local[:, i]]
        for factor in bucket.factors:
            spot = tuple(local[:, j] for j in factor.scope)
            cost, use = cost + factor.cost[spot], use + factor.weights[spot]
        return cost, use

    def _needed(self, depth: int, states: _States) -> Ints:
        """Return the non-dominated states among those with the same front."""
        size = len(states.cost)
        if size < 2:
            return np.arange(size)
        key = np.zeros(size, dtype=np.int64)
        for j in self.fronts[depth].tolist():
            # Renumbered at each step, so that the key cannot overflow.
            key = np.unique(key * int(self.p.count[j]) + states.local[:, j], return_inverse=True)[1]
        rows = states.use.shape[1]
        first = states.use[:, 0] if rows else np.zeros(size)
        order = np.lexsort((first, states.cost, key))
        key, use = key[order], states.use[order]
        drop = np.zeros(size, dtype=np.bool_)
        if rows <= 1:
            # Running minimum of use per front: the offset places each front below the previous one.
            span = float(np.ptp(first)) + 1.0
            level = first[order] - span * key
            drop[1:] = (level[1:] >= np.minimum.accumulate(level)[:-1]) & (key[1:] == key[:-1])
        else:
            for step in range(1, min(24, size)):
                worse = np.all(use[step:] >= use[:-step], axis=1) & (key[step:] == key[:-step])
                drop[step:] |= worse
        return order[~drop]

    def _complete(self, depth: int, states: _States) -> None:
        """Offer the best completion of some states at each price."""
        prices = len(self.tables.prices)
        local: Ints = np.repeat(states.local, prices, axis=0)
        price = np.tile(np.arange(prices), len(states.cost))
        for bucket in self.tables.buckets[depth:]:
            spot = (*(local[:, j] for j in bucket.bag.others), price)
            local[:, bucket.bag.variable] = bucket.cheapest[spot]
        self.choices.offer_all(self.p.choices(local))
