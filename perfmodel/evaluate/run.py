"""Predict every case of a data set and count the errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from perfmodel.ask import Prediction, Served
from perfmodel.errors import InputError, input_error
from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.metric_of import metric_of
from perfmodel.evaluate.metrics import Errors, errors
from perfmodel.evaluate.result import ValidationResult
from perfmodel.evaluate.served_load import kernels_s
from perfmodel.evaluate.subjects import RowOrigin

_WORST = 10

#: Metrics that grow with speed: a baseline that is a time answers them by its inverse.
_RATES = ("tokens_per_s", "frames_per_s")


def evaluate(cases: Cases) -> ValidationResult:
    """Predict and compare.

    Parameters
    ----------
    cases
        Of a data set.

    Returns
    -------
    ValidationResult
        A row that cannot be predicted counts against the coverage, with its reason.
    """
    rows: list[dict[str, Any]] = []
    origins: list[ValidationCase] = []
    failed: dict[str, list[str]] = {}
    covered = 0
    tight: list[str] = []
    for case in cases.cases:
        if case.machine is None:
            failed.setdefault(case.reason or "no reason given", []).append(case.name)
            continue
        try:
            found = _answers(case, tight)
        except InputError as error:
            failed.setdefault(str(error.faults[0]), []).append(case.name)
            continue
        covered += 1
        rows += found
        origins += [case] * len(found)
    targets = {
        target: error_of([r for r in rows if r["target"] == target])
        for target in dict.fromkeys([cases.primary, *(r["target"] for r in rows)])
        if any(r["target"] == target for r in rows) or target == cases.primary
    }
    primary = [r for r in rows if r["target"] == cases.primary]
    notes = list(cases.notes)
    if tight:
        tight = list(dict.fromkeys(tight))
        first = ", ".join(tight[:3])
        notes.append(
            f"{len(tight)} rows exceed a memory or a resource of their device by the model: {first}"
        )
    total = len(cases.cases)
    return ValidationResult(
        cases.name, total, covered / total if total else 0.0, targets, cases.primary,
        grouped(primary, lambda r: r["device"]), grouped(primary, lambda r: r["group"]),
        baselines(primary),
        tuple({"reason": k, "rows": len(v), "first": v[0]} for k, v in failed.items()),
        worst_of(primary), tuple(rows), tuple(notes), _details(cases, rows, origins),
    )  # fmt: skip


def _details(
    cases: Cases, rows: Sequence[dict[str, Any]], origins: Sequence[ValidationCase]
) -> dict[str, Any]:
    """Return the errors of the primary target by each further way to group them."""
    out: dict[str, Any] = {}
    for name, template in cases.details.items():
        groups: dict[str, list[dict[str, Any]]] = {}
        for row, case in zip(rows, origins, strict=True):
            if row["target"] == cases.primary and case.values is not None:
                groups.setdefault(case.values.text(template), []).append(row)
        out[name] = {group: error_of(members) for group, members in groups.items()}
    return out


def _answers(case: ValidationCase, tight: list[str]) -> list[dict[str, Any]]:
    """Return what is predicted for each question of a case; questions of a load share an answer."""
    served: dict[tuple[Any, ...], Served] = {}
    rows: list[dict[str, Any]] = []
    assert case.machine is not None
    for question in case.questions:
        load = question.load
        if load is None:
            rows.append(_answer(case, question, tight))
            continue
        if load.key not in served:
            served[load.key] = load.serve(case.machine, case.precision, case.runtime)
        answer = served[load.key]
        if not answer.feasible:
            tight.append(case.name)
        predicted = float(getattr(answer, question.metric))
        floor = kernels_s(answer, question.metric, case.precision)
        runtime = answer.decode.runtime
        row = row_of(case, question, predicted, runtime)
        rows.append(row | {"roofline": floor, "compute": None})
    return rows


def row_of(
    case: ValidationCase, question: MeasuredQuantity, predicted: float, runtime: str
) -> dict[str, Any]:
    """Return a row of a result, without its baselines, as predicted under a runtime."""
    return {
        "name": case.name,
        "device": case.device,
        "group": case.group,
        "target": question.target,
        "measured": question.measured,
        "predicted": predicted,
        "error": predicted / question.measured - 1.0,
        "origin": RowOrigin(case, question, runtime),
    }


def _answer(case: ValidationCase, question: MeasuredQuantity, tight: list[str]) -> dict[str, Any]:
    found = case.predict(question.workload, question.machine)
    predicted = _metric(found, question.metric)
    bare = case.predict(question.workload, question.machine, model="roofline", warm=False)
    timed = question.metric == "latency_s" or question.metric in _RATES
    # Seconds of the multiply-accumulates at their peak.
    compute = float(bare.utilization) * float(bare.latency_s)
    ratio = compute / float(bare.latency_s)
    roofline = None if " " in question.metric else _metric(bare, question.metric)
    if not found.feasible:
        tight.append(case.name)
    return row_of(case, question, predicted, found.runtime) | {
        "roofline": roofline,
        "compute": None if not timed or not ratio
        or roofline is None
        else roofline / ratio if question.metric in _RATES else roofline * ratio,
    }  # fmt: skip


def _metric(prediction: Prediction, name: str) -> float:
    value = metric_of(prediction, name)
    if value is None or not np.isfinite(number := float(value)):
        device, workload = prediction.machine.device.name, prediction.workload.name
        raise input_error(f"{device} and {workload} give no {name}", path=name)
    return number


def worst_of(rows: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Return the rows that are farthest off."""
    keys = ("name", "device", "measured", "predicted", "error")
    found = sorted(rows, key=lambda r: -abs(r["error"]))[:_WORST]
    return tuple({k: r[k] for k in keys} for r in found)


def error_of(rows: Sequence[dict[str, Any]], key: str = "predicted") -> Errors:
    """Return the errors of rows; `key` names what predicted them."""
    return errors([r[key] for r in rows], [r["measured"] for r in rows])


def grouped(
    rows: Sequence[dict[str, Any]], key: Callable[[dict[str, Any]], str]
) -> dict[str, dict[str, Any]]:
    """Return group -> rows, mape, bias and kendall."""
    out: dict[str, dict[str, Any]] = {}
    for name in filter(None, dict.fromkeys(map(key, rows))):
        members = [row for row in rows if key(row) == name]
        group = error_of(members)
        out[name] = {"rows": len(members), **{k: group[k] for k in ("mape", "bias", "kendall")}}
    return out


def baselines(rows: Sequence[dict[str, Any]]) -> dict[str, Errors]:
    """Return the errors of `perfmodel.evaluate.result.BASELINES` on rows of one target."""
    if not rows:
        return {}
    out = {"roofline": error_of(rows, "roofline")}
    scale = _scale(r["measured"] / r["roofline"] for r in rows)
    out["roofline_scaled"] = errors(
        [scale * r["roofline"] for r in rows], [r["measured"] for r in rows]
    )
    counted = [r for r in rows if r["compute"] is not None]
    if counted:
        out["compute"] = error_of(counted, "compute")
    return out


def _scale(ratios: Iterable[float]) -> float:
    """Return the factor of least squares on the logarithm."""
    return float(np.exp(np.mean(np.log(list(ratios)))))
