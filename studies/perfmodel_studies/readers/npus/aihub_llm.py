"""Qualcomm's AI Hub: language models under Genie on Hexagon neural processors.

quic/ai-hub-models, ``llm_metrics`` of each model. A graph has a fixed shape: it works on 128 tokens
of a prompt, or on one new token, beside a cache of the whole context; a long prompt takes as many
runs as it has 128 tokens (the longest time to a first token is that multiple of the shortest).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from perfmodel.calibrate import Constant
from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.measured_table import measured_table
from perfmodel.evaluate.refit import Refit
from perfmodel.hardware.library import hardware
from perfmodel.measurements import CsvRow, CsvTable
from perfmodel.workload.library import find

from perfmodel_studies.readers.npus.aihub_graphs import CHIPS
from perfmodel_studies.readers.npus.flat import Flat

__all__ = ["DECODE", "FIRST", "NAME", "PLACES", "TITLE", "load", "refits"]

NAME: Final = "qualcomm_aihub_llm"
TITLE: Final = "Qualcomm AI Hub: language models on Hexagon neural processors"
#: Where its file lies.
PLACES: Final = ("measured/qualcomm_aihub_llm.csv", "qualcomm_aihub_llm.csv")
RUNTIME: Final = "genie"
#: Tokens of a prompt that one run takes.
CHUNK: Final = 128.0

#: Model of the file -> workload of the library.
MODELS: Final[Mapping[str, str]] = {
    "llama_v2_7b_chat": "llama_2_7b",
    "llama_v3_8b_instruct": "llama_3_8b",
    "llama_v3_1_8b_instruct": "llama_3_8b",
    "llama_v3_1_sea_lion_3_5_8b_r": "llama_3_8b",
    "llama_v3_elyza_jp_8b": "llama_3_8b",
    "llama_v3_taide_8b_chat": "llama_3_8b",
    "llama_v3_2_1b_instruct": "llama_3_2_1b",
    "llama_v3_2_3b_instruct": "llama_3_2_3b",
    "mistral_7b_instruct_v0_3": "mistral_7b",
    "phi_3_5_mini_instruct": "phi_3_mini",
    "qwen2_7b_instruct": "qwen_2_5_7b",
    "qwen2_5_7b_instruct": "qwen_2_5_7b",
    "qwen2_5_1_5b_instruct": "qwen_2_5_1_5b",
    "falcon_v3_7b_instruct": "falcon3_7b",
    "ibm_granite_v3_1_8b_instruct": "granite_3_1_8b",
    "baichuan2_7b": "baichuan2_7b",
}  # fmt: skip
#: Precision of the file -> that of the library: activations are 16-bit integers or floats.
PRECISIONS: Final[Mapping[str, str]] = {"w4a16": "w4a16kv8", "w4": "w4a16kv16"}

_COLUMNS = (
    "model", "precision", "device", "context_length", "ttft_ms_min", "ttft_ms_max", "tokens_per_s",
)  # fmt: skip


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the file: decode is its primary target."""
    with measured_table(folder, NAME, PLACES, _COLUMNS) as (rows, faults, note):
        cases = [_case(rows, row, devices, faults) for row in rows]
    return Cases(NAME, cases, notes=note)


def _case(
    rows: CsvTable, row: CsvRow, devices: Sequence[str | Path], faults: list[Fault]
) -> ValidationCase:
    device, model, kind = row.get("device"), row.get("model"), row.get("precision")
    context = rows.number(row, "context_length", faults)
    first = rows.number(row, "ttft_ms_min", faults, scale=1e-3)
    longest = rows.number(row, "ttft_ms_max", faults, scale=1e-3)
    speed = rows.number(row, "tokens_per_s", faults)
    name = f"{device} {model} {kind}"
    chip = CHIPS.get(device)
    if chip is None and "S24" in device:
        chip = CHIPS["Samsung Galaxy S24"]
    workload = MODELS.get(model)
    if chip is None:
        return ValidationCase(name, device, reason=f"no chip of the library is '{device}'")
    if workload is None:
        return ValidationCase(name, device, reason=f"no workload of the library is '{model}'")
    if kind not in PRECISIONS:
        return ValidationCase(name, device, reason=f"no precision is known as '{kind}'")
    if not context:
        return ValidationCase(name, device, reason="no context length is stated")
    try:
        machine = hardware(chip, devices)
    except InputError as error:
        return ValidationCase(name, device, reason=str(error.faults[0]))
    asked: list[MeasuredQuantity] = []
    if speed:
        step = find(workload, {"phase": "decode", "batch": 1, "context": context})
        asked.append(MeasuredQuantity("latency_s", "latency_s", 1.0 / speed, step))
    if first and longest and longest > first:  # else it is of a prompt whose length is not said
        run = {"phase": "extend", "batch": 1, "prompt": CHUNK, "past": context - CHUNK}
        asked.append(MeasuredQuantity("ttft_s", "latency_s", first, find(workload, run)))
    return ValidationCase(name, device, machine, asked, PRECISIONS[kind], RUNTIME, group=kind)


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the runtime's constants were fitted, a device left out at a time."""
    cases = load(folder, devices)
    out: list[Refit] = []
    for target, constants in (("latency_s", DECODE), ("ttft_s", FIRST)):
        asked = cases.asked(target)
        groups = [case.device for case, _ in asked]
        if len(set(groups)) > 1:
            flat = Flat(asked)
            out.append(Refit(target, flat.measured, groups, constants, flat))
    return out


#: Of a step of one token.
DECODE: Final = (
    Constant("runtime.efficiency.bandwidth", 0.8, 0.2, 0.95),
    Constant("runtime.per_layer", 1e-3, 1e-7, 1e-2),
)
#: Of 128 tokens of a prompt.
FIRST: Final = (
    Constant("runtime.kernels.gemm.peak_share", 0.3, 0.01, 1.2),
    Constant("runtime.kernels.batched_gemm.peak_share", 0.05, 1e-4, 1.2),
)
