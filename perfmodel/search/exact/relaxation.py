"""The linear relaxation of a problem without shared tables, and the bounds that follow from it.

With a price for every row the decisions fall apart: each takes the option of least cost plus priced
use, and that sum less the priced room bounds the objective from below (Fisher, The Lagrangian
relaxation method for solving integer programming problems, Management Science 27, 1981). The best
prices are the duals of the linear relaxation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from perfmodel.optimise.deadline import Deadline
from perfmodel.search.exact.pool import smooth_duals
from perfmodel.search.exact.problem import Floats, Ints
from perfmodel.search.exact.programme import ChoiceMilp
from perfmodel.search.exact.reduced import NoChoice, Reduced

#: Columns up to which the linear programme is solved as it is.
WHOLE = 6000
#: Decisions in a part of a larger one.
PART = 600


@dataclass(frozen=True, eq=False)
class Relaxation:
    """Prices and what they prove.

    Attributes
    ----------
    prices : ndarray, shape (R,)
        0 at least; in the scale of the reduced rows.
    bound
        No choice has a smaller objective (the constant included).
    penalties : ndarray, shape (n, K)
        By how much the bound rises where an option is forced; infinite beyond a decision's options.
    local : ndarray of int, shape (n,)
        The cheapest options at these prices; of equals those of the linear programme.
    """

    prices: Floats
    bound: float
    penalties: Floats
    local: Ints


def priced(p: Reduced, prices: Floats) -> Relaxation:
    """Return what some prices prove."""
    cost: Floats = p.cost + p.weights @ prices
    least = cost.min(axis=1, initial=np.inf)
    bound = p.constant + float(least.sum()) - float(prices @ p.room)
    local: Ints = cost.argmin(axis=1) if len(cost) else np.zeros(0, dtype=np.int64)
    return Relaxation(prices, bound, cost - least[:, None], local)


def relax(p: Reduced, deadline: Deadline) -> Relaxation:
    """Return the best prices: those of the linear relaxation, or near them where it is large.

    Raises
    ------
    NoChoice
        Not even the relaxation has a solution.
    """
    if not len(p.room):
        return priced(p, np.zeros(0))
    if int(p.count.sum()) <= WHOLE:
        prices, local = _duals(p, deadline)
        return replace(priced(p, prices), local=local)
    return _sifted(p, deadline)


def linear_prices(p: Reduced, deadline: Deadline) -> Floats:
    """Return the duals of the limits' rows in the linear relaxation, shape (R,).

    Raises
    ------
    NoChoice
        It has no solution.
    """
    return _duals(p, deadline)[0]


def undecided(p: Reduced, at: Relaxation) -> Floats:
    """Return by what share the prices would have to change for a decision to change, shape (n,).

    Small decisions have small penalties without being any nearer to a change.
    """
    n = len(p.count)
    own = p.weights[np.arange(n), at.local][:, None]
    moved: Floats = np.abs(p.weights - own) @ at.prices
    ratio = np.where(at.penalties > 0.0, at.penalties / np.maximum(moved, 1e-300), 0.0)
    ratio[np.arange(n), at.local] = np.inf
    return ratio.min(axis=1)


def _duals(p: Reduced, deadline: Deadline) -> tuple[Floats, Ints]:
    """Return the prices of the linear programme and its options, of each decision the largest."""
    lines = ChoiceMilp(p)
    solved = lines.model.solve(deadline, relaxed=True)
    if solved.status == "infeasible":
        raise NoChoice
    if solved.solution is None or not len(solved.prices):
        prices: Floats = np.zeros(len(p.room))
        return prices, priced(p, prices).local
    return lines.prices(solved), lines.local(solved.solution)


def _sifted(p: Reduced, deadline: Deadline) -> Relaxation:
    """Begin near the best prices, then solve the decisions they leave open, until nothing moves."""
    n = len(p.count)
    best = priced(p, np.zeros(len(p.room)))
    prices = best.prices
    # Softer minima first: Newton's method converges only near the best prices of each.
    for soft in 3.0 ** -np.arange(12.0):
        prices = smooth_duals(p, prices, p.room[None], soft=float(soft), steps=4)[0]
        then = priced(p, prices)
        settled = abs(then.bound - best.bound) <= 1e-5 * abs(best.bound)
        if then.bound > best.bound:
            best = then
        if settled:
            break
    prices = best.prices
    part = PART
    for _ in range(12):
        if deadline.passed():
            break
        now = priced(p, prices)
        near = undecided(p, now)
        open_ = np.sort(np.argpartition(near, min(part, n - 1))[:part])
        held = np.ones(n, dtype=np.bool_)
        held[open_] = False
        rest = np.flatnonzero(held)
        room: Floats = p.room - p.weights[rest, now.local[rest]].sum(axis=0)
        try:
            prices, local = _duals(_part(p, open_, room), deadline)
        except NoChoice:
            if part >= n:
                raise
            part = min(n, 2 * part)
            continue
        then = priced(p, prices)
        then.local[open_] = local
        gain = then.bound - best.bound
        # With many ties only the linear programme's own options are near to what fits.
        if gain >= -1e-9 * abs(best.bound):
            best = then
        # The part's linear programme costs as much as a solution of the whole one.
        if abs(gain) <= 1e-12 * max(abs(best.bound), 1e-300) or np.array_equal(prices, now.prices):
            break
        if gain < 0.0:
            part = min(n, 2 * part)
    return best


def _part(p: Reduced, some: Ints, room: Floats) -> Reduced:
    return replace(
        p,
        count=p.count[some],
        cost=p.cost[some],
        weights=p.weights[some],
        room=room,
        factors=(),
        constant=0.0,
    )
