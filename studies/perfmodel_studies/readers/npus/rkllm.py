"""Rockchip's RKLLM: decode rate and time to a first token of small language models.

airockchip/rknn-llm, benchmark.md: a prompt of 128 tokens, then 64 more (a token sees 160 on
average); ``w8a8``, ``w4a16`` and ``w4a16_g128`` (scales for groups of 128 weights).
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

from perfmodel_studies.readers.npus.flat import Flat

__all__ = ["NAME", "PLACES", "TITLE", "load", "refits"]

NAME: Final = "rkllm_bench"
TITLE: Final = "Rockchip's RKLLM: small language models on the RK3588, RK3576, RK3562 and RV1126B"
#: Where its file lies.
PLACES: Final = ("measured/rkllm_bench.csv", "rkllm_bench.csv")
RUNTIME: Final = "rkllm"

#: Model and size as the table has them, in lower case, letters and digits alone -> workload.
MODELS: Final[Mapping[str, str]] = {
    "qwen2 0.5b": "qwen_2_5_0_5b",
    "qwen2.5 0.5b": "qwen_2_5_0_5b",
    "qwen2 1.5b": "qwen_2_5_1_5b",
    "qwen2.5 1.5b": "qwen_2_5_1_5b",
    "qwen3 0.6b": "qwen3_0_6b",
    "qwen3 1.7b": "qwen3_1_7b",
    "qwen3-vl 2b": "qwen3_1_7b",
    "tinyllama 1.1b": "tinyllama_1_1b",
    "internlm2 1.8b": "internlm2_1_8b",
    "gemma2 2b": "gemma_2_2b",
    "telechat2 3b": "telechat2_3b",
    "phi3 3.8b": "phi_3_mini",
    "minicpm4 0.5b": "minicpm4_0_5b",
    "minicpm3 4b": "minicpm3_4b",
    "chatglm3 6b": "chatglm3_6b",
    "deepseekocr 3b(a570m)": "deepseek_ocr_3b",
}
#: Models whose layers no family of the library has, and why.
MISSING: Final[Mapping[str, str]] = {
    "rwkv7": "no family of workloads has RWKV-7's recurrent layers",
    "qwen3.5": "no family of workloads has gated delta networks",
    "gemma3n": "no family of workloads has Gemma 3n's layers (embeddings a layer, AltUp)",
    "gemma4": "no family of workloads has Gemma 4's layers (embeddings a layer)",
}
#: Kind of quantisation -> precision.
PRECISIONS: Final[Mapping[str, str]] = {
    "w8a8": "w8a8kv16",
    "w8a8_g128": "w8g128a8kv16",
    "w8a8_g256": "w8g256a8kv16",
    "w8a8_g512": "w8g512a8kv16",
    "w4a16": "w4a16kv16",
    "w4a16_g32": "w4g32a16kv16",
    "w4a16_g64": "w4g64a16kv16",
    "w4a16_g128": "w4g128a16kv16",
    "w4a8": "w4a8kv16",
}

_COLUMNS = ("device", "model", "size", "dtype", "seqlen", "new_tokens", "ttft_ms", "tok_s")


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table: decode is its primary target."""
    with measured_table(folder, NAME, PLACES, _COLUMNS) as (rows, faults, note):
        cases = [_case(rows, row, devices, faults) for row in rows]
    return Cases(NAME, cases, notes=note)


def _case(
    rows: CsvTable, row: CsvRow, devices: Sequence[str | Path], faults: list[Fault]
) -> ValidationCase:
    device, kind = row.get("device"), row.get("dtype").lower()
    speed = rows.number(row, "tok_s", faults)
    first = rows.number(row, "ttft_ms", faults, scale=1e-3)
    prompt = rows.number(row, "seqlen", faults) or 128.0
    new = rows.number(row, "new_tokens", faults) or 64.0
    said = f"{row.get('model')} {row.get('size')}".lower()
    name = f"{device} {row.get('model')} {row.get('size')} {kind}"
    bare = said.partition(" ")[0].replace("-", "")
    try:
        model = MODELS.get(said)
        if model is None:
            raise InputError(Fault(MISSING.get(bare, f"no workload of the library is '{said}'")))
        if kind not in PRECISIONS:
            raise InputError(Fault(f"no precision is known as '{kind}'"))
        machine = hardware(device.lower(), devices)
    except InputError as error:
        return ValidationCase(name, device, reason=str(error.faults[0]))
    asked: list[MeasuredQuantity] = []
    if speed:
        step = find(model, {"phase": "decode", "batch": 1, "context": prompt + new / 2.0})
        asked.append(MeasuredQuantity("latency_s", "latency_s", 1.0 / speed, step))
    if first:
        whole = find(model, {"phase": "prefill", "batch": 1, "prompt": prompt})
        asked.append(MeasuredQuantity("ttft_s", "latency_s", first, whole))
    return ValidationCase(name, device, machine, asked, PRECISIONS[kind], RUNTIME, group=model)


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the runtime's constants were fitted, a chip or a network left out at a time."""
    cases = load(folder, devices)
    out: list[Refit] = []
    for target, constants in (("latency_s", DECODE), ("ttft_s", FIRST)):
        asked = cases.asked(target)
        flat = Flat(asked)
        for what in ("network", "chip"):
            groups = [case.group if what == "network" else case.device for case, _ in asked]
            name = f"{target}, {what} left out"
            out.append(Refit(name, flat.measured, groups, constants, flat, what))
    return out


#: Of a step of one token.
DECODE: Final = (
    Constant("runtime.efficiency.bandwidth", 0.81, 0.3, 1.2),
    Constant("runtime.kernels.gemm.int4.bandwidth_share", 0.9, 0.5, 1.0),
    Constant("runtime.kernels.gemm.int4g128.bandwidth_share", 0.9, 0.5, 1.0),
    Constant("runtime.per_operator", 10e-6, 1e-8, 1e-3),
)
#: Of a prompt; experts are those of one network, without which they are products like others.
FIRST: Final = (
    Constant("runtime.kernels.gemm.int8.peak_share", 0.2, 0.01, 1.0),
    Constant("runtime.kernels.gemm.int4.peak_share", 0.4, 0.01, 2.0),
    Constant("runtime.kernels.gemm.int4g128.peak_share", 0.3, 0.01, 2.0),
    Constant("runtime.kernels.moe.peak_share", 0.2, 0.001, 1.0, prior=0.05),
    Constant("runtime.kernels.elementwise.host_rate", 2e9, 1e8, 1e13),
)
