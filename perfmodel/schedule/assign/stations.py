"""Engines of one or several devices, and what each operator of a network takes on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.residency import crossing, usable_capacity
from perfmodel.errors import Fault, InputError, nearest, one_of
from perfmodel.formats import Precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.quantity import default_of
from perfmodel.hardware.runtime import Runtime
from perfmodel.kinds.rates import executed_format, pair_format, vector_peak
from perfmodel.prediction.engine_model import engine_model
from perfmodel.prediction.job import PredictionJob
from perfmodel.prediction.prediction import Prediction
from perfmodel.prediction.rows import row_columns
from perfmodel.prediction.stages import machine_for
from perfmodel.schedule.assign.problem import Floats
from perfmodel.workload.graph import Operator
from perfmodel.workload.lower import Lowered
from perfmodel.workload.workload import Workload

#: End of the class of an operator that rides on no other (`perfmodel.schedule.assign.riders`).
ALONE = "_alone"

#: What a runtime states of the one engine that it drives.
_OF_THE_ENGINE: Mapping[str, Any] = {
    name: default_of(Runtime.model_fields[name])
    for name in (
        "per_run",
        "per_operator",
        "per_subgraph",
        "per_layer",
        "per_layer_clocks",
        "per_sequence",
        "per_layer_parallel",
        "efficiency",
        "blocks",
        "executes",
        "kernels",
        "draw_bytes_per_clock_per_unit",
        "pnorm",
    )
}


@dataclass(frozen=True, slots=True)
class Station:
    """An engine of a device, under the runtime that drives it.

    Attributes
    ----------
    name
        ``engine``, or ``device.engine`` where there are several devices.
    device
        Name of the device, apart from others of its name.
    own
        Whether the runtime is made for this engine: its efficiencies and overheads hold for no
        other one.
    """

    name: str
    device: str
    engine: str
    machine: Machine
    own: bool


def stations(
    workload: Workload,
    devices: Sequence[Device | Machine],
    runtime: str | Runtime | None,
    engines: Sequence[str] | None = None,
    precision: str | Precision | None = None,
) -> list[Station]:
    """Return the engines of some devices, those that runtimes drive by default first.

    All run the network as the first device's runtime would: its fusion and its semantics. What a
    runtime states of efficiency and overhead holds for the engine that it drives; other engines of
    its device have none.

    Parameters
    ----------
    engines
        Names of those to use, of all devices; all of them by default.
    precision
        As for `perfmodel.predict`: which of its usual runtimes a device takes depends on it.

    Raises
    ------
    InputError
        An engine that no device has, or a runtime that drives none.
    """
    first: Runtime | None = None
    found: list[Station] = []
    seen: dict[str, int] = {}
    for device in devices:
        base = machine_for(workload, device, runtime if first is None else None, None, precision)
        first = first or base.runtime
        common = {"fusion": first.fusion, "semantics": first.semantics}
        name = base.device.name
        seen[name] = seen.get(name, 0) + 1
        label = name if seen[name] == 1 else f"{name}#{seen[name]}"
        names = sorted((e.name for e in base.device.engines), key=lambda e: e != base.engine)
        for engine in names:
            if engines is not None and engine not in engines:
                continue
            own = engine == base.engine
            update = common | {"engine": engine} | ({} if own else dict(_OF_THE_ENGINE))
            driven = base.runtime.model_copy(update=update)
            machine = Machine(base.device, driven).vary(base.varied)
            said = f"{label}.{engine}" if len(devices) > 1 else engine
            found.append(Station(said, label, engine, machine, own))
    faults = engine_faults(devices, engines)
    if faults:
        raise InputError(faults)
    return found


def engine_faults(
    devices: Sequence[Device | Machine], engines: Sequence[str] | None
) -> list[Fault]:
    """Return a fault for each engine that no device has, or one where none is named."""
    if engines is None:
        return []
    known = sorted({e.name for d in devices for e in _spec(d).engines})
    expected = one_of(known)
    missing = sorted(set(engines).difference(known)) if engines else [""]
    return [
        Fault(
            f"no engine is named '{name}'",
            "engines",
            expected=expected,
            suggestion=nearest(name, known),
        )
        for name in missing
    ]


def _spec(device: Device | Machine) -> Device:
    return device.device if isinstance(device, Machine) else device


@dataclass(frozen=True, slots=True)
class StationProfile:
    """Rows of a network on one engine.

    Attributes
    ----------
    seconds
        Of each row; infinite where the engine does not run it.
    why
        Row -> what keeps the engine from running it.
    memory_s
        Seconds that each row keeps the main memory busy, at what the device sustains.
    through
        Tensor -> whether it passes through main memory anyway, since no nearer one holds it.
    """

    station: Station
    prediction: Prediction
    seconds: Floats
    why: Mapping[int, str]
    memory_s: Floats
    through: Mapping[str, bool]
    activation_format: str
    vector_rate: float


def measure(
    station: Station, workload: Workload, precision: Precision, lowered: Lowered, *, warm: bool
) -> StationProfile:
    """Return what every row takes on an engine, as its kind of hardware predicts it."""
    machine = station.machine
    model = engine_model(machine)
    prediction = PredictionJob(workload, machine, precision, model, lowered, warm=warm).run()
    columns = row_columns(prediction)
    setting = prediction._setting  # pyright: ignore[reportPrivateUsage]
    seconds: Floats = np.array(columns["row_s"], dtype=np.float64)
    why = _unable(station, prediction, lowered)
    for row in why:
        seconds[row] = np.inf
    main = machine.main_memory
    facts = machine.facts
    rate = facts[f"memories.{main}.bandwidth"] * facts.get(
        f"memories.{main}.sustained_fraction", 1.0
    )
    found: Any = columns.get(f"{main}_bytes", 0.0)
    moved: Floats = np.zeros(len(seconds)) + np.asarray(found, dtype=np.float64)
    _, peak = vector_peak(setting)
    stored = precision.activations.compute
    return StationProfile(
        station,
        prediction,
        seconds,
        why,
        moved / float(rate),
        _through(prediction),
        executed_format(setting, stored) or stored,
        float(peak),
    )


def _unable(station: Station, prediction: Prediction, lowered: Lowered) -> dict[int, str]:
    """Return row -> what the engine lacks for it."""
    setting = prediction._setting  # pyright: ignore[reportPrivateUsage]
    found: dict[int, str] = {}
    for i, (row, kernel) in enumerate(zip(lowered.rows, lowered.kernels, strict=True)):
        for operator in kernel.operators:
            if missing := lacks(station, operator):
                found[i] = missing
        if row.products:
            wanted = pair_format(setting, row.pair)
            if not executed_format(setting, wanted):
                found[i] = f"format {wanted}"
    return found


def lacks(station: Station, operator: Operator) -> str:
    """Return what an engine lacks for an operator, by its spec; empty where it runs it."""
    listed = station.machine.device.engine(station.engine).operators
    if listed is None:
        return ""
    kind = operator.kind.removesuffix(ALONE)
    if kind not in listed.classes:
        return f"operator {kind}"
    function = str(dict(operator.attributes).get("function", ""))
    if kind == "elementwise" and listed.functions and function:
        return "" if function in listed.functions else f"function {function}"
    return ""


def _through(prediction: Prediction) -> dict[str, bool]:
    """Return activation -> whether it passes through main memory on this engine.

    By the rule of residency that the rows are costed with (`perfmodel.cost.residency`).
    """
    table = prediction._opened[0]  # pyright: ignore[reportPrivateUsage]
    setting = prediction._setting  # pyright: ignore[reportPrivateUsage]
    access = table.accesses
    if access is None:
        return {}
    away: Value = np.ones((len(access.tensor), 1))
    for level in setting.levels[:-1]:
        away = away * crossing(table, setting, usable_capacity(setting, level))
    out: dict[str, bool] = {}
    for tensor, passes in zip(access.tensor, np.asarray(away)[:, 0], strict=True):
        if tensor >= 0:
            out[access.lifetimes.names[int(tensor)]] = bool(passes)
    return out
