"""The problem as a linear programme with whole columns, for HiGHS.

A column an option, one of each decision to be chosen; a table over several decisions gets a column
a combination, whose sums over all but one decision are that decision's columns (the local polytope:
Wainwright and Jordan, Graphical Models, Exponential Families, and Variational Inference, 2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perfmodel.schedule.deadline import Deadline
from perfmodel.schedule.solver import MilpMatrix, SolverResult, solve
from perfmodel.search.exact.problem import Floats, Ints
from perfmodel.search.exact.reduced import Reduced


@dataclass(frozen=True, eq=False)
class ChoiceMilp:
    """A reduced problem as a matrix.

    Attributes
    ----------
    matrix
        Rows: one a decision, then one a row of limits, then those of tables over several.
    decision, option : ndarray of int
        What the first columns stand for.
    first
        Row of the first limit.
    """

    matrix: MilpMatrix
    decision: Ints
    option: Ints
    first: int
    rows: int

    def run(
        self, deadline: Deadline, *, gap: float = 0.0, start: Ints | None = None
    ) -> SolverResult:
        """Solve it, from a known choice (places in `Reduced.option`) if given."""
        return solve(self.matrix, deadline, gap=gap)

    def local(self, values: Floats) -> Ints:
        """Return the choice of a solution: of each decision the largest column."""
        n = self.first
        out: Ints = np.zeros(n, dtype=np.int64)
        x = values[: len(self.decision)]
        # Ascending by value, so that the largest of each decision is written last.
        order = np.argsort(x, kind="stable")
        out[self.decision[order]] = self.option[order]
        return out

    def prices(self, solution: SolverResult) -> Floats:
        """Return the duals of the limits' rows, 0 at least, shape (rows,)."""
        held = -solution.prices[self.first : self.first + self.rows]
        return np.maximum(held, 0.0)


def programme(p: Reduced, *, integer: bool = True) -> ChoiceMilp:
    """Return a reduced problem as a matrix.

    Parameters
    ----------
    integer
        Whether options are taken whole; otherwise its linear relaxation.
    """
    n, rows = len(p.count), len(p.room)
    decision, option = (np.asarray(a, dtype=np.int64) for a in np.nonzero(p.valid))
    column: Ints = np.zeros(p.cost.shape, dtype=np.int64)
    column[decision, option] = np.arange(len(decision))
    cost = [p.cost[decision, option]]
    use = [p.weights[decision, option]]
    total = len(decision)
    at, over, value = [decision], [np.arange(total, dtype=np.int64)], [np.ones(total)]
    row = n + rows
    for f in p.factors:
        places = np.argwhere(np.isfinite(f.cost))
        spots = tuple(places.T)
        columns = total + np.arange(len(places), dtype=np.int64)
        total += len(places)
        cost.append(f.cost[spots])
        use.append(f.weights[spots])
        for axis, i in enumerate(f.scope):
            k = int(p.count[i])
            at += [row + places[:, axis], row + np.arange(k)]
            over += [columns, column[i, :k]]
            value += [np.ones(len(places)), np.full(k, -1.0)]
            row += k
    used: Floats = np.concatenate(use)
    where, which = np.nonzero(used)
    at.append(n + which)
    over.append(where)
    value.append(used[where, which])
    low: Floats = np.zeros(row)
    high: Floats = np.zeros(row)
    low[:n] = high[:n] = 1.0
    low[n : n + rows] = -np.inf
    high[n : n + rows] = p.room
    whole = np.zeros(total, dtype=np.bool_)
    whole[: len(decision)] = integer
    matrix = MilpMatrix.of(
        np.concatenate(cost),
        (np.concatenate(at), np.concatenate(over), np.concatenate(value)),
        low,
        high,
        upper=1.0,
        integer=whole,
    )
    return ChoiceMilp(matrix, decision, option, n, rows)
