"""Products and mixtures of experts on H200 and GB200, each run for long with its power logged.

The stack, the shapes (random, many of them tiny or skinny) and the protocol (long runs, so that
clocks fall to the power limit) are others than those that the constants were fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from perfmodel.evaluate.case import Cases, ValidationCase
from perfmodel.evaluate.files import DataFolder

from perfmodel_studies.readers.gpu_kernels import gemm, moe
from perfmodel_studies.readers.gpu_kernels.devices import Finder
from perfmodel_studies.readers.gpu_kernels.rows import KernelRow, kernel_cases

NAME = "gpu_kernel_power"
TITLE = "Products and mixtures of experts on H200 and GB200, long runs (aiconfigurator)"
PLACES = ("measured/gpu_kernel_power.csv.gz", "measured/gpu_kernel_power.csv")


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table: its products and mixtures of experts, none of them fitted."""
    notes = ("other stacks and shapes than those that the constants were fitted on; long runs",)
    return kernel_cases(
        folder, NAME, PLACES, _case, devices, notes=notes, value="latency_ms", unit="ms"
    )


def _case(row: KernelRow, find: Finder) -> ValidationCase:
    operation = row.operation.partition(" ")[0]
    if operation == "gemm":
        return gemm.case(row, find)
    if operation == "moe":
        if row.shape.get("moe_ep_size", 1.0) > 1.0:
            return ValidationCase(row.name, row.hardware, reason="experts spread over devices")
        found = moe.case(_renamed(row), find)
        renamed = [replace(q, target=f"moe_{q.target}") for q in found.questions]
        return replace(found, questions=renamed)
    return ValidationCase(row.name, row.hardware, reason=f"no product: {operation}")


#: Words of this file -> those of ``gpu_moe``.
_WORDS: Final[Mapping[str, str]] = {
    "num_tokens": "tokens", "hidden_size": "hidden", "inter_size": "inter",
    "num_experts": "experts", "moe_tp_size": "tp", "distribution": "dist",
}  # fmt: skip


def _renamed(row: KernelRow) -> KernelRow:
    shape = {_WORDS.get(name, name): value for name, value in row.shape.items()}
    words = {_WORDS.get(name, name): value for name, value in row.words.items()}
    return replace(row, shape=shape, words=words)
