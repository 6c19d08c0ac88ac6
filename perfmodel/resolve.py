"""Resolution of a question's names, paths and settings to the inputs of a prediction.

Public functions accept names of the library, paths and objects alike. `resolve` turns them into a
workload, a machine, a precision and a runtime (`PredictionInputs`), applies the settings, selects
the usual runtime and precision where none is named, and reports all faults together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
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

#: Name, path, workload, or in-memory model supported by an importer (torch.export).
WorkloadLike: TypeAlias = str | Path | Workload | Any
DeviceLike: TypeAlias = str | Path | Device | Machine

#: Types that cannot name a precision, runtime, engine or model.
_TYPES_WITHOUT_NAMES: Final = (bool, int, float, list, tuple, dict)
_UNSET: Final = Settings()


class PredictionInputs(NamedTuple):
    """Inputs of `predict`.

    Attributes
    ----------
    workload, device, precision, runtime
        Resolved objects.
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
class PredictionArguments:
    """Parameters of `predict` shared by other functions; base class of their parameters."""

    workload: WorkloadLike
    device: DeviceLike
    set: Mapping[str, Any] | None
    precision: str | Precision | None
    runtime: str | Path | Runtime | None
    engine: str | None

    def resolved(self) -> PredictionInputs:
        """Return resolved objects for names and paths.

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
    """Return the inputs of `predict`.

    Parameters
    ----------
    workload, device
        Objects, names or paths.
    settings
        Settings by name, see `perfmodel.settings.split`.
    faults
        Faults so far; further ones are added, and all are raised.

    Raises
    ------
    InputError
        All faults at once.
    """
    faults = FaultList() if faults is None else faults
    parts = split(settings) if settings else _UNSET
    options = _options(
        {"precision": precision, "runtime": runtime, "engine": engine, "model": model},
        parts,
        faults,
    )
    bound = faults.trying(workload_of, workload, parts.workload)
    software = faults.trying(runtime_of, options["runtime"], device)
    spec = faults.trying(device_of, device)
    unread = FaultList()  # its faults follow those of facts
    formats = unread.trying(precision_of, options["precision"])
    machine = spec
    if spec is not None and parts.facts:
        # Paths of facts do not depend on the runtime: check them even if it is invalid.
        machine = faults.trying(
            machine_of, spec, software, parts.facts, bound, formats, options["engine"]
        )
    if spec is not None and (options["engine"] is not None or options["model"] is not None):
        specified = spec if isinstance(spec, Machine) else spec.machine()
        faults += check_choices(specified, options["engine"], options["model"])
    faults += unread
    if parts.bits:
        faults.trying(checked_bits, parts.bits)
        if not faults and spec is not None:
            formats = with_bits(formats, parts.bits, bound, spec, software, options["engine"])
    faults.settle()
    assert bound is not None
    assert machine is not None
    if parts.facts:
        note_remarks(machine)
    return PredictionInputs(bound, machine, formats, software, options["engine"], options["model"])


def _options(options: dict[str, Any], parts: Settings, faults: FaultList) -> dict[str, Any]:
    """Return the options merged with those among the settings."""
    for name, value in parts.options.items():
        if options[name] is not None and options[name] != value:
            faults.append(
                Fault(
                    f"'{name}' is given twice: {options[name]} and {value}",
                    path=name,
                    expected="one of them",
                )
            )
        options[name] = value
    for name, value in options.items():
        if isinstance(value, _TYPES_WITHOUT_NAMES):
            faults.append(Fault(f"{value!r} is not a name", path=name, expected="a text"))
            options[name] = None
    for name in parts.subjects:
        faults.append(
            Fault(
                f"'{name}' cannot be set here",
                path=name,
                expected=f"the {name} as an argument, or a sweep",
            )
        )
    return options


def workload_of(workload: WorkloadLike, settings: Mapping[str, Any]) -> Workload:
    """Return the workload of an object, name or path, bound to its settings."""
    if isinstance(workload, Workload):
        return workload.bind(settings) if settings else workload
    return find(workload, settings)


def device_of(device: DeviceLike) -> Device | Machine:
    """Return the device or machine of an object, name or path."""
    return device if isinstance(device, Machine) else hardware(device)


def runtime_of(
    runtime: str | Path | Runtime | None, device: DeviceLike | None = None
) -> Runtime | None:
    """Return the runtime of an object or name, for a device or machine; ``None`` if unspecified."""
    if isinstance(device, Machine) and runtime == device.runtime.name:
        return device.runtime  # whose constants may differ from those of the library
    return None if runtime is None else find_runtime(runtime)


def precision_of(precision: str | Precision | None) -> Precision | None:
    """Return the precision of an object or text; ``None`` if unspecified."""
    return None if precision is None else as_precision(precision)


def machine_of(
    device: Device | Machine,
    runtime: str | Runtime | None,
    facts: Mapping[str, Any],
    workload: Workload | None = None,
    precision: str | Precision | None = None,
    engine: str | None = None,
) -> Machine:
    """Return a machine with modified facts, under the runtime that `predict` would use."""
    if isinstance(device, Machine):
        machine = device
        current = device.runtime
        if runtime is None and workload is not None and _has_open_runtime(device):
            usual = usual_runtime(device.device, workload, precision, engine)
            runtime = None if usual.name == current.name else usual
        if runtime is not None and runtime not in (current, current.name):
            machine = Machine(device.device, runtime).vary(device.varied)
    elif runtime is not None or workload is None:
        named = find_runtime(device.default_runtime if runtime is None else runtime)
        machine = device.machine(variant_of(named, device, engine))
    else:
        machine = device.machine(usual_runtime(device, workload, precision, engine))
    return machine.vary(facts)


def _has_open_runtime(machine: Machine) -> bool:
    """Return whether the runtime of a machine is unspecified and none of its constants is set."""
    return not machine.runtime_named and not any(
        path.startswith("runtime.") for path in machine.varied
    )


def usual_runtime(
    device: Device,
    workload: Workload,
    precision: str | Precision | None = None,
    engine: str | None = None,
) -> Runtime:
    """Return the default runtime of a workload on a device.

    Runtimes that networks of its family are usually run with come first, of those that suit the
    device and drive its engine; then those of the device in their order. It is the first of them
    that supports the workload in its precision, else the first that supports the workload, else
    `generic`. If an engine is named, only runtimes that drive it are considered.

    Raises
    ------
    InputError
        The precision is invalid.
    """
    stated = precision if precision is not None else workload.precision or None
    wanted = None if stated is None else as_precision(stated)
    known = engine in [e.name for e in device.engines]
    selected: Runtime | None = None
    driven = engine if known else "main"
    usual = [
        runtime
        for runtime in map(find_runtime, workload.usual_runtimes)
        if runtime.suits(device) and runtime.drives(device, driven)
    ]
    # Specs are read until one of them is taken.
    for runtime in chain(usual, map(find_runtime, (device.default_runtime, *device.runtimes))):
        if known and not runtime.drives(device, driven):
            continue
        if runtime.takes(workload.unit, wanted):
            selected = runtime
            break
        if selected is None and runtime.takes(workload.unit):
            selected = runtime
    return variant_of(selected or find_runtime("generic"), device, engine)


def variant_of(runtime: Runtime, device: Device, engine: str | None) -> Runtime:
    """Return the variant of a runtime for the engine, if the device lists it."""
    if not runtime.variants:
        return runtime
    known = engine in [e.name for e in device.engines]
    return find_runtime(runtime.variant(device, engine if known else None))


def note_remarks(device: Device | Machine) -> None:
    """Pass remarks on a machine's facts to the command line, if it collects them."""
    remarks = REMARKS.get()
    if remarks is not None and isinstance(device, Machine):
        remarks += [remark for remark in device.remarks if remark not in remarks]


