"""Matrix products on GPUs: 80 shapes of the layers of language models, in four formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from perfmodel.calibrate import Constant
from perfmodel.errors import InputError
from perfmodel.validate.case import Case, Cases, Question
from perfmodel.validate.files import DataFolder
from perfmodel.validate.gpu_kernels.products import named, product_refit
from perfmodel.validate.gpu_kernels.rows import KernelRow, device_of, kernel_rows
from perfmodel.validate.gpu_kernels.workloads import linear
from perfmodel.validate.refit import Refit

NAME = "gpu_gemm"
TITLE = "Matrix products on GPUs under vLLM's libraries, bf16 to nvfp4 (aiconfigurator)"
PLACES = ("measured/gpu_gemm.csv", "measured/gpu_gemm.csv.gz", "gpu_gemm.csv")
RUNTIME = "torch_cuda"

#: Format of a row -> precision, and the target that it counts for.
FORMATS: Final[Mapping[str, tuple[str, str]]] = {
    "bfloat16": ("bf16", "latency_s"),
    "fp16": ("fp16", "latency_s"),
    "fp8": ("fp8", "fp8_latency_s"),
    "nvfp4": ("nvfp4", "nvfp4_latency_s"),
}
#: Formats that no constants hold for, with why.
LEFT_OUT: Final[Mapping[str, str]] = {
    "fp8_block": "block-scaled fp8 waits for the host (60 to 91 us whatever the shape)",
}

#: What the rows determine. Their shapes are too large for the time of a wave's start and end, and
#: for sums of splits: those are held at what small and skinny shapes (``gpu_kernel_power``) ask.
CONSTANTS: Final = (
    Constant("launch", 2e-6, 1e-7, 2e-5),
    Constant("peak_share", 0.85, 0.3, 1.0),
    Constant("bandwidth_share", 0.95, 0.4, 1.1),
    Constant("draw_bytes_per_clock", 60.0, 8.0, 400.0),
    Constant("wave_quantisation", 0.3, 0.05, 1.0),
    Constant("tile_exponent", 0.5, 0.05, 2.0),
)


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table, one a row."""
    path = folder.need(NAME, *PLACES)
    cases = [case(row, devices) for row in kernel_rows(path)]
    notes = ("fp8_block rows are a slow path of the host and are not predicted",)
    return Cases(NAME, cases, notes=(*folder.note(path), *notes))


def case(row: KernelRow, devices: Sequence[str | Path]) -> Case:
    """Return the case of a row: its device by product name, its kernel as a network of one."""
    reason = LEFT_OUT.get(row.dtype, "") or row.lacks("m", "n", "k")
    if not reason and row.dtype not in FORMATS:
        reason = f"no precision for '{row.dtype}'"
    if reason:
        return Case(row.name, row.hardware, reason=reason)
    try:
        device = device_of(row.hardware, devices)
    except InputError as error:
        return Case(row.name, row.hardware, reason=str(error.faults[0]))
    precision, target = FORMATS[row.dtype]
    group = f"{row.dtype}, M {'above' if row.shape['m'] > 256 else 'up to'} 256"
    shape = {name: row.shape[name] for name in ("m", "n", "k")}
    asked = Question(target, "latency_s", row.seconds, linear().bind(shape))
    return Case(row.name, row.hardware, device, [asked], precision, RUNTIME, group=group)


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Iterator[Refit]:
    """Yield how the constants were fitted, of each format that several devices have."""
    cases = load(folder, devices)
    for target, key in (("latency_s", "gemm"), ("fp8_latency_s", "gemm.fp8")):
        own = {c.device for c in cases.cases if c.questions and c.questions[0].target == target}
        if len(own) > 1:
            yield product_refit(cases, target, named(key, CONSTANTS))
