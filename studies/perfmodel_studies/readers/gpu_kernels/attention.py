"""Attention kernels of vLLM on data-centre GPUs: prompts, and one new token over a cache.

Rows of NVIDIA's aiconfigurator (Apache-2.0): ``b`` sequences of ``isl`` new tokens after ``step``
earlier ones, ``h`` query heads over ``kv`` heads of size ``d``. A benchmark repeats each call, so
that a small cache of keys and values is left in the L2: the rows are warm.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from perfmodel.calibrate import Constant
from perfmodel.evaluate.batched import evaluate_together
from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.refit import Refit
from perfmodel.evaluate.result import ValidationResult
from perfmodel.hardware.device import Device
from perfmodel.kinds.tensor_core.attention import (
    Chip,
    DecodeKernel,
    PrefillKernel,
    decode_parts,
    prefill_parts,
    resident_share,
)
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

from perfmodel_studies.readers.gpu_kernels.devices import Finder, fact_columns, with_devices
from perfmodel_studies.readers.gpu_kernels.rows import table

NAME: Final = "gpu_attention"
TITLE: Final = "Attention kernels of vLLM on GPUs: prefill and decode, bf16 and fp8 caches"
#: Where its file lies.
PLACES: Final = ("measured/gpu_attention.csv", "gpu_attention.csv")

Floats = npt.NDArray[np.float64]

_NOTE: Final = (
    "the cache of keys and values stays in the L2 between the repeats of a benchmark; "
    "predictions of serving leave nothing there"
)
_SHAPE: Final = re.compile(r"b=(\d+) isl=(\d+) step=(\d+) h=(\d+) kv=(\d+) d=(\d+)")


@dataclass(frozen=True, slots=True)
class AttentionMeasurement:
    """A row that could be read."""

    name: str
    hardware: str
    backend: str
    batch: int
    queries: int
    keys: int
    heads: int
    kv_heads: int
    head_dim: int
    kv_bits: int
    seconds: float

    @property
    def decode(self) -> bool:
        """Whether it is one new token over a cache."""
        return self.queries == 1 and self.keys > 1

    @property
    def target(self) -> str:
        """Target that it counts for."""
        return "decode_s" if self.decode else "prefill_s"

    @property
    def workload(self) -> Workload:
        """What ran."""
        heads = {"heads": self.heads, "kv_heads": self.kv_heads, "head_dim": self.head_dim}
        sizes = {"batch": self.batch, "keys": self.keys}
        if self.decode:
            return find("attention_kernel", {"phase": "decode", **heads, **sizes})
        return find("attention_kernel", {**heads, **sizes, "queries": self.queries})


#: What a row says it ran, after the phase -> runtime of the library.
BACKENDS: Final[Mapping[str, str]] = {
    "vllm_flash_attn": "vllm_0_14",
    "vllm_flash_attn_fa2": "vllm_flash_attention_2",
    "vllm_flash_attn_fa3": "vllm_flash_attention_3",
    "vllm_flashinfer_fiprefill": "vllm_flashinfer",
    "vllm_flashinfer_fidecode": "vllm_flashinfer",
}


def backend_of(operation: str) -> str:
    """Return the runtime of the library for what a row says it ran; empty for no such one."""
    return BACKENDS.get(operation.rpartition(" ")[2], "")


def measured_rows(path: Path) -> list[AttentionMeasurement]:
    """Return the rows of the file.

    Raises
    ------
    InputError
        Columns are missing, or a shape is of another form.
    """
    out: list[AttentionMeasurement] = []
    columns = ("hardware", "model_or_op", "shape", "dtype", "value")
    with table(path, columns) as (rows, faults):
        for row in rows:
            found = _SHAPE.search(row["shape"])
            value = rows.number(row, "value", faults)
            if found is None:
                faults.append(rows.fault(row, "shape", f"'{row['shape']}' is no shape of attention",
                                         "b=1 isl=128 step=0 h=32 kv=8 d=128"))  # fmt: skip
            if found is None or value is None:
                continue
            b, new, before, h, kv, d = map(int, found.groups())
            bits = 8 if row["dtype"].endswith(("fp8", "int8", "fp8_e4m3")) else 16
            backend = backend_of(row["model_or_op"])
            name = f"{row['model_or_op']} {row['shape']} kv{bits}"
            out.append(
                AttentionMeasurement(
                    name,
                    row["hardware"],
                    backend,
                    b,
                    new,
                    new + before,
                    h,
                    kv,
                    d,
                    bits,
                    1e-3 * value,
                )
            )
    return out


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> ValidationResult:
    """Predict every row; the group is the backend."""
    path = folder.need(NAME, *PLACES)
    device_of = Finder(devices)
    cases = [_case(row, device_of) for row in measured_rows(path)]
    return evaluate_together(Cases(NAME, cases, notes=(_NOTE, *folder.note(path))))


def _case(row: AttentionMeasurement, device_of: Finder) -> ValidationCase:
    device = device_of(row.hardware)
    if isinstance(device, str):
        return ValidationCase(row.name, row.hardware, reason=device)
    if not row.backend:
        reason = f"no runtime of the library is the attention of '{row.name.partition(' b=')[0]}'"
        return ValidationCase(row.name, row.hardware, reason=reason)
    work = row.workload
    questions = [
        MeasuredQuantity("latency_s", "latency_s", row.seconds, work),
        MeasuredQuantity(row.target, "latency_s", row.seconds, work),
    ]
    precision = "bf16" if row.kv_bits == 16 else "w16a16kv8"
    return ValidationCase(
        row.name, device.name, device, questions, precision, row.backend, row.backend, warm=True
    )


#: Facts of a device that the kernels read.
_FACTS: Final = {
    "peak": "engine.peaks.bf16", "units": "engine.units", "clock": "engine.clock",
    "bandwidth": "memories.main.bandwidth", "l2_capacity": "memories.near.capacity",
    "l2_bandwidth": "memories.near.bandwidth",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _AttentionColumns:
    """Rows of one phase, as columns."""

    batch: Floats
    queries: Floats
    keys: Floats
    heads: Floats
    kv_heads: Floats
    head_dim: Floats
    narrow: npt.NDArray[np.bool_]
    third: npt.NDArray[np.bool_]
    infer: npt.NDArray[np.bool_]
    older: npt.NDArray[np.bool_]
    chip: Chip
    moved: Floats

    @staticmethod
    def of(rows: Sequence[AttentionMeasurement], found: Sequence[Device]) -> _AttentionColumns:
        """Gather rows and the facts of their devices."""

        def column(name: str) -> Floats:
            return np.array([float(getattr(r, name)) for r in rows])

        batch, queries, keys, heads, kv, dim = map(
            column, ("batch", "queries", "keys", "heads", "kv_heads", "head_dim")
        )
        each = column("kv_bits") / 8.0
        backend = np.array([r.backend for r in rows])
        cached = np.array([r.decode for r in rows])
        read = np.where(cached, keys * each, 0.0)
        moved = batch * dim * (
            4.0 * queries * heads + 2.0 * kv * (queries * (2.0 + each) + read)
        )  # fmt: skip
        return _AttentionColumns(
            batch, queries, keys, heads, kv, dim, each < 2.0,
            backend == "vllm_flash_attention_3", backend == "vllm_flashinfer",
            backend == "vllm_0_14", Chip(**fact_columns(found, _FACTS)), moved,
        )  # fmt: skip


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the constants of both kernels were fitted, device left out."""
    rows = [row for row in measured_rows(folder.need(NAME, *PLACES)) if row.backend]
    known = with_devices(rows, devices)
    out: list[Refit] = []
    for target, forward, constants in (
        ("prefill_s", prefill_forward, PREFILL),
        ("decode_s", decode_forward, DECODE),
    ):
        some = [(r, d) for r, d in known if r.target == target]
        if not some:
            continue
        columns = _AttentionColumns.of([r for r, _ in some], [d for _, d in some])
        out.append(
            Refit(
                target, np.array([r.seconds for r, _ in some]), [d.name for _, d in some],
                constants, lambda k, c=columns, f=forward: f(c, k),
            )
        )  # fmt: skip
    return out


