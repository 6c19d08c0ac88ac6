"""Batches of Qwen2.5-Coder-7B in Q8_0 with llama.cpp on a DGX Spark (llama-batched-bench)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from perfmodel.calibrate import Constant
from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.case import Cases, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.predicted_refit import refit
from perfmodel.evaluate.refit import Refit
from perfmodel.measurements import CsvRow, CsvTable

from perfmodel_studies.readers.llama_cpp.rows import (
    decode,
    device_named,
    model_named,
    number,
    precision_of,
    prefill,
    read_cases,
)

__all__ = ["DEVICE", "NAME", "PLACES", "RUNTIME", "TITLE", "load", "refits"]

NAME: Final = "llamacpp_dgx_spark_batched"
TITLE: Final = "llama.cpp on a DGX Spark: batches of Qwen2.5-Coder-7B in Q8_0"
#: Where its file lies.
PLACES: Final = ("measured/llamacpp_dgx_spark_batched.csv", "llamacpp_dgx_spark_batched.csv")
RUNTIME = "llama_cpp_cuda_spark"
DEVICE = "gb10"
MODELS: Final = {"Qwen2.5-Coder-7B": "qwen_2_5_7b"}
#: Tokens generated beside the prompt, half of 32, while the average step runs.
HALF = 16

_COLUMNS = ("batch", "prompt_len", "tg_tok_s_total", "pp_tok_s", "model")


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table; groups are lengths of prompts."""
    return read_cases(folder, NAME, PLACES, _COLUMNS, partial(_case, devices))


def _case(
    devices: Sequence[str | Path], rows: CsvTable, row: CsvRow, faults: list[Fault]
) -> ValidationCase:
    batch = number(rows, row, "batch", faults)
    prompt = number(rows, row, "prompt_len", faults)
    total = number(rows, row, "tg_tok_s_total", faults)
    reading = number(rows, row, "pp_tok_s", faults)
    said = row.get("model")
    name = f"{said} batch {batch:g} prompt {prompt:g}"
    try:
        model = model_named(said, MODELS)
        step = decode(model, prompt + HALF, total, batch)
        whole = prefill(model, prompt, reading)
        precision = precision_of(said.rpartition(" ")[2], step.workload)
        machine = device_named(DEVICE, devices).machine(RUNTIME)
    except InputError as error:
        return ValidationCase(name, "DGX Spark", reason=str(error.faults[0]))
    return ValidationCase(
        name, "DGX Spark", machine, [step, whole], precision, RUNTIME, group=f"prompt {prompt:g}"
    )


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the constants of batches were fitted, a length of prompts left out at a time."""
    cases = load(folder, devices)
    return [
        refit(cases, target, found, left_out="prompt length", group=lambda case: case.group)
        for target, found in CONSTANTS.items()
    ]


_UNPACK: Final = Constant("runtime.macs_per_clock_per_unit.q8_0", 150.0, 10.0, 4096.0)
CONSTANTS: Final = {
    "latency_s": (Constant("runtime.efficiency.bandwidth", 0.84, 0.3, 1.0), _UNPACK),
    "prefill_latency_s": (_UNPACK, Constant("runtime.efficiency.attention", 0.53, 0.01, 1.2)),
}
