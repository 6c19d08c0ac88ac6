"""MLPerf Tiny on microcontrollers: four networks by library and part, latency and power.

Energy runs may be at another clock than latency runs: their power stands for itself, and their
energy is asked for at the clock that the rate of that run tells. ``sww`` is a stream, not an
inference, and is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import perfmodel as pm
from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.data_files import DataFolder, measured_table
from perfmodel.evaluate.refit import Refit
from perfmodel.evaluate.validation_case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.measurement_csv import CsvRow, CsvTable

from perfmodel_studies.readers.mcus.fpga_designs import fpga_case
from perfmodel_studies.readers.mcus.libraries import library_of
from perfmodel_studies.readers.mcus.mlperf_tiny_refits import latency, power

__all__ = ["NAME", "PLACES", "TITLE", "load", "refits"]

NAME: Final = "mlperf_tiny"
TITLE: Final = "MLPerf Tiny: four int8 networks on microcontrollers, latency, power and energy"
#: Where its file lies.
PLACES: Final = ("measured/mlperf_tiny.csv", "mlperf_tiny.csv")
_COLUMNS = (
    "version",
    "division",
    "submitter",
    "system",
    "soc_key",
    "class",
    "benchmark",
    "latency_ms",
    "processor_freq",
    "framework",
)
_NETWORKS: Final = {name: f"mlperf_tiny_{name}" for name in ("ic", "kws", "vww", "ad")}
#: Accelerators that are no microcontroller's core.
_OTHERS: Final = {
    "Snapdragon": "a phone's sensing hub: its engine is not described",
    "OctopusB1": "the core of the part is not described",
}
#: Parts that differ by what the system description says.
_ANDES: Final = {
    "AndesCore_d25_tflite_micro_framework": "andes_d25f",
    "AndesCore_d45_tflite_micro_framework": "andes_d45",
    "TinkerV-linux-andes_nn": "rz_five",
}
_MARGIN = 0.02
_NOTE: Final = (
    "networks of the open division are not the benchmark's; rows of sww are left out; a power or "
    "an energy that cannot be predicted counts as a row of its own"
)
#: Target -> column and unit of what a row may have beside its latency.
_OPTIONAL: Final = {
    "power_w": ("power_mw_energy_run", 1e-3),
    "energy_j": ("energy_uj_per_inf", 1e-6),
}


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the closed division; groups are networks.

    Each part is the library's device of that name at the clock that the row states.
    """
    with measured_table(folder, NAME, PLACES, _COLUMNS) as (rows, faults, note):
        make = partial(_cases, devices)
        cases = [
            case
            for row in rows
            if row.get("benchmark") != "sww"
            for case in make(rows, row, faults)
        ]
    return Cases(NAME, cases, notes=(_NOTE, *note))


def _cases(
    devices: Sequence[str | Path], rows: CsvTable, row: CsvRow, faults: list[Fault]
) -> Iterator[ValidationCase]:
    """Yield a row's case, and one for each of its powers and energies that has no prediction."""
    case = _case(devices, rows, row, faults)
    yield case
    if case.machine is None:
        return
    targets = {quantity.target for quantity in case.quantities}
    for target, (column, _) in _OPTIONAL.items():
        if row.get(column) and target not in targets:
            yield ValidationCase(
                f"{case.name} {target}",
                case.device,
                group=case.group,
                reason=f"{target}: {_lost(case)}",
            )


def _lost(case: ValidationCase) -> str:
    """Return why a power or an energy of a row is not predicted though its latency is."""
    machine = case.machine
    device = machine.device if isinstance(machine, pm.Machine) else machine
    if device is None or device.power is None:
        return "the device states no power"
    return "measured at another clock than the latency"


