"""MLPerf Tiny on microcontrollers: four networks by library and part, latency and power.

Energy runs may be at another clock than latency runs: their power stands for itself, and their
energy is asked for at the clock that the rate of that run tells. ``sww`` is a stream, not an
inference, and is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from perfmodel.calibrate import Constant
from perfmodel.errors import Fault, InputError
from perfmodel.hardware.library import hardware
from perfmodel.hardware.machine import Machine
from perfmodel.measurements import Row, Rows, read_rows
from perfmodel.validate.case import Case, Cases, Question
from perfmodel.validate.files import DataFolder
from perfmodel.validate.mcus.counts import TERMS, clocks, counts
from perfmodel.validate.mcus.libraries import UNSEEN, library_of
from perfmodel.validate.refit import Refit
from perfmodel.workload.library import find

__all__ = ["NAME", "PLACES", "TITLE", "load", "refits"]

NAME: Final = "mlperf_tiny"
TITLE: Final = "MLPerf Tiny: four int8 networks on microcontrollers, latency, power and energy"
#: Where its file lies.
PLACES: Final = ("measured/mlperf_tiny.csv", "mlperf_tiny.csv")
_COLUMNS = ("version", "division", "submitter", "system", "soc_key", "class", "benchmark",
            "latency_ms", "processor_freq", "framework")  # fmt: skip
_NETWORKS: Final = {name: f"mlperf_tiny_{name}" for name in ("ic", "kws", "vww", "ad")}
#: Accelerators that are no microcontroller's core.
_OTHERS: Final = {
    "NDP9120": "a neural decision processor: its engine is no microcontroller's core",
    "Snapdragon": "a phone's sensing hub: its engine is not described",
    "OctopusB1": "the core of the part is not described",
    "ZCU106": "an accelerator on an FPGA",
}
#: Parts that differ by what the system description says.
_ANDES: Final = {"d25": "andes_d25f", "d45": "andes_d45", "ax45": "rz_five", "tinkerv": "rz_five"}
#: Microarchitecture of a part that has a fitted factor; others are the reference, or stand alone.
_CORES: Final = {
    "stm32u575": "cortex_m33", "stm32f746": "cortex_m7", "stm32g0b1": "cortex_m0_plus",
}  # fmt: skip
_MARGIN = 0.02


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the closed division; groups are networks.

    Each part is the library's device of that name at the clock that the row states.
    """
    path = folder.need(NAME, *PLACES)
    rows = read_rows(path)
    faults = rows.missing(_COLUMNS)
    if faults:
        raise InputError(faults)
    make = partial(_case, devices)
    made = [make(rows, row, faults) for row in rows if row.get("benchmark") != "sww"]
    if faults:
        raise InputError(faults)
    notes = ("networks of the open division are not the benchmark's; rows of sww are left out",
             *folder.note(path))  # fmt: skip
    return Cases(NAME, made, notes=notes)


def _case(devices: Sequence[str | Path], rows: Rows, row: Row, faults: list[Fault]) -> Case:
    part, net = row.get("soc_key"), row.get("benchmark")
    name = f"{row.get('version')} {row.get('submitter')} {row.get('system')} {net}"
    latency = rows.number(row, "latency_ms", faults, scale=1e-3)
    why = _not_predicted(row)
    if why or net not in _NETWORKS:
        return Case(name, part, group=net, reason=why or f"no network of the library is '{net}'")
    library = _library(row)
    try:
        device = hardware(_device(row), devices)
        clock = _hertz(row.get("processor_freq"))
        changes = {"engines.cpu.clock": clock} if clock else {}
        volts = _supply(row.get("hw_notes"))
        if volts is not None and "engines.cpu.nominal_supply" in device.machine(library):
            changes["engines.cpu.supply"] = volts
        machine = device.machine(library).vary(changes)
    except InputError as error:
        return Case(name, part, group=net, reason=str(error.faults[0]))
    questions = _questions(rows, row, net, latency, faults)
    return Case(name, part, machine, questions, "int8", library, group=net)


