"""Branch and bound for problems without shared tables: many nodes at once, bounds from a pool.

A node fixes some decisions. For every price of the pool it carries the Lagrangian bound, to which
fixing an option adds a number from a table; so trying every option of twenty decisions costs a few
thousand additions, and the decision that leaves the least to search is branched on (strong
branching: Applegate, Bixby, Chvátal and Cook, 1995).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perfmodel.optimise.deadline import Deadline
from perfmodel.search.exact.incumbent import Incumbent
from perfmodel.search.exact.pool import Pool, make_pool
from perfmodel.search.exact.problem import Floats, Ints
from perfmodel.search.exact.reduced import Reduced

#: Prices in the pool, and how many of them the choice of a decision looks at.
PRICES, LOOKED = 96, 40
#: Decisions tried at a node, and nodes taken at once.
TRIED, NODES = 32, 64
#: How fast the tree under a node is taken to shrink as its bound rises to the incumbent's value.
DECAY = 8.0


@dataclass(frozen=True)
class Branched:
    """What a search reached: no choice that it covered is below the bound."""

    bound: float
    nodes: int
    done: bool


@dataclass(eq=False)
class _Nodes:
    bounds: Floats  # (N, P)
    fixed: NDArray[np.int16]  # (N, n), -1 for open
    use: Floats  # (N, R), of what is fixed

    def some(self, at: Ints | slice) -> _Nodes:
        return _Nodes(self.bounds[at], self.fixed[at], self.use[at])


def branch(
    p: Reduced,
    prices: Floats,
    incumbent: Incumbent,
    deadline: Deadline,
    *,
    gap: float = 0.0,
    nodes: int = 200_000,
    seed: int = 0,
) -> Branched:
    """Search until nothing is better than the incumbent, or for some nodes.

    Parameters
    ----------
    prices : ndarray, shape (R,)
        Those of the relaxation.
    gap
        Relative to the incumbent's value: what it would have to be better by.
    """
    return _ChoiceBranchAndBound(p, make_pool(p, prices, PRICES, seed), incumbent, gap).run(
        deadline, nodes
    )


class _ChoiceBranchAndBound:
    def __init__(self, p: Reduced, pool: Pool, incumbent: Incumbent, gap: float) -> None:
        self.p = p
        self.pool = pool
        self.incumbent = incumbent
        self.gap = gap
        self.tiny = 1e-12 * p.size
        finite = np.where(np.isfinite(p.cost), p.cost, -np.inf)
        self.ceiling = float(finite.max(axis=1).sum()) + max(1e-6 * p.size, 1e-300)
        self.root = float(pool.bounds.max())
        # How far the second option is above the first, (P, n): what is near nothing is undecided.
        self.second: Floats = np.ascontiguousarray(np.partition(pool.rises, 1, axis=1)[:, 1].T)
        self.worth: Floats = pool.prices @ p.room

    def cut(self) -> float:
        """Return the bound from which on a node is of no use."""
        value = self.incumbent.value
        if not np.isfinite(value):
            return self.ceiling
        return value - self.p.constant - max(self.tiny, self.gap * abs(value))

    def run(self, deadline: Deadline, most: int) -> Branched:
        n, rows = len(self.p.count), len(self.p.room)
        start = _Nodes(
            self.pool.bounds[None], np.full((1, n), -1, dtype=np.int16), np.zeros((1, rows))
        )
        stack = [start]
        seen = 0
        while stack:
            if seen >= most or deadline.passed():
                lowest = min(float(held.bounds.max(axis=1).min()) for held in stack)
                return Branched(min(lowest, self.cut()) + self.p.constant, seen, False)
            held = stack.pop()
            best = held.bounds.max(axis=1)
            order = np.flatnonzero(best < self.cut())
            if not len(order):
                continue
            order = order[np.argsort(best[order], kind="stable")]
            if len(order) > NODES:
                stack.append(held.some(order[NODES:]))
            seen += min(len(order), NODES)
            below = self._expand(held.some(order[:NODES]))
            if below is not None:
                stack.append(below)
        value = self.incumbent.value
        proved = value - self.gap * abs(value) if np.isfinite(value) else value
        return Branched(proved, seen, True)

    def _expand(self, held: _Nodes) -> _Nodes | None:
        p, pool = self.p, self.pool
        best = held.bounds.max(axis=1)
        is_open = held.fixed < 0
        # The prices that matter to these nodes: near the best of one of them.
        reach = max(self.cut() - self.root, 1e-300)
        near = np.exp((held.bounds - best[:, None]) * (10.0 / reach)).sum(axis=0)
        looked = min(LOOKED, len(near))
        some = np.argpartition(near, len(near) - looked)[len(near) - looked :]
        self._complete(held, is_open, some)
        left = np.flatnonzero(is_open.any(axis=1) & (best < self.cut()))
        if not len(left):
            return None
        held, is_open = held.some(left), is_open[left]
        cut, line = self.cut(), np.arange(len(left))
        far = np.where(is_open, self.second[held.bounds.argmax(axis=1)], np.inf)
        tried = min(TRIED, far.shape[1])
        decisions: Ints = np.argpartition(far, tried - 1, axis=1)[:, :tried]
        rises = np.ascontiguousarray(pool.rises[:, :, some])
        tops: Floats = rises[decisions]
        tops += held.bounds[:, some][:, None, None, :]
        risen: Floats = tops.max(axis=3)
        with np.errstate(over="ignore", under="ignore"):
            size = np.where(risen < cut, np.exp((self.root - risen) * (DECAY / reach)), 0.0)
        score = size.sum(axis=2)
        score[~is_open[line[:, None], decisions]] = np.inf
        pick = score.argmin(axis=1)
        decision = decisions[line, pick]
        parent, option = np.nonzero(risen[line, pick] < cut)
        if not len(parent):
            return None
        at = decision[parent]
        fixed = held.fixed[parent]
        fixed[np.arange(len(parent)), at] = option
        return _Nodes(
            held.bounds[parent] + pool.rises[at, option],
            fixed,
            held.use[parent] + p.weights[at, option],
        )

    def _complete(self, held: _Nodes, is_open: NDArray[np.bool_], some: Ints) -> None:
        """Offer the best completion: each open decision's cheapest option at one of the prices."""
        p, pool = self.p, self.pool
        use: Floats = held.use + np.matmul(is_open.astype(np.float64)[None], pool.use[some])
        fits = np.all(use <= p.room, axis=2)
        if not fits.any():
            return
        value: Floats = held.bounds[:, some].T + self.worth[some][:, None]
        value -= np.matmul(use, pool.prices[some][:, :, None])[:, :, 0]
        value[~fits] = np.inf
        price, node = np.unravel_index(int(value.argmin()), value.shape)
        if value[price, node] + p.constant < self.incumbent.value:
            cheapest = pool.cheapest[:, some[price]]
            local = np.where(is_open[node], cheapest, held.fixed[node])
            self.incumbent.offer(p.choices(local[None].astype(np.int64)))
