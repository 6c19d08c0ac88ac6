"""Solve a problem of choices: reduce it, then the method that its shape asks for."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np

from perfmodel.errors import Fault, InputError, nearest
from perfmodel.schedule.deadline import Deadline
from perfmodel.search.exact.incumbent import Incumbent
from perfmodel.search.exact.problem import ChoiceProblem, Floats
from perfmodel.search.exact.reduced import NoChoice, Reduced, reduce_problem
from perfmodel.search.exact.result import ChoiceSolution, Status
from perfmodel.search.exact.separable import knapsack
from perfmodel.search.exact.whole import by_programme

__all__ = ["Method", "solve"]

Method = Literal["auto", "milp"]


def solve(
    problem: ChoiceProblem,
    *,
    method: Method = "auto",
    seconds: float | None = None,
    gap: float = 0.0,
    seed: int = 0,
) -> ChoiceSolution:
    """Choose an option for every decision."""
    if method not in get_args(Method):
        raise InputError(
            Fault(
                f"no method is called '{method}'", "method",
                expected=", ".join(get_args(Method)), suggestion=nearest(method, get_args(Method)),
            )
        )  # fmt: skip
    deadline = Deadline(seconds)
    incumbent = Incumbent(problem)
    counts = {"nodes": 0, "relaxed": 0, "decisions": 0, "options": 0}
    try:
        reduced = reduce_problem(problem)
    except NoChoice:
        return _answer(incumbent, math.inf, "reduction", counts, None, None)
    counts["decisions"], counts["options"] = len(reduced.count), int(reduced.count.sum())
    if not len(reduced.count):
        incumbent.offer(reduced.base[None])
        return _answer(incumbent, incumbent.value, "reduction", counts, reduced, np.zeros(0))
    if not reduced.factors and method == "auto":
        out = knapsack(reduced, incumbent, deadline, gap, seed)
        counts["nodes"] = out.nodes
        return _answer(incumbent, out.bound, out.method, counts, reduced, out.prices)
    bound, counts["nodes"] = by_programme(reduced, incumbent, deadline, gap)
    return _answer(incumbent, bound, "milp", counts, reduced, None)


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
    met = value - bound <= 1e-9 * max(abs(value), 1e-3 * size)
    status = "optimal" if met else "feasible"
    each: Floats = np.full(len(problem.limits), math.nan)
    if reduced is not None and prices is not None:
        each = np.zeros(len(problem.limits))
        np.add.at(each, reduced.limit, prices / reduced.scale)
    return ChoiceSolution(
        choice, value, bound, status, method, problem.usage(choice), tuple(each.tolist()), counts
    )
