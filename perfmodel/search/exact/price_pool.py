"""Pool of Lagrangian prices that bounds every node of a search by table lookup.

A node with fixed decisions has less remaining room, and hence other optimal prices. Instead of
solving the relaxation of each node, all nodes share prices that are optimal for randomly shifted
rooms. The relaxation is a lower bound at any price, and fixing a decision adds a tabulated number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perfmodel.search.exact.choice_sums import Floats, Ints
from perfmodel.search.exact.presolve import ReducedProblem

#: Largest shift of the rooms, in standard deviations of an option's use. Deep in the search a few
#: open decisions compensate for all fixed ones, so distant prices matter.
MAX_ROOM_SHIFT = 60.0


@dataclass(frozen=True, eq=False)
class PricePool:
    """Prices and their tables; P prices, n decisions, K options, R rows.

    The Lagrangian bound at price vector w is
    sum over i of min over k of (cost[i, k] + weights[i, k] . w) - room . w.

    Attributes
    ----------
    prices : ndarray, shape (P, R)
    bounds : ndarray, shape (P,)
        Lagrangian bounds of the whole problem, without its constant.
    rises : ndarray, shape (n, K, P)
        Increase of each bound by an option; infinite beyond a decision's options.
    cheapest : ndarray of int, shape (n, P)
        Option with zero increase.
    use : ndarray, shape (P, n, R)
        Use of each row by the cheapest option.
    """

    prices: Floats
    bounds: Floats
    rises: Floats
    cheapest: Ints
    use: Floats


def sample_prices(
    p: ReducedProblem, prices: Floats, size: int, rng: np.random.Generator
) -> PricePool:
    """Return a pool around the optimal prices of a problem without shared tables."""
    rows = len(p.room)
    priced = prices[None]
    if rows and size > 1:
        inside = p.valid[:, :, None]
        mean = p.weights.sum(axis=1, keepdims=True) / p.count[:, None, None]
        square = np.where(inside, (p.weights - mean) ** 2, 0.0).sum(axis=1)
        spread: Floats = np.sqrt(square / p.count[:, None]).mean(axis=0)
        ways: Floats = rng.normal(size=(size - 1, rows))
        ways /= np.sqrt((ways**2).sum(axis=1, keepdims=True))
        shifts: Floats = ways * spread * rng.uniform(0.2, MAX_ROOM_SHIFT, (size - 1, 1))
        priced = np.concatenate((priced, smooth_duals(p, prices, p.room + shifts)))
    return tabulate_prices(p, priced)


def tabulate_prices(p: ReducedProblem, prices: Floats) -> PricePool:
    """Return the pool of given prices, shape (P, R)."""
    n = len(p.cost)
    count = len(prices)
    cost: Floats = p.cost[:, :, None] + p.weights @ prices.T
    least = cost.min(axis=1)
    cheapest: Ints = cost.argmin(axis=1)
    use: Floats = p.weights[np.arange(n)[:, None], cheapest].transpose(1, 0, 2).copy()
    return PricePool(
        prices,
        least.sum(axis=0) - prices @ p.room,
        cost - least[:, None, :],
        cheapest,
        use.reshape(count, n, len(p.room)),
    )


def smooth_duals(
    p: ReducedProblem, prices: Floats, rooms: Floats, *, soft: float = 0.02, steps: int = 6
) -> Floats:
    """Return near-optimal prices for many rooms, by Newton's method on the smoothed Lagrangian.

    Parameters
    ----------
    prices : ndarray, shape (R,)
        Starting point.
    rooms : ndarray, shape (P, R)
    soft
        Smoothing width of the minimum, in standard deviations of the costs.
    steps
        Number of Newton steps.

    Returns
    -------
    ndarray, shape (P, R)

    Notes
    -----
    The minimum over options is replaced by a soft minimum, whose second derivative is the negated
    covariance of use over the width (Nesterov, Smooth minimization of non-smooth functions,
    Mathematical Programming 103, 2005). Correctness does not depend on convergence: all prices
    give valid bounds.
    """
    rows = len(prices)
    finite = np.isfinite(p.cost)
    spread = float(np.std(p.cost[finite]))
    width = soft * spread + 1e-300
    unit: Floats = spread / np.maximum(p.weights.std(axis=(0, 1)), 1e-12)
    most: Floats = 1e3 * np.maximum(unit, prices)
    x: Floats = np.repeat(prices[None], len(rooms), axis=0)
    for _ in range(steps):
        level: Floats = -(p.cost[None] + np.einsum("nkr,pr->pnk", p.weights, x)) / width
        level -= level.max(axis=2, keepdims=True)
        share: Floats = np.exp(level)
        share /= share.sum(axis=2, keepdims=True)
        mean: Floats = np.einsum("pnk,nkr->pnr", share, p.weights)
        slope: Floats = mean.sum(axis=1) - rooms
        bend: Floats = np.einsum("pnk,nkr,nks->prs", share, p.weights, p.weights, optimize=True)
        bend = (bend - np.einsum("pnr,pns->prs", mean, mean)) / width
        ridge = 1e-9 * np.trace(bend, axis1=1, axis2=2) / max(rows, 1) + 1e-6 * width
        bend += ridge[:, None, None] * np.eye(rows)
        step = np.linalg.solve(bend, slope[:, :, None])[:, :, 0]
        x = np.clip(x + np.clip(step, -10.0 * unit, 10.0 * unit), 0.0, most)
    return x
