"""Engines of one or several devices, and the seconds of each row of a network on them.

The seconds are those that `predict` gives for the engine's hardware kind. A row that the engine
cannot run, for lack of an operator or a format, takes infinite seconds and has a reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.residency import crossing, usable_capacity
from perfmodel.errors import Fault, InputError, not_among
from perfmodel.formats import Precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.quantity import default_of
from perfmodel.hardware.runtime import Runtime
from perfmodel.kinds.rates import executed_format, pair_format, vector_peak
from perfmodel.prediction.engine_model import engine_model
from perfmodel.prediction.job import PredictionJob
from perfmodel.prediction.prediction import Prediction
from perfmodel.prediction.presentation import row_columns
from perfmodel.prediction.stages import machine_for
from perfmodel.schedule.assign.device_links import spec_of
from perfmodel.schedule.assign.problem import Floats
from perfmodel.workload.graph import Operator
from perfmodel.workload.lower import Lowered
from perfmodel.workload.workload import Workload

#: Suffix of the class of an operator that is never fused (`kernel_splitting.py`).
UNFUSED_SUFFIX = "_alone"

#: Fields of a runtime that apply only to the engine that it drives, with their default values.
_ENGINE_FIELDS: Mapping[str, Any] = {
    name: default_of(Runtime.model_fields[name])
    for name in (
        "per_run",
        "per_operator",
        "per_subgraph",
        "per_layer",
        "per_layer_clocks",
        "per_sequence",
        "per_prompt",
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
class DeviceEngine:
    """An engine of a device, under the runtime that drives it.

    Attributes
    ----------
    name
        ``engine``, or ``device.engine`` if there are several devices.
    device
        Name of the device, made unique among devices of the same name.
    is_driven
        Whether the runtime drives this engine: its efficiencies and overheads apply to no other
        engine.
    """

    name: str
    device: str
    engine: str
    machine: Machine
    is_driven: bool


def device_engines(
    workload: Workload,
    devices: Sequence[Device | Machine],
    runtime: str | Runtime | None,
    engines: Sequence[str] | None = None,
    precision: str | Precision | None = None,
) -> list[DeviceEngine]:
    """Return the engines of some devices, those that runtimes drive by default first.

    All engines run the network with the fusion and semantics of the first device's runtime. The
    efficiency and overhead of a runtime apply to the engine that it drives; other engines of its
    device have none.

    Parameters
    ----------
    engines
        Names of the engines to use, over all devices; all engines by default.
    precision
        As for `perfmodel.predict`; the default runtime of a device depends on it.

    Raises
    ------
    InputError
        An engine that no device has, or a runtime that drives no engine.
    """
    first: Runtime | None = None
    listed: list[DeviceEngine] = []
    seen = Counter[str]()
    for device in devices:
        base = machine_for(workload, device, runtime if first is None else None, None, precision)
        first = first or base.runtime
        common = {"fusion": first.fusion, "semantics": first.semantics}
        name = base.device.name
        seen[name] += 1
        label = name if seen[name] == 1 else f"{name}#{seen[name]}"
        names = sorted((e.name for e in base.device.engines), key=lambda e: e != base.engine)
        for engine in names:
            if engines is not None and engine not in engines:
                continue
            is_driven = engine == base.engine
            update = common | {"engine": engine} | ({} if is_driven else dict(_ENGINE_FIELDS))
            driven = base.runtime.model_copy(update=update)
            machine = Machine(base.device, driven).vary(base.varied)
            name_of_engine = f"{label}.{engine}" if len(devices) > 1 else engine
            listed.append(DeviceEngine(name_of_engine, label, engine, machine, is_driven))
    faults = engine_faults(devices, engines)
    if faults:
        raise InputError(faults)
    return listed


def engine_faults(
    devices: Sequence[Device | Machine], engines: Sequence[str] | None
) -> list[Fault]:
    """Return a fault for each engine that no device has, or one if the list is empty."""
    if engines is None:
        return []
    known = sorted({e.name for d in devices for e in spec_of(d).engines})
    return [
        fault
        for name in sorted(set(engines)) or [""]
        for fault in not_among(f"no engine is named '{name}'", name, known, "engines")
    ]


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """Rows of a network on one engine.

    Attributes
    ----------
    seconds
        Seconds of each row; infinite if the engine cannot run it.
    why
        Reason why the engine cannot run a row, by row.
    memory_s
        Seconds that each row occupies the main memory: its bytes there over the sustained
        bandwidth.
    crosses_main_memory
        Whether each tensor passes through main memory in any case, as no nearer memory holds it.
    """

    device_engine: DeviceEngine
    prediction: Prediction
    seconds: Floats
    why: Mapping[int, str]
    memory_s: Floats
    crosses_main_memory: Mapping[str, bool]
    activation_format: str
    vector_rate: float


def profile_rows(
    device_engine: DeviceEngine,
    workload: Workload,
    precision: Precision,
    lowered: Lowered,
    *,
    warm: bool,
) -> EngineProfile:
    """Return the profile of all rows on an engine, as its hardware kind predicts them."""
    machine = device_engine.machine
    model = engine_model(machine)
    prediction = PredictionJob(workload, machine, precision, model, lowered, warm=warm).run()
    columns = row_columns(prediction)
    setting = prediction.setting
    seconds: Floats = np.array(columns["row_s"], dtype=np.float64)
    why = _unable(device_engine, prediction, lowered)
    for row in why:
        seconds[row] = np.inf
    main = machine.main_memory
    crossing: Floats = np.zeros(len(seconds)) + np.asarray(columns.get(f"{main}_bytes", 0.0))
    _, peak = vector_peak(setting)
    stored = precision.activations.compute
    return EngineProfile(
        device_engine,
        prediction,
        seconds,
        why,
        crossing / main_memory_rate(machine),
        _crosses_main_memory(prediction),
        executed_format(setting, stored) or stored,
        float(peak),
    )


def main_memory_rate(machine: Machine) -> float:
    """Return the sustained bandwidth of a device's main memory in bytes per second."""
    memory = f"memories.{machine.main_memory}."
    facts = machine.facts
    return float(facts[memory + "bandwidth"] * facts.get(memory + "sustained_fraction", 1.0))


