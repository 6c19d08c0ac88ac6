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

from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.search.exact.incumbent import ChoiceIncumbent, ChoiceSearch
from perfmodel.search.exact.pool import Pool, make_pool
from perfmodel.search.exact.problem import Floats, Ints
from perfmodel.search.exact.reduced import Reduced

#: Prices in the pool, and how many of them the choice of a decision looks at.
PRICES, LOOKED = 96, 40
#: Decisions tried at a node, and nodes taken at once.
TRIED, NODES = 32, 64
#: How fast the tree under a node is taken to shrink as its bound rises to the incumbent's value.
DECAY = 8.0


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
    incumbent: ChoiceIncumbent,
    deadline: Deadline,
    *,
    gap: float = 0.0,
    nodes: int = 200_000,
    seed: int = 0,
) -> Certified[tuple[int, ...]]:
    """Search until nothing is better than the incumbent, or for some nodes.

    Parameters
    ----------
    prices : ndarray, shape (R,)
        Those of the relaxation.
    gap
        Relative to the incumbent's value: what it would have to be better by.
    """
    pool = make_pool(p, prices, PRICES, seed)
    return _ChoiceBranchAndBound(p, pool, incumbent, deadline, nodes, gap).certified()


class _ChoiceBranchAndBound(ChoiceSearch[_Nodes]):
    def __init__(
        self,
        p: Reduced,
        pool: Pool,
        incumbent: ChoiceIncumbent,
        deadline: Deadline,
        most_nodes: int,
        gap: float,
    ) -> None:
        finite = np.where(np.isfinite(p.cost), p.cost, -np.inf)
        ceiling = float(finite.max(axis=1).sum()) + max(1e-6 * p.size, 1e-300)
        super().__init__(
            p, incumbent, deadline, most_nodes, gap, constant=p.constant, ceiling=ceiling
        )
        self.pool = pool
        self.root = float(pool.bounds.max())
        # How far the second option is above the first, (P, n): what is near nothing is undecided.
        self.second: Floats = np.ascontiguousarray(np.partition(pool.rises, 1, axis=1)[:, 1].T)
        self.worth: Floats = pool.prices @ p.room

    def certified(self) -> Certified[tuple[int, ...]]:
        """Search all choices."""
        n, rows = len(self.p.count), len(self.p.room)
        fixed = np.full((1, n), -1, dtype=np.int16)
        return self.run(_Nodes(self.pool.bounds[None], fixed, np.zeros((1, rows))), self.root)

    def expand(self, node: _Nodes, bound: float) -> list[tuple[float, _Nodes]]:
        """Return the nodes that are left for later, and what follows the best."""
        del bound
        best = node.bounds.max(axis=1)
        order = np.flatnonzero(best < self.cut())
        order = order[np.argsort(best[order], kind="stable")]
        self.nodes += min(len(order), NODES) - 1
        blocks = [node.some(order[NODES:])] if len(order) > NODES else []
        below = self._below(node.some(order[:NODES]))
        blocks += [] if below is None else [below]
        return [(float(block.bounds.max(axis=1).min()), block) for block in blocks]

    def _below(self, held: _Nodes) -> _Nodes | None:
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
            self.choices.offer_all(p.choices(local[None].astype(np.int64)))
