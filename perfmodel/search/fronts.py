"""The front of a search: the objective against the metric of its first constraint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from perfmodel.errors import Fault, InputError
from perfmodel.search.constraints import Constraint
from perfmodel.search.oracle.rows import Floats
from perfmodel.table import Table

if TYPE_CHECKING:
    from perfmodel.search.question import Question

__all__ = ["front_table"]

#: Points of a front between its ends where it is not enumerated whole.
POINTS = 24


def front_table(question: Question, points: int = POINTS) -> Table:
    """Return one row a point: objective, metric, bound of the objective, and the option indices.

    The bound on the metric is swept over evenly spaced values between the least that can be had and
    what the best objective takes; every point is solved with its proof or its gap.

    Raises
    ------
    InputError
        There is no constraint, or nothing satisfies the others.
    """
    if not question.constraints:
        raise InputError(
            Fault("there is no constraint to sweep", path="constraints",
                  expected="such as latency_s <= 5 ms")
        )  # fmt: skip
    first, *others = question.constraints
    free = question.other(question.goal, others).answer("auto").best
    toward = first.metric
    tightest = question.other(toward, others).answer("auto").best
    if free is None or tightest is None:
        raise InputError(
            Fault("nothing satisfies the other constraints", path="constraints",
                  expected="constraints that some configuration satisfies")
        )  # fmt: skip
    name = question.loss_name if toward in ("accuracy_drop", "sensitivity") else toward
    ends = (tightest.metrics[name], _metric(question, free, name))
    rows: list[tuple[float, float, float, tuple[int, ...]]] = []
    for bound in np.linspace(ends[0], ends[1], points).tolist():
        eased = Constraint(f"{toward} <= {bound:.12g}", toward, float(bound), first.at_most)
        found = question.other(question.goal, (eased, *others)).answer("auto")
        if found.best is not None:
            rows.append((found.best.value, found.best.metrics[name], found.bound,
                         found.best.choice))  # fmt: skip
    rows = _kept(rows, first.at_most)
    columns: dict[str, object] = {
        question.objective: np.array([r[0] for r in rows]),
        name: np.array([r[1] for r in rows]),
        "bound": np.array([r[2] for r in rows]),
    }
    for i, decision in enumerate(question.space.decisions):
        columns[decision.name] = np.array(
            [str(decision.options[r[3][i]]) for r in rows], dtype=object
        )
    return Table(columns)


def _metric(question: Question, best: object, name: str) -> float:
    from perfmodel.search.result import Best

    assert isinstance(best, Best)
    columns = question.columns(np.array([best.choice], dtype=np.intp))
    return float(columns[name][0])


def _kept(
    rows: list[tuple[float, float, float, tuple[int, ...]]], at_most: bool
) -> list[tuple[float, float, float, tuple[int, ...]]]:
    """Return rows that no other row is at least as good as in both."""
    sign = 1.0 if at_most else -1.0
    ordered = sorted(rows, key=lambda r: (sign * r[1], r[0]))
    out: list[tuple[float, float, float, tuple[int, ...]]] = []
    least: Floats | float = np.inf
    for row in ordered:
        if row[0] < least:
            out.append(row)
            least = row[0]
    return out
