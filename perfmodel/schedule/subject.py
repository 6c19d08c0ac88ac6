"""What is scheduled, and on what: names, paths and settings to objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from perfmodel.errors import Fault, InputError
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.resolve import DeviceLike, WorkloadLike, resolve
from perfmodel.settings import split
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload


class ScheduleInputs(NamedTuple):
    """What is to be scheduled, and on what."""

    workload: Workload
    device: Device | Machine | None
    precision: Any
    runtime: Any
    engine: str | None


def subject_of(
    workload: WorkloadLike,
    device: DeviceLike | None,
    settings: Mapping[str, Any] | None,
    precision: Any,
    runtime: Any,
    engine: str | None,
) -> ScheduleInputs:
    """Return objects for names and paths; the device may be left out.

    Raises
    ------
    InputError
        Every fault at once.
    """
    if device is None:
        network = _without_device(workload, settings, runtime, engine)
        return ScheduleInputs(network, None, precision, runtime, engine)
    return ScheduleInputs(*resolve(workload, device, precision, runtime, settings, engine)[:5])


def _without_device(
    workload: WorkloadLike, settings: Mapping[str, Any] | None, runtime: Any, engine: Any
) -> Workload:
    """Return the workload where there is no device that anything else could be set on."""
    parts = split(settings) if settings else None
    strange = [] if parts is None else [*parts.facts, *parts.options, *parts.bits]
    strange += [name for name, value in (("runtime", runtime), ("engine", engine)) if value]
    if strange:
        raise InputError(
            Fault("is of a device, and none is given", path=name, expected="a device before it")
            for name in strange
        )
    values = {} if parts is None else dict(parts.workload)
    if isinstance(workload, Workload):
        return workload.bind(values) if values else workload
    return find(workload, values)
