"""Predict cases of one structure together: their dimensions become arrays of one prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from perfmodel.errors import InputError
from perfmodel.predict import predict
from perfmodel.validate.case import Case, Cases, Question
from perfmodel.validate.result import ValidationResult
from perfmodel.validate.run import baselines, error_of, grouped, worst_of
from perfmodel.workload.workload import Workload

__all__ = ["evaluate_together"]

_Asked = tuple[int, Case, Question]


def evaluate_together(cases: Cases) -> ValidationResult:
    """Predict and compare latencies, the cases of one graph on one machine in one prediction.

    Parameters
    ----------
    cases
        Their questions ask for ``latency_s``; workloads of one structure share a graph.

    Returns
    -------
    ValidationResult
        As `perfmodel.validate.run.evaluate` returns it.
    """
    failed: dict[str, list[str]] = {}
    alike: dict[tuple[Any, ...], list[_Asked]] = {}
    for case in cases.cases:
        if case.machine is None:
            failed.setdefault(case.reason or "no reason given", []).append(case.name)
            continue
        for question in case.questions:
            w = question.workload
            key = (id(w.graph()), id(case.machine), str(case.precision), str(case.runtime),
                   case.warm, case.engine)  # fmt: skip
            alike.setdefault(key, []).append((len(alike), case, question))
    rows: list[dict[str, Any]] = []
    for asked in alike.values():
        try:
            rows += _answers(asked)
        except InputError as error:
            names = failed.setdefault(str(error.faults[0]), [])
            names += [case.name for _, case, _ in asked]
    missed = sum(len(names) for names in failed.values())
    total = len(cases.cases)
    targets = {
        target: error_of([r for r in rows if r["target"] == target])
        for target in dict.fromkeys([cases.primary, *(r["target"] for r in rows)])
    }
    primary = [r for r in rows if r["target"] == cases.primary]
    return ValidationResult(
        cases.name, total, (total - missed) / total if total else 0.0, targets, cases.primary,
        grouped(primary, lambda r: r["device"]), grouped(primary, lambda r: r["group"]),
        baselines(primary),
        tuple({"reason": k, "rows": len(v), "first": v[0]} for k, v in failed.items()),
        worst_of(primary), tuple(rows), cases.notes,
    )  # fmt: skip


def _answers(asked: Sequence[_Asked]) -> list[dict[str, Any]]:
    case = asked[0][1]
    assert case.machine is not None
    workload = _stacked([question.workload for _, _, question in asked])
    options: dict[str, Any] = {
        "precision": case.precision,
        "runtime": case.runtime,
        "engine": case.engine,
    }
    found = predict(workload, case.machine, warm=case.warm, **options)
    bare = predict(workload, case.machine, model="roofline", **options)
    count = len(asked)
    predicted = np.broadcast_to(np.asarray(found.latency_s, dtype=float), (count,))
    floor = np.broadcast_to(np.asarray(bare.latency_s, dtype=float), (count,))
    # Seconds of the multiply-accumulates at their peak.
    compute = np.broadcast_to(np.asarray(bare.utilization, dtype=float), (count,)) * floor
    return [
        {
            "name": one.name,
            "device": one.device,
            "group": one.group,
            "target": question.target,
            "measured": question.measured,
            "predicted": float(predicted[i]),
            "error": float(predicted[i]) / question.measured - 1.0,
            "roofline": float(floor[i]),
            "compute": float(compute[i]) if compute[i] > 0 else None,
        }
        for i, (_, one, question) in enumerate(asked)
    ]


def _stacked(workloads: Sequence[Workload]) -> Workload:
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
