"""llama.cpp on Apple silicon: prompt and generation speed of Llama-2-7B, from its discussion 4167.

``tg128`` generates 128 tokens after an empty prompt, so a token sees 64 others on average;
``pp512`` reads a prompt of 512 (llama-bench's names).
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
from perfmodel.formats import Precision, as_precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.hardware.machine import Machine
from perfmodel.measurements import CsvRow, CsvTable
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

from perfmodel_studies.readers.llama_cpp.refit import refit

NAME = "llamacpp_apple_4167"
TITLE = "llama.cpp on Apple silicon: Llama-2-7B in F16, Q8_0 and Q4_0, decode and prefill"
#: Where its file lies.
PLACES = ("measured/llamacpp_apple_4167.csv", "llamacpp_apple_4167.csv")
RUNTIME = "llama_cpp_metal"
MODELS = {"LLaMA 7B v2": "llama_2_7b", "LLaMA-2-7B": "llama_2_7b"}

MEAN_CONTEXT = 64
PROMPT = 512

_COLUMNS = ("chip", "gpu_cores", "mem_bw_gb_s_as_listed", "model", "quant", "tg128_tok_s")


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table.

    Each chip is the library's device of that name with the row's core count and bandwidth.
    """
    with measured_table(folder, NAME, PLACES, _COLUMNS) as (rows, faults, note):
        cases = [_case(rows, row, devices, faults) for row in rows]
    return Cases(NAME, cases, notes=note)


def _case(
    rows: CsvTable, row: CsvRow, devices: Sequence[str | Path], faults: list[Fault]
) -> ValidationCase:
    chip, quant = row.get("chip"), row.get("quant")
    cores = rows.number(row, "gpu_cores", faults)
    bandwidth = rows.number(row, "mem_bw_gb_s_as_listed", faults, scale=1e9)
    decode = rows.number(row, "tg128_tok_s", faults)
    prefill = rows.number(row, "pp512_tok_s", faults)
    name = f"{chip} {row.get('gpu_cores')} cores {quant}"
    try:
        machine, precision = _machine(chip, cores, bandwidth, devices), _precision(quant)
        model = MODELS.get(row.get("model"))
        if model is None:
            raise InputError(Fault(f"no model of the library is '{row.get('model')}'"))
        questions = _questions(model, decode, prefill)
    except InputError as error:
        return ValidationCase(name, chip, reason=str(error.faults[0]))
    if not questions:
        return ValidationCase(name, chip, reason="no speed was measured")
    return ValidationCase(name, chip, machine, questions, precision, RUNTIME, group=quant)


def _machine(
    chip: str, cores: float | None, bandwidth: float | None, devices: Sequence[str | Path]
) -> Machine:
    device: Device = hardware("apple_" + chip.lower().replace(" ", "_"), devices)
    changes = {"engines.main.units": cores, "memories.main.bandwidth": bandwidth}
    machine = device.machine(RUNTIME)
    return machine.vary({path: value for path, value in changes.items() if value is not None})


def _precision(quant: str) -> Precision:
    return as_precision(quant.lower())


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the constants of the Metal backend were fitted, a chip left out at a time."""
    cases = load(folder, devices)
    parts = (("latency_s", DECODE), ("prefill_latency_s", PREFILL))
    by_chip = [refit(cases, target, found, left_out="chip") for target, found in parts]
    by_generation = [
        refit(cases, target, found, left_out="generation", group=lambda case: case.device[:2],
              name=f"{target}, generations")
        for target, found in parts
    ]  # fmt: skip
    return by_chip + by_generation


DECODE: Final = (
    Constant("runtime.efficiency.bandwidth", 0.95, 0.3, 1.0),
    Constant("runtime.draw_bytes_per_clock_per_unit", 13.0, 1.0, 100.0),
    Constant("runtime.per_layer_clocks", 265e3, 1e3, 1e7),
)
PREFILL: Final = tuple(
    Constant(f"runtime.efficiency.gemm.{name}", start, 0.1, 1.2)
    for name, start in (("fp16", 0.7), ("q8_0", 0.65), ("q4_0", 0.65))
)


def decode_step() -> Workload:
    """Return what ``tg128`` runs for a token."""
    return find("llama_2_7b", {"phase": "decode", "batch": 1, "context": MEAN_CONTEXT})


def prompt() -> Workload:
    """Return what ``pp512`` runs."""
    return find("llama_2_7b", {"phase": "prefill", "batch": 1, "prompt": PROMPT})


def _questions(model: str, decode: float | None, prefill: float | None) -> list[MeasuredQuantity]:
    out: list[MeasuredQuantity] = []
    if decode is not None:
        step = find(model, {"phase": "decode", "batch": 1, "context": MEAN_CONTEXT})
        out.append(MeasuredQuantity("latency_s", "latency_s", 1.0 / decode, step))
    if prefill is not None:
        whole = find(model, {"phase": "prefill", "batch": 1, "prompt": PROMPT})
        out.append(MeasuredQuantity("prefill_latency_s", "latency_s", PROMPT / prefill, whole))
    return out
