"""Mixtures of experts with llama.cpp on a DGX Spark, by tokens in the cache.

``tg32`` generates 32 tokens and ``pp2048`` reads 2048 after that many others (llama-bench, flash
attention, micro-batches of 2048, build 6918).
"""

from __future__ import annotations

import re
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
from perfmodel.workload.library import find

from perfmodel_studies.readers.llama_cpp.rows import (
    decode,
    device_named,
    model_named,
    number,
    precision_of,
    prefill,
    read_cases,
)
from perfmodel_studies.readers.llama_cpp.spark_batched import DEVICE, RUNTIME

__all__ = ["NAME", "PLACES", "TITLE", "load", "refits"]

NAME: Final = "llamacpp_dgx_spark_depth"
TITLE: Final = "llama.cpp on a DGX Spark: gpt-oss and Qwen3 30B-A3B by tokens in the cache"
#: Where its file lies.
PLACES: Final = ("measured/llamacpp_dgx_spark_depth.csv", "llamacpp_dgx_spark_depth.csv")
MODELS: Final = {
    "gpt-oss 20B": "gpt_oss_20b", "gpt-oss 120B": "gpt_oss_120b",
    "qwen3moe 30B.A3B": "qwen3_30b_a3b",
}  # fmt: skip
FILES: Final = {"MXFP4": "mxfp4_moe"}

_COLUMNS = ("model", "test", "kv_depth", "tok_s")
_TEST = re.compile(r"(pp|tg)(\d+)")


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table; groups are models."""
    return read_cases(folder, NAME, PLACES, _COLUMNS, partial(_case, devices))


def _case(
    devices: Sequence[str | Path], rows: CsvTable, row: CsvRow, faults: list[Fault]
) -> ValidationCase:
    said, test = row.get("model"), row.get("test")
    depth = rows.number(row, "kv_depth", faults, above_zero=False) or 0.0
    speed = number(rows, row, "tok_s", faults)
    name = f"{said} {test} after {depth:g}"
    try:
        model = model_named(said, MODELS)
        ask = _question(model, test, depth, speed)
        quant = said.rpartition(" ")[2]
        precision = precision_of(FILES.get(quant, quant), ask.workload)
        machine = device_named(DEVICE, devices).machine(RUNTIME)
    except InputError as error:
        return ValidationCase(name, "DGX Spark", reason=str(error.faults[0]))
    return ValidationCase(name, "DGX Spark", machine, [ask], precision, RUNTIME, group=said)


def _question(model: str, test: str, depth: float, speed: float) -> MeasuredQuantity:
    found = _TEST.fullmatch(test)
    if found is None:
        raise InputError(Fault(f"'{test}' is no test of llama-bench", expected="pp2048 or tg32"))
    tokens = float(found[2])
    if found[1] == "tg":
        return decode(model, depth + tokens / 2, speed)
    if not depth:
        return prefill(model, tokens, speed)
    work = find(model, {"phase": "extend", "batch": 1, "prompt": tokens, "past": depth})
    return MeasuredQuantity("prefill_latency_s", "latency_s", tokens / speed, work)


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the constants of mixtures were fitted, a depth or a model left out at a time."""
    cases = load(folder, devices)
    return [
        refit(cases, target, constants, left_out=label, group=group, name=f"{target}, {label}")
        for target, constants in CONSTANTS.items()
        for label, group in (("depth", _depth), ("model", _model))
    ]


def _model(case: ValidationCase) -> str:
    return case.group


def _depth(case: ValidationCase) -> str:
    return case.name.rpartition(" ")[2]


CONSTANTS: Final = {
    "latency_s": (
        Constant("runtime.efficiency.bandwidth", 0.84, 0.3, 1.0),
        Constant("runtime.efficiency.cache", 0.85, 0.1, 1.2),
        Constant("runtime.per_layer", 50e-6, 1e-6, 1e-3),
    ),
    "prefill_latency_s": (
        Constant("runtime.efficiency.moe", 0.15, 0.01, 1.2),
        Constant("runtime.efficiency.attention", 0.4, 0.01, 1.2),
    ),
}
