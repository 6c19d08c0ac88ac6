"""Linear layers of transformers on A100 and H100, fp16, profiled by Vidur."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.refit import Refit

from perfmodel_studies.readers.gpu_kernels.devices import Finder
from perfmodel_studies.readers.gpu_kernels.gemm import CONSTANTS
from perfmodel_studies.readers.gpu_kernels.products import product_refits
from perfmodel_studies.readers.gpu_kernels.rows import KernelRow, kernel_cases
from perfmodel_studies.readers.gpu_kernels.workloads import linear
from perfmodel_studies.words import has_words

NAME = "vidur_linear"
TITLE = "Linear layers of transformers on A100 and H100, fp16 (Vidur)"
PLACES = ("measured/vidur_linear.csv.gz", "measured/vidur_linear.csv", "vidur_linear.csv")
RUNTIME = "torch_cuda"

#: Models whose feed-forward networks have no gate: one matrix up, not two.
UNGATED: Final = ("phi-2", "falcon", "opt", "gpt")


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table: its projections; the other kernels are no products."""
    notes = ("times are whole microseconds",)
    return kernel_cases(folder, NAME, PLACES, _case, devices, notes=notes)


def extents(row: KernelRow) -> Mapping[str, float] | None:
    """Return M, N and K of a projection on one rank; None for a row that is no product."""
    model, _, operation = row.operation.rpartition(":")
    s = row.shape
    head = s["hidden"] / s["heads"]
    gates = 1.0 if any(has_words(model, word) for word in UNGATED) else 2.0
    sides = {
        "attn_pre_proj": ((s["heads"] + 2.0 * s["kv"]) * head / s["tp"], s["hidden"]),
        "attn_post_proj": (s["hidden"], s["hidden"] / s["tp"]),
        "mlp_up_proj": (gates * s["ffn"] / s["tp"], s["hidden"]),
        "mlp_down_proj": (s["hidden"], s["ffn"] / s["tp"]),
    }.get(operation)
    return None if sides is None else {"m": s["tokens"], "n": sides[0], "k": sides[1]}


def _case(row: KernelRow, find: Finder) -> ValidationCase:
    reason = row.lacks("tokens", "tp", "hidden", "ffn", "heads", "kv")
    if reason:
        return ValidationCase(row.name, row.hardware, reason=reason)
    shape = extents(row)
    if shape is None:
        return ValidationCase(
            row.name, row.hardware, reason="an elementwise kernel of the layer, no product"
        )
    device = find(row.hardware)
    if isinstance(device, str):
        return ValidationCase(row.name, row.hardware, reason=device)
    asked = MeasuredQuantity("latency_s", "latency_s", row.seconds, linear("fp16").bind(shape))
    group = row.operation.rpartition(":")[2]
    return ValidationCase(row.name, row.hardware, device, [asked], "fp16", RUNTIME, group=group)


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Iterator[Refit]:
    """Yield the constants of products refitted on these rows, each device left out."""
    yield from product_refits(load(folder, devices), {"latency_s": ("gemm", CONSTANTS)})
