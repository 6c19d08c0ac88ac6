"""Checks of a choice problem: consistent tables, bounds and names, all faults at once."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from perfmodel.errors import Fault
from perfmodel.search.exact.choice_sums import Sum

if TYPE_CHECKING:
    from perfmodel.search.exact.choice_problem import ChoiceProblem


def problem_faults(problem: ChoiceProblem) -> list[Fault]:
    """Return the faults of all tables, bounds and names of a problem."""
    faults: list[Fault] = []
    options = problem.options
    for i, count in enumerate(options):
        if count < 1:
            faults.append(
                Fault(f"decision {i} has {count} options", f"options.{i}", expected="at least one")
            )
    if problem.names and len(problem.names) != len(options):
        faults.append(
            Fault(
                f"there are {len(problem.names)} names",
                "names",
                expected=f"{len(options)}, or none",
            )
        )
    faults += _sum_faults(problem.objective, options, "objective")
    seen: set[str] = set()
    for limit in problem.limits:
        path = f"limits.{limit.name}"
        if limit.name in seen:
            faults.append(Fault("two limits have the same name", path))
        seen.add(limit.name)
        if math.isnan(limit.bound):
            faults.append(Fault("the bound is not a number", path))
        if not limit.sums:
            faults.append(Fault("the limit has no sum", path, expected="at least one sum"))
        for k, part in enumerate(limit.sums):
            faults += _sum_faults(part, options, f"{path}.sums.{k}")
    return faults


def _sum_faults(total: Sum, options: tuple[int, ...], path: str) -> list[Fault]:
    """Return the faults of the constant of a sum, and of its tables."""
    faults: list[Fault] = []
    if not math.isfinite(total.constant):
        faults.append(Fault("the constant is not finite", path))
    n = len(options)
    for k, (decisions, values) in enumerate(total.terms):
        place = f"{path}.terms.{k}"
        is_ascending = all(a < b for a, b in itertools.pairwise(decisions))
        if not is_ascending or (decisions and not 0 <= decisions[0] <= decisions[-1] < n):
            faults.append(
                Fault(
                    f"the decisions are {decisions}",
                    place,
                    expected=f"ascending indices from 0 to {n - 1}",
                )
            )
        elif values.shape != tuple(options[i] for i in decisions):
            shape = tuple(options[i] for i in decisions)
            faults.append(Fault(f"the table has shape {values.shape}", place, expected=f"{shape}"))
    if not faults and total.terms:
        # All tables at once: separate checks would take longer than solving a large problem.
        flat = np.concatenate([t.values.reshape(-1) for t in total.terms])
        if np.any(np.isnan(flat) | (flat == -np.inf)):
            faults += [
                Fault(
                    "the table contains NaN or -inf",
                    f"{path}.terms.{k}",
                    expected="numbers or +inf",
                )
                for k, t in enumerate(total.terms)
                if np.any(np.isnan(t.values) | (t.values == -np.inf))
            ]
    return faults
