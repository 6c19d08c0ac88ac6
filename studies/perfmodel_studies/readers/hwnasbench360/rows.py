"""The measured cells by device, framework and task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from perfmodel.errors import Fault, InputError, nearest
from perfmodel.measurement_csv import CsvRow, CsvTable
from perfmodel.workload.nas_spaces import space
from perfmodel.workload.nas_spaces.nas_bench_201 import NasBench201

from perfmodel_studies.readers.hwnasbench360.tasks import tasks

Floats: TypeAlias = npt.NDArray[np.float64]
Index: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]

#: The runtimes' constants are fitted on every so many-th connected cell of one device and task.
FITTED: Final = ("pi5", "cifar100", 160)

_COLUMNS = ("arch_idx", "arch_str", "device", "framework", "task", "lat_ms_median")


@dataclass(frozen=True)
class Bench:
    """What was measured on a device, with a framework, for a task: ``n`` connected cells.

    Attributes
    ----------
    indices : array of shape ``(n,)``
        Published indices of the cells, ascending.
    choices : array of shape ``(n, 6)``
        Operations of the edges.
    latency_s, energy_j : array of shape ``(n,)``
        Medians; energy above idle, NaN where none was measured.
    quality : array of shape ``(n,)``
        What the task measures, of errors the negative (`tasks.yaml`): the higher the better.
    disconnected : int
        Cells left out: their output does not depend on their input.
    """

    device: str
    framework: str
    task: str
    indices: Index
    choices: Index
    latency_s: Floats
    energy_j: Floats
    quality: Floats
    disconnected: int

    @property
    def name(self) -> str:
        """Device, framework and task."""
        return f"{self.device} {self.framework} {self.task}"

    @property
    def fitted(self) -> Mask:
        """Which rows the runtime's constants were fitted on."""
        device, task, step = FITTED
        on = np.zeros(len(self.indices), dtype=bool)
        if (self.device, self.task) == (device, task):
            on[::step] = True
        return on

    def select(self, mask: Mask) -> Bench:
        """Return the bench with some of its rows."""
        columns = ("indices", "choices", "latency_s", "energy_j", "quality")
        return replace(self, **{name: getattr(self, name)[mask] for name in columns})


def benches(rows: CsvTable) -> list[Bench]:
    """Return the measurements by device, framework and task, as they first come.

    Raises
    ------
    InputError
        Missing columns, cells that are none, numbers that are no measurements: every fault.
    """
    faults = rows.missing(_COLUMNS)
    if faults:
        raise InputError(faults)
    known = cast("NasBench201", space("nas_bench_201"))
    encoded: dict[str, tuple[int, ...]] = {}
    by_bench: dict[tuple[str, str, str], list[tuple[Any, ...]]] = {}
    for row in rows:
        text = row.get("arch_str")
        if text not in encoded:
            try:
                encoded[text] = known.encode(text)
            except InputError as error:
                faults += [rows.fault(row, "arch_str", f.message, f.expected) for f in error.faults]
                encoded[text] = ()
        device, framework, task = row.get("device"), row.get("framework"), row.get("task")
        index = rows.number(row, "arch_idx", faults, above_zero=False)
        latency = rows.number(row, "lat_ms_median", faults, scale=1e-3)
        energy = _optional(rows, row, "energy_mj", faults, 1e-3)
        known_task = tasks().get(task)
        if known_task is None:
            faults.append(
                rows.fault(
                    row,
                    "task",
                    f"'{task}' is a task of which nothing states whether more is better",
                    "one of " + ", ".join(tasks()),
                    nearest(task, tasks()),
                )
            )
            continue
        quality = _optional(rows, row, "accuracy", faults, known_task.sign)
        if encoded[text] and index is not None and latency is not None:
            line = (int(index), encoded[text], latency, energy, quality)
            by_bench.setdefault((device, framework, task), []).append(line)
    if faults:
        raise InputError(faults)
    return [_bench(known, *key, sorted(lines)) for key, lines in by_bench.items()]


def _optional(rows: CsvTable, row: CsvRow, column: str, faults: list[Fault], scale: float) -> float:
    if column not in rows.columns:
        return float("nan")
    number = rows.number(row, column, faults, scale=scale, above_zero=False)
    return float("nan") if number is None else number


def _bench(
    known: NasBench201, device: str, framework: str, task: str, lines: list[tuple[Any, ...]]
) -> Bench:
    connected = [line for line in lines if known.connected(line[1])]
    columns = list(zip(*connected, strict=True)) or [()] * 5
    return Bench(
        device,
        framework,
        task,
        np.array(columns[0], dtype=np.int64),
        np.array(columns[1], dtype=np.int64).reshape(-1, 6),
        *map(np.array, columns[2:]),
        disconnected=len(lines) - len(connected),
    )
