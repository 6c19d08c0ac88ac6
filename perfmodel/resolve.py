"""From names, paths and settings to what a prediction takes, with every fault at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from perfmodel.catalog import is_kind, kinds
from perfmodel.errors import Fault, InputError, no_such
from perfmodel.formats import Precision, as_precision
from perfmodel.formats.gguf import for_rows, is_gguf
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.hardware.library import runtime as find_runtime
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.settings import BITS, REMARKS, FaultList, Settings, split
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

#: A name, a path, a workload, or a model in memory that an importer reads (torch.export).
WorkloadLike: TypeAlias = str | Path | Workload | Any
DeviceLike: TypeAlias = str | Path | Device | Machine

#: What no precision, runtime, engine or model is named by.
_NO_NAMES: Final = (bool, int, float, list, tuple, dict)
_UNSET: Final = Settings()


class PredictionInputs(NamedTuple):
    """What `predict` takes.

    Attributes
    ----------
    workload, device, precision, runtime
        Resolved.
    engine, model
        Names, checked by `predict`.
    """

    workload: Workload
    device: Device | Machine
    precision: Precision | None
    runtime: Runtime | None
    engine: str | None = None
    model: str | None = None


@dataclass(frozen=True, kw_only=True)
class PredictionQuestion:
    """The parameters of `predict` that other questions have too; they derive from it."""

    workload: WorkloadLike
    device: DeviceLike
    set: Mapping[str, Any] | None
    precision: str | Precision | None
    runtime: str | Path | Runtime | None
    engine: str | None

    def resolved(self) -> PredictionInputs:
        """Return objects for names and paths.

        Raises
        ------
        InputError
            Every fault at once.
        """
        return resolve(
            self.workload, self.device, self.precision, self.runtime, self.set, self.engine
        )


def resolve(
    workload: WorkloadLike,
    device: DeviceLike,
    precision: str | Precision | None = None,
    runtime: str | Path | Runtime | None = None,
    settings: Mapping[str, Any] | None = None,
    engine: str | None = None,
    model: str | None = None,
    faults: FaultList | None = None,
) -> PredictionInputs:
    """Return what `predict` takes.

    Parameters
    ----------
    workload, device
        Objects, names or paths.
    settings
        By name, as `perfmodel.settings.split` sorts them.
    faults
        Faults gathered so far; more are added, and all are raised.

    Raises
    ------
    InputError
        Every fault of all of them at once.
    """
    faults = FaultList() if faults is None else faults
    parts = split(settings) if settings else _UNSET
    given: dict[str, Any] = {
        "precision": precision,
        "runtime": runtime,
        "engine": engine,
        "model": model,
    }
    for name, value in parts.options.items():
        if given[name] is not None and given[name] != value:
            faults.append(
                Fault(
                    f"'{name}' is given twice: {given[name]} and {value}",
                    path=name,
                    expected="one of them",
                )
            )
        given[name] = value
    for name, value in given.items():
        if isinstance(value, _NO_NAMES):
            faults.append(Fault(f"{value!r} is no name", path=name, expected="a text"))
            given[name] = None
    for name in parts.subjects:
        faults.append(
            Fault(
                f"'{name}' cannot be set here",
                path=name,
                expected=f"the {name} as an argument, or a sweep",
            )
        )
    made = faults.trying(workload_of, workload, parts.workload)
    chosen = faults.trying(runtime_of, given["runtime"], device)
    found = faults.trying(device_of, device)
    unread = FaultList()  # its faults come after those of facts
    formats = unread.trying(precision_of, given["precision"])
    machine = found
    if found is not None and parts.facts:
        # The path of a fact is known under any runtime, so a fault of the runtime hides none here.
        machine = faults.trying(
            machine_of, found, chosen, parts.facts, made, formats, given["engine"]
        )
    if found is not None and (given["engine"] is not None or given["model"] is not None):
        spec = found if isinstance(found, Machine) else found.machine()
        faults += check_choices(spec, given["engine"], given["model"])
    faults += unread
    if parts.bits:
        faults.trying(checked_bits, parts.bits)
        if not faults and found is not None:
            formats = with_bits(formats, parts.bits, made, found, chosen, given["engine"])
    faults.settle()
    assert made is not None
    assert machine is not None
    if parts.facts:
        note_remarks(machine)
    return PredictionInputs(made, machine, formats, chosen, given["engine"], given["model"])


def workload_of(workload: WorkloadLike, settings: Mapping[str, Any]) -> Workload:
    """Return the workload that a caller gives, bound to its settings."""
    if isinstance(workload, Workload):
        return workload.bind(settings) if settings else workload
    return find(workload, settings)


def device_of(device: DeviceLike) -> Device | Machine:
    """Return the device or machine that a caller gives."""
    return device if isinstance(device, Machine) else hardware(device)


def runtime_of(
    runtime: str | Path | Runtime | None, device: DeviceLike | None = None
) -> Runtime | None:
    """Return the runtime that a caller gives, of a device or machine; None where there is none."""
    if isinstance(device, Machine) and runtime == device.runtime.name:
        return device.runtime  # whose constants may be others than the library's
    return None if runtime is None else find_runtime(runtime)


def precision_of(precision: str | Precision | None) -> Precision | None:
    """Return the precision that a caller gives; None where there is none."""
    return None if precision is None else as_precision(precision)


def machine_of(
    device: Device | Machine,
    runtime: str | Runtime | None,
    facts: Mapping[str, Any],
    workload: Workload | None = None,
    precision: str | Precision | None = None,
    engine: str | None = None,
) -> Machine:
    """Return a machine with facts varied, under the runtime that `predict` would take."""
    if isinstance(device, Machine):
        machine = device
        ran = device.runtime
        if runtime is None and workload is not None and _leaves_runtime_open(device):
            usual = usual_runtime(device.device, workload, precision, engine)
            runtime = None if usual.name == ran.name else usual
        if runtime is not None and runtime not in (ran, ran.name):
            machine = Machine(device.device, runtime).vary(device.varied)
    elif runtime is not None or workload is None:
        named = find_runtime(device.default_runtime if runtime is None else runtime)
        machine = device.machine(variant_of(named, device, engine))
    else:
        machine = device.machine(usual_runtime(device, workload, precision, engine))
    return machine.vary(facts)


def _leaves_runtime_open(machine: Machine) -> bool:
    """Whether nobody named the runtime of a machine, nor set a constant of it."""
    return not machine.runtime_named and not any(
        path.startswith("runtime.") for path in machine.varied
    )


def usual_runtime(
    device: Device,
    workload: Workload,
    precision: str | Precision | None = None,
    engine: str | None = None,
) -> Runtime:
    """Return the runtime that a workload takes on a device where none is named.

    It is the first of the device's that runs such a workload in that precision, else the first that
    runs such a workload at all, else `generic`; of those that drive the engine, where one is named.

    Raises
    ------
    InputError
        The precision is none.
    """
    stated = precision if precision is not None else workload.precision or None
    wanted = None if stated is None else as_precision(stated)
    usual = [find_runtime(name) for name in (device.default_runtime, *device.runtimes)]
    if engine in [e.name for e in device.engines]:
        usual = [runtime for runtime in usual if runtime.drives(device, engine)]
    found = find_runtime("generic")
    for formats in (None, wanted):  # a format that it runs goes before one that it does not
        found = next((r for r in usual if r.takes(workload.unit, formats)), found)
    return variant_of(found, device, engine)


def variant_of(runtime: Runtime, device: Device, engine: str | None) -> Runtime:
    """Return the runtime that stands for one on the engine, where that is one of the device's."""
    if not runtime.variants:
        return runtime
    known = engine in [e.name for e in device.engines]
    return find_runtime(runtime.variant(device, engine if known else None))


