"""Choice problem as an integer linear programme.

There is one 0/1 column per option, exactly one of which is selected per decision. A table over
several decisions has one column per combination, whose sums over all but one decision equal that
decision's columns (the local polytope: Wainwright and Jordan, Graphical Models, Exponential
Families, and Variational Inference, 2008).
"""

from __future__ import annotations

import math

import numpy as np

from perfmodel.optimise.milp_matrix import Solved
from perfmodel.optimise.milp_model import Index, MilpModel
from perfmodel.search.exact.choice_incumbent import ChoiceIncumbent
from perfmodel.search.exact.choice_sums import Floats, Ints
from perfmodel.search.exact.presolve import Factor, ReducedProblem

#: Scale of the objective: HiGHS treats an absolute gap of 1e-6 as zero.
SCALED_MAGNITUDE = 1e5


class ChoiceMilp:
    """Integer programme of a reduced problem.

    Parameters
    ----------
    scale
        Factor of the objective.

    Attributes
    ----------
    x : ndarray of int, shape (options,)
        Columns of the options.
    """

    def __init__(self, p: ReducedProblem, scale: float = 1.0) -> None:
        self.p, self.scale = p, scale
        self.model = MilpModel("choices")
        self.decision, self.option = np.nonzero(p.valid)
        at = self.decision, self.option
        self.x = self.model.variables(
            "option", self.decision.shape, cost=p.cost[at] * scale, integer=True
        )
        #: One option per decision: ``sum over k of x[i, k] = 1``.
        self.model.require_all(
            "one", (self.x, 1.0, self.decision), low=np.ones(len(p.count)), high=1.0
        )
        used = [(self.x, p.weights[at])]
        used += [self._combinations(f) for f in p.factors]
        self._limits(np.concatenate([x for x, _ in used]), np.concatenate([w for _, w in used]))

    def _combinations(self, f: Factor) -> tuple[Index, Floats]:
        """Add the columns y of a table, and return them with their use of each row.

        For option k of decision i the combinations satisfy ``sum of y = x[i, k]``.
        """
        places = np.argwhere(np.isfinite(f.cost))
        spots = tuple(places.T)
        y = self.model.variables("combination", (len(places),), cost=f.cost[spots] * self.scale)
        for axis, i in enumerate(f.scope):
            zero = np.zeros(int(self.p.count[i]))
            own = self.x[self.decision == i]
            terms = (y, 1.0, places[:, axis]), (own, -1.0, np.arange(len(own)))
            self.model.require_all("joint", *terms, low=zero, high=zero)
        return y, f.weights[spots]

    def _limits(self, columns: Index, weights: Floats) -> None:
        """Add the limit rows ``sum of w[c, r] x[c] <= room[r]``."""
        self.first = len(self.model.rows)
        column, row = np.nonzero(weights)
        terms = columns[column], weights[column, row], row
        self.model.require_all("limit", terms, high=self.p.room)

    def local(self, values: Floats) -> Ints:
        """Return the choice of a solution: the largest column of each decision."""
        out: Ints = np.zeros(len(self.p.count), dtype=np.int64)
        # Ascending by value, so that the largest of each decision is written last.
        order = np.argsort(values[self.x], kind="stable")
        out[self.decision[order]] = self.option[order]
        return out

    def prices(self, solved: Solved) -> Floats:
        """Return the non-negative duals of the limit rows, shape (rows,)."""
        return np.maximum(-solved.prices[self.first :], 0.0)

    def forbid(self, local: Ints) -> None:
        """Exclude one choice: ``sum of x[i, local[i]] <= n - 1``."""
        columns = self.x[local[self.decision] == self.option]
        self.model.require_all("forbidden", (columns[None], 1.0), high=len(local) - 1.0)


def solve_by_milp(p: ReducedProblem, incumbent: ChoiceIncumbent) -> float:
    """Improve an incumbent with a MILP solver, and return a lower bound.

    A solution may exceed a row by the solver's tolerance. Such a choice is cut off and the
    programme solved again, so that the proof holds for the exact limits.

    Returns
    -------
    float
        Infinite if no remaining choice is better than the incumbent.
    """
    spread = float(np.where(np.isfinite(p.cost), p.cost, 0.0).max(initial=0.0)) - float(
        p.cost.min(initial=0.0)
    )
    for factor in p.factors:
        spread += float(np.ptp(factor.cost[np.isfinite(factor.cost)]))
    lines = ChoiceMilp(p, SCALED_MAGNITUDE / (spread * max(1, len(p.count)) or 1.0))
    bound = -math.inf
    while True:
        solved = lines.model.solve(incumbent.deadline, gap=incumbent.gap)
        incumbent.work["nodes"] += solved.work.get("nodes", 0)
        if solved.status == "infeasible":
            return math.inf
        # Excluded choices are infeasible, so a later bound may be better.
        bound = max(bound, solved.bound / lines.scale + p.constant)
        if solved.solution is None:
            return bound
        local = lines.local(solved.solution)
        choice = p.choices(local[None])
        incumbent.offer_all(choice)
        if incumbent.problem.feasible(choice[0].tolist()) or incumbent.deadline.passed():
            return bound
        lines.forbid(local)
