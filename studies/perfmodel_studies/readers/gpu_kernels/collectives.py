"""Collectives on nodes of two to eight GPUs: NCCL, and the all-reduce of vLLM.

Rows of NVIDIA's aiconfigurator (Apache-2.0). ``message_size`` counts elements of the whole message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import perfmodel as pm
from perfmodel.calibrate import Constant
from perfmodel.cost.collectives import COLLECTIVES, CollectiveKernel, collective_seconds
from perfmodel.errors import InputError
from perfmodel.evaluate.data_files import DataFolder, measured_table
from perfmodel.evaluate.refit import Refit
from perfmodel.evaluate.result import ValidationResult
from perfmodel.evaluate.validate import comparison_row, summarise

from perfmodel_studies.readers.gpu_kernels.devices import device_named, with_devices
from perfmodel_studies.tables import constants_of

NAME: Final = "gpu_collectives"
TITLE: Final = "Collectives on two to eight GPUs: NCCL, vLLM's all-reduce in a graph and eager"
#: Where its file lies.
PLACES: Final = ("measured/gpu_collectives.csv.gz", "measured/gpu_collectives.csv")

Floats = npt.NDArray[np.float64]

_SHAPE: Final = re.compile(r"message_size=(\d+) n=(\d+)")
_RELEASE: Final = re.compile(r"/(\d+(?:\.\d+)+)/")
_BYTES: Final = {"half": 2, "float16": 2, "bfloat16": 2, "int8": 1, "float": 4, "float32": 4}
_NAMES: Final = {**{name: name for name in COLLECTIVES}, "alltoall": "all_to_all"}
_NOTES: Final = (
    "the baseline is the bytes of a ring over the link's bandwidth; there is no arithmetic in it",
    "which NCCL reduces inside the switch is read off its release, and vLLM's",
)


@dataclass(frozen=True, slots=True)
class CollectiveMeasurement:
    """A row that could be read."""

    name: str
    hardware: str
    collective: str
    runtime: str
    message_bytes: float
    devices: float
    seconds: float


def runtime_of(operation: str, release: tuple[int, ...]) -> str:
    """Return the runtime of the library for what a row says it ran, and in which release."""
    if "custom" in operation:
        old = "_0_14" if release < (0, 18) else ""
        return f"vllm_all_reduce{'_eager' if 'eager' in operation else ''}{old}"
    return "nccl" if release >= (2, 29) else "nccl_2_27"


def measured_rows(folder: DataFolder) -> tuple[list[CollectiveMeasurement], tuple[str, ...]]:
    """Return the rows of the file, and a note of which file that was.

    Raises
    ------
    InputError
        Columns are missing, or a cell is of another form.
    """
    out: list[CollectiveMeasurement] = []
    columns = ("hardware", "model_or_op", "shape", "dtype", "value", "source")
    with measured_table(folder, NAME, PLACES, columns) as (rows, faults, note):
        for row in rows:
            shape, value = _SHAPE.search(row["shape"]), rows.number(row, "value", faults)
            each = _BYTES.get(row["dtype"])
            which = _NAMES.get(row["model_or_op"].partition(" ")[0])
            if shape is None or each is None or which is None:
                faults.append(
                    rows.fault(
                        row,
                        "shape",
                        "is no collective that is known",
                        "all_reduce, message_size=1024 n=2, half",
                    )
                )
            if shape is None or each is None or which is None or value is None:
                continue
            version_match = _RELEASE.search(row["source"])
            release = (
                tuple(int(p) for p in version_match.group(1).split(".")) if version_match else (99,)
            )
            elements, n = map(float, shape.groups())
            runtime = runtime_of(row["model_or_op"], release)
            name = f"{row['model_or_op']} {row['shape']} {row['dtype']}"
            out.append(
                CollectiveMeasurement(
                    name, row["hardware"], which, runtime, elements * each, n, 1e-3 * value
                )
            )
    return out, note


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> ValidationResult:
    """Predict every row; the group is the collective and its runtime."""
    measured, note = measured_rows(folder)
    rows: list[dict[str, Any]] = []
    failed: dict[str, list[str]] = {}
    for row in measured:
        try:
            device = device_named(row.hardware, devices)
            prediction = pm.collective(
                row.collective, row.message_bytes, row.devices, device, runtime=row.runtime
            )
        except InputError as error:
            failed.setdefault(str(error.faults[0]), []).append(row.name)
            continue
        predicted = float(prediction.latency_s)
        link = device.machine("ideal").facts[f"links.{prediction.link}.bandwidth"]
        rows.append(
            comparison_row(
                row.name,
                device.name,
                f"{row.collective} {row.runtime}",
                "latency_s",
                row.seconds,
                predicted,
                roofline=float(prediction.wire_bytes / link),
                compute=None,
            )
        )
    return summarise(NAME, rows, len(measured), failed, notes=(*_NOTES, *note))


@dataclass(frozen=True, slots=True)
class _CollectiveColumns:
    """Rows of one collective, as columns."""

    name: str
    at: npt.NDArray[np.intp]
    message: Floats
    devices: Floats
    bandwidth: Floats
    memory: Floats
    pcie: npt.NDArray[np.bool_]
    switch: npt.NDArray[np.bool_]
    custom: npt.NDArray[np.bool_]
    eager: npt.NDArray[np.bool_]


def _columns(
    name: str, known: Sequence[tuple[CollectiveMeasurement, pm.Device]]
) -> _CollectiveColumns:
    at = np.array([i for i, (r, _) in enumerate(known) if r.collective == name], dtype=np.intp)
    some = [known[int(i)] for i in at]

    def link(device: pm.Device) -> tuple[float, bool]:
        facts = device.machine("ideal").facts
        links = {each.kind: each.name for each in device.links}
        kind = "nvlink" if "nvlink" in links else "pcie"
        return float(facts[f"links.{links[kind]}.bandwidth"]), kind == "pcie"

    links = {d.name: link(d) for _, d in some}
    memory = {
        d.name: float(m.facts[f"memories.{m.main_memory}.bandwidth"])
        for _, d in some
        for m in (d.machine("ideal"),)
    }
    runtimes = [r.runtime for r, _ in some]
    return _CollectiveColumns(
        name,
        at,
        np.array([r.message_bytes for r, _ in some]),
        np.array([r.devices for r, _ in some]),
        np.array([links[d.name][0] for _, d in some]),
        np.array([memory[d.name] for _, d in some]),
        np.array([links[d.name][1] for _, d in some]),
        np.array([r in ("nccl", "vllm_all_reduce", "vllm_all_reduce_eager") for r in runtimes]),
        np.array(["vllm" in r for r in runtimes]),
        np.array(["eager" in r for r in runtimes]),
    )


def constants() -> tuple[Constant, ...]:
    """Return the constants that the rows determine, ``collective.field`` each."""
    out = [c for name in COLLECTIVES for c in constants_of("collective", f"{name}.")]
    # Only one device of the data meets others over PCIe: without it nothing says what is lost.
    out += [Constant(f"{name}.bridge_share", 1.0, 0.3, 1.2, prior=0.3) for name in COLLECTIVES]
    return (*out, *constants_of("collective_library", "all_reduce."))


def forward(parts: Sequence[_CollectiveColumns], k: Mapping[str, float], rows: int) -> Floats:
    """Return the seconds of every row."""
    out = np.empty(rows)
    for c in parts:
        head = f"{c.name}."
        values: dict[str, Any] = {
            key.removeprefix(head): v for key, v in k.items() if key.startswith(head)
        }
        if c.name == "all_reduce":
            for field in ("one_shot_share", "two_shot_share"):
                values[field] = np.where(c.custom, values[field], 0.0)
            values["switch_share"] = np.where(c.switch, values["switch_share"], 0.0)
            for field in ("copy_share", "host_floor"):
                values[field] = np.where(c.eager, values[field], 0.0)
        out[c.at] = collective_seconds(
            c.name,
            c.message,
            c.devices,
            c.bandwidth,
            CollectiveKernel.constants(values),
            pcie=c.pcie,
            memory_bandwidth=c.memory,
        )
    return out


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how all constants were fitted together, device left out."""
    known = with_devices(measured_rows(folder)[0], devices)
    parts = [_columns(name, known) for name in COLLECTIVES]
    parts = [part for part in parts if part.at.size]
    return [
        Refit(
            "latency_s",
            np.array([r.seconds for r, _ in known]),
            [d.name for _, d in known],
            constants(),
            lambda k: forward(parts, k, len(known)),
        )
    ]
