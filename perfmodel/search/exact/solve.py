"""Entry point of the exact choice solver: presolve, then the method for the problem's structure."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from perfmodel.errors import Fault, InputError, not_among
from perfmodel.optimise.deadline import Deadline, OutOfTimeError
from perfmodel.search.exact.choice_incumbent import ChoiceIncumbent
from perfmodel.search.exact.choice_milp import solve_by_milp
from perfmodel.search.exact.choice_problem import ChoiceProblem
from perfmodel.search.exact.choice_solution import ChoiceSolution
from perfmodel.search.exact.conflicting_limits import explain as why
from perfmodel.search.exact.elimination_search import solve_coupled
from perfmodel.search.exact.knapsack import solve_knapsack
from perfmodel.search.exact.linear_relaxation import linear_prices
from perfmodel.search.exact.presolve import NoChoice, reduce_problem

Method = Literal["auto", "milp"]


def solve(
    problem: ChoiceProblem,
    *,
    method: Method = "auto",
    seconds: float | None = None,
    gap: float = 0.0,
    seed: int = 0,
    explain: bool = True,
) -> ChoiceSolution:
    """Minimise the objective of a choice problem, with a certificate.

    Parameters
    ----------
    method
        ``auto``: branch and bound if every table belongs to one decision, dynamic programming over
        a tree decomposition if tables span several, HiGHS for problems that these leave open;
        ``milp``: always HiGHS.
    seconds
        Wall-clock limit, after which the incumbent is returned with its bound. None for no limit.
    gap
        Gap between value and bound, relative to the value, at which to stop.
    seed
        Seed of the prices that branch and bound samples: it affects the time of a proof, and which
        of several optimal choices is returned.
    explain
        Whether to explain infeasibility, which needs several further solutions.

    Raises
    ------
    InputError
        For an unknown method, or a negative gap or time.
    """
    known = get_args(Method)
    faults = list(not_among(f"no method is called '{method}'", method, known, "method"))
    if not gap >= 0.0:
        faults.append(Fault(f"a gap of {gap}", "gap", expected="0 at least"))
    if seconds is not None and not seconds >= 0.0:
        faults.append(Fault(f"{seconds} seconds", "seconds", expected="0 at least, or None"))
    if faults:
        raise InputError(faults)
    deadline = Deadline(seconds)
    answer = _solve(problem, method, deadline, gap, seed)
    if answer.status != "infeasible" or not explain:
        return answer

    def again(changed: ChoiceProblem, wide: float, until: Deadline) -> ChoiceSolution:
        return _solve(changed, method, until, wide, seed)

    return replace(answer, infeasibility=why(problem, deadline, again))


def _solve(
    problem: ChoiceProblem, method: Method, deadline: Deadline, gap: float, seed: int
) -> ChoiceSolution:
    """Reduce a problem and solve it with the method for its structure."""
    incumbent = ChoiceIncumbent(problem, deadline, gap, seed)
    try:
        reduced = reduce_problem(problem, deadline)
    except NoChoice:
        return incumbent.certified(math.inf, "reduction")
    except OutOfTimeError:
        return incumbent.certified(-math.inf, "reduction")
    incumbent.work |= {"decisions": len(reduced.count), "options": int(reduced.count.sum())}
    if not len(reduced.count):
        incumbent.offer_all(reduced.base[None])
        incumbent.price(reduced, np.zeros(0))
        return incumbent.certified(incumbent.value, "reduction")
    if method == "auto":
        solver = solve_coupled if reduced.factors else solve_knapsack
        return solver(reduced, incumbent)
    try:
        incumbent.price(reduced, linear_prices(reduced, deadline))
    except NoChoice:
        return incumbent.certified(math.inf, "relaxation")
    return incumbent.certified(solve_by_milp(reduced, incumbent), "milp")