#: Constants of the prefill kernels. FlashAttention-2 and FlashInfer share those of the older MMA
#: instructions; where only the device left out ran a backend, a ratio stays near one.
PREFILL: Final = (
    Constant("launch", 9e-6, 5e-7, 4e-5),
    Constant("launch of flashinfer", 1.0, 0.3, 3.0, prior=0.2),
    Constant("launch of flash_attention_2", 0.5, 0.05, 2.0, prior=0.2),
    Constant("peak_share", 0.9, 0.4, 1.0),
    Constant("exp_cost of flash_attention_3", 0.8, 0.2, 6.0),
    Constant("exp_cost of the others", 3.0, 0.2, 8.0),
    Constant("block_time of flash_attention_3", 2e-6, 1e-7, 1e-5),
    Constant("block_time of the others", 2e-6, 1e-7, 1e-5),
    Constant("bandwidth_share", 0.9, 0.4, 1.0),
    Constant("narrow_slowdown", 1.2, 1.0, 2.0),
    Constant("narrow_slowdown of flashinfer", 1.0, 0.5, 2.0, prior=0.3),
)


def prefill_forward(c: _AttentionColumns, k: Mapping[str, float]) -> Floats:
    """Return the seconds of every prefill row."""
    second = ~c.third & ~c.infer & ~c.older
    kernel = PrefillKernel(
        k["launch"] * np.where(c.infer, k["launch of flashinfer"], 1.0)
        * np.where(second, k["launch of flash_attention_2"], 1.0),
        k["peak_share"],
        np.where(c.third, k["exp_cost of flash_attention_3"], k["exp_cost of the others"]),
        np.where(c.third, k["block_time of flash_attention_3"], k["block_time of the others"]),
        k["bandwidth_share"], 1.0,
        k["narrow_slowdown"] * np.where(c.infer, k["narrow_slowdown of flashinfer"], 1.0),
    )  # fmt: skip
    return prefill_parts(
        c.batch, c.queries, c.keys, c.heads, c.head_dim, c.chip, kernel, moved_bytes=c.moved,
        narrow=c.narrow,
    ).total  # fmt: skip


