"""Llama 3 with llama.cpp of May 2024 on one to six GPUs, and on Apple silicon.

XiongjieDai/GPU-Benchmarks-on-LLM-Inference: ``tg1024`` generates 1024 tokens (512 others in the
context on average), ``pp1024`` reads a prompt of 1024. Several GPUs share the layers.
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

from perfmodel_studies.readers.llama_cpp.rows import (
    CHIP,
    decode,
    device_named,
    model_named,
    number,
    precision_of,
    prefill,
    read_cases,
    split_over,
)

__all__ = ["NAME", "PLACES", "TITLE", "load", "refits"]

NAME: Final = "llama3_gpu_llamacpp"
TITLE: Final = "llama.cpp on desktop and datacenter GPUs and Apple silicon: Llama 3 8B and 70B"
#: Where its file lies.
PLACES: Final = ("measured/llama3_gpu_llamacpp.csv", "llama3_gpu_llamacpp.csv")
CUDA, METAL = "llama_cpp_cuda", "llama_cpp_metal"
MODELS: Final = {"LLaMA 3 8B": "llama_3_8b", "LLaMA 3 70B": "llama_3_70b"}

MEAN_CONTEXT = 512
PROMPT = 1024

#: As the table has them: prompts that run six times below every other of their kind.
OUTLIERS: Final = {("A100 SXM", "F16"), ("L40S", "F16")}

_COLUMNS = ("gpu", "n_gpu", "model", "mode", "tok_s")


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table: decode is its primary target."""
    notes = (
        "prompts in F16 on the A100 SXM and the L40S run six times below their kind: the source",
        "layers split over GPUs: several GPUs of one kind are a device of their own",
    )
    return read_cases(folder, NAME, PLACES, _COLUMNS, partial(_case, devices), notes)


def _case(
    devices: Sequence[str | Path], rows: CsvTable, row: CsvRow, faults: list[Fault]
) -> ValidationCase:
    count = int(number(rows, row, "n_gpu", faults))
    speed = number(rows, row, "tok_s", faults)
    gpu = re.sub(r"\s*\*\s*\d+$", "", row.get("gpu"))
    gpu = re.sub(r"\s+\d+ ?GB$", "", gpu)
    said, mode = row.get("model"), row.get("mode")
    name = f"{row.get('gpu')} {said} {mode.partition('_')[0]}"
    quant = said.rpartition(" ")[2]
    device = gpu if count == 1 else f"{count} x {gpu}"
    try:
        model = model_named(said, MODELS)
        machine, runtime = machine_of(gpu, devices)
        machine = split_over(machine, count)
        ask = decode(model, MEAN_CONTEXT, speed) if mode.startswith("decode") else prefill(
            model, PROMPT, speed
        )  # fmt: skip
        precision = precision_of(quant, ask.workload)
    except InputError as error:
        return ValidationCase(name, device, reason=str(error.faults[0]))
    return ValidationCase(name, device, machine, [ask], precision, runtime, group=quant)


def machine_of(gpu: str, devices: Sequence[str | Path]) -> tuple[Machine, str]:
    """Return the machine and the runtime that a row means.

    Raises
    ------
    InputError
    """
    chip = CHIP.search(gpu)
    if chip is None:
        names = {"a100_sxm": "a100", "a100_pcie": "a100_pcie_80gb"}
        plain = names.get(gpu.lower().replace(" ", "_"), gpu)
        return device_named(plain, devices).machine(CUDA), CUDA
    machine = device_named(f"apple {chip[1]}{chip[2] or ''}", devices).machine(METAL)
    if chip[3]:
        machine = machine.vary({"engines.main.units": float(chip[3])})
    return machine, METAL


def _chip(case: ValidationCase) -> str:
    return re.sub(r"^\d+ x ", "", case.device)


def _cuda(case: ValidationCase) -> bool:
    return case.runtime == CUDA


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the constants of the CUDA backend were fitted, a GPU left out at a time."""
    cases = load(folder, devices)
    return [
        refit(cases, "latency_s", DECODE, left_out="GPU", group=_chip, where=_cuda),
        refit(
            cases, "prefill_latency_s", PREFILL, left_out="GPU", group=_chip,
            where=lambda c: _cuda(c) and _single(c) and not _outlier(c), apply=_prefill_facts,
            name="prefill_latency_s, one GPU",
        ),
        refit(
            cases, "latency_s", UNPACK, left_out="chip", where=_old_apple, apply=_unpack_facts,
            name="latency_s, K-quants on M1 chips",
        ),
    ]  # fmt: skip


def _single(case: ValidationCase) -> bool:
    return " x " not in case.device


def _outlier(case: ValidationCase) -> bool:
    return (_chip(case), case.group) in OUTLIERS


def _old_apple(case: ValidationCase) -> bool:
    return case.runtime == METAL and case.group.endswith("K_M") and case.device.startswith("M1")


def _unpack_facts(case: ValidationCase, constants: Mapping[str, float]) -> Mapping[str, float]:
    head = "runtime.unpack_weights_per_clock_per_unit"
    return {f"{head}.{name}": constants["unpack"] for name in ("q4_k", "q6_k")}


UNPACK: Final = (Constant("unpack", 8.5, 1.0, 100.0),)
DECODE: Final = (
    Constant("runtime.efficiency.bandwidth", 0.94, 0.3, 1.0),
    Constant("runtime.draw_bytes_per_clock_per_unit", 6.95, 1.0, 100.0),
    Constant("runtime.per_layer", 89.5e-6, 1e-6, 1e-3),
    Constant("runtime.per_split", 0.26e-3, 1e-6, 1e-1),
)
PREFILL: Final = (
    Constant("runtime.efficiency.gemm", 0.797, 0.1, 1.2),
    Constant("ampere", 3.44e-12, 1e-13, 1e-10),
    Constant("ada", 2.01e-12, 1e-13, 1e-10),
)


def _prefill_facts(case: ValidationCase, constants: Mapping[str, float]) -> Mapping[str, float]:
    machine = case.machine
    assert isinstance(machine, Machine)
    found = {p: v for p, v in constants.items() if p in machine}
    for generation in ("ampere", "ada"):
        path = "runtime.sustained_energy_per_op"
        if generation in machine.device.tags:
            found[path] = constants[generation]
    return found
