"""Power of a Jetson AGX Orin while Llama-2-7B decodes in two bits: llama.cpp and T-MAC.

microsoft/T-MAC, docs; jetson-stats, the module without a power cap (MAXN).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.case import Cases, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.measurements import CsvRow, CsvTable

from perfmodel_studies.readers.llama_cpp.rows import (
    decode,
    device_named,
    model_named,
    number,
    read_cases,
)
from perfmodel_studies.readers.llama_cpp.t_mac import (
    DEVICES,
    MEAN_CONTEXT,
    MODELS,
    machine_of,
    precisions,
)

__all__ = ["NAME", "PLACES", "TITLE", "load"]

NAME: Final = "tmac_orin_energy"
TITLE: Final = "Energy a token on a Jetson AGX Orin: llama.cpp on CPU and GPU, T-MAC on the CPU"
#: Where its file lies.
PLACES: Final = ("measured/tmac_orin_energy.csv", "tmac_orin_energy.csv")
CUDA = "llama_cpp_cuda"

_COLUMNS = ("framework", "tok_s", "energy_j_per_token", "device", "model", "threads")
_CORES = 12.0


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table; groups are frameworks."""
    notes = (
        "power of the CPU cores is that of a row of this table, of the GPU the module's limit",
    )
    return read_cases(folder, NAME, PLACES, _COLUMNS, partial(_case, devices), notes)


def _case(
    devices: Sequence[str | Path], rows: CsvTable, row: CsvRow, faults: list[Fault]
) -> ValidationCase:
    framework, device = row.get("framework"), row.get("device").partition(" (")[0]
    speed = number(rows, row, "tok_s", faults)
    joule = number(rows, row, "energy_j_per_token", faults)
    said = row.get("model").replace(" W2", " (W2)").replace(" W4", " (W4)")
    try:
        model = model_named(said, MODELS)
        spec = device_named(DEVICES.get(device, device), devices)
        file, table = precisions(said, model)
        if "GPU" in framework:
            machine, precision = spec.machine(CUDA), file
        elif framework.startswith("T-MAC"):
            machine, precision = machine_of(spec, "t_mac", _CORES), table
        else:
            machine, precision = machine_of(spec, "llama_cpp_cpu", _CORES), file
    except InputError as error:
        return ValidationCase(framework, device, reason=str(error.faults[0]))
    ask = decode(model, MEAN_CONTEXT, speed)
    energy = replace(ask, target="energy_j", metric="energy_j", measured=joule)
    return ValidationCase(
        framework, device, machine, [ask, energy], precision, machine.runtime, group=framework
    )
