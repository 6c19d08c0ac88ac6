"""The front of a search: the objective against the metric of its first constraint."""

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

#: Points of a front between its ends where it is not enumerated whole.
POINTS = 24

#: How near a front comes to its tight end, where that is halved towards.
_NEAR = 1e-3


class _Point(NamedTuple):
    value: float
    metric: float
    bound: float
    choice: tuple[int, ...]


def front_table(question: SearchQuery, points: int = POINTS) -> Table:
    """Return one row per point: objective, metric, bound of the objective, and every option.

    Over tables the bound on the metric is swept over evenly spaced values between the least that
    can be had and what the best objective takes; every point is solved with its proof or its gap
    (`bound`). Of a space that is enumerated it is the whole front. Evolution gives a front that
    nothing is proved of: its `bound` is NaN.

    Raises
    ------
    InputError
        There is no constraint, or nothing satisfies the others.
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
    """Return points found one bound of the metric after the other."""
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
    """Return the answer with another bound of the first constraint."""
    first, *others = question.constraints
    text = f"{first.metric} at {bound:.6g}"
    return question.other(question.goal, (replace(first, text=text, bound=bound), *others)).answer(
        "auto"
    )


def _tightest(question: SearchQuery, reached: float) -> float:
    """Return the least of the first constraint's metric, or the most where that is better."""
    first, *others = question.constraints
    name = question.named(first.metric)
    if question.adds_up(first.metric) and (first.at_most or first.metric in RATES):
        best = question.other(first.metric, others).answer("auto").best
        return reached if best is None else best.metrics[name]

    def at(bound: float) -> float | None:
        best = _at(question, bound).best
        return None if best is None else best.metrics[name]

    # The largest of several sums is nothing to minimise, and nothing is maximised; both can be
    # limited: halve between what is reached and what is not.
    beyond = 0.0
    if not first.at_most:
        beyond = 2.0 * reached
        while (found := at(beyond)) is not None:
            reached, beyond = found, 2.0 * found
    while abs(reached - beyond) > _NEAR * reached:
        middle = 0.5 * (beyond + reached)
        found = at(middle)
        if found is None:
            beyond = middle
        else:
            reached = found
    return reached


def _of_all(question: SearchQuery) -> list[_Point]:
    """Return the front of every member."""
    first, *others = question.constraints
    every = question.every()
    columns = question.columns(every)
    good = question.allowed(columns, others)
    if not good.any():
        raise _nothing()
    return _front_of(question, every[good], {n: c[good] for n, c in columns.items()}, first)


def _evolved(question: SearchQuery) -> list[_Point]:
    """Return the front that evolution finds."""
    from perfmodel.search.evolve import evolve

    first, *others = question.constraints
    name = question.named(first.metric)
    goal = question.objective
    senses = (question.sense, "min" if first.at_most else "max")
    found = evolve(
        question.columns,
        question.space,
        [(goal, senses[0]), (name, senses[1])],
        question.conditions(others),
        method="regularised",
        evaluations=question.evaluations,
        seed=question.seed,
    )
    choices: Index = np.asarray(found.choices, dtype=np.intp)
    if not len(choices):
        raise _nothing()
    points = _front_of(question, choices, question.columns(choices), first)
    return [p._replace(bound=float("nan")) for p in points]


def _front_of(
    question: SearchQuery, choices: Index, columns: dict[str, np.ndarray], first: Constraint
) -> list[_Point]:
    values, metric = question.goal_of(columns), columns[question.named(first.metric)]
    sign = 1.0 if first.at_most else -1.0
    mask = front(np.stack([values, sign * metric], axis=1))
    rows: list[list[int]] = choices[mask].tolist()
    found = [
        _Point(v, m, v, tuple(row))
        for v, m, row in zip(values[mask].tolist(), metric[mask].tolist(), rows, strict=True)
    ]
    return _undominated(found, first.at_most)


def _undominated(points: list[_Point], at_most: bool) -> list[_Point]:
    """Return points that no other point is at least as good as in both, by the metric."""
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
