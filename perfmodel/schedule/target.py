"""Target of a schedule: a memory of a device, or a capacity without a device.

Also the compute times of a network on that device, without transfers to the memory behind the
scheduled one: those of a prediction in which that memory is infinitely fast.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from perfmodel.errors import InputError, input_error, not_among
from perfmodel.formats import Precision, as_precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.plan import Plan
from perfmodel.predict import predict
from perfmodel.prediction import Prediction, stages
from perfmodel.schedule.schedule_plan import MemoryNames
from perfmodel.units import UnitError, show, whole_bytes
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.fuse import FusionRules
from perfmodel.workload.workload import PLAIN, Workload

#: Kinds of memory that can receive spills.
_WRITABLE = frozenset({"dram", "scratchpad", "cache"})

#: Name of the outer memory if no memory can receive spills.
NOWHERE = MemoryNames().outer

#: Bandwidth at which transfer times are negligible: the largest that a fact may state.
_UNLIMITED_BANDWIDTH = 1e18


@dataclass(frozen=True)
class Target:
    """Memory, precision and fusion rules that a schedule is made for.

    Attributes
    ----------
    capacity_bytes
        Capacity of the scheduled memory; None if not stated.
    """

    where: MemoryNames
    capacity_bytes: int | None
    precision: Precision
    fusion: FusionRules
    machine: Machine | None = None
    semantics: ExecutionSemantics = PLAIN
    notes: tuple[str, ...] = ()

    def with_capacity(self, size_bytes: int) -> Target:
        """Return the target with another capacity for the scheduled buffers."""
        notes = () if self.machine is None else _notes(self.machine, self.where.memory, size_bytes)
        return replace(self, capacity_bytes=size_bytes, notes=notes)

    @property
    def cannot_spill(self) -> bool:
        """Whether no writable memory is behind the scheduled one, so that spills are impossible."""
        return self.machine is not None and self.where.outer == NOWHERE


@dataclass(frozen=True)
class Times:
    """Times of a workload on a machine, predicted by the model of its hardware kind.

    Attributes
    ----------
    seconds
        Seconds of each kernel (keyed by its first operator) without transfers to the outer memory.
    bandwidth_bytes_per_s, latency_s
        Bandwidth and latency of the outer memory.
    per_run_s
        Overhead of the runtime per run, independent of the network.
    """

    seconds: dict[str, float]
    bandwidth_bytes_per_s: float
    latency_s: float
    per_run_s: float = 0.0


class ScheduleInputs(NamedTuple):
    """Workload to schedule, and its device and settings."""

    workload: Workload
    device: Device | Machine | None
    precision: Any
    runtime: Any
    engine: str | None


def bytes_of(value: str | float, name: str = "capacity") -> int:
    """Return a number of bytes, or a text with a unit, as whole bytes.

    Raises
    ------
    InputError
        The size is not positive, or has a fraction of a byte.
    """
    try:
        size = whole_bytes(value)
    except UnitError as error:
        raise input_error(
            error.message, path=name, expected=error.expected, suggestion=error.suggestion
        ) from None
    if size < 1:
        raise input_error(f"{value} is not a valid size", path=name, expected="at least one byte")
    return size


def target(
    subject: ScheduleInputs,
    capacity_bytes: int | None = None,
    memory: str | None = None,
    fuse: bool | None = None,
) -> Target:
    """Return the target of a schedule.

    Without a device the precision is that of the file, else int8, and kernels are fused.

    Parameters
    ----------
    fuse
        Whether elementwise operators run with their predecessor; by default as the runtime does.

    Raises
    ------
    InputError
        No capacity is stated, or a name is unknown.
    """
    workload, device, precision, runtime, engine = subject
    if device is None:
        if memory is not None:
            raise input_error(
                "a memory belongs to a device",
                path="memory",
                expected="a device, or only a capacity",
            )
        formats = as_precision(precision or workload.precision or "int8")
        return Target(
            MemoryNames(), capacity_bytes, formats, FusionRules(elementwise=fuse is not False)
        )
    resolved = stages.resolve(workload, device, precision, runtime, engine)
    machine, model = resolved.machine, resolved.model
    name, outer = _memory(machine, memory)
    if capacity_bytes is None:
        reserved = machine.facts.get(f"memories.{name}.reserved", 0.0)
        capacity_bytes = int(float(machine.facts[f"memories.{name}.capacity"]) - float(reserved))
    where = MemoryNames(name, outer, machine.device.name, model.engine)
    fusion = stages.fuse(resolved, fuse)
    unlimited = Target(where, capacity_bytes, resolved.precision, fusion, machine, model.semantics)
    return unlimited.with_capacity(capacity_bytes)


def _notes(machine: Machine, scheduled: str, capacity: int) -> tuple[str, ...]:
    """Return notes on unexpected properties of the scheduled memory."""
    notes: list[str] = []
    size = float(machine.facts[f"memories.{scheduled}.capacity"])
    if capacity > size:
        notes.append(
            f"{show(capacity, 'bytes')} are more than the {show(size, 'bytes')} of {scheduled}"
        )
    if scheduled == machine.main_memory and len(machine.hierarchy()) == 1:
        notes.append(
            f"{machine.device.name} states no memory but {scheduled}: it is scheduled itself"
        )
    return tuple(notes)


def _memory(machine: Machine, name: str | None) -> tuple[str, str]:
    """Return the memory to schedule and the memory behind it.

    The default is the outermost scratchpad; without one, the last cache before main memory.
    """
    hierarchy = machine.hierarchy()
    names = [m.name for m in hierarchy]
    if name is None:
        inner = names[: names.index(machine.main_memory) + 1]
        pads = [m.name for m in hierarchy if m.kind == "scratchpad" and m.name in inner]
        scheduled = pads[-1] if pads else (inner[-2] if len(inner) > 1 else inner[-1])
    elif name in names:
        scheduled = name
    else:
        message = f"{machine.device.name} has no memory '{name}'"
        raise InputError(not_among(message, name, names, "memory"))
    behind = [m for m in hierarchy[names.index(scheduled) + 1 :] if m.kind in _WRITABLE]
    return scheduled, behind[0].name if behind else NOWHERE


#: What stands in place of the energy of a run where no device states energies.
NO_ENERGY = "unknown: no device, so that arithmetic, memories and static power have no energies"


def predicted(workload: Workload, at: Target, plan: Plan | None = None) -> Prediction | None:
    """Return the prediction of a workload on the machine of a target; None without a machine."""
    if at.machine is None:
        return None
    return predict(
        workload,
        at.machine,
        precision=at.precision,
        engine=at.where.engine,
        fuse=at.fusion.elementwise,
        flash_attention=at.fusion.flash_attention,
        plan=plan,
    )


def kernel_times(workload: Workload, at: Target) -> Times | None:
    """Return compute times and the bandwidth of the outer memory; None unless both are stated."""
    if at.machine is None:
        return None
    path = f"memories.{at.where.outer}.bandwidth"
    if path not in at.machine.facts:
        return None
    unlimited = replace(at, machine=at.machine.vary({path: _UNLIMITED_BANDWIDTH}))
    bounded, without_transfers = predicted(workload, at), predicted(workload, unlimited)
    assert bounded is not None
    assert without_transfers is not None
    rate = bounded.rate_of(at.where.outer)
    rows = zip(without_transfers.kernels, without_transfers.table["row_s"], strict=True)
    seconds = {operators[0]: float(s) for operators, s in rows}
    latency = float(at.machine.facts.get(f"memories.{at.where.outer}.latency", 0.0))
    return Times(seconds, rate, latency, float(without_transfers.once_a_run_s))
