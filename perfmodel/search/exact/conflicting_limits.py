"""Explanation of infeasibility: a minimal set of conflicting limits, and their relaxations.

The set is irreducible (no limit can be left out) and results from the deletion filter, which drops
one limit after the other (Chinneck, Feasibility and Infeasibility in Optimization, 2008, section
6.2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from perfmodel.optimise.deadline import Deadline
from perfmodel.search.exact.choice_problem import ChoiceProblem, Limit
from perfmodel.search.exact.choice_solution import ChoiceInfeasibility, ChoiceSolution, Opening
from perfmodel.search.exact.choice_sums import PackedSum, Sum, Term

Solver = Callable[[ChoiceProblem, float, Deadline], ChoiceSolution]

#: A gap that every choice satisfies, to test feasibility only.
ANY_GAP = 1e12


def explain(problem: ChoiceProblem, deadline: Deadline, solver: Solver) -> ChoiceInfeasibility:
    """Return the explanation of an infeasible problem.

    Parameters
    ----------
    solver
        Function of a problem, a gap and the deadline that returns a solution.
    """
    needed = list(problem.limits)
    proved = True
    for limit in problem.limits:
        less = [other for other in needed if other is not limit]
        answer = solver(replace(problem, limits=tuple(less)), ANY_GAP, deadline)
        if answer.status == "infeasible":
            needed = less
        elif answer.solution is None:
            proved = False
    openings = tuple(_opening(problem, i, deadline, solver) for i in range(len(problem.limits)))
    return ChoiceInfeasibility(tuple(limit.name for limit in needed), openings, proved)


def _opening(problem: ChoiceProblem, place: int, deadline: Deadline, solver: Solver) -> Opening:
    limit = problem.limits[place]
    others = replace(problem, limits=tuple(x for i, x in enumerate(problem.limits) if i != place))
    least, proved, choice = least_usage(others, limit.sums, deadline, solver)
    return Opening(limit.name, limit.bound, least, proved, choice)


def least_usage(
    problem: ChoiceProblem, sums: tuple[Sum, ...], deadline: Deadline, solver: Solver
) -> tuple[float | None, bool, tuple[int, ...] | None]:
    """Return the minimum over choices of the largest of some sums, whether proved, and the choice.

    Returns
    -------
    tuple
        The minimum is None if no choice satisfies the other limits, or none was found in time.
    """
    if len(sums) == 1:
        allowed = _allowed(problem.objective)
        objective = Sum(sums[0].constant, sums[0].terms + allowed)
        answer = solver(replace(problem, objective=objective), 0.0, deadline)
        least = None if answer.solution is None else answer.value
        return least, answer.proved, answer.solution
    name = " and ".join([limit.name for limit in problem.limits] + ["the largest"])
    start = Limit(name, sums, math.inf)
    answer = solver(replace(problem, limits=(*problem.limits, start)), ANY_GAP, deadline)
    if answer.solution is None:
        return None, answer.status == "infeasible", None
    choice = answer.solution
    size = max(part.size for part in problem_sums(problem, sums))
    high = answer.usage[-1]
    low = max(_floor(part) for part in problem_sums(problem, sums))
    for turn in range(80):
        just_below = high - 3e-9 * abs(high) - 1e-15 * size - 1e-300
        # Alternate between bisection and a test of whether the incumbent is optimal.
        ask = min(0.5 * (low + high), just_below) if turn % 2 else just_below
        bounded = replace(problem, limits=(*problem.limits, replace(start, bound=ask)))
        answer = solver(bounded, ANY_GAP, deadline)
        if answer.solution is not None:
            choice, high = answer.solution, answer.usage[-1]
        elif answer.status != "infeasible":
            return high, False, choice
        elif ask == just_below:
            return high, True, choice
        else:
            low = ask
    return high, False, choice


def problem_sums(problem: ChoiceProblem, sums: tuple[Sum, ...]) -> tuple[PackedSum, ...]:
    """Return sums as arrays."""
    return tuple(PackedSum(s, problem.options) for s in sums)


def _allowed(objective: Sum) -> tuple[Term, ...]:
    """Return the tables of a sum with 0 for allowed and inf for forbidden combinations."""
    return tuple(
        Term(t.decisions, np.where(np.isfinite(t.values), 0.0, np.inf))
        for t in objective.terms
        if not np.all(np.isfinite(t.values))
    )


def _floor(part: PackedSum) -> float:
    """Return a lower bound on a sum: its constant plus the minimum of each table."""
    shared = sum(float(values.min()) for values in part.shared.values())
    return part.constant + float(part.block.min(axis=1, initial=np.inf).sum()) + shared
