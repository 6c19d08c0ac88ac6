"""Validation cases of a data set: measured rows with the predictions to compare them with.

Each measured quantity corresponds to one number of a prediction (`predict` or `serve`), and each
row is evidence for a `Subject`: a class of workloads on a device under a runtime. Readers of data
sets produce `Cases`; `perfmodel.evaluate.validate` and `perfmodel.evaluate.refit` consume them.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, cast

from perfmodel.ask import (
    Device,
    Machine,
    Precision,
    Prediction,
    Runtime,
    Served,
    Workload,
    largest,
    predict,
    serve,
)
from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.row_values import RowValues
from perfmodel.evidence import SERVED, Subject, class_of, classes_of, quantity_of


@dataclass(frozen=True, slots=True)
class MeasuredQuantity:
    """A measured quantity of a row.

    Attributes
    ----------
    target
        Name of the target to which its error contributes.
    metric
        Corresponding attribute of `Prediction` (of `Served` for a load), such as ``latency_s``;
        ``resource NAME`` for the usage of a resource of the engine, ``largest COLUMN`` for the
        maximum of a column of its table.
    measured
        Measured value in SI units.
    workload
        Workload that was run.
    command
        Command line that predicts it; empty if the data set has a reader in Python.
    load
        Load to predict with `perfmodel.serve` instead of `predict`.
    machine
        Machine with additional facts, if it differs from the row's.
    evidence
        Whether its residual is evidence for intervals.
    """

    target: str
    metric: str
    measured: float
    workload: Workload
    command: str = ""
    load: ServedLoad | None = None
    machine: Device | Machine | None = None
    evidence: bool = True


@dataclass(frozen=True, slots=True)
class ValidationCase:
    """A measured row.

    Attributes
    ----------
    name
        Name in reports.
    device
        Name in errors by device.
    machine
        Device, or machine with the row's facts; ``None`` if the row cannot be predicted.
    quantities
        Measured quantities.
    group
        Family of networks, weight format ...: a second way to group errors; may be empty.
    reason
        Reason why the row cannot be predicted.
    engine
        Engine of the device; the runtime's if None.
    warm
        Whether it was measured over repeated runs, so that small networks have warm caches.
    values
        Values of the row by the data set's form, for the groups of its refits.
    """

    name: str
    device: str
    machine: Device | Machine | None = None
    quantities: Sequence[MeasuredQuantity] = ()
    precision: Precision | str | None = None
    runtime: Runtime | str | None = None
    group: str = ""
    reason: str = ""
    warm: bool = False
    engine: str | None = None
    values: RowValues | None = None

    @property
    def conditions(self) -> tuple[Hashable, ...]:
        """What cases have in common that are predicted under equal conditions.

        A runtime that is a spec counts by identity, since its text takes longer than a prediction.
        """
        runtime = self.runtime
        if not (runtime is None or isinstance(runtime, str)):
            runtime = id(runtime)
        return str(self.precision), runtime, self.engine, self.warm

    def predict(
        self, workload: Workload, machine: Device | Machine | None = None, **others: Any
    ) -> Prediction:
        """Return the prediction of a workload under the conditions of the row.

        Parameters
        ----------
        workload
            Workload to predict.
        machine
            Machine instead of the row's.
        **others
            Options of `predict` that override the row's.
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
        Target whose error is that of the data set.
    notes
        Remarks for the reader of the errors.
    details
        Further ways to group the errors of the primary target: name -> template of a row's values.
    """

    name: str
    cases: Sequence[ValidationCase]
    primary: str = "latency_s"
    notes: tuple[str, ...] = field(default=())
    details: Mapping[str, str] = field(default_factory=dict[str, str])

    def with_quantities(self, target: str = "") -> list[tuple[ValidationCase, MeasuredQuantity]]:
        """Return (case, quantity) for every measured quantity of the predictable rows.

        Parameters
        ----------
        target
            Only quantities of this target; all if empty.
        """
        return [
            (case, quantity)
            for case in self.cases
            if case.machine is not None
            for quantity in case.quantities
            if target in ("", quantity.target)
        ]


class RowOrigin(NamedTuple):
    """Origin of a row of a result.

    Attributes
    ----------
    case, quantity
        Case and measured quantity of the data set.
    runtime
        Name of the runtime used for the prediction.
    """

    case: ValidationCase
    quantity: MeasuredQuantity
    runtime: str

    @property
    def subject(self) -> Subject:
        """Subject for which the row is evidence."""
        return subject_of(self.case, self.quantity, self.runtime)


def subject_of(case: ValidationCase, quantity: MeasuredQuantity, runtime: str = "") -> Subject:
    """Return the subject for which a measured quantity of a row is evidence.

    Parameters
    ----------
    runtime
        Name of the runtime used for the prediction; if empty, that of the row's machine or case.
    """
    machine = case.machine
    assert machine is not None
    device = machine.device if isinstance(machine, Machine) else machine
    if not runtime:
        stated = machine.runtime if isinstance(machine, Machine) else case.runtime
        stated = stated or device.default_runtime
        runtime = stated.name if isinstance(stated, Runtime) else stated
    classes = SERVED if quantity.load is not None else classes_in(quantity.workload)
    kind = class_of(classes, quantity.metric)
    machine = quantity.machine or machine
    resolved = machine if isinstance(machine, Machine) else machine.machine(case.runtime)
    name = quantity_of(quantity.metric, resolved, case.engine or resolved.engine)
    return Subject(runtime, device.name, kind, name if quantity.evidence else "")


def classes_in(workload: Workload) -> dict[str, str]:
    """Return phase of a network -> class of workloads (`perfmodel.evidence.classes_of`)."""
    blocks = workload.graph().blocks
    operators = sum(len(block.operators) for block in blocks)
    return classes_of(workload.unit, {block.phase for block in blocks}, operators)


def metric_of(answer: Prediction | Served, name: str) -> Any:
    """Return a metric of a prediction, a number or array; ``None`` if the prediction lacks it.

    Parameters
    ----------
    name
        Attribute of the answer; ``resource NAME`` for the usage of a resource of the engine,
        ``largest COLUMN`` for the maximum of a column of its table.
    """
    kind, _, column = name.rpartition(" ")
    if not kind:
        value = getattr(answer, name)
        # For bytes by memory, the last entry is main memory.
        return (
            list(cast("dict[str, Any]", value).values())[-1] if isinstance(value, dict) else value
        )
    assert isinstance(answer, Prediction)
    if kind == "resource":
        return answer.resources[column]["used"] if column in answer.resources else None
    return largest(answer, column)


#: Arguments of `serve` that are numbers, and may be arrays.
_SIZES: Final = ("prompt", "generate", "concurrency")
#: Arguments of `serve` for the parallelisation and storage of the model.
_CHOICES: Final = ("tensor", "data", "expert", "wide")


@dataclass(frozen=True, slots=True)
class ServedLoad:
    """A model under load, as arguments of `perfmodel.serve`.

    Attributes
    ----------
    model
        Name of a model of the library.
    parameters
        ``prompt``, ``generate``, ``concurrency``; numbers or arrays that broadcast.
    choices
        ``tensor``, ``data``, ``expert``, ``wide``.
    """

    model: str
    parameters: Mapping[str, Any]
    choices: Mapping[str, Any]

    def bind(self, parameters: Mapping[str, Any]) -> ServedLoad:
        """Return the load with other numbers."""
        return replace(self, parameters={**self.parameters, **parameters})

    @property
    def key(self) -> tuple[Any, ...]:
        """Hashable key, equal for equal loads."""
        return (self.model, *self.parameters.items(), *self.choices.items())

    def serve(
        self,
        device: Device | Machine,
        precision: Precision | str | None,
        runtime: Runtime | str | None,
    ) -> Served:
        """Return the serving prediction of the load; a `Machine` determines the runtime."""
        return serve(
            self.model,
            device,
            precision=precision,
            runtime=None if isinstance(device, Machine) else runtime,
            **self.parameters,
            **self.choices,
        )


def served_load(model: str, settings: Mapping[str, Any]) -> ServedLoad:
    """Return the load that a row's settings state.

    Raises
    ------
    InputError
        Settings that `serve` does not support.
    """
    other = [name for name in settings if name not in (*_SIZES, *_CHOICES)]
    if other:
        expected = ", ".join((*_SIZES, *_CHOICES))
        raise InputError([Fault(f"serve takes no '{name}'", expected=expected) for name in other])
    sizes = {name: settings[name] for name in _SIZES if name in settings}
    choices = {name: settings[name] for name in _CHOICES if name in settings}
    if "wide" in choices:
        choices["wide"] = bool(choices["wide"])
    return ServedLoad(model, sizes, choices)


def kernels_s(served: Served, metric: str, precision: Precision | str | None) -> float:
    """Return the roofline time of the kernels on one device, s."""
    passes = [served.decode] if metric == "tpot_s" else [served.prefill, served.decode]
    rooflines = [
        predict(step.workload, step.machine, model="roofline", precision=precision)
        for step in passes
    ]
    return sum(float(roofline.latency_s) for roofline in rooflines)
