"""Branch and bound for separable problems, over blocks of nodes with bounds from a price pool.

A node fixes some decisions and stores the Lagrangian bound for every price of the pool. Fixing an
option adds a tabulated number to each bound, so trying all options of twenty decisions costs a few
thousand additions. The branching decision is the one with the smallest estimated subtree (strong
branching: Applegate, Bixby, Chvátal and Cook, 1995).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perfmodel.optimise.certified import Certified
from perfmodel.search.exact.choice_incumbent import ChoiceIncumbent, ChoiceSearch
from perfmodel.search.exact.choice_sums import Floats, Ints
from perfmodel.search.exact.presolve import ReducedProblem
from perfmodel.search.exact.price_pool import PricePool, sample_prices

#: Number of prices in the pool, and of those used to select a decision.
POOL_SIZE, COMPARED_PRICES = 96, 40
#: Number of decisions tried at a node, and of nodes expanded at once.
CANDIDATE_DECISIONS, NODES_PER_STEP = 32, 64
#: Decay rate of the estimated subtree size as a node's bound approaches the incumbent's value.
DECAY = 8.0


@dataclass(eq=False)
class _Nodes:
    """A block of N nodes: bounds at P prices, fixed options of n decisions, use of R rows."""

    bounds: Floats  # (N, P)
    fixed: NDArray[np.int16]  # (N, n), -1 for open
    use: Floats  # (N, R), of the fixed options

    def select(self, at: Ints | slice) -> _Nodes:
        return _Nodes(self.bounds[at], self.fixed[at], self.use[at])


def branch_and_bound(
    p: ReducedProblem,
    prices: Floats,
    incumbent: ChoiceIncumbent,
    *,
    nodes: int = 200_000,
) -> Certified[tuple[int, ...]]:
    """Search until the incumbent is proved optimal or the node limit is reached.

    Parameters
    ----------
    prices : ndarray, shape (R,)
        Optimal prices of the relaxation.
    """
    pool = sample_prices(p, prices, POOL_SIZE, incumbent.random())
    return _ChoiceBranchAndBound(p, pool, incumbent, nodes).certified()


class _ChoiceBranchAndBound(ChoiceSearch[_Nodes]):
    """Branch and bound over blocks of nodes; see `branch_and_bound`."""

    def __init__(
        self, p: ReducedProblem, pool: PricePool, incumbent: ChoiceIncumbent, most_nodes: int
    ) -> None:
        finite = np.where(np.isfinite(p.cost), p.cost, -np.inf)
        ceiling = float(finite.max(axis=1).sum()) + max(1e-6 * p.size, 1e-300)
        super().__init__(p, incumbent, most_nodes, constant=p.constant, ceiling=ceiling)
        self.pool = pool
        self.root = float(pool.bounds.max())
        # Cost of the second-best option over the best, (P, n): small values are undecided.
        self.second: Floats = np.ascontiguousarray(np.partition(pool.rises, 1, axis=1)[:, 1].T)
        self.worth: Floats = pool.prices @ p.room

    def certified(self) -> Certified[tuple[int, ...]]:
        """Search all choices, and return the incumbent with its bound."""
        n, rows = len(self.p.count), len(self.p.room)
        fixed = np.full((1, n), -1, dtype=np.int16)
        return self.run(_Nodes(self.pool.bounds[None], fixed, np.zeros((1, rows))), self.root)

    def expand(self, node: _Nodes, bound: float) -> list[tuple[float, _Nodes]]:
        """Return the nodes deferred for later and the children of the best nodes."""
        del bound
        best = node.bounds.max(axis=1)
        order = np.flatnonzero(best < self.cut())
        order = order[np.argsort(best[order], kind="stable")]
        self.nodes += min(len(order), NODES_PER_STEP) - 1
        blocks = [node.select(order[NODES_PER_STEP:])] if len(order) > NODES_PER_STEP else []
        below = self._below(node.select(order[:NODES_PER_STEP]))
        blocks += [] if below is None else [below]
        return [(float(block.bounds.max(axis=1).min()), block) for block in blocks]

    def _below(self, nodes: _Nodes) -> _Nodes | None:
        """Return the children of nodes at their branching decisions; None if all are pruned."""
        p, pool = self.p, self.pool
        best = nodes.bounds.max(axis=1)
        is_open = nodes.fixed < 0
        # Use the prices that give these nodes bounds close to their best.
        reach = max(self.cut() - self.root, 1e-300)
        near = np.exp((nodes.bounds - best[:, None]) * (10.0 / reach)).sum(axis=0)
        looked = min(COMPARED_PRICES, len(near))
        some = np.argpartition(near, len(near) - looked)[len(near) - looked :]
        self._complete(nodes, is_open, some)
        left = np.flatnonzero(is_open.any(axis=1) & (best < self.cut()))
        if not len(left):
            return None
        nodes, is_open = nodes.select(left), is_open[left]
        cut, line = self.cut(), np.arange(len(left))
        far = np.where(is_open, self.second[nodes.bounds.argmax(axis=1)], np.inf)
        tried = min(CANDIDATE_DECISIONS, far.shape[1])
        decisions: Ints = np.argpartition(far, tried - 1, axis=1)[:, :tried]
        rises = np.ascontiguousarray(pool.rises[:, :, some])
        tops: Floats = rises[decisions]
        tops += nodes.bounds[:, some][:, None, None, :]
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
        fixed = nodes.fixed[parent]
        fixed[np.arange(len(parent)), at] = option
        return _Nodes(
            nodes.bounds[parent] + pool.rises[at, option],
            fixed,
            nodes.use[parent] + p.weights[at, option],
        )

    def _complete(self, nodes: _Nodes, is_open: NDArray[np.bool_], some: Ints) -> None:
        """Offer the best completion: open decisions take their cheapest options at one price."""
        p, pool = self.p, self.pool
        use: Floats = nodes.use + np.matmul(is_open.astype(np.float64)[None], pool.use[some])
        fits = np.all(use <= p.room, axis=2)
        if not fits.any():
            return
        value: Floats = nodes.bounds[:, some].T + self.worth[some][:, None]
        value -= np.matmul(use, pool.prices[some][:, :, None])[:, :, 0]
        value[~fits] = np.inf
        price, node = np.unravel_index(int(value.argmin()), value.shape)
        if value[price, node] + p.constant < self.incumbent.value:
            cheapest = pool.cheapest[:, some[price]]
            local = np.where(is_open[node], cheapest, nodes.fixed[node])
            self.choices.offer_all(p.choices(local[None].astype(np.int64)))
