"""Kernels of eager PyTorch 2.1 in fp32 on NVIDIA GPUs, from NeuSight's test set.

Lee, Phanishayee and Mahajan, "Forecasting GPU performance for deep learning training and
inference", ASPLOS 2025 (arXiv 2407.13853); rows of its repository (MIT). Columns of products:
M rows, N summed over, K columns, as grids and split factors of their kernels show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import perfmodel as pm
from perfmodel.calibrate.fit import Forward
from perfmodel.evaluate.data_files import DataFolder, measured_table
from perfmodel.evaluate.refit import Refit
from perfmodel.evaluate.result import ValidationResult
from perfmodel.evaluate.validate import evaluate
from perfmodel.evaluate.validation_case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evidence import Subject
from perfmodel.kinds.tensor_core.constants import TensorCoreKernel
from perfmodel.kinds.tensor_core.gemm import Processor, gemm_times

from perfmodel_studies.readers.gpu_kernels.devices import fact_columns, finder, with_devices
from perfmodel_studies.tables import constants_of

NAME: Final = "neusight_gpu_kernels"
TITLE: Final = "Kernels of eager PyTorch in fp32 on GPUs (NeuSight): products, elementwise, norms"
#: Where its file lies.
PLACES: Final = (
    "measured/neusight_gpu_kernels.csv.gz",
    "measured/neusight_gpu_kernels.csv",
)

RUNTIME: Final = "torch_eager"
#: Every so many-th row of a device and table, in the order of the file, is predicted.
STRIDES: Final = {"linear": 4, "bmm": 8, "elem": 2, "softmax": 1, "ln": 1}

Floats = npt.NDArray[np.float64]

#: Function of the file -> ours; a trailing u is an operation with a scalar.
_STREAMS: Final = {
    "add": "add",
    "mul": "mul",
    "div": "div",
    "pow": "add",
    "addu": "scale",
    "mulu": "scale",
    "divu": "scale",
    "powu": "scale",
    "relu": "relu",
    "tanh": "tanh",
    "gelu": "gelu",
    "softmax": "softmax",
    "ln": "layer_norm",
}
_NOTE: Final = (
    "a sample: of each device, every 4th linear, 8th batched and 2nd elementwise row, in the order "
    "of the file, and every softmax and layer norm"
)


@dataclass(frozen=True, slots=True)
class NeuSightMeasurement:
    """A row that could be read."""

    name: str
    hardware: str
    table: str
    function: str
    extents: tuple[float, float, float, float]
    seconds: float

    @property
    def target(self) -> str:
        """Target that it counts for."""
        targets = {"linear": "linear_s", "bmm": "batched_s", "softmax": "softmax_s", "ln": "norm_s"}
        return targets.get(self.table, "elementwise_s")

    @property
    def workload(self) -> pm.Workload:
        """What ran."""
        b, m, n, k = self.extents
        if self.table == "linear":
            return pm.workload("gemm", m=m, n=k, k=n)
        if self.table == "bmm":
            return pm.workload("batched_gemm", batch=b, m=m, n=k, k=n)
        return pm.workload("elementwise", function=self.function, rows=b, width=m)


def measured_rows(
    folder: DataFolder, every: Mapping[str, int] = STRIDES
) -> tuple[list[NeuSightMeasurement], tuple[str, ...]]:
    """Return a sample of the file's rows, the same one always, and a note of which file it was.

    Raises
    ------
    InputError
        Columns are missing, or cells are no numbers.
    """
    seen: dict[tuple[str, str], int] = {}
    out: list[NeuSightMeasurement] = []
    columns = ("device", "table", "op", "B", "M", "N", "K", "H", "latency_ms")
    with measured_table(folder, NAME, PLACES, columns) as (rows, faults, note):
        for row in rows:
            kind = row["table"]
            key = (row["device"], kind)
            at = seen[key] = seen.get(key, -1) + 1
            if at % every.get(kind, 1):
                continue
            wanted = ("B", "M", "N", "K") if kind in ("linear", "bmm") else ("B", "H")
            cells = [rows.number(row, column, faults) for column in (*wanted, "latency_ms")]
            if any(v is None for v in cells):
                continue
            numbers = [float(v or 0.0) for v in cells]
            b, m, n, k, *_ = (*numbers[:-1], 1.0, 1.0)
            shape = " ".join(f"{c}={v:g}" for c, v in zip(wanted, numbers, strict=False))
            function = _STREAMS.get(row["op"], row["op"])
            out.append(
                NeuSightMeasurement(
                    f"{row['op']} {shape}",
                    row["device"],
                    kind,
                    function,
                    (b, m, n, k),
                    1e-3 * numbers[-1],
                )
            )
    return out, note


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> ValidationResult:
    """Predict the sample; the group is the table."""
    rows, note = measured_rows(folder)
    find = finder(devices)
    cases = [_case(row, find(row.hardware)) for row in rows]
    return evaluate(Cases(NAME, cases, notes=(_NOTE, *note)))


def _case(row: NeuSightMeasurement, device: pm.Device | str) -> ValidationCase:
    if isinstance(device, str):
        return ValidationCase(row.name, row.hardware, reason=device)
    work = row.workload
    quantities = [
        MeasuredQuantity("latency_s", "latency_s", row.seconds, work),
        MeasuredQuantity(row.target, "latency_s", row.seconds, work),
    ]
    return ValidationCase(row.name, device.name, device, quantities, "fp32", RUNTIME, row.table)


#: Facts of a device that the products read.
FACTS: Final = {
    "peak": "engine.peaks.fp32",
    "units": "engine.units",
    "clock": "engine.clock",
    "bandwidth": "memories.main.bandwidth",
    "l2_bandwidth": "memories.near.bandwidth",
    "power": "power.busy",
    "energy": "engine.vector_sustained_energy",
}


def processors(devices: Sequence[pm.Device]) -> Processor:
    """Return the GPUs of rows as columns."""
    facts = fact_columns(devices, FACTS)
    energy = facts.pop("energy")
    power = facts.pop("power")
    sustained = np.where(np.isnan(energy), np.inf, power / np.where(energy > 0, energy, np.nan))
    return Processor(**facts, sustained=np.where(np.isnan(sustained), np.inf, sustained))


#: Constants of a library's fp32 products.
PRODUCTS: Final = constants_of("fp32_products")
#: Constants of streaming kernels.
STREAMING: Final = constants_of("fp32_streaming")


def product_seconds(extents: Floats, machine: Processor, k: Mapping[str, float]) -> Floats:
    """Return the seconds of fp32 products ``(groups, m, n, k)``, shape ``(rows, 4)``."""
    b, m, n, depth = extents.T
    traffic = 4.0 * b * (m * depth + depth * n + m * n)
    return gemm_times(
        m,
        n,
        depth,
        machine=machine,
        constants=TensorCoreKernel.constants(dict(k)),
        moved_bytes=traffic,
        left_bytes=4.0,
        right_bytes=4.0,
        groups=b,
    ).total_s


def streaming_seconds(traffic: Floats, bandwidth: Floats, k: Mapping[str, float]) -> Floats:
    """Return the seconds of streaming kernels that move some bytes."""
    return k["launch"] + traffic / (k["bandwidth_share"] * bandwidth)


#: Functions of two tensors.
_BINARY: Final = ("add", "mul", "div")
#: Every so many-th row is fitted on.
FITTED: Final = {"linear": 8, "bmm": 16, "elem": 4, "softmax": 1, "ln": 1}


def refits(
    folder: DataFolder, devices: Sequence[str | Path] = (), every: Mapping[str, int] = FITTED
) -> Sequence[Refit]:
    """Return how the constants of each class were fitted, on a sparser sample, device left out."""
    measured = measured_rows(folder, every)[0]
    known = with_devices(measured, devices)
    out: list[Refit] = []
    for target in dict.fromkeys(r.target for r, _ in known):
        some = [(r, d) for r, d in known if r.target == target]
        gpus = [d for _, d in some]
        seconds = np.array([r.seconds for r, _ in some])
        if target in ("linear_s", "batched_s"):
            at = np.array([r.extents for r, _ in some])[:, [0, 1, 3, 2]]
            forward: Forward = partial(product_seconds, at, processors(gpus))
            constants = PRODUCTS
        else:
            passes = np.array([3.0 if r.function in _BINARY else 2.0 for r, _ in some])
            traffic = 4.0 * passes * np.array([r.extents[0] * r.extents[1] for r, _ in some])
            bandwidth = fact_columns(gpus, FACTS)["bandwidth"]
            forward = partial(streaming_seconds, traffic, bandwidth)
            constants = STREAMING
        subjects = [Subject(RUNTIME, d.name, "runs") for d in gpus]
        out.append(
            Refit(target, seconds, [d.name for d in gpus], constants, forward, subjects=subjects)
        )
    return out
