"""Baidu's DeepBench: products and convolutions of cuBLAS, cuDNN and MIOpen, 2015 to 2018.

github.com/baidu-research/DeepBench (Apache-2.0). Training "gemm" rows whose transposes are numbers
are convolution rows with shifted columns: they are left out. Convolutions are predicted as implicit
products whatever algorithm the library took.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from perfmodel.calibrate import Constant
from perfmodel.evaluate.batched import evaluate_together
from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.refit import Refit
from perfmodel.evaluate.result import ValidationResult
from perfmodel.kinds.tensor_core.gemm import GemmConstants, gemm_times
from perfmodel.measurements import CsvRow
from perfmodel.workload.workload import Workload

from perfmodel_studies.readers.gpu_kernels.devices import Finder, with_devices
from perfmodel_studies.readers.gpu_kernels.neusight import PRODUCTS, processors
from perfmodel_studies.readers.gpu_kernels.operators import convolution, product
from perfmodel_studies.readers.gpu_kernels.rows import table

NAME: Final = "deepbench"
TITLE: Final = "DeepBench on GPUs: products and convolutions, fp32, fp16 and int8"
#: Where its file lies.
PLACES: Final = ("measured/deepbench.csv.gz", "measured/deepbench.csv", "deepbench.csv.gz")
RUNTIME: Final = "cudnn_2017"

Floats = npt.NDArray[np.float64]

_CONV: Final = ("W", "H", "C", "Nb", "Kf", "R", "S", "pad_w", "pad_h", "stride_w", "stride_h")
_NOTE: Final = (
    "recurrent rows (LSTM, vanilla RNN) and backward passes are not predicted; rows of shifted "
    "columns are dropped before counting"
)


@dataclass(frozen=True, slots=True)
class DeepBenchMeasurement:
    """A row that could be read."""

    name: str
    hardware: str
    operation: str
    precision: str
    #: M, N, K of the product, or of the implicit one.
    product: tuple[float, float, float]
    #: Elements that cross main memory's boundary.
    elements: float
    workload: Workload
    seconds: float


#: How the benchmark writes a precision -> that of products and convolutions.
PRECISIONS: Final = {
    "Float": "fp32",
    "16 bit inputs, 16 bit multiplication, 32 bit addition": "fp16",
    "Int8 inputs 32 bit math": "int8",
    "GEMM, Conv: Int8 multiplication, 32 bit accumulation; Sparse Ops, RNN: single precision":
        "int8",
}  # fmt: skip


def measured_rows(path: Path) -> tuple[list[DeepBenchMeasurement], list[tuple[str, str]]]:
    """Return the rows of products and convolutions, and (name, device) of the others.

    Raises
    ------
    InputError
        Columns are missing, or cells are no numbers.
    """
    out: list[DeepBenchMeasurement] = []
    others: list[tuple[str, str]] = []
    needed = ("device", "precision", "op", "M", "N", "K", "tA", "tB", "time_ms")
    with table(path, needed) as (rows, faults):
        for row in rows:
            if row["op"] == "gemm" and row["tA"] not in ("N", "T"):
                continue
            if row["op"] not in ("gemm", "conv"):
                others.append((row["op"], row["device"]))
                continue
            if row["precision"] not in PRECISIONS:
                faults.append(rows.fault(row, "precision", f"'{row['precision']}' is none of the "
                                         "table's", "one of " + "; ".join(PRECISIONS)))  # fmt: skip
                continue
            value = rows.number(row, "time_ms", faults)
            columns = ("M", "N", "K") if row["op"] == "gemm" else _CONV
            extents = [rows.number(row, c, faults, above_zero=False) or 0.0 for c in columns]
            if value is not None:
                out.append(_row(row, dict(zip(columns, extents, strict=True)), 1e-3 * value))
    return out, others


def _row(row: CsvRow, extents: Mapping[str, float], seconds: float) -> DeepBenchMeasurement:
    precision = PRECISIONS[row["precision"]]
    shape = " ".join(f"{c}={v:g}" for c, v in extents.items())
    name = f"{row['op']} {shape} {row['tA']}{row['tB']} {precision}".replace("  ", " ")
    if row["op"] == "gemm":
        m, n, k = extents.values()
        # Column-major: C has M rows; the transposes say how A and B lie in memory.
        return DeepBenchMeasurement(
            name,
            row["device"],
            "gemm",
            precision,
            (m, n, k),
            m * k + k * n + m * n,
            product(m, n, k),
            seconds,
        )
    w, h, c, b, f, r, s, pw, ph, sw, sh = extents.values()
    rows_out, columns_out = (h + 2 * ph - r) // sh + 1, (w + 2 * pw - s) // sw + 1
    m, k = b * rows_out * columns_out, c * r * s
    work = convolution(b, c, h, w, f, (int(r), int(s)), (int(sh), int(sw)), (int(ph), int(pw)))
    moved = b * c * h * w + k * f + m * f
    return DeepBenchMeasurement(
        name, row["device"], "conv", precision, (m, f, k), moved, work, seconds
    )


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> ValidationResult:
    """Predict products and convolutions; the group is the operation and its format."""
    path = folder.need(NAME, *PLACES)
    found, others = measured_rows(path)
    find = Finder(devices)
    cases = [_case(row, find) for row in found]
    cases += [
        ValidationCase(name, device, reason="a recurrent network of a library's fused kernels")
        for name, device in others
    ]
    return evaluate_together(Cases(NAME, cases, notes=(_NOTE, *folder.note(path))))


def _case(row: DeepBenchMeasurement, find: Finder) -> ValidationCase:
    device = find(row.hardware)
    if isinstance(device, str):
        return ValidationCase(row.name, row.hardware, reason=device)
    questions = [
        MeasuredQuantity("latency_s", "latency_s", row.seconds, row.workload),
        MeasuredQuantity(f"{row.operation}_s", "latency_s", row.seconds, row.workload),
    ]
    return ValidationCase(row.name, device.name, device, questions, row.precision, RUNTIME,
                f"{row.operation} {row.precision}")  # fmt: skip


_BYTES: Final = {"fp32": 4.0, "fp16": 2.0, "int8": 1.0}


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the constants were fitted on fp32 rows of NVIDIA GPUs, device left out."""
    found, _ = measured_rows(folder.need(NAME, *PLACES))
    single = [row for row in found if row.precision == "fp32"]
    known = [(r, d) for r, d in with_devices(single, devices) if "nvidia" in d.tags]
    out: list[Refit] = []
    for operation in ("gemm", "conv"):
        some = [(r, d) for r, d in known if r.operation == operation]
        if not some:
            continue
        machine = processors([d for _, d in some])
        m, n, k = np.array([r.product for r, _ in some]).T
        moved = 4.0 * np.array([r.elements for r, _ in some])

        def forward(
            constants: Mapping[str, float], shape: Any = (m, n, k), machine: Any = machine,
            moved: Floats = moved,
        ) -> Floats:  # fmt: skip
            return gemm_times(
                *shape, machine=machine, constants=GemmConstants.of(dict(constants)),
                moved_bytes=moved, left_bytes=4.0, right_bytes=4.0,
            ).total_s  # fmt: skip

        constants = [c for c in PRODUCTS if c.name not in ("launch", "peak_share")]
        constants += [Constant("launch", 1e-5, 1e-6, 6e-5), Constant("peak_share", 0.8, 0.2, 2.0)]
        out.append(
            Refit(f"{operation}_s", np.array([r.seconds for r, _ in some]),
                  [d.name for _, d in some], constants, forward)
        )  # fmt: skip
    return out