def _case(
    devices: Sequence[str | Path], rows: CsvTable, row: CsvRow, faults: list[Fault]
) -> ValidationCase:
    part, net = row.get("soc_key"), row.get("benchmark")
    name = f"{row.get('version')} {row.get('submitter')} {row.get('system')} {net}"
    latency_s = rows.number(row, "latency_ms", faults, scale=1e-3)
    if row.get("class") == "fpga":
        return fpga_case(devices, row, name, latency_s)
    why = _not_predicted(row)
    if why or net not in _NETWORKS:
        return ValidationCase(
            name, part, group=net, reason=why or f"no network of the library is '{net}'"
        )
    library = _library(row)
    try:
        device = pm.hardware(_device(row), devices)
        clock = _hertz(row.get("processor_freq"))
        changes = {"engines.cpu.clock": clock} if clock else {}
        volts = _supply(row.get("hw_notes"))
        if volts is not None and "engines.cpu.nominal_supply" in device.machine(library):
            changes["engines.cpu.supply"] = volts
        machine = device.machine(library).vary(changes)
    except InputError as error:
        return ValidationCase(name, part, group=net, reason=str(error.faults[0]))
    quantities = _questions(rows, row, net, latency_s, faults)
    if device.power is None:
        quantities = [q for q in quantities if q.target == "latency_s"]
    why = "" if quantities else "neither a latency nor a power that the device states"
    return ValidationCase(
        name,
        part,
        machine if quantities else None,
        quantities,
        "int8",
        library,
        group=net,
        reason=why,
    )


def _questions(
    rows: CsvTable, row: CsvRow, net: str, latency_s: float | None, faults: list[Fault]
) -> list[MeasuredQuantity]:
    work = pm.workload(_NETWORKS[net])
    out: list[MeasuredQuantity] = []
    if latency_s:
        out.append(MeasuredQuantity("latency_s", "latency_s", latency_s, work))
    rate = rows.number(row, "throughput_energy_run", faults)
    for target, (column, scale) in _OPTIONAL.items():
        measured = rows.number(row, column, faults, scale=scale)
        # Energy of a run at another clock is not that of the latency run.
        same = latency_s is None or rate is None or abs(rate * latency_s - 1.0) < _MARGIN
        if measured is not None and (target == "power_w" or same):
            out.append(MeasuredQuantity(target, target, measured, work))
    return out


def _not_predicted(row: CsvRow) -> str:
    if row.get("division") != "closed":
        return "the open division ran another network"
    return _OTHERS.get(row.get("soc_key"), "")


def _library(row: CsvRow) -> str:
    return library_of(
        row.get("version"),
        row.get("submitter"),
        row.get("system"),
        row.get("framework"),
        accelerator=row.get("accelerator"),
        processor=row.get("processor"),
    )


def _device(row: CsvRow) -> str:
    part, notes = row.get("soc_key"), row.get("hw_notes").lower()
    if part == "Andes":
        if row.get("system") not in _ANDES:
            raise InputError(Fault(f"no device of the library is '{row.get('system')}'"))
        return _ANDES[row.get("system")]
    if part == "AllwinnerD1":
        return "allwinner_d1"
    if part == "STM32L4R5":
        if "smps" in notes:
            return "stm32l4r5_smps"
        return "stm32l4r5_single_bank" if "single bank" in notes else "stm32l4r5"
    return part.lower().replace("-", "_")


def _hertz(text: str) -> float | None:
    """Return the clock that a description writes as ``160 MHz``, ``1Ghz`` or ``277.5M``."""
    match = re.fullmatch(r"\s*([0-9.]+)\s*([GM])\s*(?:hz)?\s*", text, re.IGNORECASE)
    if match is None:
        return None
    return float(match[1]) * (1e9 if match[2].upper() == "G" else 1e6)


def _supply(notes: str) -> float | None:
    """Return the volts that a description writes as ``Operating at 1.8V``, or of the core alone."""
    match = re.search(r"(?:Operating at|Core VDD =) ([0-9.]+)\s*V", notes)
    return float(match[1]) if match else None


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how constants of libraries and cores were fitted, and the power of parts.

    Latency leaves out a library on a part; judged are those whose library and core others show.
    Power leaves out a network.
    """
    cases = load(folder, devices)
    return [latency(cases), *power(cases)]
