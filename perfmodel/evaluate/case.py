"""What a data set hands to validation: measured rows, each with what to predict or to serve for it.

Each row is evidence of something, and one number of a prediction answers what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from perfmodel.evidence import QUANTITIES, SERVED, Subject, class_of, classes_of


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
            (case, question)
            for case in self.cases
            if case.machine is not None
            for question in case.questions
            if target in ("", question.target)
        ]


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


def metric_of(answer: Prediction | Served, name: str) -> Any:
    """Return a number, or an array over points; ``None`` where the prediction has none.

    Parameters
    ----------
    name
        Attribute of the answer; ``resource NAME`` for what it takes of a resource of the engine,
        ``largest COLUMN`` for the largest number of a column of its table.
    """
    of, _, what = name.rpartition(" ")
    if not of:
        value = getattr(answer, name)
        # Bytes by memory: main memory is the last.
        return (
            list(cast("dict[str, Any]", value).values())[-1] if isinstance(value, dict) else value
        )
    assert isinstance(answer, Prediction)
    if of == "resource":
        return answer.resources[what]["used"] if what in answer.resources else None
    return largest(answer, what)


#: Arguments of `serve` that are numbers, and may be arrays.
_SIZES: Final = ("prompt", "generate", "concurrency")
#: Arguments of `serve` that say how the model is split and stored.
_CHOICES: Final = ("tensor", "data", "expert", "wide")


@dataclass(frozen=True, slots=True)
class ServedLoad:
    """A model under load, as `perfmodel.serve` takes it.

    Attributes
    ----------
    model
        Of the library.
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
        """What equal loads share."""
        return (self.model, *self.parameters.items(), *self.choices.items())

    def serve(
        self,
        device: Device | Machine,
        precision: Precision | str | None,
        runtime: Runtime | str | None,
    ) -> Served:
        """Return what requests see of it; a machine has its runtime."""
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
        Settings that `serve` does not take.
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
    """Return seconds of the kernels of one device at their peaks and bandwidths."""
    passes = [served.decode] if metric == "tpot_s" else [served.prefill, served.decode]
    bare = [
        predict(one.workload, one.machine, model="roofline", precision=precision) for one in passes
    ]
    return sum(float(one.latency_s) for one in bare)
