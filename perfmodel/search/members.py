"""Searches that evaluate members individually: exhaustive enumeration, and evolution."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from itertools import islice, product
from typing import TYPE_CHECKING

import numpy as np

from perfmodel.optimise.deadline import Deadline, OutOfTimeError
from perfmodel.search.oracle.rows import Floats, Index
from perfmodel.search.result import EvaluatedConfiguration, SearchMethodResult

if TYPE_CHECKING:
    from perfmodel.search.question import SearchQuery

#: Members evaluated at once if their costs are table sums; predictions are made one by one.
_PART = 500

#: Number of equally good choices of evolution that are compared again.
_EQUALS = 10


def exhaustive(question: SearchQuery, deadline: Deadline) -> SearchMethodResult:
    """Evaluate all members, or as many as time allows; the result then has no bound."""
    part = _PART if question.oracle.method == "tabled" else 1
    left = product(*(range(len(d.options)) for d in question.space.decisions))
    best: EvaluatedConfiguration | None = None
    seen = 0
    reached: list[float] = [math.nan] * len(question.constraints)
    while rows := list(islice(left, part)):
        choices: Index = np.array(rows, dtype=np.intp).reshape(len(rows), -1)
        if deadline.passed():
            break
        try:
            columns = question.columns(choices, deadline)
        except OutOfTimeError:
            break
        seen += len(rows)
        for i, constraint in enumerate(question.constraints):
            values = columns[question.named(constraint.metric)]
            nearest = np.fmin if constraint.at_most else np.fmax
            reached[i] = float(nearest(reached[i], nearest.reduce(values)))
        good = question.allowed(columns, question.constraints)
        goal: Floats = np.where(good, question.goal_of(columns), np.inf)
        at = int(np.argmin(goal))
        if good.any() and (best is None or goal[at] < best.value):
            best = question.best_of(choices[at], columns, at)
    size = question.size
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
            f"{constraint.text}: no member is better than {value:.6g}"
            for constraint, value in zip(question.constraints, reached, strict=True)
            if not constraint.holds(np.array([value]))[0]
        )
    uses = () if best is None else question.uses(best)
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


def evolved(question: SearchQuery, deadline: Deadline) -> SearchMethodResult:
    """Return the best member that evolution evaluates before its limits."""
    from perfmodel.search.evolve import evolve

    evolution = evolve(
        partial(question.columns, deadline=deadline),
        question.space,
        [(question.objective, question.sense)],
        question.conditions(question.constraints),
        method="regularised",
        evaluations=question.evaluations,
        seed=question.seed,
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
    choices: Index = np.asarray(evolution.choices[:_EQUALS], dtype=np.intp)
    columns = question.columns(choices)
    good = question.allowed(columns, question.constraints)
    values: Floats = np.where(good, question.goal_of(columns), np.inf)
    at = int(np.argmin(values))
    best = question.best_of(choices[at], columns, at)
    return replace(result, solution=best, value=best.value, limits=question.uses(best))