def _questions(
    rows: Rows, row: Row, net: str, latency: float | None, faults: list[Fault]
) -> list[Question]:
    work = find(_NETWORKS[net], {})
    out: list[Question] = []
    if latency:
        out.append(Question("latency_s", "latency_s", latency, work))
    optional = {"power_w": ("power_mw_energy_run", 1e-3), "energy_j": ("energy_uj_per_inf", 1e-6)}
    rate = _optional(rows, row, "throughput_energy_run", 1.0, faults)
    for target, (column, scale) in optional.items():
        measured = _optional(rows, row, column, scale, faults)
        # Energy of a run at another clock is not that of the latency run.
        same = latency is None or rate is None or abs(rate * latency - 1.0) < _MARGIN
        if measured is not None and (target == "power_w" or same):
            out.append(Question(target, target, measured, work))
    return out


def _optional(rows: Rows, row: Row, column: str, scale: float, faults: list[Fault]) -> float | None:
    return rows.number(row, column, faults, scale=scale) if row.get(column) else None


def _not_predicted(row: Row) -> str:
    if row.get("division") != "closed":
        return "the open division ran another network"
    if row.get("class") == "fpga":
        return "a design on an FPGA"
    return _OTHERS.get(row.get("soc_key"), "")


def _library(row: Row) -> str:
    return library_of(
        row.get("version"), row.get("submitter"), row.get("system"), row.get("framework"),
        accelerator=row.get("accelerator"), processor=row.get("processor"),
    )  # fmt: skip


def _device(row: Row) -> str:
    part, notes = row.get("soc_key"), row.get("hw_notes").lower()
    if part == "Andes":
        system = row.get("system").lower()
        found = [name for mark, name in _ANDES.items() if mark in system]
        if not found:
            raise InputError(Fault(f"no device of the library is '{row.get('system')}'"))
        return found[0]
    if part == "AllwinnerD1":
        return "allwinner_d1"
    if part == "STM32L4R5":
        if "smps" in notes:
            return "stm32l4r5_smps"
        return "stm32l4r5_single_bank" if "single bank" in notes else "stm32l4r5"
    return part.lower().replace("-", "_")


def _hertz(text: str) -> float | None:
    """Return the clock that a description writes as ``160 MHz``, ``1Ghz`` or ``277.5M``."""
    found = re.fullmatch(r"\s*([0-9.]+)\s*([GM])\s*(?:hz)?\s*", text, re.IGNORECASE)
    if found is None:
        return None
    return float(found[1]) * (1e9 if found[2].upper() == "G" else 1e6)


def _supply(notes: str) -> float | None:
    """Return the volts that a description writes as ``Operating at 1.8V``."""
    found = re.search(r"Operating at ([0-9.]+)\s*V", notes)
    return float(found[1]) if found else None


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how constants of libraries and cores were fitted, and the power of parts.

    Latency leaves out a library on a part; judged are those whose library and core others show.
    Power leaves out a network.
    """
    cases = load(folder, devices)
    return [_latency(cases), *_power(cases)]


def _latency(cases: Cases, *, everything: bool = False) -> Refit:
    """Return the refit of libraries that ran on several parts, or of all."""
    found = [
        (case, q)
        for case in cases.cases
        if case.machine is not None
        for q in case.questions
        if q.target == "latency_s"
    ]
    if not everything:
        ran = {(str(case.runtime), _part(case)) for case, _ in found}
        many = {name for name, _ in ran if sum(other == name for other, _ in ran) > 1}
        found = [(case, q) for case, q in found if str(case.runtime) in many]
    libraries = [str(case.runtime) for case, _ in found]
    parts = [_part(case) for case, _ in found]
    cores = [_CORES.get(part, part if part not in _REFERENCE else "") for part in parts]
    known = {q.workload.name: counts(q.workload) for _, q in found}
    done = np.array([known[q.workload.name][0] for _, q in found])
    beside = np.array([known[q.workload.name][1] for _, q in found])
    clock = np.array([_clock(case) for case, _ in found])
    constants = _constants(libraries)
    groups = [f"{library} on {part}" for library, part in zip(libraries, parts, strict=True)]
    measured = np.array([q.measured for _, q in found])
    return Refit(
        "latency_s", measured, groups, constants,
        lambda values: clocks(done, beside, libraries, cores, values) / clock,
        "library on a part", judged=_judged(libraries, parts),
    )  # fmt: skip


#: Parts with the reference core, a Cortex-M4.
_REFERENCE: Final = ("stm32l4r5", "m467", "psoc62")


def _part(case: Case) -> str:
    assert isinstance(case.machine, Machine)
    return case.machine.device.name.removesuffix("_single_bank").removesuffix("_smps")


def _clock(case: Case) -> float:
    assert isinstance(case.machine, Machine)
    return float(case.machine.facts["engines.cpu.clock"])


def _judged(libraries: Sequence[str], parts: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return which rows have their library on another part, and their core under another one."""
    pairs = set(zip(libraries, parts, strict=True))

    def seen(library: str, part: str) -> bool:
        core = _CORES.get(part)
        others = pairs - {(library, part)}
        elsewhere = any(name == library for name, _ in others)
        alike = core is None and part in _REFERENCE
        return elsewhere and (alike or any(p == part for _, p in others))

    return np.array([seen(a, b) for a, b in zip(libraries, parts, strict=True)])


