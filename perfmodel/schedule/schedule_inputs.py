"""Resolution of the workload and device of a schedule from names, paths and settings.

Shared by `schedule` and `patches`, which both accept a workload without a device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perfmodel.errors import Fault, InputError
from perfmodel.formats import Precision
from perfmodel.hardware.runtime import Runtime
from perfmodel.resolve import DeviceLike, WorkloadLike, resolve
from perfmodel.schedule.target import ScheduleInputs, Target, target
from perfmodel.settings import split
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload


@dataclass(frozen=True, kw_only=True)
class ScheduledQuestion:
    """Parameters shared by `schedule` and `patches`; the device is optional."""

    workload: WorkloadLike
    device: DeviceLike | None
    memory: str | None
    set: Mapping[str, Any] | None
    precision: str | Precision | None
    runtime: str | Path | Runtime | None
    engine: str | None
    fuse: bool | None = None
    time_limit_s: float | None

    def resolved(self) -> ScheduleInputs:
        """Return the objects that names and paths refer to.

        Raises
        ------
        InputError
            All faults of the input together.
        """
        if self.device is None:
            network = _without_device(self.workload, self.set, self.runtime, self.engine)
            return ScheduleInputs(network, None, self.precision, self.runtime, self.engine)
        inputs = resolve(
            self.workload, self.device, self.precision, self.runtime, self.set, self.engine
        )
        return ScheduleInputs(*inputs[:5])

    def target(self, subject: ScheduleInputs, capacity_bytes: int | None) -> Target:
        """Return the memory to schedule and its surroundings.

        Raises
        ------
        InputError
            As for `perfmodel.schedule.target.target`.
        """
        return target(subject, capacity_bytes, self.memory, self.fuse)


def _without_device(
    workload: WorkloadLike, settings: Mapping[str, Any] | None, runtime: Any, engine: Any
) -> Workload:
    """Return the workload without a device, rejecting settings that require one."""
    parts = split(settings) if settings else None
    device_settings = [] if parts is None else [*parts.facts, *parts.options, *parts.bits]
    device_settings += [name for name, value in (("runtime", runtime), ("engine", engine)) if value]
    if device_settings:
        raise InputError(
            Fault("requires a device, and none is given", path=name, expected="a device before it")
            for name in device_settings
        )
    values = {} if parts is None else dict(parts.workload)
    if isinstance(workload, Workload):
        return workload.bind(values) if values else workload
    return find(workload, values)
