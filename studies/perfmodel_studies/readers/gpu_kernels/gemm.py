"""Matrix products on GPUs: 80 shapes of the layers of language models, in four formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from perfmodel.calibrate import Constant
from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.refit import Refit

from perfmodel_studies.readers.gpu_kernels.devices import Finder
from perfmodel_studies.readers.gpu_kernels.products import (
    ProductRows,
    asking,
    named,
    product_refits,
)
from perfmodel_studies.readers.gpu_kernels.rows import KernelRow, kernel_cases
from perfmodel_studies.readers.gpu_kernels.workloads import linear

NAME = "gpu_gemm"
TITLE = "Matrix products on GPUs under vLLM's libraries, bf16 to nvfp4 (aiconfigurator)"
PLACES = ("measured/gpu_gemm.csv", "measured/gpu_gemm.csv.gz", "gpu_gemm.csv")
RUNTIME = "torch_cuda"

#: Format of a row -> precision, and the target that it counts for.
FORMATS: Final[Mapping[str, tuple[str, str]]] = {
    "bfloat16": ("bf16", "latency_s"),
    "fp16": ("fp16", "latency_s"),
    "fp8": ("fp8", "fp8_latency_s"),
    "fp8_block": ("fp8", "fp8_block_latency_s"),
    "nvfp4": ("nvfp4", "nvfp4_latency_s"),
}
#: Block-scaled fp8: what a row says it ran -> runtime. vLLM launches both from the host ...
BLOCK_SCALED: Final[Mapping[str, str]] = {
    "FlashInferFp8BlockScaledMMKernel": "vllm_flashinfer_gemm_eager",
    "DeepGemmFp8BlockScaledMMKernel": "vllm_deep_gemm_eager",
    "deepgemm": "vllm_deep_gemm",
}
#: ... and takes FlashInfer's for fewer rows than this on Hopper, where a row does not say which
#: (aiconfigurator's collector of vLLM's products: "FlashInfer for m < 32, DeepGEMM above").
FEW_ROWS: Final = 32.0

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
#: Target -> key of its kernels, and what is fitted.
FITTED: Final = {"latency_s": ("gemm", CONSTANTS), "fp8_latency_s": ("gemm.fp8", CONSTANTS)}


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table, one a row."""
    notes = ("fp8_block rows are launched by the host: what bounds most of them is its time",)
    return kernel_cases(folder, NAME, PLACES, case, devices, notes=notes)


def runtime_of(row: KernelRow) -> str:
    """Return the runtime that states the kernel of a row; nothing where none does."""
    if row.dtype != "fp8_block":
        return RUNTIME
    kernel = row.operation.removeprefix("gemm ")
    if kernel == "vllm_default":
        few = row.shape["m"] < FEW_ROWS
        kernel = f"{'FlashInfer' if few else 'DeepGemm'}Fp8BlockScaledMMKernel"
    return BLOCK_SCALED.get(kernel, "")


def case(row: KernelRow, find: Finder) -> ValidationCase:
    """Return the case of a row: its device by product name, its kernel as a network of one."""
    reason = row.lacks("m", "n", "k")
    if not reason and row.dtype not in FORMATS:
        reason = f"no precision for '{row.dtype}'"
    runtime = "" if reason else runtime_of(row)
    if not reason and not runtime:
        reason = f"no runtime states the {row.dtype} kernel of '{row.operation}'"
    if reason:
        return ValidationCase(row.name, row.hardware, reason=reason)
    device = find(row.hardware)
    if isinstance(device, str):
        return ValidationCase(row.name, row.hardware, reason=device)
    precision, target = FORMATS[row.dtype]
    group = f"{row.dtype}, M {'above' if row.shape['m'] > 256 else 'up to'} 256"
    shape = {name: row.shape[name] for name in ("m", "n", "k")}
    asked = MeasuredQuantity(target, "latency_s", row.seconds, linear().bind(shape))
    return ValidationCase(row.name, row.hardware, device, [asked], precision, runtime, group=group)


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Iterator[Refit]:
    """Yield how the constants were fitted, of each format that several devices have."""
    cases = load(folder, devices)
    yield from product_refits(cases, FITTED)
    if len({c.device for c in asking(cases, "fp8_block_latency_s")}) > 1:
        yield _block_scaled(cases)


#: Of the block-scaled kernels, beside the constants of the plain fp8 product.
_QUANTISE: Final = Constant("quantise_bytes", 5.0, 1.0, 40.0)
_FLOOR: Final = Constant("host_floor", 7e-5, 1e-5, 3e-4)


def _block_scaled(cases: Cases) -> Refit:
    """Return how block-scaled kernels were fitted: a device goes with its plain products too.

    The plain fp8 rows determine the product, these the wait for the host and the quantisation.
    """
    plain, scaled = asking(cases, "fp8_latency_s"), asking(cases, "fp8_block_latency_s")
    runtimes = sorted({str(c.runtime) for c in scaled})
    of_runtime = {r: [c for c in scaled if c.runtime == r] for r in runtimes}
    floors = {r: f"{r} {_FLOOR.name}" for r in runtimes}
    parts = {r: ProductRows(some) for r, some in of_runtime.items()}
    products = ProductRows(plain) if plain else None
    ordered = [*plain, *(c for some in of_runtime.values() for c in some)]

    def forward(k: Mapping[str, float]) -> npt.NDArray[np.float64]:
        shared = {n: v for n, v in k.items() if n not in floors.values()}
        only = {n: v for n, v in shared.items() if not n.endswith(_QUANTISE.name)}
        found = [part({**shared, _FLOOR.name: k[floors[r]]}) for r, part in parts.items()]
        if products is not None:
            found.insert(0, products(only))
        return np.concatenate(found)

    constants = [
        *named("gemm.fp8", (*CONSTANTS, _QUANTISE)),
        *(Constant(name, _FLOOR.start, _FLOOR.low, _FLOOR.high) for name in floors.values()),
    ]
    measured = np.array([c.questions[0].measured for c in ordered])
    judged = np.arange(len(ordered)) >= len(plain)
    return Refit("fp8_block_latency_s", measured, [c.device for c in ordered], constants, forward,
                 judged=judged)  # fmt: skip
