"""Searches that evaluate members individually: exhaustive enumeration, and aging evolution.

They need nothing but the metrics of members, so they apply to every space and every accuracy.
Enumeration of all members proves its answer; aging evolution (Real et al., AAAI 2019,
arXiv:1802.01548) returns the best member that it has evaluated, without a bound. Both are called by
`perfmodel.search.search_query.SearchQuery.answer` where no exact search over tables is possible.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from itertools import islice, product
from typing import TYPE_CHECKING

import numpy as np

from perfmodel.optimise.deadline import Deadline, OutOfTimeError
from perfmodel.search.oracle.kernel_pricing import Floats, Index
from perfmodel.search.search_result import EvaluatedConfiguration, SearchMethodResult
from perfmodel.search.search_text import quantity

if TYPE_CHECKING:
    from perfmodel.search.search_query import SearchQuery

#: Members evaluated at once if their costs are table sums; predictions are made one by one.
_BATCH_SIZE = 500

#: Number of equally good choices of evolution that are compared again.
_COMPARED_TIES = 10


def search_exhaustively(query: SearchQuery, deadline: Deadline) -> SearchMethodResult:
    """Evaluate all members, or as many as time allows; the result then has no bound."""
    part = _BATCH_SIZE if query.oracle.method == "tabled" else 1
    left = product(*(range(len(d.options)) for d in query.space.decisions))
    best: EvaluatedConfiguration | None = None
    seen = 0
    reached: list[float] = [math.nan] * len(query.constraints)
    while rows := list(islice(left, part)):
        choices: Index = np.array(rows, dtype=np.intp).reshape(len(rows), -1)
        if deadline.passed():
            break
        try:
            columns = query.columns(choices, deadline)
        except OutOfTimeError:
            break
        seen += len(rows)
        for i, constraint in enumerate(query.constraints):
            values = columns[query.column_of(constraint.metric)]
            nearest = np.fmin if constraint.at_most else np.fmax
            reached[i] = float(nearest(reached[i], nearest.reduce(values)))
        objective = query.objective_of(columns)
        good = query.satisfying(columns, query.constraints) & np.isfinite(objective)
        goal: Floats = np.where(good, objective, np.inf)
        at = int(np.argmin(goal))
        if good.any() and (best is None or goal[at] < best.value):
            best = query.best_of(choices[at], columns, at)
    size = query.size
    complete = seen == size
    model = f"of all {size:,} members, each predicted"
    bound, notes = -math.inf, ()
    if not complete:
        model = f"of {seen:,} {model}, when time ran out"
    elif best is not None:
        bound = best.value
    else:
        bound = math.inf
        notes = tuple(
            f"{constraint.text}: "
            + (
                "known of no member"
                if math.isnan(value)
                else f"no member is better than {quantity(constraint.metric, value)}"
            )
            for constraint, value in zip(query.constraints, reached, strict=True)
            if not constraint.holds(np.array([value]))[0]
        )
    uses = () if best is None else query.uses(best)
    return SearchMethodResult(
        best,
        math.inf if best is None else best.value,
        bound,
        "exhaustive",
        {"evaluations": seen},
        model=model,
        limits=uses,
        notes=notes,
    )


def search_by_evolution(query: SearchQuery, deadline: Deadline) -> SearchMethodResult:
    """Return the best member that evolution evaluates before its limits."""
    from perfmodel.search.evolve import evolve

    evolution = evolve(
        partial(query.columns, deadline=deadline),
        query.space,
        [(query.objective, query.sense)],
        query.conditions(query.constraints),
        method="regularised",
        evaluations=query.evaluations,
        seed=query.seed,
        deadline=deadline,
    )
    result = SearchMethodResult(
        None,
        math.inf,
        -math.inf,
        evolution.method,
        {"evaluations": evolution.evaluations},
        model="evolution proves nothing",
    )
    if not len(evolution.choices):
        return result
    choices: Index = np.asarray(evolution.choices[:_COMPARED_TIES], dtype=np.intp)
    columns = query.columns(choices)
    good = query.satisfying(columns, query.constraints)
    values: Floats = np.where(good, query.objective_of(columns), np.inf)
    at = int(np.argmin(values))
    best = query.best_of(choices[at], columns, at)
    return replace(result, solution=best, value=best.value, limits=query.uses(best))
