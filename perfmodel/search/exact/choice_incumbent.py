"""Incumbent of a choice problem, evaluated by the problem itself, and the search to improve it."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np

from perfmodel.optimise.best_first import BestFirst, Incumbent
from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.search.exact.choice_problem import ChoiceProblem
from perfmodel.search.exact.choice_solution import ChoiceSolution
from perfmodel.search.exact.choice_sums import Floats, Ints
from perfmodel.search.exact.presolve import ReducedProblem

N = TypeVar("N")

#: Relative tolerance at which value and bound count as equal: rounding of sums, and accuracy of
#: HiGHS's bound, whose columns may deviate from integers by 1e-6.
ROUNDING, MILP_TOLERANCE = 1e-9, 1e-7


class ChoiceIncumbent(Incumbent[tuple[int, ...]]):
    """Best feasible choice offered so far.

    Parameters
    ----------
    problem
        Problem that evaluates values and limits, independently of the search method.
    deadline
        Time limit.
    gap
        Relative gap: a choice must improve the value by this fraction to matter.
    seed
        Seed of the prices that searches sample.
    """

    def __init__(
        self, problem: ChoiceProblem, deadline: Deadline, gap: float = 0.0, seed: int = 0
    ) -> None:
        super().__init__()
        self.problem, self.deadline, self.gap = problem, deadline, gap
        self.random = lambda: np.random.default_rng(seed)
        self.work = {"nodes": 0, "decisions": 0, "options": 0}
        self.prices = (math.nan,) * len(problem.limits)

    def price(self, reduced: ReducedProblem, prices: Floats) -> None:
        """Store the prices of a reduced problem's rows, shape (R,), as prices of the limits."""
        each = np.zeros(len(self.problem.limits))
        np.add.at(each, reduced.limit, prices / reduced.scale)
        self.prices = tuple(each.tolist())

    def rounded_up(self, bound: float) -> float:
        """Return a bound raised to the next whole number if all values are whole numbers."""
        tolerance = ROUNDING * self.problem.packed.size
        if not self.problem.packed.is_integral or tolerance > 0.1 or not math.isfinite(bound):
            return bound
        return max(bound, float(math.ceil(bound - tolerance)))

    def cut(self) -> float:
        """Return the bound from which on the incumbent counts as optimal."""
        tiny = 1e-12 * self.problem.packed.size
        return self.value - max(tiny, self.gap * abs(self.value))

    def certified(self, bound: float, method: str) -> ChoiceSolution:
        """Return the incumbent with a bound; the value is infinite if there is no incumbent."""
        bound = self.rounded_up(bound)
        bound, work = min(bound, self.value), dict(self.work)
        if self.solution is None:
            return ChoiceSolution(None, self.value, bound, method, work)
        near = MILP_TOLERANCE if "milp" in method else ROUNDING
        return ChoiceSolution(
            self.solution,
            self.value,
            bound,
            method,
            work,
            near,
            1e-3 * self.problem.packed.size,
            self.problem.usage(self.solution),
            self.prices,
        )

    def offer_all(self, choices: Ints) -> bool:
        """Offer the best of some choices, shape (N, decisions); return whether it is a new best."""
        if not len(choices):
            return False
        values = np.where(
            self.problem.are_feasible(choices), self.problem.values(choices), math.inf
        )
        best = int(values.argmin())
        return self.offer(tuple(choices[best].tolist()), float(values[best]))


class ChoiceSearch(BestFirst[N, tuple[int, ...]]):
    """Depth-first search over blocks of partial choices, the best of a block first.

    Parameters
    ----------
    constant
        Constant term of the objective, which the bounds of nodes omit.
    ceiling
        Strict upper bound on the objective of any choice, without the constant.
    """

    depth_first = True

    def __init__(
        self,
        p: ReducedProblem,
        incumbent: ChoiceIncumbent,
        most_nodes: int,
        *,
        constant: float = 0.0,
        ceiling: float = math.inf,
    ) -> None:
        super().__init__(incumbent, incumbent.deadline, most_nodes)
        self.choices, self.p, self.gap, self.tiny = incumbent, p, incumbent.gap, 1e-12 * p.size
        self.constant, self.ceiling = constant, ceiling

    def cut(self) -> float:
        """Return the bound from which a node is pruned."""
        value = self.incumbent.value
        if value == math.inf:
            return self.ceiling
        return value - self.constant - max(self.tiny, self.gap * abs(value))

    def answer(self, bound: float) -> Certified[tuple[int, ...]]:
        """Return the incumbent with its bound; proved if only the gap remains open."""
        value = self.incumbent.value
        if bound == math.inf:
            bound = value - self.gap * abs(value) if value < math.inf else value
        else:
            bound = min(bound + self.constant, value)
        work, near = {"nodes": self.nodes}, self.gap + 1e-12
        return Certified(self.incumbent.solution, value, bound, "branch and bound", work, near)
