"""The best choice so far, judged by the problem itself, and the search that betters it."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np

from perfmodel.optimise.best_first import BestFirst, Incumbent
from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.search.exact.problem import ChoiceProblem, Floats, Ints
from perfmodel.search.exact.reduced import Reduced
from perfmodel.search.exact.result import ChoiceSolution

N = TypeVar("N")

#: How near value and bound have to be, relative to the value, to count as met: what sums are
#: rounded by, and what HiGHS's bound is off by, which lets columns be 1e-6 beside whole numbers.
ROUNDING, PROGRAMME = 1e-9, 1e-7


class ChoiceIncumbent(Incumbent[tuple[int, ...]]):
    """The best choice that was offered and keeps every limit.

    Parameters
    ----------
    problem
        What values and limits are taken from, not from what a method believes.
    """

    def __init__(self, problem: ChoiceProblem) -> None:
        super().__init__()
        self.problem = problem
        self.work = {"nodes": 0, "decisions": 0, "options": 0}
        self.prices = (math.nan,) * len(problem.limits)

    def price(self, reduced: Reduced, prices: Floats) -> None:
        """Take the prices of a reduced problem's rows, shape (R,), as those of the limits."""
        each = np.zeros(len(self.problem.limits))
        np.add.at(each, reduced.limit, prices / reduced.scale)
        self.prices = tuple(each.tolist())

    def certified(self, bound: float, method: str) -> ChoiceSolution:
        """Return the best choice with a bound; infinite where there is none at all."""
        bound, work = min(bound, self.value), dict(self.work)
        if self.solution is None:
            return ChoiceSolution(None, self.value, bound, method, work)
        near = PROGRAMME if "milp" in method else ROUNDING
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
        """Take the best of some choices, shape (N, decisions); tell whether it is a new best."""
        if not len(choices):
            return False
        values = np.where(self.problem.feasibles(choices), self.problem.values(choices), math.inf)
        best = int(values.argmin())
        return self.offer(tuple(choices[best].tolist()), float(values[best]))


class ChoiceSearch(BestFirst[N, tuple[int, ...]]):
    """Depth first over blocks of partial choices, the best of a block first.

    Parameters
    ----------
    gap
        Relative to the incumbent's value: what a choice would have to be better by.
    constant
        What the bounds of nodes leave out.
    ceiling
        No choice costs as much, the constant apart.
    """

    depth_first = True

    def __init__(
        self,
        p: Reduced,
        incumbent: ChoiceIncumbent,
        deadline: Deadline,
        most_nodes: int,
        gap: float,
        *,
        constant: float = 0.0,
        ceiling: float = math.inf,
    ) -> None:
        super().__init__(incumbent, deadline, most_nodes)
        self.choices, self.p, self.gap, self.tiny = incumbent, p, gap, 1e-12 * p.size
        self.constant, self.ceiling = constant, ceiling

    def cut(self) -> float:
        """Return the bound from which on a node is of no use."""
        value = self.incumbent.value
        if value == math.inf:
            return self.ceiling
        return value - self.constant - max(self.tiny, self.gap * abs(value))

    def answer(self, bound: float) -> Certified[tuple[int, ...]]:
        """Return the best choice with its bound, proved where nothing is left but the gap."""
        value = self.incumbent.value
        if bound == math.inf:
            bound = value - self.gap * abs(value) if value < math.inf else value
        else:
            bound = min(bound + self.constant, value)
        work, near = {"nodes": self.nodes}, self.gap + 1e-12
        return Certified(self.incumbent.solution, value, bound, "branch and bound", work, near)