def with_bits(
    precision: str | Precision | None,
    bits: Mapping[str, Any],
    workload: Workload | None,
    device: Device | Machine,
    runtime: Runtime | None,
    engine: str | None,
) -> Precision:
    """Return the precision that `predict` would use, with other stored bits per element.

    Raises
    ------
    InputError
        All invalid numbers of bits.
    """
    checked = checked_bits(bits)
    machine = machine_of(device, runtime, {}, workload, precision, engine)
    return precision_for(precision, workload, machine, engine or machine.engine).with_bits(
        **checked
    )


def precision_for(
    precision: str | Precision | None, workload: Workload | None, machine: Machine, engine: str
) -> Precision:
    """Return the specified precision, else that of the model file, else the engine's default.

    The default is the first format in `FORMATS_FIRST` of the engine's kind with a stated peak.
    """
    if precision is not None:
        return _with_gguf_formats(as_precision(precision), workload)
    if workload is not None and workload.precision:
        return as_precision(workload.precision)
    return as_precision(machine.device.engine(engine).own_precision())


def _with_gguf_formats(precision: Precision, workload: Workload | None) -> Precision:
    """Return a precision with the weight formats of a model's GGUF file, tensor by tensor."""
    if workload is None or not is_gguf(precision.weights):
        return precision
    lengths = workload.graph().row_lengths
    weights = for_rows(precision.weights, lengths, tied="head" not in lengths)
    # The same object retains cached results for slots of other networks.
    return precision if weights is precision.weights else replace(precision, weights=weights)


def checked_bits(bits: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored bits per element by role, as numbers or arrays.

    Raises
    ------
    InputError
        All invalid numbers of bits.
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
                    f"{value} is not a number of bits",
                    path=names[role],
                    expected="a number above 0, at most 64",
                )
            )
        checked[role] = array if array.ndim else float(array)
    if faults:
        raise InputError(faults)
    return checked


def check_choices(machine: Machine, engine: str | None, model: str | None) -> list[Fault]:
    """Return the faults of the names of an engine and a cost model."""
    faults: list[Fault] = []
    if engine is not None:
        names = [e.name for e in machine.device.engines]
        if engine not in names:
            message = f"{machine.device.name} has no engine '{engine}'"
            faults.append(no_such(message, engine, names, "engine"))
    if model is not None and not is_kind(model):
        faults.append(no_such(f"there is no model '{model}'", model, kinds(), "model"))
    return faults