def _unable(
    device_engine: DeviceEngine, prediction: Prediction, lowered: Lowered
) -> dict[int, str]:
    """Return the missing capability of the engine for each row that it cannot run."""
    setting = prediction.setting
    lacking: dict[int, str] = {}
    for i, (row, kernel) in enumerate(zip(lowered.rows, lowered.kernels, strict=True)):
        for operator in kernel.operators:
            if missing := lacks(device_engine, operator):
                lacking[i] = missing
        if row.products:
            required_format = pair_format(setting, row.pair)
            if not executed_format(setting, required_format):
                lacking[i] = f"format {required_format}"
    return lacking


def lacks(device_engine: DeviceEngine, operator: Operator) -> str:
    """Return the missing capability of an engine for an operator, by its spec; empty if none."""
    listed = device_engine.machine.device.engine(device_engine.engine).operators
    if listed is None:
        return ""
    kind = operator.kind.removesuffix(UNFUSED_SUFFIX)
    if kind not in listed.classes:
        return f"operator {kind}"
    function = operator.function
    if kind == "elementwise" and listed.functions and function:
        return "" if function in listed.functions else f"function {function}"
    return ""


def _crosses_main_memory(prediction: Prediction) -> dict[str, bool]:
    """Return for each activation whether it passes through main memory on this engine.

    Uses the residency rule of the cost model of the rows (`perfmodel.cost.residency`).
    """
    table = prediction.opened[0]
    setting = prediction.setting
    access = table.accesses
    if access is None:
        return {}
    crosses: Value = np.ones((len(access.tensor), 1))
    for level in setting.levels[:-1]:
        crosses = crosses * crossing(table, setting, usable_capacity(setting, level))
    return {
        access.lifetimes.names[int(tensor)]: bool(passes)
        for tensor, passes in zip(access.tensor, np.asarray(crosses)[:, 0], strict=True)
        if tensor >= 0
    }
