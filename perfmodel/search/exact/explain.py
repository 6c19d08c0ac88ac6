"""Why no choice keeps the limits, and what would open the problem.

Limits that are infeasible together without one too many are found by leaving out one after the
other (the deletion filter: Chinneck, Feasibility and Infeasibility in Optimization, 2008, section
6.2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from perfmodel.optimise.deadline import Deadline
from perfmodel.search.exact.problem import ChoiceProblem, Limit, PackedSum, Sum, Term
from perfmodel.search.exact.result import ChoiceInfeasibility, ChoiceSolution, Opening

Solver = Callable[[ChoiceProblem, float, Deadline], ChoiceSolution]

#: A gap that any choice meets: only whether there is one is asked.
ANY = 1e12


def explain(problem: ChoiceProblem, deadline: Deadline, solver: Solver) -> ChoiceInfeasibility:
    """Return why an infeasible problem is.

    Parameters
    ----------
    solver
        Called with a problem, a gap and the deadline.
    """
    held = list(problem.limits)
    proved = True
    for limit in problem.limits:
        less = [other for other in held if other is not limit]
        found = solver(replace(problem, limits=tuple(less)), ANY, deadline)
        if found.status == "infeasible":
            held = less
        elif found.solution is None:
            proved = False
    openings = tuple(_opening(problem, i, deadline, solver) for i in range(len(problem.limits)))
    return ChoiceInfeasibility(tuple(limit.name for limit in held), openings, proved)


def _opening(problem: ChoiceProblem, place: int, deadline: Deadline, solver: Solver) -> Opening:
    limit = problem.limits[place]
    others = replace(problem, limits=tuple(x for i, x in enumerate(problem.limits) if i != place))
    least, proved, choice = least_usage(others, limit.sums, deadline, solver)
    return Opening(limit.name, limit.bound, least, proved, choice)


def least_usage(
    problem: ChoiceProblem, sums: tuple[Sum, ...], deadline: Deadline, solver: Solver
) -> tuple[float | None, bool, tuple[int, ...] | None]:
    """Return the least that the largest of some sums can be, whether proved, and the choice.

    Returns
    -------
    tuple
        None for the first where no choice keeps the other limits, or none was found.
    """
    if len(sums) == 1:
        allowed = _allowed(problem.objective)
        whole = Sum(sums[0].constant, sums[0].terms + allowed)
        found = solver(replace(problem, objective=whole), 0.0, deadline)
        least = None if found.solution is None else found.value
        return least, found.proved, found.solution
    name = " and ".join([limit.name for limit in problem.limits] + ["the largest"])
    start = Limit(name, sums, math.inf)
    found = solver(replace(problem, limits=(*problem.limits, start)), ANY, deadline)
    if found.solution is None:
        return None, found.status == "infeasible", None
    choice = found.solution
    size = max(part.size for part in problem_sums(problem, sums))
    high = found.usage[-1]
    low = max(_floor(part) for part in problem_sums(problem, sums))
    for turn in range(80):
        just_below = high - 3e-9 * abs(high) - 1e-15 * size - 1e-300
        # Either halve what is open, or ask whether the best so far is the end.
        ask = min(0.5 * (low + high), just_below) if turn % 2 else just_below
        bounded = replace(problem, limits=(*problem.limits, replace(start, bound=ask)))
        found = solver(bounded, ANY, deadline)
        if found.solution is not None:
            choice, high = found.solution, found.usage[-1]
        elif found.status != "infeasible":
            return high, False, choice
        elif ask == just_below:
            return high, True, choice
        else:
            low = ask
    return high, False, choice


def problem_sums(problem: ChoiceProblem, sums: tuple[Sum, ...]) -> tuple[PackedSum, ...]:
    """Return sums as arrays."""
    return tuple(PackedSum(s, problem.options) for s in sums)


def _allowed(whole: Sum) -> tuple[Term, ...]:
    """Return the tables of a sum with 0 for what it allows: only what it forbids is left."""
    return tuple(
        Term(t.decisions, np.where(np.isfinite(t.values), 0.0, np.inf))
        for t in whole.terms
        if not np.all(np.isfinite(t.values))
    )


def _floor(part: PackedSum) -> float:
    """Return what a sum is at least, each table by itself."""
    shared = sum(float(values.min()) for values in part.shared.values())
    return part.constant + float(part.block.min(axis=1, initial=np.inf).sum()) + shared
