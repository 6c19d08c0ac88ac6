"""ncnn's benchmark page: networks on phones, boards and desktop CPUs.

A heading names a chip by its cores, their clocks and how many there are; the device of a row is the
library's core of that name with the row's threads for units. What runs on a GPU (Vulkan), on cores
that the library has not, or is a network that it has not, is not predicted and counts against the
coverage.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Final

import perfmodel as pm
from perfmodel.errors import Fault
from perfmodel.evaluate.data_files import DataFolder, measured_table
from perfmodel.evaluate.refit import Refit
from perfmodel.evaluate.validation_case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.measurement_csv import CsvRow, CsvTable

from perfmodel_studies.readers.ncnn_bench.headings import Cores, clusters, cores_at_work
from perfmodel_studies.readers.ncnn_bench.refits import BUILDS, refits_of
from perfmodel_studies.tables import table

NAME: Final = "ncnn_bench"
TITLE: Final = (
    "ncnn on the cores of phones, boards and desktops: image networks in fp16, fp32, int8"
)

#: Where its file lies.
PLACES: Final = ("measured/ncnn_bench.csv", "ncnn_bench.csv")

#: Network of the table -> network of the library, with settings where they are not the default.
MODELS: Final[Mapping[str, Mapping[str, Any]]] = table("ncnn_models")

#: A heading's chip -> device of the library whose main memory it has.
BOARDS: Final = (
    (r"Raspberry Pi 4", "raspberry_pi_4"),
    (r"Raspberry Pi 5", "raspberry_pi_5"),
    (r"RK3588", "rk3588"),
    (r"AGX Orin", "jetson_agx_orin"),
    (r"\bM1\b", "apple_m1"),
    (r"\bM3\b", "apple_m3"),
)

#: Networks that builds before 2022 did not have: whether they are in a run dates its build.
_SINCE_2022: Final = frozenset({"vision_transformer", "FastestDet"})

_COLUMNS: Final = (
    "device_as_written",
    "num_threads",
    "powersave",
    "gpu_device",
    "model",
    "min_ms",
)
_OTHERS: Final = (
    "further runs of the same network on the same cores are left out: the fastest counts"
)


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the page: of equal runs (device, threads, cores, network) the fastest."""
    best: dict[tuple[str, ...], tuple[float, CsvRow]] = {}
    runs: dict[tuple[str, ...], set[str]] = {}
    with measured_table(folder, NAME, PLACES, _COLUMNS) as (rows, faults, note):
        for row in rows:
            runs.setdefault(_run(row), set()).add(row.get("model"))
            seconds = rows.number(row, "min_ms", faults, scale=1e-3)
            if seconds is None:
                continue
            key = tuple(row.get(name) for name in _COLUMNS[:5])
            if key not in best or seconds < best[key][0]:
                best[key] = (seconds, row)
        machines = _Machines(devices)
        cases = [
            _case(rows, row, seconds, machines, runs[_run(row)], faults)
            for seconds, row in best.values()
        ]
    return Cases(NAME, cases, notes=(_OTHERS, *note))


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the constants of ncnn's runtimes were fitted, a device left out at a time."""
    return refits_of(load(folder, devices))


class _Machines:
    """Machines of rows, each made once."""

    def __init__(self, devices: Sequence[str | Path]) -> None:
        self._devices = devices
        self._made: dict[tuple[Cores, str, bool], pm.Machine] = {}

    def of(self, heading: str, cores: Cores, run: Set[str]) -> pm.Machine:
        """Return the machine of a heading's cores, under the build that a run was made with."""
        older = not run & _SINCE_2022
        board = next((d for pattern, d in BOARDS if re.search(pattern, heading)), "")
        key = (cores, board, older)
        if key not in self._made:
            core = pm.hardware(cores.core, self._devices)
            changes: dict[str, float] = {
                "engines.cpu.clock": cores.clock_hz,
                "engines.cpu.units": float(cores.count),
            }
            if board:
                ideal = pm.hardware(board, self._devices).machine("ideal")
                share = ideal.get("memories.main.sustained_fraction", 1.0)
                changes["memories.main.bandwidth"] = ideal["memories.main.bandwidth"] * share
            runtime = core.default_runtime
            if older and "armv8_2" in core.tags:
                runtime = BUILDS[runtime]
            self._made[key] = core.machine(runtime).vary(changes)
        return self._made[key]


def _case(
    rows: CsvTable,
    row: CsvRow,
    seconds: float,
    machines: _Machines,
    run: Set[str],
    faults: list[Fault],
) -> ValidationCase:
    heading, model = row.get("device_as_written"), row.get("model")
    device = _short(heading)
    threads, powersave = row.get("num_threads"), row.get("powersave")
    name = f"{device}, {model}, {threads} threads, powersave {powersave}"
    if row.get("gpu_device").strip() != "-1":
        return ValidationCase(
            name, device, reason="runs on a GPU through Vulkan: no runtime has its constants"
        )
    if not threads.isdigit() or not int(threads):
        faults.append(rows.fault(row, "num_threads", "no number of threads", "1 or more"))
        return ValidationCase(name, device, reason="no number of threads")
    cores_of_heading = clusters(heading)
    if not cores_of_heading:
        return ValidationCase(name, device, reason="no core of the library")
    narrow = model.endswith("_int8")
    known = MODELS.get(model.removesuffix("_int8"))
    if known is None:
        return ValidationCase(name, device, reason=f"no network of the library is ncnn's '{model}'")
    cores = cores_at_work(
        cores_of_heading, int(threads), int(powersave) if powersave.isdigit() else 0
    )
    machine = machines.of(heading, cores, run)
    runtime = machine.runtime.name
    # On x86 in fp32; builds that had no EfficientNet yet knew no arithmetic in fp16. A core without
    # such arithmetic stores fp16 and computes in fp32.
    wide = runtime == "ncnn_x86" or "efficientnet_b0" not in run
    precision = "int8" if narrow else "fp32" if wide else "fp16"
    network = pm.workload(known["model"], **known.get("settings", {}))
    quantity = MeasuredQuantity("latency_s", "latency_s", seconds, network)
    return ValidationCase(name, device, machine, (quantity,), precision, runtime, group=model)


def _run(row: CsvRow) -> tuple[str, ...]:
    names = ("condition", "loop_count", "num_threads", "powersave", "gpu_device")
    return (row.get("device_as_written"), *(row.get(name) for name in names))


def _short(heading: str) -> str:
    """Return a heading up to its list of cores."""
    return re.split(r"\s*[(\[,]", heading)[0].strip() if "MacBook" not in heading else heading[:30]
