"""Rockchip's RKNN model zoo: frames a second of vision networks by chip.

airockchip/rknn_model_zoo, README.md: inference alone, the NPU at its highest clock; rows of chips
with several cores say ``@single_core``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from perfmodel.calibrate import Constant
from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.measured_table import measured_table
from perfmodel.evaluate.refit import Refit
from perfmodel.hardware.library import hardware
from perfmodel.hardware.machine import Machine
from perfmodel.measurements import CsvRow, CsvTable

from perfmodel_studies.readers.npus.flat import Flat
from perfmodel_studies.readers.npus.networks import network

__all__ = ["NAME", "PLACES", "TITLE", "load", "refits"]

NAME: Final = "rknn_model_zoo"
TITLE: Final = "Rockchip's RKNN: vision networks on chips of two generations of its NPU"
#: Where its file lies.
PLACES: Final = ("measured/rknn_model_zoo.csv", "rknn_model_zoo.csv")
#: Words of a row's device -> cores that its network runs on.
CORES: Final = {"single_core": 1.0, "dual_core": 2.0, "triple_core": 3.0, "multi_core": 3.0}
#: Tag of a chip -> runtime.
RUNTIMES: Final = {"rknpu1": "rknn_1", "rknpu2": "rknn"}

_COLUMNS = ("model", "dtype", "device", "fps")


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table; a row of two chips is that of the first."""
    with measured_table(folder, NAME, PLACES, _COLUMNS) as (rows, faults, note):
        cases = [_case(rows, row, devices, faults) for row in rows]
    return Cases(NAME, cases, notes=note)


def _case(
    rows: CsvTable, row: CsvRow, devices: Sequence[str | Path], faults: list[Fault]
) -> ValidationCase:
    device, model = row.get("device"), row.get("model")
    speed = rows.number(row, "fps", faults)
    name = f"{device} {model}"
    try:
        machine = machine_of(device, devices)
        workload = network(NAME, model)
    except InputError as error:
        return ValidationCase(name, device, reason=str(error.faults[0]))
    if not speed:
        return ValidationCase(name, device, reason="no speed was measured")
    asked = [MeasuredQuantity("latency_s", "latency_s", 1.0 / speed, workload)]
    precision = "int8" if row.get("dtype").lower() == "int8" else "fp16"
    return ValidationCase(name, device, machine, asked, precision, machine.runtime, group=model)


def machine_of(said: str, devices: Sequence[str | Path]) -> Machine:
    """Return the machine of a row: the first chip that it names, on the cores that it names.

    Raises
    ------
    InputError
        No such chip.
    """
    chips, _, cores = said.partition("@")
    device = hardware(chips.split()[0].lower(), devices)
    runtime = next((r for tag, r in RUNTIMES.items() if tag in device.tags), "rknn")
    machine = device.machine(runtime)
    count = CORES.get(cores.strip().lower())
    path = "runtime.kernels.conv.cores"
    if count is None or path not in machine.facts:
        return machine
    return machine.vary({path: count, "runtime.kernels.batched_gemm.cores": count})


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the constants of both runtimes were fitted, a chip or a network left out."""
    cases = load(folder, devices)
    out: list[Refit] = []
    for runtime in RUNTIMES.values():
        asked = [
            (case, q) for case, q in cases.asked()
            if isinstance(case.machine, Machine) and case.machine.runtime.name == runtime
        ]  # fmt: skip
        chips = list(dict.fromkeys(case.device for case, _ in asked))
        flat = Flat(asked)
        for what in ("chip", "network"):
            if what == "chip" and len(chips) < 2:
                continue
            groups = [case.device if what == "chip" else case.group for case, _ in asked]
            name = f"latency_s, {runtime}, {what} left out"
            out.append(Refit(name, flat.measured, groups, CONSTANTS, flat, what))
    return out


CONSTANTS: Final = (
    Constant("runtime.kernels.conv.peak_share", 0.6, 0.02, 1.2),
    Constant("runtime.kernels.batched_gemm.peak_share", 0.02, 1e-4, 1.2),
    Constant("runtime.kernels.elementwise.silu.result_share", 0.0015, 1e-5, 1.0),
    Constant("runtime.efficiency.bandwidth", 0.4, 0.02, 1.2),
    Constant("runtime.per_operator", 2e-5, 1e-9, 1e-2),
)
