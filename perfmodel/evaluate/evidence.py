"""From results of validation to evidence: how far predictions lay from what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np

from perfmodel.ask import Runtime, runtime
from perfmodel.errors import InputError
from perfmodel.evaluate.case import RowOrigin
from perfmodel.evaluate.result import ValidationResult
from perfmodel.evidence import RATES, Evidence, Subject, gathered, stretched

__all__ = ["evidence_of", "row_residuals"]

#: Rows of a device that are predicted again under the runtime of software that nobody measured.
_AGAIN: Final = 24


def evidence_of(results: Iterable[ValidationResult]) -> Evidence:
    """Return what results are evidence of: time, energy and power by class, runtime and device.

    Runtimes that are bounds predict nothing, and are left out.
    """
    known = gathered(
        row
        for result in results
        for row in row_residuals(result)
        if "bound" not in _runtime(row[0].runtime).tags
    )
    return stretched(known, lambda name: _runtime(name).lineage)


@lru_cache(maxsize=1024)
def _runtime(name: str) -> Runtime:
    return runtime(name)


def row_residuals(result: ValidationResult) -> Iterator[tuple[Subject, str, float]]:
    """Yield what each row of a result is evidence of, how it was predicted, and its residual.

    A residual is the logarithm of the measured over the predicted time, energy or power. It is
    predicted ``as_is`` (the library's constants), ``left_out`` (constants fitted without the
    device) or as ``generic`` (under that runtime instead of its own).
    """
    again: dict[Subject, list[RowOrigin]] = {}
    for row in result.predictions:
        origin: RowOrigin | None = row.get("origin")
        subject: Subject | None = row.get("subject") or (origin and origin.subject)
        if subject is None or not subject.quantity or not row["predicted"] > 0:
            continue
        residual = float(np.log(row["measured"] / row["predicted"]))
        if origin is not None and origin.question.metric in RATES:
            residual = -residual
        yield subject, "as_is", residual
        if origin is not None and origin.question.load is None:
            again.setdefault(subject, []).append(origin)
    yield from _left_out(result.left_out)
    for subject, origins in again.items():
        for origin in origins[:: -(-len(origins) // _AGAIN)]:
            residual = _generic(origin)
            if residual is not None:
                yield subject, "generic", residual


def _left_out(
    trials: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[Subject, str, float]]:
    """Yield residuals of left-out devices, by the first trial of several that has a subject.

    Nested ones where there are some: what they predict, no choice has seen.
    """
    seen: dict[Subject, str] = {}
    for target, trial in trials.items():
        rows: Iterable[Mapping[str, Any]] = trial.get("nested", trial)["predictions"]
        for row in rows:
            subject: Subject = row["subject"]
            if not subject.quantity or seen.setdefault(subject, target) != target:
                continue
            if row["predicted"] > 0:
                yield subject, "left_out", float(np.log(row["measured"] / row["predicted"]))


def _generic(origin: RowOrigin) -> float | None:
    """Return the residual of a row under the runtime that stands for unknown software."""
    case, question = origin.case, origin.question
    try:
        value = getattr(case.predict(question.workload, runtime="generic"), question.metric)
    except InputError:
        return None
    if value is None or not np.isfinite(value) or not value > 0:
        return None
    residual = float(np.log(question.measured / value))
    return -residual if question.metric in RATES else residual
