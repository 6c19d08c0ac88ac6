"""Dense and grouped products in fp8 on the H20, measured for InferSim."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.workload.workload import Workload

from perfmodel_studies.readers.gpu_kernels.devices import Finder
from perfmodel_studies.readers.gpu_kernels.rows import KernelRow, kernel_cases
from perfmodel_studies.readers.gpu_kernels.workloads import grouped, linear

NAME = "infersim_kernels"
TITLE = "Dense and grouped products in fp8 on the H20 (InferSim)"
PLACES = (
    "measured/infersim_kernels.csv.gz", "measured/infersim_kernels.csv", "infersim_kernels.csv",
)  # fmt: skip
RUNTIME = "deep_gemm"


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table: its products; attention and recurrent kernels are not here."""
    notes = ("constants of deep_gemm are fitted on these rows of one device: nothing is left out",)
    return kernel_cases(folder, NAME, PLACES, _case, devices, notes=notes)


def asked_of(row: KernelRow) -> tuple[str, Workload] | None:
    """Return the target and the network of a row; None where it is no product.

    A grouped product is one of the two of a mixture of experts: up and gate in one, or down.
    """
    s = row.shape
    if row.operation.startswith("gemm/"):
        return "latency_s", linear().bind({name: s[name] for name in ("m", "n", "k")})
    if not row.operation.startswith("grouped_gemm/"):
        return None
    up = row.operation.endswith("up_proj_us")
    experts = s["num_local_experts"]
    rows = experts * s["tokens_per_expert"]
    numbers = {
        "groups": experts, "rows": rows,
        "n": 2.0 * s["intermediate_size"] if up else s["hidden_size"],
        "k": s["hidden_size"] if up else s["intermediate_size"],
    }  # fmt: skip
    return "grouped_latency_s", grouped().bind(numbers)


def _case(row: KernelRow, find: Finder) -> ValidationCase:
    words = ("m", "n", "k") if row.operation.startswith("gemm/") else (
        "num_local_experts", "tokens_per_expert", "hidden_size", "intermediate_size"
    )  # fmt: skip
    reason = row.lacks(*words) if "gemm" in row.operation else ""
    if reason:
        return ValidationCase(row.name, row.hardware, reason=reason)
    asked = asked_of(row)
    if asked is None:
        return ValidationCase(
            row.name, row.hardware, reason=f"no product: {row.operation.partition('/')[0]}"
        )
    device = find(row.hardware)
    if isinstance(device, str):
        return ValidationCase(row.name, row.hardware, reason=device)
    target, workload = asked
    question = MeasuredQuantity(target, "latency_s", row.seconds, workload)
    group = row.operation.partition(":")[0]
    return ValidationCase(row.name, row.hardware, device, [question], "fp8", RUNTIME, group=group)
