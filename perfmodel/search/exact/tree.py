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

import numpy as np

from perfmodel.optimise.deadline import Deadline
from perfmodel.search.exact.elimination import (
    Bucket,
    eliminate,
    elimination_order,
    table_entries,
)
from perfmodel.search.exact.incumbent import Incumbent
from perfmodel.search.exact.problem import Floats, Ints
from perfmodel.search.exact.programme import by_programme
from perfmodel.search.exact.reduced import NoChoice, Reduced
from perfmodel.search.exact.relaxation import linear_prices
from perfmodel.search.exact.separable import KnapsackBound

#: Prices in the pool, and entries of tables (for all prices) above which HiGHS gets the problem.
PRICES, ENTRIES = 32, 4_000_000
#: States taken at once, states before HiGHS has the better chance, completions tried at once.
STATES, PATIENCE, TRIED = 2048, 3_000_000, 8


def coupled(
    p: Reduced, incumbent: Incumbent, deadline: Deadline, gap: float, seed: int
) -> KnapsackBound:
    """Solve a reduced problem with tables over several decisions."""
    try:
        prices = linear_prices(p, deadline)
    except NoChoice:
        return KnapsackBound(math.inf, "relaxation", None)
    order = elimination_order(p)
    entries = table_entries(p, order)
    count = min(PRICES, max(1, ENTRIES // max(entries, 1))) if len(p.room) else 1
    bound, seen = -math.inf, 0
    if entries <= ENTRIES:
        search = _EliminationSearch(p, order, _pool(p, prices, count, seed), incumbent, gap)
        bound, seen, done = search.run(deadline)
        if done or deadline.passed():
            return KnapsackBound(bound, "tree decomposition", prices, seen)
    had = incumbent.value
    found, more = by_programme(p, incumbent, deadline, gap)
    # Not "tree decomposition": what is proved is proved by HiGHS, within its tolerance.
    return KnapsackBound(max(bound, min(found, had, incumbent.value)), "milp", prices, seen + more)


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

    def some(self, at: Ints | slice) -> _States:
        return _States(self.bounds[at], self.made[at], self.cost[at], self.use[at])


class _EliminationSearch:
    def __init__(
        self, p: Reduced, order: list[int], prices: Floats, incumbent: Incumbent, gap: float
    ) -> None:
        self.p = p
        self.tables = eliminate(p, order, prices)
        self.incumbent = incumbent
        self.gap = gap
        self.tiny = 1e-12 * p.size
        buckets = self.tables.buckets
        # Decisions made that later ones depend on, after each.
        self.fronts: list[Ints] = []
        made: set[int] = set()
        for i, bucket in enumerate(buckets):
            made.add(bucket.decision)
            needed = {j for later in buckets[i + 1 :] for j in later.others}
            self.fronts.append(np.array(sorted(made & needed), dtype=np.int64))

    def cut(self) -> float:
        value = self.incumbent.value
        return value - max(self.tiny, self.gap * abs(value)) if math.isfinite(value) else math.inf

    def run(self, deadline: Deadline) -> tuple[float, int, bool]:
        """Return a lower bound, the states looked at, and whether nothing is left."""
        n, rows = len(self.p.count), len(self.p.room)
        start = _States(
            self.tables.bounds[None], np.zeros((1, n), dtype=np.int64), np.zeros(1),
            np.zeros((1, rows)),
        )  # fmt: skip
        stack = [(0, start)]
        seen, turn = 0, 0
        while stack:
            if seen >= PATIENCE or deadline.passed():
                lowest = min(float(held.bounds.max(axis=1).min()) for _, held in stack)
                return min(lowest, self.incumbent.value), seen, False
            depth, held = stack.pop()
            best = held.bounds.max(axis=1)
            order = np.flatnonzero(best < self.cut())
            if not len(order):
                continue
            order = order[np.argsort(best[order], kind="stable")]
            if len(order) > STATES:
                stack.append((depth, held.some(order[STATES:])))
            held = held.some(order[:STATES])
            if depth == n:
                self.incumbent.offer(self.p.choices(held.made))
                continue
            if turn % 8 == 0:
                self._complete(depth, held.some(slice(0, TRIED)))
            turn += 1
            below = self._expand(depth, held)
            seen += len(below.cost)
            if len(below.cost):
                stack.append((depth + 1, below))
        value = self.incumbent.value
        return (value - self.gap * abs(value) if math.isfinite(value) else value), seen, True

    def _expand(self, depth: int, held: _States) -> _States:
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
        self.incumbent.offer(self.p.choices(made))
