"""Evidence from validation results: log residuals of predictions by subject.

The residuals of measured rows, each predicted by constants that were not fitted on its device where
possible, determine the prediction intervals of the package (`perfmodel.evidence`). They are written
by ``perfmodel validate --evidence``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from perfmodel.ask import Runtime, runtime
from perfmodel.caches import FACTS_BYTES, cached
from perfmodel.errors import InputError
from perfmodel.evaluate.result import ValidationResult
from perfmodel.evaluate.validation_case import RowOrigin
from perfmodel.evidence import RATES, Evidence, Subject, gathered, stretched

__all__ = ["evidence_of", "row_residuals"]

#: Number of rows per device that are also predicted under the generic runtime.
_AGAIN: Final = 24


def evidence_of(results: Iterable[ValidationResult]) -> Evidence:
    """Return the evidence of results: residuals of their quantities by class and device.

    Runtimes tagged ``bound`` are omitted, since they are limits rather than predictions.
    """
    known = gathered(
        row
        for result in results
        for row in row_residuals(result)
        if "bound" not in _runtime(row[0].runtime).tags
    )
    return stretched(known, lambda name: _runtime(name).lineage)


@cached(FACTS_BYTES)
def _runtime(name: str) -> Runtime:
    """Return a runtime of the library."""
    return runtime(name)


def row_residuals(result: ValidationResult) -> Iterator[tuple[Subject, str, float]]:
    """Yield (subject, way of prediction, residual) of each row of a result.

    The residual is ``log(measured / predicted)`` of its quantity. The way is ``as_is``
    (the library's constants), ``rows_left_out`` or ``left_out`` (constants fitted without some rows
    of the device, or without the device) or ``generic`` (under the generic runtime instead of its
    own).
    """
    again: dict[Subject, list[RowOrigin]] = {}
    for row in result.predictions:
        origin: RowOrigin | None = row.get("origin")
        subject: Subject | None = row.get("subject") or (origin and origin.subject)
        if subject is None or not subject.quantity or not row["predicted"] > 0:
            continue
        residual = float(np.log(row["measured"] / row["predicted"]))
        if origin is not None and origin.quantity.metric in RATES:
            residual = -residual
        yield subject, "as_is", residual
        if origin is not None and origin.quantity.load is None:
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
    """Yield residuals of left-out devices and rows, each from the first trial with the subject.

    Nested trials are preferred, since no choice in them depends on the predicted rows.
    """
    seen: dict[tuple[Subject, str], str] = {}
    for target, trial in trials.items():
        rows: Iterable[Mapping[str, Any]] = trial.get("nested", trial)["predictions"]
        for row in rows:
            subject, way = row["subject"], row["way"]
            if not subject.quantity or seen.setdefault((subject, way), target) != target:
                continue
            if row["predicted"] > 0:
                yield subject, way, float(np.log(row["measured"] / row["predicted"]))


def _generic(origin: RowOrigin) -> float | None:
    """Return the residual of a row under the generic runtime, which represents unknown software.

    There is none where no generic runtime is meant for the device, such as a library of kernels on
    a part that runs layers in hardware.
    """
    case, quantity = origin.case, origin.quantity
    try:
        prediction = case.predict(quantity.workload, runtime="generic")
        value = getattr(prediction, quantity.metric)
    except InputError:
        return None
    machine = prediction.machine
    if not machine.runtime.suits(machine.device):
        return None
    if value is None or not np.isfinite(value) or not value > 0:
        return None
    residual = float(np.log(quantity.measured / value))
    return -residual if quantity.metric in RATES else residual
