"""Fused mixtures of experts on GPUs: routing, two grouped products, activation, in one call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from perfmodel.calibrate import Constant
from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.refit import Refit
from perfmodel.workload.workload import Workload

from perfmodel_studies.readers.gpu_kernels.devices import Finder
from perfmodel_studies.readers.gpu_kernels.products import product_refits
from perfmodel_studies.readers.gpu_kernels.rows import KernelRow, kernel_cases
from perfmodel_studies.readers.gpu_kernels.workloads import experts

NAME = "gpu_moe"
TITLE = "Fused mixtures of experts on GPUs under vLLM, bf16 to 4 bits (aiconfigurator)"
PLACES = ("measured/gpu_moe.csv.gz", "measured/gpu_moe.csv", "gpu_moe.csv")
RUNTIME = "torch_cuda"

#: Format of a row -> precision, and the target that it counts for.
FORMATS: Final[Mapping[str, tuple[str, str]]] = {
    "bfloat16": ("bf16", "latency_s"),
    "fp8_block": ("fp8", "fp8_block_latency_s"),
    "fp8": ("fp8", "fp8_latency_s"),
    "nvfp4": ("nvfp4", "nvfp4_latency_s"),
    "int4_wo": ("w=int4,a=bf16", "w4_latency_s"),
    "w4a16_mxfp4": ("w=mxfp4,a=bf16", "w4_latency_s"),
}
#: (experts a token, experts) of models without a gate: two matrices an expert ...
UNGATED: Final = frozenset({(6.0, 128.0), (22.0, 512.0)})
#: ... except on this device, whose older kernels were run with three.
GATED_ALL: Final = ("A100",)

#: What the rows of a target determine; the runtime holds the other constants.
_COMMON: Final = (
    Constant("launch", 1e-5, 1e-6, 5e-5),
    Constant("bandwidth_share", 1.0, 0.5, 1.2),
    Constant("per_group", 3e-8, 1e-10, 5e-7),
    Constant("draw_bytes_per_clock", 60.0, 1.0, 2000.0),
)
_CACHED: Final = (
    Constant("activation_passes", 3.0, 0.5, 20.0),
    Constant("reread_share", 0.3, 1e-3, 1.0),
    Constant("tile_exponent", 0.7, 0.05, 2.0),
)
_RATE: Final = (
    Constant("peak_share", 0.5, 0.1, 1.0),
    Constant("tile_fill", 1e-6, 1e-8, 1e-5),
)
#: Target -> key of its kernels, and what is fitted.
FITTED: Final[Mapping[str, tuple[str, tuple[Constant, ...]]]] = {
    "latency_s": ("moe", (*_COMMON, *_CACHED)),
    "fp8_block_latency_s": ("moe.fp8", (*_COMMON, *_CACHED, *_RATE)),
    "w4_latency_s": ("moe.int4", (*_COMMON, *_RATE)),
}


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table, one a row."""
    notes = (
        "experts of k=6 of 128 and k=22 of 512 have two matrices, but on the A100",
        "balanced rows touch min(experts, tokens k) experts, others as many as a power law loads",
    )
    return kernel_cases(folder, NAME, PLACES, case, devices, notes=notes)


def case(row: KernelRow, find: Finder) -> ValidationCase:
    """Return the case of a row: its device by product name, its kernel as a network of one."""
    reason = row.lacks("tokens", "topk", "experts", "hidden", "inter")
    if not reason and row.dtype not in FORMATS:
        reason = f"no precision for '{row.dtype}'"
    if reason:
        return ValidationCase(row.name, row.hardware, reason=reason)
    device = find(row.hardware)
    if isinstance(device, str):
        return ValidationCase(row.name, row.hardware, reason=device)
    precision, target = FORMATS[row.dtype]
    asked = MeasuredQuantity(target, "latency_s", row.seconds, layer(row))
    backend = row.operation.partition("_")[2]
    group = f"{row.dtype} {'cutlass' if 'cutlass' in backend.split('_') else 'triton or marlin'}"
    return ValidationCase(row.name, row.hardware, device, [asked], precision, RUNTIME, group=group)


def layer(row: KernelRow) -> Workload:
    """Return the layer of a row: its experts touched, and its share of a tensor-parallel group."""
    shape = row.shape
    tokens, each, count = shape["tokens"], shape["topk"], shape["experts"]
    rows = tokens * each
    touched = experts_touched(row.words.get("dist", "balanced"), tokens, each, count)
    plain = (each, count) in UNGATED and not any(name in row.hardware for name in GATED_ALL)
    numbers = {
        "rows": rows, "groups": touched, "hidden": shape["hidden"],
        "inter": shape["inter"] / shape.get("tp", 1.0),
    }  # fmt: skip
    return experts(2 if plain else 3).bind(numbers)


def experts_touched(distribution: str, tokens: float, each: float, count: float) -> float:
    """Return how many experts get a token.

    ``balanced`` deals tokens out in turn. ``power_law_A`` draws the load of each expert from a
    power law of exponent A, bounded at 0.8 of the tokens, scales the loads to their sum and rounds
    them (the collector of aiconfigurator); its quantiles stand here for the draws.
    """
    rows = tokens * each
    if not distribution.startswith("power_law"):
        return min(count, rows)
    power = 1.0 - float(distribution.rpartition("_")[2])
    low, high = (1.0, 0.8 * tokens) if rows > count else (0.01, 2.0)
    middle = (np.arange(int(count)) + 0.5) / count
    loads = np.asarray(((high**power - low**power) * middle + low**power) ** (1.0 / power))
    shares = np.asarray(loads / np.sum(loads) * rows, dtype=np.float64)
    touched = float(np.sum(shares >= 0.5))
    return min(max(touched, min(each, rows)), count, rows)


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Iterator[Refit]:
    """Yield how the constants were fitted, of each format that several devices have."""
    yield from product_refits(load(folder, devices), FITTED)
