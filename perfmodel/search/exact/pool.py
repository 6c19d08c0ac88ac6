"""Prices for many sub-problems at once: a pool that bounds every node of a search by looking up.

A node of the search has some decisions fixed, so what is left of the room is another, and with it
the best prices. Instead of solving each node's relaxation, all nodes share prices that are best for
rooms shifted in random directions: with any of them the relaxation is a lower bound, and a decision
fixed adds a number from a table to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perfmodel.search.exact.problem import Floats, Ints
from perfmodel.search.exact.reduced import Reduced

#: Largest shift of the rooms, in standard deviations of what an option uses. Deep in the search a
#: few decisions make up for all that are fixed, so prices far from the best ones count.
FAR = 60.0


@dataclass(frozen=True, eq=False)
class Pool:
    """Prices and their tables; P prices, n decisions, K options, R rows.

    Attributes
    ----------
    prices : ndarray, shape (P, R)
    bounds : ndarray, shape (P,)
        Of the whole problem, without its constant.
    rises : ndarray, shape (n, K, P)
        By how much an option raises each bound; infinite beyond a decision's options.
    cheapest : ndarray of int, shape (n, P)
        The option that raises it by nothing.
    use : ndarray, shape (P, n, R)
        What that one uses.
    """

    prices: Floats
    bounds: Floats
    rises: Floats
    cheapest: Ints
    use: Floats


def make_pool(p: Reduced, prices: Floats, size: int, seed: int) -> Pool:
    """Return a pool around the best prices of a problem without shared tables."""
    rng = np.random.default_rng(seed)
    rows = len(p.room)
    held = prices[None]
    if rows and size > 1:
        inside = p.valid[:, :, None]
        mean = p.weights.sum(axis=1, keepdims=True) / p.count[:, None, None]
        square = np.where(inside, (p.weights - mean) ** 2, 0.0).sum(axis=1)
        spread: Floats = np.sqrt(square / p.count[:, None]).mean(axis=0)
        ways: Floats = rng.normal(size=(size - 1, rows))
        ways /= np.sqrt((ways**2).sum(axis=1, keepdims=True))
        shifts: Floats = ways * spread * rng.uniform(0.2, FAR, (size - 1, 1))
        held = np.concatenate((held, smooth_duals(p, prices, p.room + shifts)))
    return tables(p, held)


def tables(p: Reduced, prices: Floats) -> Pool:
    """Return the tables of some prices."""
    n = len(p.cost)
    count = len(prices)
    cost: Floats = p.cost[:, :, None] + p.weights @ prices.T
    least = cost.min(axis=1)
    cheapest: Ints = cost.argmin(axis=1)
    use: Floats = p.weights[np.arange(n)[:, None], cheapest].transpose(1, 0, 2).copy()
    return Pool(
        prices,
        least.sum(axis=0) - prices @ p.room,
        cost - least[:, None, :],
        cheapest,
        use.reshape(count, n, len(p.room)),
    )


def smooth_duals(
    p: Reduced, prices: Floats, rooms: Floats, *, soft: float = 0.02, steps: int = 6
) -> Floats:
    """Return near-best prices for many rooms: Newton's method on the smoothed Lagrangian.

    Parameters
    ----------
    prices : ndarray, shape (R,)
        Where to begin.
    rooms : ndarray, shape (P, R)
    soft
        How soft the minimum is, in standard deviations of the costs.
    steps
        Of Newton's method.

    Returns
    -------
    ndarray, shape (P, R)

    Notes
    -----
    The minimum over options becomes a soft minimum, whose second derivative is the covariance of
    use (Nesterov, Smooth minimization of non-smooth functions, Mathematical Programming 103, 2005).
    Nothing rests on how well it converges: all prices give bounds.
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