def _constants(libraries: Sequence[str]) -> list[Constant]:
    """Return constants of each library, pulled to those of an unseen one, and of each core."""
    prior = _prior()
    out = [
        Constant(f"{name}.{kernel}.{field}", prior[kernel, field], *_BOUNDS[kernel, field])
        for name in dict.fromkeys(libraries) for kernel, field in TERMS
    ]  # fmt: skip
    start = {"cortex_m33": 0.86, "cortex_m7": 0.6, "cortex_m0_plus": 4.6}
    out += [
        Constant(f"{core}.relative_{kernel}", first, 0.1, 10.0, prior=0.1)
        for core, first in start.items() for kernel in ("conv", "depthwise", "gemm")
    ]  # fmt: skip
    return out


#: Least, most, and weight of the pull to an unseen library. Two networks have depthwise layers:
#: what a tap costs and what it costs more at an edge are told apart by the pull.
_BOUNDS: Final = {
    ("conv", "mac_clocks"): (0.03, 100.0, 0.03),
    ("depthwise", "mac_clocks"): (0.3, 100.0, 0.05),
    ("depthwise", "edge_tap_clocks"): (0.1, 100.0, 0.1),
    ("gemm", "mac_clocks"): (0.03, 100.0, 0.03),
    ("conv", "column_clocks"): (0.1, 30.0, 0.3),
}


def _prior() -> dict[tuple[str, str], float]:
    """Return the constants of an unseen library, by class of kernels and field."""
    facts = hardware("stm32l4r5").machine(UNSEEN).facts
    return {
        (kernel, field): float(facts[f"runtime.kernels.{kernel}.{field}"])
        for kernel, field in TERMS
    }


def _power(cases: Cases) -> list[Refit]:
    """Return the power of each part from its other networks, time being that of the run."""
    found = [
        (case, q) for case in cases.cases if case.machine is not None for q in case.questions
        if q.target == "power_w" and "engines.cpu.clock_energy" in _facts(case)
    ]  # fmt: skip
    if not found:
        return []
    names = [_facts_name(case) for case, _ in found]
    scale = np.array([_scale(case) for case, _ in found])
    measured = np.array([q.measured for _, q in found])
    constants = [
        Constant(f"{name}.clock_energy", 2e-10, 1e-12, 1e-8) for name in dict.fromkeys(names)
    ]

    def forward(values: Mapping[str, float]) -> npt.NDArray[np.float64]:
        return np.array([values[f"{name}.clock_energy"] for name in names]) * scale

    return [
        Refit("power_w", measured, [case.group for case, _ in found], constants, forward,
              "network")
    ]  # fmt: skip


def _facts(case: Case) -> dict[str, float]:
    assert isinstance(case.machine, Machine)
    return dict(case.machine.facts)


def _facts_name(case: Case) -> str:
    """Return the device and the software of a case: kernels differ in what a clock draws."""
    assert isinstance(case.machine, Machine)
    return f"{case.machine.device.name}, {case.runtime}"


def _scale(case: Case) -> float:
    facts = _facts(case)
    ratio = facts.get("engines.cpu.supply", facts["engines.cpu.nominal_supply"])
    ratio /= facts["engines.cpu.nominal_supply"]
    return facts["engines.cpu.clock"] * ratio ** facts["engines.cpu.supply_exponent"]
