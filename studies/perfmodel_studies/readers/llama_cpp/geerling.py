"""Many machines with ollama or llama.cpp: graphics boards behind desktop and small hosts, and CPUs.

geerlingguy/ai-benchmarks. Builds, drivers and links to boards differ from row to row and are not in
the table; what a host costs is a factor on the times of launches, by class of host.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from perfmodel.calibrate import Constant
from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.case import Cases, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.predicted_refit import refit
from perfmodel.evaluate.refit import Refit
from perfmodel.hardware.machine import Machine
from perfmodel.measurements import CsvRow, CsvTable

from perfmodel_studies.readers.llama_cpp.hosts import host_of, hosts
from perfmodel_studies.readers.llama_cpp.rows import (
    CHIP,
    decode,
    device_named,
    model_named,
    number,
    precision_of,
    read_cases,
)

__all__ = ["NAME", "PLACES", "TITLE", "load", "refits"]

NAME: Final = "geerling_ai_benchmarks"
TITLE: Final = (
    "ollama and llama.cpp on many machines: graphics boards behind all sorts of hosts, CPUs"
)
#: Where its file lies.
PLACES: Final = ("measured/geerling_ai_benchmarks.csv", "geerling_ai_benchmarks.csv")
MODELS: Final = {
    "DeepSeek R1 14b": "qwen_2_5_14b", "gpt-oss 20b": "gpt_oss_20b", "gpt-oss 120b": "gpt_oss_120b",
    "Llama 3.2:3b": "llama_3_2_3b", "Llama 3.2:1b": "llama_3_2_1b", "Llama 3.1:70b": "llama_3_70b",
    "Llama 3.1:405b": "llama_3_1_405b", "Llama 3.1:8b": "llama_3_8b",
}  # fmt: skip
#: Systems, or what stands in brackets after them, whose CPUs are in the library.
CPUS: Final = {
    "Pi 500+": "raspberry_pi_5", "Pi 500": "raspberry_pi_5", "Pi 5": "raspberry_pi_5",
    "Pi CM5": "raspberry_pi_5", "Pi 400": "raspberry_pi_4", "Pi 4": "raspberry_pi_4",
    "Intel N150": "intel_n150",
}  # fmt: skip
#: Vendor, and whether the part shares memory with a CPU (all of 2025) -> build.
BACKENDS: Final = {
    ("nvidia", False): "llama_cpp_cuda_2025", ("nvidia", True): "llama_cpp_cuda_spark",
    ("amd", False): "llama_cpp_vulkan_2024", ("amd", True): "llama_cpp_vulkan",
    ("intel", False): "llama_cpp_vulkan_arc", ("intel", True): "llama_cpp_vulkan_arc",
}  # fmt: skip
MEAN_CONTEXT = 256

_COLUMNS = ("model", "system", "unit", "eval_tok_s")
_BOARD = re.compile(r"\((?:\d+x )?(?:Nvidia|AMD|Intel(?= Arc)) ?((?:RTX|RX|Pro|Arc)?[^)]*)\)", re.I)
_STRIX = re.compile(r"Framework (?:Desktop )?Mainboard \((?:128GB|395\+)\)|Ryzen AI Max")


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table; groups are vendors of what computes."""
    return read_cases(folder, NAME, PLACES, _COLUMNS, partial(_case, devices))


def _case(
    devices: Sequence[str | Path], rows: CsvTable, row: CsvRow, faults: list[Fault]
) -> ValidationCase:
    system, said = row.get("system"), row.get("model")
    speed = number(rows, row, "eval_tok_s", faults)
    name = f"{said} {system}"
    try:
        model = model_named(said, MODELS)
        ask = decode(model, MEAN_CONTEXT, speed)
        quant = "mxfp4_moe" if model.startswith("gpt_oss") else "q4_k_m"
        precision = precision_of(quant, ask.workload)
        machine, group = _machine(system, row.get("unit"), devices)
    except InputError as error:
        return ValidationCase(name, system, reason=str(error.faults[0]))
    return ValidationCase(name, system, machine, [ask], precision, machine.runtime, group=group)


def _machine(system: str, unit: str, devices: Sequence[str | Path]) -> tuple[Machine, str]:
    if "luster" in system:
        raise InputError(Fault("a cluster of machines is not modelled"))
    if unit == "CPU":
        # "Pi 400 - 4GB", "GMKtec G3 Plus (Intel N150) - 16GB"
        said = re.split(r" - | \(|\)", system.removeprefix("Raspberry "))
        known = next((CPUS[part] for part in said if part in CPUS), None)
        if known is None:
            raise InputError(Fault("no CPU of the library is this system's"))
        spec = device_named(known, devices)
        machine = spec.machine("llama_cpp_cpu_neon" if "arm" in spec.tags else "llama_cpp_cpu_avx2")
        return machine, "CPU"
    if unit != "GPU":
        raise InputError(Fault("what computes is not said, or several do"))
    chip = CHIP.search(system)
    if chip is not None:
        machine = device_named(f"apple {chip[1]}{chip[2] or ''}", devices).machine(
            "llama_cpp_metal_2025"
        )
        cores = re.search(r"(\d+) GPU [Cc]ore", system)
        if cores:
            machine = machine.vary({"engines.main.units": float(cores[1])})
        return machine, "Apple"
    board = _BOARD.search(system)
    if board is None and _STRIX.search(system):
        spec = device_named("radeon_8060s", devices)
    elif board is None:
        raise InputError(Fault("no graphics board is named"))
    else:
        spec = device_named(board[1], devices)
    vendor = next((v for v in ("nvidia", "amd", "intel") if v in spec.tags), "")
    runtime = BACKENDS[vendor, "soc" in spec.tags]
    machine = spec.machine(runtime)
    slow = hosts().get(host_of(system))
    if slow is not None:
        machine = machine.vary({"runtime.host_slowdown": slow.slowdown.value})
    return machine, {"nvidia": "NVIDIA", "amd": "AMD", "intel": "Intel"}.get(vendor, vendor)


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how hosts, and the Vulkan builds of two vendors, were fitted, a system left out."""
    cases = load(folder, devices)
    return [
        refit(cases, "latency_s", constants, left_out="system", name=f"latency_s, {group}",
              where=lambda case, group=group: case.group == group and not _shared(case),
              apply=_facts)
        for group, constants in CONSTANTS.items()
    ]  # fmt: skip


def _shared(case: ValidationCase) -> bool:
    """Tell a part that shares memory with a CPU: its backend is of another year."""
    machine = case.machine
    return isinstance(machine, Machine) and machine.runtime.name == "llama_cpp_vulkan"


def _facts(case: ValidationCase, constants: Mapping[str, float]) -> Mapping[str, float]:
    found = {p: v for p, v in constants.items() if p.startswith("runtime.")}
    host = host_of(case.device)
    if "unpack" in constants:
        head = "runtime.unpack_weights_per_clock_per_unit"
        found |= {f"{head}.{name}": constants["unpack"] for name in ("q4_k", "q6_k")}
    if host in constants:
        found["runtime.host_slowdown"] = constants[host]
    return found


CONSTANTS: Final = {
    "NVIDIA": (Constant("pi", 2.1, 0.2, 20.0), Constant("arm", 4.0, 0.2, 20.0)),
    "Apple": (Constant("unpack", 15.0, 1.0, 200.0),),
    "AMD": (Constant("runtime.efficiency.bandwidth", 0.41, 0.05, 1.0),),
    "Intel": (Constant("runtime.efficiency.bandwidth", 0.25, 0.05, 1.0),),
}