#: Constants of the decode kernels; the launch belongs to the release of vLLM.
DECODE: Final = (
    Constant("launch", 1.1e-5, 1e-6, 4e-5),
    Constant("launch of release 0.14", 1.0, 0.5, 3.0, prior=0.05),
    Constant("launch of flashinfer", 1.0, 0.5, 2.0, prior=0.3),
    Constant("combine of flash_attention_3", 3e-7, 1e-8, 5e-6),
    Constant("combine of flash_attention_2", 3e-7, 1e-8, 5e-6, prior=0.05),
    Constant("combine of flashinfer", 1e-7, 1e-8, 5e-6, prior=0.05),
    Constant("exp_cost of flash_attention_3", 0.8, 0.2, 5.0),
    Constant("exp_cost of the others", 2.0, 0.2, 6.0),
    Constant("peak_share", 0.5, 0.1, 1.0),
    Constant("bandwidth_share", 0.9, 0.5, 1.0),
    Constant("ramp", 2e-6, 1e-7, 2e-5),
    Constant("narrow_launch of flash_attention_3", 2e-6, 1e-8, 1e-5),
)

#: Rows of the query tile: 64 in FlashAttention's kernels for split caches (Dao et al., csrc), 16 in
#: FlashInfer's for few queries (Ye et al., arXiv 2501.01005, section 3.2.2).
TILE_ROWS: Final = {"flash_attention": 64.0, "flashinfer": 16.0}


def decode_forward(c: _AttentionColumns, k: Mapping[str, float]) -> Floats:
    """Return the seconds of every decode row."""
    combine = np.where(
        c.third, k["combine of flash_attention_3"], k["combine of flash_attention_2"]
    )
    kernel = DecodeKernel(
        k["launch"] * np.where(c.older, k["launch of release 0.14"], 1.0)
        * np.where(c.infer, k["launch of flashinfer"], 1.0),
        np.where(c.infer, k["combine of flashinfer"], combine),
        np.where(c.infer, TILE_ROWS["flashinfer"], TILE_ROWS["flash_attention"]),
        k["peak_share"],
        np.where(c.third, k["exp_cost of flash_attention_3"], k["exp_cost of the others"]),
        k["bandwidth_share"], k["ramp"], 4.0, 0.9,
        np.where(c.third, k["narrow_launch of flash_attention_3"], 0.0),
    )  # fmt: skip
    return decode_parts(
        c.batch, c.queries, c.keys, c.heads, c.kv_heads, c.head_dim, c.chip, kernel,
        moved_bytes=c.moved, narrow=c.narrow,
        resident=resident_share(c.moved, c.chip.l2_capacity),
    ).total  # fmt: skip
