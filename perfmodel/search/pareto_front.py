"""Pareto front of a search: the objective against the metric of the first constraint.

An exact search is repeated under bounds on the metric between the tightest feasible one and the
loosest useful one (the epsilon-constraint method: Haimes, Lasdon and Wismer, IEEE Transactions on
Systems, Man, and Cybernetics 1, 1971), so that every point has a bound. A small space is enumerated
in full; for any other one the front is that of an evolutionary search, without bounds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from perfmodel.errors import InputError, input_error
from perfmodel.pareto import front
from perfmodel.search.constraints import RATES, Constraint
from perfmodel.search.oracle.kernel_pricing import Index
from perfmodel.search.oracle.oracle import MAX_TABULATED_CHOICES
from perfmodel.table import Table

if TYPE_CHECKING:
    from perfmodel.search.search_query import SearchQuery
    from perfmodel.search.search_result import SearchResult

#: Number of points of a front that is not enumerated in full.
FRONT_POINTS = 24

#: Relative precision of the bisection for the tight end of a front.
_TOLERANCE = 1e-3


class _Point(NamedTuple):
    """A point of a front: objective, metric, bound on the objective, and choice."""

    value: float
    metric: float
    bound: float
    choice: tuple[int, ...]


def front_table(query: SearchQuery, points: int = FRONT_POINTS) -> Table:
    """Return one row per point: objective, metric, bound on the objective, and every option.

    With tables, the bound on the metric takes evenly spaced values between its minimum and its
    value at the best objective; each point is solved with its proof or gap (`bound`). For an
    enumerated space the front is complete. A front from evolution has no proof: its `bound` is NaN.

    Raises
    ------
    InputError
        There is no constraint, or no choice satisfies the others.
    """
    if not query.constraints:
        raise input_error(
            "there is no constraint to sweep",
            path="constraints",
            expected="such as latency_s <= 5 ms",
        )
    if query.exact:
        rows = _points_by_sweep(query, points)
    elif query.size <= MAX_TABULATED_CHOICES:
        rows = _points_by_enumeration(query)
    else:
        rows = _points_by_evolution(query)
    first = query.constraints[0]
    name = query.column_of(first.metric)
    columns: dict[str, object] = {
        query.objective: np.array([abs(r.value) for r in rows]),
        name: np.array([r.metric for r in rows]),
        "bound": np.array([abs(r.bound) for r in rows]),
    }
    for i, decision in enumerate(query.space.decisions):
        columns[decision.name] = np.array(
            [str(decision.options[r.choice[i]]) for r in rows], dtype=object
        )
    return Table(columns)


def _points_by_sweep(query: SearchQuery, count: int) -> list[_Point]:
    """Return the points of a sweep over bounds of the metric."""
    first, *others = query.constraints
    name = query.column_of(first.metric)
    free = query.with_goal(query.goal, others).answer("auto").best
    if free is None:
        raise _infeasibility_error()
    ends = [_tightest(query, free.metrics[name]), free.metrics[name]]
    points: list[_Point] = []
    for bound in np.linspace(ends[0], ends[1], count).tolist():
        answer = _result_at_bound(query, bound)
        if answer.best is not None:
            metric = answer.best.metrics[name]
            points.append(_Point(answer.best.value, metric, answer.bound, answer.best.choice))
    return _nondominated_points(points, first.at_most)


def _result_at_bound(query: SearchQuery, bound: float) -> SearchResult:
    """Return the result under another bound of the first constraint."""
    first, *others = query.constraints
    text = f"{first.metric} at {bound:.6g}"
    return query.with_goal(query.goal, (replace(first, text=text, bound=bound), *others)).answer(
        "auto"
    )


def _tightest(query: SearchQuery, reached: float) -> float:
    """Return the minimum of the first constraint's metric, or its maximum if more is better."""
    first, *others = query.constraints
    name = query.column_of(first.metric)
    if query.adds_up(first.metric) and (first.at_most or first.metric in RATES):
        best = query.with_goal(first.metric, others).answer("auto").best
        return reached if best is None else best.metrics[name]

    def at(bound: float) -> float | None:
        best = _result_at_bound(query, bound).best
        return None if best is None else best.metrics[name]

    # A peak over several sums cannot be minimised, nor a sum be maximised, but both can be
    # limited: bisect between a reached and an unreached bound.
    unreached = 0.0
    if not first.at_most:
        unreached = 2.0 * reached
        while (value := at(unreached)) is not None:
            reached, unreached = value, 2.0 * value
    while abs(reached - unreached) > _TOLERANCE * reached:
        middle = 0.5 * (unreached + reached)
        value = at(middle)
        if value is None:
            unreached = middle
        else:
            reached = value
    return reached


def _points_by_enumeration(query: SearchQuery) -> list[_Point]:
    """Return the front over all members."""
    first, *others = query.constraints
    every = query.every()
    columns = query.columns(every)
    good = query.satisfying(columns, others)
    if not good.any():
        raise _infeasibility_error()
    return _nondominated_choices(
        query, every[good], {n: c[good] for n, c in columns.items()}, first
    )


def _points_by_evolution(query: SearchQuery) -> list[_Point]:
    """Return the front from evolution."""
    from perfmodel.search.evolve import evolve

    first, *others = query.constraints
    name = query.column_of(first.metric)
    goal = query.objective
    senses = (query.sense, "min" if first.at_most else "max")
    evolution = evolve(
        query.columns,
        query.space,
        [(goal, senses[0]), (name, senses[1])],
        query.conditions(others),
        method="regularised",
        evaluations=query.evaluations,
        seed=query.seed,
    )
    choices: Index = np.asarray(evolution.choices, dtype=np.intp)
    if not len(choices):
        raise _infeasibility_error()
    points = _nondominated_choices(query, choices, query.columns(choices), first)
    return [p._replace(bound=float("nan")) for p in points]


def _nondominated_choices(
    query: SearchQuery, choices: Index, columns: dict[str, np.ndarray], first: Constraint
) -> list[_Point]:
    """Return the non-dominated points of choices with known columns."""
    values, metric = query.objective_of(columns), columns[query.column_of(first.metric)]
    sign = 1.0 if first.at_most else -1.0
    mask = front(np.stack([values, sign * metric], axis=1))
    rows: list[list[int]] = choices[mask].tolist()
    points = [
        _Point(v, m, v, tuple(row))
        for v, m, row in zip(values[mask].tolist(), metric[mask].tolist(), rows, strict=True)
    ]
    return _nondominated_points(points, first.at_most)


def _nondominated_points(points: list[_Point], at_most: bool) -> list[_Point]:
    """Return the non-dominated points, ordered by the metric."""
    sign = 1.0 if at_most else -1.0
    out: list[_Point] = []
    least = float("inf")
    for point in sorted(points, key=lambda p: (sign * p.metric, p.value)):
        if point.value < least:
            out.append(point)
            least = point.value
    return out


def _infeasibility_error() -> InputError:
    return input_error(
        "nothing satisfies the other constraints",
        path="constraints",
        expected="constraints that some configuration satisfies",
    )
