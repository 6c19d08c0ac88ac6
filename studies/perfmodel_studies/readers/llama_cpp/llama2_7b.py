"""Llama-2-7B in Q4_0 with llama.cpp of 2025 on CUDA and Vulkan, from its discussions.

``tg128`` generates 128 tokens after an empty prompt, ``pp512`` reads a prompt of 512. Builds differ
from row to row.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from perfmodel.calibrate import Constant
from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.predicted_refit import refit
from perfmodel.evaluate.refit import Refit
from perfmodel.measurements import CsvRow, CsvTable

from perfmodel_studies.readers.llama_cpp.rows import (
    decode,
    device_named,
    model_named,
    precision_of,
    prefill,
    read_cases,
    token,
)

__all__ = ["NAME", "PLACES", "TITLE", "load", "refits"]

NAME: Final = "llamacpp_gpu_llama2_7b_q4_0"
TITLE: Final = "llama.cpp on GPUs, CUDA and Vulkan builds of 2025: Llama-2-7B in Q4_0"
#: Where its file lies.
PLACES: Final = ("measured/llamacpp_gpu_llama2_7b_q4_0.csv", "llamacpp_gpu_llama2_7b_q4_0.csv")
CUDA, VULKAN = "llama_cpp_cuda_2025", "llama_cpp_vulkan"
MODELS: Final = {"Llama 2 7B": "llama_2_7b"}
#: Devices whose names in the table are not the library's.
NAMES: Final = {"A100 80GB": "a100", "Strix Halo Radeon 8060S": "radeon_8060s"}

MEAN_CONTEXT = 64
PROMPT = 512

_COLUMNS = ("gpu", "backend", "model", "quant", "pp512_tok_s", "tg128_tok_s")


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table; groups are backends."""
    return read_cases(folder, NAME, PLACES, _COLUMNS, partial(_case, devices))


def _case(
    devices: Sequence[str | Path], rows: CsvTable, row: CsvRow, faults: list[Fault]
) -> ValidationCase:
    gpu, backend = row.get("gpu"), row.get("backend")
    speeds = [rows.number(row, column, faults) for column in ("tg128_tok_s", "pp512_tok_s")]
    group = backend.partition("+")[0]
    try:
        model = model_named(row.get("model"), MODELS)
        runtime = {"CUDA": CUDA, "Vulkan": VULKAN}.get(group)
        if runtime is None:
            raise InputError(Fault(f"no runtime of the library is llama.cpp's '{backend}'"))
        machine = device_named(NAMES.get(gpu, gpu), devices).machine(runtime)
        precision = precision_of(row.get("quant"), token(model, MEAN_CONTEXT))
    except InputError as error:
        return ValidationCase(gpu, gpu, reason=str(error.faults[0]))
    asks: list[MeasuredQuantity] = []
    if speeds[0] is not None:
        asks.append(decode(model, MEAN_CONTEXT, speeds[0]))
    if speeds[1] is not None:
        asks.append(prefill(model, PROMPT, speeds[1]))
    if not asks:
        return ValidationCase(gpu, gpu, reason="no speed was measured")
    return ValidationCase(f"{gpu} {backend}", gpu, machine, asks, precision, runtime, group=group)


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the constants of the builds of 2025 were fitted, a GPU left out at a time.

    The CUDA build keeps the share of bandwidth and the ceiling that the builds of 2024 have.
    """
    cases = load(folder, devices)
    return [
        refit(cases, target, constants, left_out="GPU", name=f"{target}, {backend}",
              where=lambda case, backend=backend: case.group == backend)
        for backend, targets in CONSTANTS.items()
        for target, constants in targets.items()
    ]  # fmt: skip


CONSTANTS: Final = {
    "CUDA": {
        "latency_s": (Constant("runtime.per_layer", 42e-6, 1e-6, 1e-3),),
        "prefill_latency_s": (
            Constant("runtime.macs_per_clock_per_unit.q4_0", 240.0, 10.0, 4096.0),
        ),
    },
    "Vulkan": {
        "latency_s": (
            Constant("runtime.efficiency.bandwidth", 0.78, 0.1, 1.0),
            Constant("runtime.per_layer", 22e-6, 1e-6, 1e-3),
        ),
        "prefill_latency_s": (
            Constant("runtime.macs_per_clock_per_unit.q4_0", 145.0, 10.0, 4096.0),
        ),
    },
}
