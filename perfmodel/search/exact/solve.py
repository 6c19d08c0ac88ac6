"""Solve a problem of choices: reduce it, then the method that its shape asks for."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from perfmodel.errors import Fault, InputError, nearest
from perfmodel.optimise.deadline import Deadline, OutOfTimeError
from perfmodel.search.exact.explain import explain as why
from perfmodel.search.exact.incumbent import ChoiceIncumbent
from perfmodel.search.exact.problem import ChoiceProblem
from perfmodel.search.exact.programme import by_programme
from perfmodel.search.exact.reduced import NoChoice, reduce_problem
from perfmodel.search.exact.relaxation import linear_prices
from perfmodel.search.exact.result import ChoiceSolution
from perfmodel.search.exact.separable import knapsack
from perfmodel.search.exact.tree import coupled

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
    """Choose an option for every decision.

    Parameters
    ----------
    method
        ``auto``: branch and bound where every table belongs to one decision, dynamic programming
        over a tree decomposition where tables join several, HiGHS for what these leave;
        ``milp``: HiGHS always.
    seconds
        By the clock; then the best so far comes back with its bound. None for as long as it takes.
    gap
        Distance of value and bound, relative to the value, at which to stop.
    seed
        Of the prices that branch and bound samples: it changes how long a proof takes and which of
        equal choices is found.
    explain
        Whether to find out why an infeasible problem is, which takes several solutions more.

    Raises
    ------
    InputError
        An unknown method, a negative gap or time.
    """
    faults: list[Fault] = []
    known = get_args(Method)
    if method not in known:
        faults.append(
            Fault(
                f"no method is called '{method}'",
                "method",
                expected=", ".join(known),
                suggestion=nearest(method, known),
            )
        )
    if not gap >= 0.0:
        faults.append(Fault(f"a gap of {gap}", "gap", expected="0 at least"))
    if seconds is not None and not seconds >= 0.0:
        faults.append(Fault(f"{seconds} seconds", "seconds", expected="0 at least, or None"))
    if faults:
        raise InputError(faults)
    deadline = Deadline(seconds)
    found = _solve(problem, method, deadline, gap, seed)
    if found.status != "infeasible" or not explain:
        return found

    def again(changed: ChoiceProblem, wide: float, until: Deadline) -> ChoiceSolution:
        return _solve(changed, method, until, wide, seed)

    return replace(found, infeasibility=why(problem, deadline, again))


def _solve(
    problem: ChoiceProblem, method: Method, deadline: Deadline, gap: float, seed: int
) -> ChoiceSolution:
    incumbent = ChoiceIncumbent(problem)
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
        solver = coupled if reduced.factors else knapsack
        return solver(reduced, incumbent, deadline, gap, seed)
    try:
        incumbent.price(reduced, linear_prices(reduced, deadline))
    except NoChoice:
        return incumbent.certified(math.inf, "relaxation")
    return incumbent.certified(by_programme(reduced, incumbent, deadline, gap), "milp")
