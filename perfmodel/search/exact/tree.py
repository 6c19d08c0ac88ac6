"""Problems whose tables join several decisions: dynamic programming with bounds.

Decisions are made against the order of an elimination. A partial choice carries, for every price of
a pool, the best Lagrangian value of any completion (exact for that price: the elimination has it
tabled), so it is dropped as soon as one of these reaches the incumbent. Of two partial choices that
agree in all decisions on which later tables depend, one that costs and uses no less is dropped:
nondominated states over a tree decomposition.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.search.exact.elimination import (
    Bucket,
    eliminate,
    elimination_order,
    table_entries,
)
from perfmodel.search.exact.incumbent import ChoiceIncumbent, ChoiceSearch
from perfmodel.search.exact.problem import Floats, Ints
from perfmodel.search.exact.programme import by_programme
from perfmodel.search.exact.reduced import NoChoice, Reduced
from perfmodel.search.exact.relaxation import linear_prices
from perfmodel.search.exact.result import ChoiceSolution

#: Prices in the pool, and entries of tables (for all prices) above which HiGHS gets the problem.
PRICES, ENTRIES = 32, 4_000_000
#: States taken at once, states before HiGHS has the better chance, completions tried at once.
STATES, PATIENCE, TRIED = 2048, 3_000_000, 8


def coupled(
    p: Reduced, incumbent: ChoiceIncumbent, deadline: Deadline, gap: float, seed: int
) -> ChoiceSolution:
    """Solve a reduced problem with tables over several decisions."""
    try:
        prices = linear_prices(p, deadline)
    except NoChoice:
        return incumbent.certified(math.inf, "relaxation")
    incumbent.price(p, prices)
    order, bound = elimination_order(p), -math.inf
    entries = table_entries(p, order)
    if entries <= ENTRIES:
        count = min(PRICES, max(1, ENTRIES // max(entries, 1))) if len(p.room) else 1
        pool = _pool(p, prices, count, seed)
        tree = _EliminationSearch(p, order, pool, incumbent, deadline, gap).certified()
        incumbent.work["nodes"] += tree.work["nodes"]
        bound = tree.bound
        if tree.proved or deadline.passed():
            return incumbent.certified(bound, "tree decomposition")
    # The programme covers only what may be better than the incumbent was. Not "tree decomposition":
    # what is proved is proved by HiGHS, within its tolerance.
    least = min(incumbent.value, by_programme(p, incumbent, deadline, gap))
    return incumbent.certified(max(bound, least), "milp")


def _pool(p: Reduced, prices: Floats, count: int, seed: int) -> Floats:
    """Return prices near the best and far from them, shape (count, R)."""
    rng = np.random.default_rng(seed)
    rows = len(p.room)
    finite = p.cost[np.isfinite(p.cost)]
    spread = float(np.ptp(finite)) + sum(
        float(np.ptp(f.cost[np.isfinite(f.cost)])) for f in p.factors
    ) / max(1, len(p.count))
    # Rows are scaled to uses of about one.
    unit = np.maximum(prices, 0.1 * (spread or 1.0))
    far = np.exp(rng.normal(size=(count - 1, rows)) * rng.uniform(0.05, 1.5, (count - 1, 1)))
    held: Floats = np.where(prices > 0.0, prices * far, 0.0)
    extra = rng.random((count - 1, rows)) < 1.0 / max(rows, 1)
    held += np.where(extra, unit * 10.0 ** rng.uniform(-1.5, 1.0, (count - 1, rows)), 0.0)
    return np.concatenate((prices[None], held))


@dataclass(eq=False)
class _States:
    bounds: Floats  # (S, P)
    made: Ints  # (S, n), in the places of the decisions
    cost: Floats  # (S,)
    use: Floats  # (S, R)

    @cached_property
    def best(self) -> Floats:
        """The best bound of each, shape (S,)."""
        return self.bounds.max(axis=1)

    def some(self, at: Ints | slice) -> _States:
        return _States(self.bounds[at], self.made[at], self.cost[at], self.use[at])


class _EliminationSearch(ChoiceSearch[tuple[int, _States]]):
    def __init__(
        self,
        p: Reduced,
        order: list[int],
        prices: Floats,
        incumbent: ChoiceIncumbent,
        deadline: Deadline,
        gap: float,
    ) -> None:
        super().__init__(p, incumbent, deadline, PATIENCE, gap)
        self.tables, self.turn = eliminate(p, order, prices), 0
        buckets = self.tables.buckets
        # Decisions made that later ones depend on, after each.
        self.fronts: list[Ints] = []
        made: set[int] = set()
        for i, bucket in enumerate(buckets):
            made.add(bucket.decision)
            needed = {j for later in buckets[i + 1 :] for j in later.others}
            self.fronts.append(np.array(sorted(made & needed), dtype=np.int64))

    def certified(self) -> Certified[tuple[int, ...]]:
        """Search all choices."""
        n, rows = len(self.p.count), len(self.p.room)
        made = np.zeros((1, n), dtype=np.int64)
        start = _States(self.tables.bounds[None], made, np.zeros(1), np.zeros((1, rows)))
        return self.run((0, start), float(self.tables.bounds.max()))

    def settled(self, node: tuple[int, _States]) -> bool:
        """Tell whether every decision is made."""
        depth, states = node
        if depth < len(self.p.count):
            return False
        self.choices.offer_all(self.p.choices(states.made[np.argsort(states.best, kind="stable")]))
        return True

    def expand(self, node: tuple[int, _States], bound: float) -> list[tuple[float, Any]]:
        """Return the states that are left for later, and what follows the best."""
        del bound
        depth, states = node
        order = np.flatnonzero(states.best < self.cut())
        order = order[np.argsort(states.best[order], kind="stable")]
        blocks = [(depth, states.some(order[STATES:]))] if len(order) > STATES else []
        states = states.some(order[:STATES])
        if self.turn % 8 == 0:
            self._complete(depth, states.some(slice(0, TRIED)))
        self.turn += 1
        below = self._below(depth, states)
        self.nodes += len(below.cost) - 1
        blocks += [(depth + 1, below)] if len(below.cost) else []
        return [(float(block.best.min()), (at, block)) for at, block in blocks]

    def _below(self, depth: int, held: _States) -> _States:
        bucket = self.tables.buckets[depth]
        rises = bucket.rises[tuple(held.made[:, j] for j in bucket.others)]
        if not bucket.others:
            rises = np.broadcast_to(rises, (len(held.cost), *rises.shape))
        bounds = held.bounds[:, None, :] + rises
        parent, option = np.nonzero(bounds.max(axis=2) < self.cut())
        made = held.made[parent]
        made[:, bucket.decision] = option
        cost, use = self._added(bucket, made)
        below = _States(
            bounds[parent, option], made, held.cost[parent] + cost, held.use[parent] + use
        )
        return below.some(self._needed(depth, below))

    def _added(self, bucket: Bucket, made: Ints) -> tuple[Floats, Floats]:
        i = bucket.decision
        cost, use = self.p.cost[i, made[:, i]], self.p.weights[i, made[:, i]]
        for f in bucket.factors:
            spot = tuple(made[:, j] for j in f.scope)
            cost, use = cost + f.cost[spot], use + f.weights[spot]
        return cost, use

    def _needed(self, depth: int, held: _States) -> Ints:
        """Return the states that none with the same front is at least as good as."""
        size = len(held.cost)
        if size < 2:
            return np.arange(size)
        key = np.zeros(size, dtype=np.int64)
        for j in self.fronts[depth].tolist():
            # Numbered anew each time, so that the key cannot overflow.
            key = np.unique(key * int(self.p.count[j]) + held.made[:, j], return_inverse=True)[1]
        rows = held.use.shape[1]
        first = held.use[:, 0] if rows else np.zeros(size)
        order = np.lexsort((first, held.cost, key))
        key, use = key[order], held.use[order]
        drop = np.zeros(size, dtype=np.bool_)
        if rows <= 1:
            # Lowest use so far among those with the same front: each front lies below the last.
            span = float(np.ptp(first)) + 1.0
            level = first[order] - span * key
            drop[1:] = (level[1:] >= np.minimum.accumulate(level)[:-1]) & (key[1:] == key[:-1])
        else:
            for step in range(1, min(24, size)):
                worse = np.all(use[step:] >= use[:-step], axis=1) & (key[step:] == key[:-step])
                drop[step:] |= worse
        return order[~drop]

    def _complete(self, depth: int, held: _States) -> None:
        """Offer the best completions of some states at each price."""
        prices = len(self.tables.prices)
        made: Ints = np.repeat(held.made, prices, axis=0)
        price = np.tile(np.arange(prices), len(held.cost))
        for bucket in self.tables.buckets[depth:]:
            spot = (*(made[:, j] for j in bucket.others), price)
            made[:, bucket.decision] = bucket.cheapest[spot]
        self.choices.offer_all(self.p.choices(made))
