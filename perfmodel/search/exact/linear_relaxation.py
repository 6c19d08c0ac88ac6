"""Linear relaxation of a separable choice problem, its optimal prices and Lagrangian bounds.

Given a price for every row, the decisions are independent: each takes the option of minimum cost
plus priced use. The sum of these minima minus the priced room is a lower bound on the objective,
sum_i min_k (cost[i, k] + weights[i, k] . w) - room . w for w >= 0 (Fisher, The Lagrangian
relaxation method for solving integer programming problems, Management Science 27, 1981). The
optimal prices are the duals of the linear relaxation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from perfmodel.optimise.deadline import Deadline
from perfmodel.search.exact.choice_milp import ChoiceMilp
from perfmodel.search.exact.choice_sums import Floats, Ints
from perfmodel.search.exact.presolve import NoChoice, ReducedProblem
from perfmodel.search.exact.price_pool import smooth_duals

#: Largest number of columns of a linear programme that is solved directly.
MAX_DIRECT_COLUMNS = 6000
#: Number of decisions in a sub-problem of a larger one.
SUBPROBLEM_DECISIONS = 600


@dataclass(frozen=True, eq=False)
class Relaxation:
    """Prices and the bounds that follow from them.

    Attributes
    ----------
    prices : ndarray, shape (R,)
        Non-negative prices, in the scale of the reduced rows.
    bound
        Lower bound on the objective of any choice, including the constant.
    penalties : ndarray, shape (n, K)
        Increase of the bound if an option is forced; infinite beyond a decision's options.
    local : ndarray of int, shape (n,)
        Cheapest options at these prices; ties are resolved as in the linear programme.
    """

    prices: Floats
    bound: float
    penalties: Floats
    local: Ints


def lagrangian_bound(p: ReducedProblem, prices: Floats) -> Relaxation:
    """Return the Lagrangian bound and penalties at given prices."""
    cost: Floats = p.cost + p.weights @ prices
    least = cost.min(axis=1, initial=np.inf)
    bound = p.constant + float(least.sum()) - float(prices @ p.room)
    local: Ints = cost.argmin(axis=1) if len(cost) else np.zeros(0, dtype=np.int64)
    return Relaxation(prices, bound, cost - least[:, None], local)


def solve_relaxation(p: ReducedProblem, deadline: Deadline) -> Relaxation:
    """Return the relaxation at optimal prices, or at near-optimal ones for a large problem.

    Raises
    ------
    NoChoice
        The relaxation is infeasible.
    """
    if not len(p.room):
        return lagrangian_bound(p, np.zeros(0))
    if int(p.count.sum()) <= MAX_DIRECT_COLUMNS:
        prices, local = _duals(p, deadline)
        return replace(lagrangian_bound(p, prices), local=local)
    return _relaxation_by_subproblems(p, deadline)


def linear_prices(p: ReducedProblem, deadline: Deadline) -> Floats:
    """Return the duals of the limit rows in the linear relaxation, shape (R,).

    Raises
    ------
    NoChoice
        The relaxation is infeasible.
    """
    return _duals(p, deadline)[0]


def relative_price_changes(p: ReducedProblem, at: Relaxation) -> Floats:
    """Return the relative price change that would change each decision, shape (n,).

    The ratio accounts for size: small decisions have small penalties without being close to a
    change.
    """
    n = len(p.count)
    own = p.weights[np.arange(n), at.local][:, None]
    priced_use: Floats = np.abs(p.weights - own) @ at.prices
    ratio = np.where(at.penalties > 0.0, at.penalties / np.maximum(priced_use, 1e-300), 0.0)
    ratio[np.arange(n), at.local] = np.inf
    return ratio.min(axis=1)


def _duals(p: ReducedProblem, deadline: Deadline) -> tuple[Floats, Ints]:
    """Return the duals of the linear programme, and its largest option of each decision."""
    lines = ChoiceMilp(p)
    solved = lines.model.solve(deadline, relaxed=True)
    if solved.status == "infeasible":
        raise NoChoice
    if solved.solution is None or not len(solved.prices):
        prices: Floats = np.zeros(len(p.room))
        return prices, lagrangian_bound(p, prices).local
    return lines.prices(solved), lines.local(solved.solution)


def _relaxation_by_subproblems(p: ReducedProblem, deadline: Deadline) -> Relaxation:
    """Solve the undecided decisions at near-optimal prices, repeatedly, until the bound settles."""
    n = len(p.count)
    best = lagrangian_bound(p, np.zeros(len(p.room)))
    prices = best.prices
    # From soft to sharp minima: Newton's method converges only near the optimum of each.
    for soft in 3.0 ** -np.arange(12.0):
        prices = smooth_duals(p, prices, p.room[None], soft=float(soft), steps=4)[0]
        then = lagrangian_bound(p, prices)
        settled = abs(then.bound - best.bound) <= 1e-5 * abs(best.bound)
        if then.bound > best.bound:
            best = then
        if settled:
            break
    prices = best.prices
    part = SUBPROBLEM_DECISIONS
    for _ in range(12):
        if deadline.passed():
            break
        now = lagrangian_bound(p, prices)
        near = relative_price_changes(p, now)
        open_ = np.sort(np.argpartition(near, min(part, n - 1))[:part])
        settled_mask = np.ones(n, dtype=np.bool_)
        settled_mask[open_] = False
        fixed = np.flatnonzero(settled_mask)
        room: Floats = p.room - p.weights[fixed, now.local[fixed]].sum(axis=0)
        try:
            prices, local = _duals(_subproblem(p, open_, room), deadline)
        except NoChoice:
            if part >= n:
                raise
            part = min(n, 2 * part)
            continue
        then = lagrangian_bound(p, prices)
        then.local[open_] = local
        gain = then.bound - best.bound
        # With many ties only the linear programme's own options are close to feasible.
        if gain >= -1e-9 * abs(best.bound):
            best = then
        # The solution of the part is optimal for the whole problem if its bound has settled.
        if abs(gain) <= 1e-12 * max(abs(best.bound), 1e-300) or np.array_equal(prices, now.prices):
            break
        if gain < 0.0:
            part = min(n, 2 * part)
    return best


def _subproblem(p: ReducedProblem, some: Ints, room: Floats) -> ReducedProblem:
    return replace(
        p,
        count=p.count[some],
        cost=p.cost[some],
        weights=p.weights[some],
        room=room,
        factors=(),
        constant=0.0,
    )
