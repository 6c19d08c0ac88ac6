"""Solve a problem of choices: reduce it, then the method that its shape asks for."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from perfmodel.errors import Fault, InputError, nearest
from perfmodel.optimise.deadline import Deadline, OutOfTimeError
from perfmodel.search.exact.explain import explain as why
from perfmodel.search.exact.incumbent import Incumbent
from perfmodel.search.exact.problem import ChoiceProblem, Floats
from perfmodel.search.exact.programme import by_programme
from perfmodel.search.exact.reduced import NoChoice, Reduced, reduce_problem
from perfmodel.search.exact.relaxation import linear_prices
from perfmodel.search.exact.result import ChoiceSolution, Status
from perfmodel.search.exact.separable import knapsack
from perfmodel.search.exact.tree import coupled

Method = Literal["auto", "milp"]

#: How near value and bound have to be, relative to the value, to count as met: what sums are
#: rounded by, and what HiGHS's bound is off by, which lets columns be 1e-6 beside whole numbers.
ROUNDING, PROGRAMME = 1e-9, 1e-7


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
                f"no method is called '{method}'", "method",
                expected=", ".join(known), suggestion=nearest(method, known),
            )
        )  # fmt: skip
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
    incumbent = Incumbent(problem)
    counts = {"nodes": 0, "decisions": 0, "options": 0}
    try:
        reduced = reduce_problem(problem, deadline)
    except NoChoice:
        return _answer(incumbent, math.inf, "reduction", counts, None, None)
    except OutOfTimeError:
        return _answer(incumbent, -math.inf, "reduction", counts, None, None)
    counts["decisions"], counts["options"] = len(reduced.count), int(reduced.count.sum())
    if not len(reduced.count):
        incumbent.offer(reduced.base[None])
        return _answer(incumbent, incumbent.value, "reduction", counts, reduced, np.zeros(0))
    if not reduced.factors and method == "auto":
        out = knapsack(reduced, incumbent, deadline, gap, seed)
        counts["nodes"] = out.nodes
        return _answer(incumbent, out.bound, out.method, counts, reduced, out.prices)
    if method == "auto":
        out = coupled(reduced, incumbent, deadline, gap, seed)
        counts["nodes"] = out.nodes
        return _answer(incumbent, out.bound, out.method, counts, reduced, out.prices)
    try:
        prices = linear_prices(reduced, deadline)
    except NoChoice:
        return _answer(incumbent, math.inf, "relaxation", counts, None, None)
    bound, counts["nodes"] = by_programme(reduced, incumbent, deadline, gap)
    return _answer(incumbent, bound, "milp", counts, reduced, prices)


def _answer(
    incumbent: Incumbent,
    bound: float,
    method: str,
    counts: dict[str, int],
    reduced: Reduced | None,
    prices: Floats | None,
) -> ChoiceSolution:
    problem = incumbent.problem
    choice, value = incumbent.choice, incumbent.value
    bound = min(bound, value)
    status: Status
    if choice is None:
        status = "infeasible" if bound == math.inf else "unknown"
        return ChoiceSolution(None, value, bound, status, method, counts=counts)
    size = problem.packed.size
    near = PROGRAMME if "milp" in method else ROUNDING
    met = value - bound <= near * max(abs(value), 1e-3 * size)
    status = "optimal" if met else "feasible"
    each: Floats = np.full(len(problem.limits), math.nan)
    if reduced is not None and prices is not None:
        each = np.zeros(len(problem.limits))
        np.add.at(each, reduced.limit, prices / reduced.scale)
    return ChoiceSolution(
        choice, value, bound, status, method, problem.usage(choice), tuple(each.tolist()), counts
    )
