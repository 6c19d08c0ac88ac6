"""What a data set hands to validation: measured rows, each with what to predict for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from perfmodel.ask import Device, Machine, Precision, Prediction, Runtime, Workload, predict
from perfmodel.evaluate.row_values import RowValues
from perfmodel.evaluate.served_load import ServedLoad


@dataclass(frozen=True, slots=True)
class MeasuredQuantity:
    """A measured quantity of a row.

    Attributes
    ----------
    target
        Name of the target that it counts for.
    metric
        Attribute of `Prediction` that answers it, such as ``latency_s`` (of `Served` for a load);
        ``resource NAME`` for what it takes of a resource of the engine, ``largest COLUMN`` for that
        of a column of its table.
    measured
        SI.
    workload
        What was run.
    command
        The command line that predicts it; empty where the data set has a reader of its own.
    load
        What `perfmodel.serve` is asked instead of `predict`.
    machine
        Machine with facts of its own, where it is not the row's.
    """

    target: str
    metric: str
    measured: float
    workload: Workload
    command: str = ""
    load: ServedLoad | None = None
    machine: Device | Machine | None = None


@dataclass(frozen=True, slots=True)
class ValidationCase:
    """A measured row.

    Attributes
    ----------
    name
        As reports name it.
    device
        As `by_device` names it.
    machine
        Device, or machine with the row's facts; ``None`` where the row cannot be predicted.
    questions
        What was measured.
    group
        Family of networks, weight format ...: a second way to group errors; may be empty.
    reason
        Why the row cannot be predicted.
    engine
        Engine of the device; the runtime's where left out.
    warm
        Measured over repeated runs, so that small networks keep their weights in a cache.
    values
        What the data set's form worked out of the row, for the groups of its refits.
    """

    name: str
    device: str
    machine: Device | Machine | None = None
    questions: Sequence[MeasuredQuantity] = ()
    precision: Precision | str | None = None
    runtime: Runtime | str | None = None
    group: str = ""
    reason: str = ""
    warm: bool = False
    engine: str | None = None
    values: RowValues | None = None

    def predict(
        self, workload: Workload, machine: Device | Machine | None = None, **others: Any
    ) -> Prediction:
        """Return what `predict` says of a workload, asked as the row was measured.

        Parameters
        ----------
        workload
            What was run.
        machine
            Instead of the row's.
        **others
            Options of `predict` instead of the row's.
        """
        device = machine or self.machine
        assert device is not None
        own = {name: getattr(self, name) for name in ("precision", "runtime", "engine", "warm")}
        return predict(workload, device, **{**own, **others})


@dataclass(frozen=True, slots=True)
class Cases:
    """The cases of a data set.

    Attributes
    ----------
    primary
        Target whose error is the data set's.
    notes
        What a reader of the errors must know.
    details
        Further ways to group the errors of the primary target: name -> template of a row's values.
    """

    name: str
    cases: Sequence[ValidationCase]
    primary: str = "latency_s"
    notes: tuple[str, ...] = field(default=())
    details: Mapping[str, str] = field(default_factory=dict[str, str])

    def asked(self, target: str = "") -> list[tuple[ValidationCase, MeasuredQuantity]]:
        """Return every question of the rows that can be predicted, with its row.

        Parameters
        ----------
        target
            The questions of this target alone; of all where left out.
        """
        return [
            (case, question) for case in self.cases if case.machine is not None
            for question in case.questions if target in ("", question.target)
        ]  # fmt: skip