def note_remarks(device: Device | Machine) -> None:
    """Leave what is to be said of a machine's facts to the command line, where that asked."""
    told = REMARKS.get()
    if told is not None and isinstance(device, Machine):
        told += [remark for remark in device.remarks if remark not in told]


def with_bits(
    given: str | Precision | None,
    bits: Mapping[str, Any],
    workload: Workload | None,
    device: Device | Machine,
    runtime: Runtime | None,
    engine: str | None,
) -> Precision:
    """Return the precision that `predict` would take, with other stored bits per element.

    Raises
    ------
    InputError
        What is no number of bits, all of it at once.
    """
    checked = checked_bits(bits)
    machine = machine_of(device, runtime, {}, workload, given, engine)
    return precision_for(given, workload, machine, engine or machine.engine).with_bits(**checked)


def precision_for(
    given: str | Precision | None, workload: Workload | None, machine: Machine, engine: str
) -> Precision:
    """Return the precision given, else the file's own, else the engine's first.

    That is the first of its kind's `FORMATS_FIRST` for which it states a peak.
    """
    if given is not None:
        return _as_file(as_precision(given), workload)
    if workload is not None and workload.precision:
        return as_precision(workload.precision)
    return as_precision(machine.device.engine(engine).own_precision())


def _as_file(precision: Precision, workload: Workload | None) -> Precision:
    """Return a precision with the weights of the GGUF file of a model, by its tensors' rows."""
    if workload is None or not is_gguf(precision.weights):
        return precision
    lengths = workload.graph().row_lengths
    weights = for_rows(precision.weights, lengths, tied="head" not in lengths)
    # The same object keeps what it has worked out for slots of other networks.
    return precision if weights is precision.weights else replace(precision, weights=weights)


def checked_bits(bits: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored bits per element by role, as numbers or arrays.

    Raises
    ------
    InputError
        What is no number of bits, all of it at once.
    """
    import numpy as np

    faults: list[Fault] = []
    names = {role: name for name, role in BITS.items()}
    checked: dict[str, Any] = {}
    for role, value in bits.items():
        try:
            array = np.asarray(value, dtype=float)
        except (TypeError, ValueError):
            array = np.array(np.nan)
        if not np.all((array > 0) & (array <= 64)):
            faults.append(
                Fault(
                    f"{value} is no number of bits",
                    path=names[role],
                    expected="a number above 0, at most 64",
                )
            )
        checked[role] = array if array.ndim else float(array)
    if faults:
        raise InputError(faults)
    return checked


def check_choices(machine: Machine, engine: str | None, model: str | None) -> list[Fault]:
    """Faults of an engine and a cost model chosen by name."""
    faults: list[Fault] = []
    if engine is not None:
        names = [e.name for e in machine.device.engines]
        if engine not in names:
            message = f"{machine.device.name} has no engine '{engine}'"
            faults.append(no_such(message, engine, names, "engine"))
    if model is not None and not is_kind(model):
        faults.append(no_such(f"there is no model '{model}'", model, kinds(), "model"))
    return faults
