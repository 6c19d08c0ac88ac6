"""Predictions of measured quantities: equal questions share one prediction.

Rows repeat a network on a machine with other measurements of it. Networks that differ in numbers
are predicted one by one: in an array equal predictions could differ in rounding, which would break
ties in ranks.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from perfmodel.arrays import is_array
from perfmodel.ask import Prediction
from perfmodel.errors import InputError, input_error
from perfmodel.evaluate.validation_case import (
    Cases,
    MeasuredQuantity,
    ValidationCase,
    metric_of,
)

#: Metrics that grow with speed, for which a baseline in seconds is inverted.
_RATES = ("tokens_per_s", "frames_per_s")

_Question = tuple[ValidationCase, MeasuredQuantity]


class QuantityAnswer(NamedTuple):
    """Prediction of a measured quantity, beside those of bare rooflines.

    Attributes
    ----------
    predicted
        Predicted value in SI units.
    roofline
        That of the bare roofline; ``None`` for a resource or a column.
    compute
        That of the multiply-accumulates at the peak; ``None`` if the network has none.
    runtime
        Name of the runtime used.
    feasible
        Whether the network fits.
    """

    predicted: float
    roofline: float | None
    compute: float | None
    runtime: str
    feasible: bool


class QuantityAnswers:
    """Answers to all quantities of some cases that `predict` predicts."""

    def __init__(self, cases: Cases) -> None:
        groups: dict[Hashable, list[_Question]] = {}
        self._answers: dict[tuple[int, int], QuantityAnswer | InputError] = {}
        for case, quantity in cases.with_quantities():
            if quantity.load is not None:
                continue
            try:
                groups.setdefault(_group_of(case, quantity), []).append((case, quantity))
            except InputError as error:  # sizes that leave a tensor without elements
                self._answers[id(case), id(quantity)] = InputError(error.faults)
        for questions in groups.values():
            self._answer(questions)

    def of(self, case: ValidationCase, quantity: MeasuredQuantity) -> QuantityAnswer:
        """Return the answer to a quantity of a case.

        Raises
        ------
        InputError
            It cannot be predicted.
        """
        answer = self._answers[id(case), id(quantity)]
        if isinstance(answer, InputError):
            raise InputError(answer.faults)
        return answer

    def _answer(self, questions: Sequence[_Question]) -> None:
        """Store the answers to questions about one network on one machine."""
        case, quantity = questions[0]
        group: _PredictedGroup | InputError
        try:
            group = _PredictedGroup(case, quantity)
        except InputError as error:
            group = InputError(error.faults)
        for case, quantity in questions:
            answer = group if isinstance(group, InputError) else group.answer(quantity.metric)
            self._answers[id(case), id(quantity)] = answer


def _group_of(case: ValidationCase, quantity: MeasuredQuantity) -> Hashable:
    """Return what questions share that one prediction may answer."""
    workload = quantity.workload
    if any(map(is_array, workload.parameters.values())):
        return id(case), id(quantity)
    return (
        id(workload.graph()),
        workload.unit,
        id(quantity.machine or case.machine),
        *case.conditions,
        *workload.parameters.items(),
    )


class _PredictedGroup:
    """Predictions of equal questions: by the device's model, and by the bare roofline."""

    def __init__(self, case: ValidationCase, quantity: MeasuredQuantity) -> None:
        workload, machine = quantity.workload, quantity.machine
        self._own = case.predict(workload, machine)
        self._bare = case.predict(workload, machine, model="roofline", warm=False)
        # Share of the roofline time that multiply-accumulates need at peak.
        self._share = float(self._bare.utilization)
        self._feasible = bool(self._own.feasible)

    def answer(self, metric: str) -> QuantityAnswer | InputError:
        """Return the answer to a quantity, or why there is none."""
        try:
            predicted = self._finite(self._own, metric)
            roofline = None if " " in metric else self._finite(self._bare, metric)
        except InputError as error:
            return InputError(error.faults)
        share, compute = self._share, None
        if share and roofline is not None and metric in ("latency_s", *_RATES):
            compute = roofline / share if metric in _RATES else roofline * share
        return QuantityAnswer(predicted, roofline, compute, self._own.runtime, self._feasible)

    def _finite(self, prediction: Prediction, name: str) -> float:
        """Return a metric of a prediction as a finite number."""
        value = metric_of(prediction, name)
        if value is None or not np.isfinite(number := float(value)):
            device, workload = prediction.machine.device.name, prediction.workload.name
            raise input_error(f"{device} and {workload} give no {name}", path=name)
        return number
