"""The best choice so far, judged by the problem itself and not by what a method believes."""

from __future__ import annotations

import math

import numpy as np

from perfmodel.search.exact.problem import ChoiceProblem, Ints


class Incumbent:
    """The best choice that was offered and keeps every limit.

    Parameters
    ----------
    problem
        What values and limits are taken from.
    """

    def __init__(self, problem: ChoiceProblem) -> None:
        self.problem = problem
        self.value = math.inf
        self.choice: tuple[int, ...] | None = None

    def offer(self, choices: Ints) -> bool:
        """Take the best of some choices, shape (N, decisions); tell whether it is a new best."""
        if not len(choices):
            return False
        values = np.where(self.problem.feasibles(choices), self.problem.values(choices), math.inf)
        best = int(values.argmin())
        if not values[best] < self.value:
            return False
        self.value = float(values[best])
        self.choice = tuple(choices[best].tolist())
        return True
