"""Rows of data sets as evidence: what each was measured of."""

from __future__ import annotations

from typing import NamedTuple

from perfmodel.ask import Machine, Runtime, Workload
from perfmodel.evaluate.case import MeasuredQuantity, ValidationCase
from perfmodel.evidence import QUANTITIES, SERVED, Subject, class_of, classes_of

__all__ = ["RowOrigin", "classes_in", "subject_of"]


class RowOrigin(NamedTuple):
    """What a row of a result came from.

    Attributes
    ----------
    case, question
        Of the data set.
    runtime
        Name of the one that the prediction was made under.
    """

    case: ValidationCase
    question: MeasuredQuantity
    runtime: str

    @property
    def subject(self) -> Subject:
        """What the row is evidence of."""
        return subject_of(self.case, self.question, self.runtime)


def subject_of(case: ValidationCase, question: MeasuredQuantity, runtime: str = "") -> Subject:
    """Return what a measured quantity of a row is evidence of.

    Parameters
    ----------
    runtime
        Name of the runtime that the prediction was made under; that of the row's machine, or its
        own, where left out.
    """
    machine = case.machine
    assert machine is not None
    device = machine.device if isinstance(machine, Machine) else machine
    if not runtime:
        stated = machine.runtime if isinstance(machine, Machine) else case.runtime
        stated = stated or device.default_runtime
        runtime = stated.name if isinstance(stated, Runtime) else stated
    classes = SERVED if question.load is not None else classes_in(question.workload)
    kind = class_of(classes, question.metric)
    return Subject(runtime, device.name, kind, QUANTITIES.get(question.metric, ""))


def classes_in(workload: Workload) -> dict[str, str]:
    """Return phase of a network -> class of workloads (`perfmodel.evidence.classes_of`)."""
    blocks = workload.graph().blocks
    operators = sum(len(block.operators) for block in blocks)
    return classes_of(workload.unit, {block.phase for block in blocks}, operators)
