"""Names, paths and texts to what `schedule` and `curve` take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from perfmodel.errors import Fault, InputError, input_error
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.resolve import DeviceLike, WorkloadLike, resolve
from perfmodel.schedule.curve import Curve, capacities, curve
from perfmodel.schedule.result import Schedule
from perfmodel.schedule.run import option_faults
from perfmodel.schedule.run import schedule as schedule_one
from perfmodel.schedule.target import bytes_of
from perfmodel.settings import FaultList, split
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload


def schedule(
    workload: WorkloadLike, device: DeviceLike | None = None, *,
    capacity: str | float | Iterable[str | float] | None = None,
    settings: Mapping[str, Any] | None = None, faults: FaultList | None = None,
    precision: Any = None, runtime: Any = None, engine: str | None = None, **options: Any,
) -> Schedule | Curve:  # fmt: skip
    """Schedule at one capacity, or at several.

    Parameters
    ----------
    workload, device
        Objects, names of the library, or paths; a device may be left out.
    capacity
        One, or several for a curve; a text may be a list or a range
        (`perfmodel.schedule.curve.capacities`).
    settings
        Facts of the device and parameters of the workload, by name.
    faults
        Faults gathered so far; all are raised together.
    **options
        As for `perfmodel.schedule.run.schedule`.

    Raises
    ------
    InputError
        Every fault at once.
    """
    faults = FaultList() if faults is None else faults
    sizes = faults.trying(_sizes, capacity)
    faults.extend(option_faults(**options))
    subject = faults.trying(subject_of, workload, device, settings, precision, runtime, engine)
    faults.settle()
    assert subject is not None
    found, given = subject.workload, subject.device
    precision, runtime, engine = subject.precision, subject.runtime, subject.engine
    options |= {"precision": precision, "runtime": runtime, "engine": engine}
    several = isinstance(capacity, Iterable) and not isinstance(capacity, str)
    if sizes is not None and (several or len(sizes) > 1):
        return curve(found, given, capacity=sizes, **options)
    return schedule_one(found, given, capacity=sizes[0] if sizes else None, **options)


class ScheduleInputs(NamedTuple):
    """What is to be scheduled, and on what."""

    workload: Workload
    device: Device | Machine | None
    precision: Any
    runtime: Any
    engine: str | None


def subject_of(
    workload: WorkloadLike, device: DeviceLike | None, settings: Mapping[str, Any] | None,
    precision: Any, runtime: Any, engine: str | None,
) -> ScheduleInputs:  # fmt: skip
    """Return objects for names and paths; the device may be left out.

    Raises
    ------
    InputError
        Every fault at once.
    """
    if device is None:
        found = _alone(workload, settings, runtime, engine)
        return ScheduleInputs(found, None, precision, runtime, engine)
    made = resolve(workload, device, precision, runtime, settings, engine)
    return ScheduleInputs(made.workload, made.device, made.precision, made.runtime, made.engine)


def _sizes(capacity: str | float | Iterable[str | float] | None) -> list[int] | None:
    if capacity is None:
        return None
    if isinstance(capacity, str):
        return capacities(capacity)
    if isinstance(capacity, Iterable):
        made = sorted({bytes_of(c) for c in capacity})
        if not made:
            raise input_error("has no values", path="capacity", expected="one size or more")
        return made
    return [bytes_of(capacity)]


def _alone(
    workload: WorkloadLike, settings: Mapping[str, Any] | None, runtime: Any, engine: Any
) -> Workload:
    """Return the workload where there is no device that anything else could be set on."""
    parts = split(settings) if settings else None
    strange = [] if parts is None else [*parts.facts, *parts.options, *parts.bits]
    strange += [name for name, value in (("runtime", runtime), ("engine", engine)) if value]
    if strange:
        raise InputError([Fault("is of a device, and none is given", path=name,
                                expected="a device before it") for name in strange])  # fmt: skip
    values = {} if parts is None else dict(parts.workload)
    if isinstance(workload, Workload):
        return workload.bind(values) if values else workload
    return find(workload, values)
