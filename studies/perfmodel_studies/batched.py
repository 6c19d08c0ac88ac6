"""Predict cases of one structure together: their dimensions become arrays of one prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import perfmodel as pm
from perfmodel.arrays import Value
from perfmodel.errors import InputError
from perfmodel.evaluate.result import ValidationResult
from perfmodel.evaluate.validate import row_of, summarise
from perfmodel.evaluate.validation_case import Cases, MeasuredQuantity, ValidationCase

_Asked = tuple[ValidationCase, MeasuredQuantity]


def evaluate_together(cases: Cases) -> ValidationResult:
    """Predict and compare latencies, the cases of one graph on one machine in one prediction.

    Parameters
    ----------
    cases
        Their quantities are ``latency_s``; workloads of one structure share a graph.

    Returns
    -------
    ValidationResult
        As `perfmodel.evaluate.validate.evaluate` returns it.
    """
    failed: dict[str, list[str]] = {}
    lost: set[int] = set()
    alike: dict[tuple[Any, ...], list[_Asked]] = {}
    for case in cases.cases:
        if case.machine is None:
            failed.setdefault(case.reason or "no reason given", []).append(case.name)
            continue
        for quantity in case.quantities:
            w = quantity.workload
            key = (
                id(w.graph()),
                id(case.machine),
                str(case.precision),
                str(case.runtime),
                case.warm,
                case.engine,
            )
            alike.setdefault(key, []).append((case, quantity))
    rows: list[dict[str, Any]] = []
    for same_network in alike.values():
        try:
            rows += _answers(same_network)
        except InputError as error:
            # A case with several quantities is counted once.
            names = {id(case): case.name for case, _ in same_network if id(case) not in lost}
            lost.update(names)
            failed.setdefault(str(error.faults[0]), []).extend(names.values())
    return summarise(
        cases.name, rows, len(cases.cases), failed, primary=cases.primary, notes=cases.notes
    )


def _answers(cases: Sequence[_Asked]) -> list[dict[str, Any]]:
    case = cases[0][0]
    # Questions of a row are of the same workload: each is predicted once.
    distinct = {id(quantity.workload): quantity.workload for _, quantity in cases}
    place = {key: i for i, key in enumerate(distinct)}
    at = np.array([place[id(quantity.workload)] for _, quantity in cases])
    workload = _stacked(list(distinct.values()))
    prediction = case.predict(workload)
    bare = case.predict(workload, model="roofline", warm=False)

    def column(values: Value) -> npt.NDArray[np.float64]:
        return np.broadcast_to(np.asarray(values, dtype=np.float64), (len(distinct),))[at]

    predicted, floor = column(prediction.latency_s), column(bare.latency_s)
    # Seconds of the multiply-accumulates at their peak.
    compute = column(bare.utilization) * floor
    return [
        row_of(one, quantity, float(predicted[i]), prediction.runtime)
        | {
            "roofline": float(floor[i]),
            "compute": float(compute[i]) if compute[i] > 0 else None,
        }
        for i, (one, quantity) in enumerate(cases)
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
