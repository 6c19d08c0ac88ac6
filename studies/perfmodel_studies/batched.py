"""Predict cases of one structure together: their dimensions become arrays of one prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import perfmodel as pm
from perfmodel.arrays import Value
from perfmodel.errors import InputError
from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.result import ValidationResult
from perfmodel.evaluate.validate import baselines, error_of, grouped, row_of, worst_of

_Asked = tuple[ValidationCase, MeasuredQuantity]


def evaluate_together(cases: Cases) -> ValidationResult:
    """Predict and compare latencies, the cases of one graph on one machine in one prediction.

    Parameters
    ----------
    cases
        Their questions ask for ``latency_s``; workloads of one structure share a graph.

    Returns
    -------
    ValidationResult
        As `perfmodel.evaluate.validate.evaluate` returns it.
    """
    # Reason -> cases by identity: several questions of one may fail.
    failed: dict[str, dict[int, str]] = {}
    alike: dict[tuple[Any, ...], list[_Asked]] = {}
    for case in cases.cases:
        if case.machine is None:
            failed.setdefault(case.reason or "no reason given", {})[id(case)] = case.name
            continue
        for question in case.questions:
            w = question.workload
            key = (
                id(w.graph()),
                id(case.machine),
                str(case.precision),
                str(case.runtime),
                case.warm,
                case.engine,
            )
            alike.setdefault(key, []).append((case, question))
    rows: list[dict[str, Any]] = []
    for asked in alike.values():
        try:
            rows += _answers(asked)
        except InputError as error:
            names = failed.setdefault(str(error.faults[0]), {})
            names.update((id(case), case.name) for case, _ in asked)
    missed = len({case for names in failed.values() for case in names})
    total = len(cases.cases)
    targets = {
        target: error_of([r for r in rows if r["target"] == target])
        for target in dict.fromkeys([cases.primary, *(r["target"] for r in rows)])
    }
    primary = [r for r in rows if r["target"] == cases.primary]
    return ValidationResult(
        cases.name,
        total,
        (total - missed) / total if total else 0.0,
        targets,
        cases.primary,
        grouped(primary, lambda r: r["device"]),
        grouped(primary, lambda r: r["group"]),
        baselines(primary),
        tuple(
            {"reason": reason, "rows": len(names), "first": next(iter(names.values()))}
            for reason, names in failed.items()
        ),
        worst_of(primary),
        tuple(rows),
        cases.notes,
    )


def _answers(asked: Sequence[_Asked]) -> list[dict[str, Any]]:
    case = asked[0][0]
    # Questions of a row are of the same workload: each is predicted once.
    distinct = {id(question.workload): question.workload for _, question in asked}
    place = {key: i for i, key in enumerate(distinct)}
    at = np.array([place[id(question.workload)] for _, question in asked])
    workload = _stacked(list(distinct.values()))
    found = case.predict(workload)
    bare = case.predict(workload, model="roofline", warm=False)

    def column(values: Value) -> npt.NDArray[np.float64]:
        return np.broadcast_to(np.asarray(values, dtype=np.float64), (len(distinct),))[at]

    predicted, floor = column(found.latency_s), column(bare.latency_s)
    # Seconds of the multiply-accumulates at their peak.
    compute = column(bare.utilization) * floor
    return [
        row_of(one, question, float(predicted[i]), found.runtime)
        | {
            "roofline": float(floor[i]),
            "compute": float(compute[i]) if compute[i] > 0 else None,
        }
        for i, (one, question) in enumerate(asked)
    ]


def _stacked(workloads: Sequence[pm.Workload]) -> pm.Workload:
    """Return one workload whose dimensions are arrays over some of the same graph."""
    first = workloads[0]
    if len(workloads) == 1:
        return first
    return first.bind(
        {
            name: np.array([float(w.parameters[name]) for w in workloads])
            for name in first.parameters
        }
    )
