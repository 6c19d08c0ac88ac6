"""Pareto front of a search: the objective against the metric of the first constraint."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from perfmodel.errors import InputError, input_error
from perfmodel.pareto import front
from perfmodel.search.constraints import RATES, Constraint
from perfmodel.search.oracle.oracle import WHOLE
from perfmodel.search.oracle.rows import Index
from perfmodel.table import Table

if TYPE_CHECKING:
    from perfmodel.search.question import SearchQuery
    from perfmodel.search.result import SearchResult

#: Number of points of a front that is not enumerated in full.
POINTS = 24

#: Relative precision of the bisection for the tight end of a front.
_NEAR = 1e-3


class _Point(NamedTuple):
    """A point of a front: objective, metric, bound on the objective, and choice."""

    value: float
    metric: float
    bound: float
    choice: tuple[int, ...]


def front_table(question: SearchQuery, points: int = POINTS) -> Table:
    """Return one row per point: objective, metric, bound on the objective, and every option.

    With tables, the bound on the metric takes evenly spaced values between its minimum and its
    value at the best objective; each point is solved with its proof or gap (`bound`). For an
    enumerated space the front is complete. A front from evolution has no proof: its `bound` is NaN.

    Raises
    ------
    InputError
        There is no constraint, or no choice satisfies the others.
    """
    if not question.constraints:
        raise input_error(
            "there is no constraint to sweep",
            path="constraints",
            expected="such as latency_s <= 5 ms",
        )
    if question.exact:
        rows = _swept(question, points)
    elif question.size <= WHOLE:
        rows = _of_all(question)
    else:
        rows = _evolved(question)
    first = question.constraints[0]
    name = question.named(first.metric)
    columns: dict[str, object] = {
        question.objective: np.array([abs(r.value) for r in rows]),
        name: np.array([r.metric for r in rows]),
        "bound": np.array([abs(r.bound) for r in rows]),
    }
    for i, decision in enumerate(question.space.decisions):
        columns[decision.name] = np.array(
            [str(decision.options[r.choice[i]]) for r in rows], dtype=object
        )
    return Table(columns)


def _swept(question: SearchQuery, count: int) -> list[_Point]:
    """Return the points of a sweep over bounds of the metric."""
    first, *others = question.constraints
    name = question.named(first.metric)
    free = question.other(question.goal, others).answer("auto").best
    if free is None:
        raise _nothing()
    ends = [_tightest(question, free.metrics[name]), free.metrics[name]]
    points: list[_Point] = []
    for bound in np.linspace(ends[0], ends[1], count).tolist():
        answer = _at(question, bound)
        if answer.best is not None:
            metric = answer.best.metrics[name]
            points.append(_Point(answer.best.value, metric, answer.bound, answer.best.choice))
    return _undominated(points, first.at_most)


def _at(question: SearchQuery, bound: float) -> SearchResult:
    """Return the result under another bound of the first constraint."""
    first, *others = question.constraints
    text = f"{first.metric} at {bound:.6g}"
    return question.other(question.goal, (replace(first, text=text, bound=bound), *others)).answer(
        "auto"
    )


def _tightest(question: SearchQuery, reached: float) -> float:
    """Return the minimum of the first constraint's metric, or its maximum if more is better."""
    first, *others = question.constraints
    name = question.named(first.metric)
    if question.adds_up(first.metric) and (first.at_most or first.metric in RATES):
        best = question.other(first.metric, others).answer("auto").best
        return reached if best is None else best.metrics[name]

    def at(bound: float) -> float | None:
        best = _at(question, bound).best
        return None if best is None else best.metrics[name]

    # A peak over several sums cannot be minimised, nor a sum be maximised, but both can be
    # limited: bisect between a reached and an unreached bound.
    unreached = 0.0
    if not first.at_most:
        unreached = 2.0 * reached
        while (value := at(unreached)) is not None:
            reached, unreached = value, 2.0 * value
    while abs(reached - unreached) > _NEAR * reached:
        middle = 0.5 * (unreached + reached)
        value = at(middle)
        if value is None:
            unreached = middle
        else:
            reached = value
    return reached


def _of_all(question: SearchQuery) -> list[_Point]:
    """Return the front over all members."""
    first, *others = question.constraints
    every = question.every()
    columns = question.columns(every)
    good = question.allowed(columns, others)
    if not good.any():
        raise _nothing()
    return _front_of(question, every[good], {n: c[good] for n, c in columns.items()}, first)


def _evolved(question: SearchQuery) -> list[_Point]:
    """Return the front from evolution."""
    from perfmodel.search.evolve import evolve

    first, *others = question.constraints
    name = question.named(first.metric)
    goal = question.objective
    senses = (question.sense, "min" if first.at_most else "max")
    evolution = evolve(
        question.columns,
        question.space,
        [(goal, senses[0]), (name, senses[1])],
        question.conditions(others),
        method="regularised",
        evaluations=question.evaluations,
        seed=question.seed,
    )
    choices: Index = np.asarray(evolution.choices, dtype=np.intp)
    if not len(choices):
        raise _nothing()
    points = _front_of(question, choices, question.columns(choices), first)
    return [p._replace(bound=float("nan")) for p in points]


def _front_of(
    question: SearchQuery, choices: Index, columns: dict[str, np.ndarray], first: Constraint
) -> list[_Point]:
    """Return the non-dominated points of choices with known columns."""
    values, metric = question.goal_of(columns), columns[question.named(first.metric)]
    sign = 1.0 if first.at_most else -1.0
    mask = front(np.stack([values, sign * metric], axis=1))
    rows: list[list[int]] = choices[mask].tolist()
    points = [
        _Point(v, m, v, tuple(row))
        for v, m, row in zip(values[mask].tolist(), metric[mask].tolist(), rows, strict=True)
    ]
    return _undominated(points, first.at_most)


def _undominated(points: list[_Point], at_most: bool) -> list[_Point]:
    """Return the non-dominated points, ordered by the metric."""
    sign = 1.0 if at_most else -1.0
    out: list[_Point] = []
    least = float("inf")
    for point in sorted(points, key=lambda p: (sign * p.metric, p.value)):
        if point.value < least:
            out.append(point)
            least = point.value
    return out


def _nothing() -> InputError:
    return input_error(
        "nothing satisfies the other constraints",
        path="constraints",
        expected="constraints that some configuration satisfies",
    )
