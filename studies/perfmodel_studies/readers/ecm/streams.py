"""Streaming kernels on six server cores: clocks of a cache line by the level that holds the data.

Five nodes ran likwid-bench; their file gives the mean over working sets inside a level and what
kerncraft's Execution-Cache-Memory model says of the same rows. One core of a Zen 4 server was
measured by size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import perfmodel as pm
from perfmodel.calibrate import Constant
from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.data_files import DataFolder
from perfmodel.evaluate.refit import Refit
from perfmodel.evaluate.result import ValidationResult
from perfmodel.evaluate.validate import error_of, errors_by_group, evaluate
from perfmodel.evaluate.validation_case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.workload.streaming import KERNELS

from perfmodel_studies.readers.ecm.fitting import constants, forward, measured_cycles
from perfmodel_studies.readers.ecm.rows import MACHINES, ZEN4, StreamRow, likwid_rows, zen4_rows

NAME: Final = "ecm_streaming"
TITLE: Final = "streaming kernels on cores of six servers, clocks a cache line by level"
#: Where its file lies.
PLACES: Final = ("cpu_zen4/ecm/ecm_model_vs_measured.csv", "ecm_model_vs_measured.csv")
#: Where the rows of the Zen 4 core lie.
BENCH: Final = ("cpu_zen4/membench_quiet.csv", "membench_quiet.csv")
SWEEPS: Final = ("cpu_zen4/stencil_zen4_quiet.csv", "stencil_zen4_quiet.csv")

#: Kernel -> workload of the library.
WORKLOADS: Final = {
    "copy": "stream_copy",
    "stream": "stream_triad",
    "triad": "schoenauer_triad",
    "daxpy": "daxpy",
    "ddot": "ddot",
    "sum": "stream_sum",
    "update": "stream_update",
    "load": "stream_load",
    "load2": "stream_load2",
    "load4": "stream_load4",
    "store": "stream_store",
    "store2": "stream_store2",
    "store4": "stream_store4",
    "jacobi_2d_5pt": "jacobi_2d_5pt",
    "jacobi_3d_7pt": "jacobi_3d_7pt",
}
LEVELS: Final = ("l1", "l2", "l3", "dram")
#: Nodes whose cores and private caches are alike, so that one may be left out.
SKYLAKE: Final = ("skylakesp2", "casclakesp2")

_CORE: Final = tuple(
    f"memories.l1.{name}"
    for name in ("startup", "replay", "overlap_exponent", "line_in", "line_out", "store_line")
) + tuple(f"memories.l2.{name}" for name in ("line_in", "line_out", "store_line"))
_MEMORY: Final = tuple(f"memories.l3.{name}_time" for name in ("line_in", "line_out", "store_line"))
#: Node -> further constants that its rows determine.
_OWN: Final[Mapping[str, tuple[str, ...]]] = {
    "icx36": ("memories.l1.load_bandwidth", "memories.l1.access_bandwidth"),
    "rome1": (),
    "milan1": ("memories.l1.access_bandwidth",),
    "zen4": (
        "memories.l1.accesses_per_clock",
        "memories.l2.edge_centre",
        "memories.l2.edge_sharpness",
        "memories.l3.edge_centre",
        "memories.l3.edge_sharpness",
    ),
}


def read(folder: DataFolder) -> tuple[list[StreamRow], tuple[str, ...]]:
    """Return the rows of every file that is there, and notes on them.

    Raises
    ------
    InputError
        No file, or one with faults.
    """
    faults: list[Fault] = []
    path = folder.need(NAME, *PLACES)
    rows = likwid_rows(path, faults)
    if not faults:
        rows += zen4_rows(folder.find(*BENCH), folder.find(*SWEEPS), faults)
    if faults:
        raise InputError(faults)
    return rows, folder.note(path)


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> ValidationResult:
    """Predict every row, and put kerncraft's model beside those that it has."""
    rows, notes = read(folder)
    notes = ("rows of likwid-bench are means over 5 to 25 working sets inside a level", *notes)
    result = evaluate(Cases(NAME, [case_of(row, devices) for row in rows], notes=notes))
    other = {f"{row.node} {row.name}": row.other for row in rows if row.other}
    cycles = {f"{row.node} {row.name}": row.cycles for row in rows}
    compared = [
        {
            **prediction,
            "peer": prediction["measured"] * other[prediction["name"]] / cycles[prediction["name"]],
        }
        for prediction in result.predictions
        if prediction["name"] in other
    ]
    if not compared:
        return result
    peer: list[dict[str, Any]] = [
        {**prediction, "predicted": prediction["peer"]} for prediction in compared
    ]
    beside: dict[str, Any] = {
        "same_rows": {
            "this": errors_by_group(compared, _group),
            "kerncraft_ecm": errors_by_group(peer, _group),
        },
        "by_device_and_level": _table(result.predictions),
    }
    baselines = {**result.baselines, "kerncraft_ecm": error_of(peer)}
    return replace(result, baselines=baselines, details={**result.details, **beside})


def _group(row: Mapping[str, Any]) -> str:
    return row["group"]


def _table(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    out: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        out.setdefault(row["device"], {}).setdefault(row["group"], []).append(abs(row["error"]))
    return {
        device: {level: float(np.mean(errors)) for level, errors in levels.items()}
        for device, levels in out.items()
    }


def case_of(row: StreamRow, devices: Sequence[str | Path]) -> ValidationCase:
    """Return a row as a case: a sweep of the kernel on the device, with the row's vectors."""
    name = f"{row.node} {row.name}"
    try:
        device = pm.hardware(row.device, devices)
        workload = sweep(row, device)
    except InputError as error:
        return ValidationCase(name, row.device, reason=str(error.faults[0]))
    clock = device.machine("ideal").facts[f"engines.{device.main_engine}.clock"]
    machine = device.machine("ideal").vary({"memories.l1.vector": row.vector})
    results = float(workload.number(_results(workload)))
    lines = results / 8.0
    seconds = lines * (row.cycles / clock if row.cycles else row.seconds_per_line)
    if not seconds > 0.0:
        return ValidationCase(name, row.device, reason="no time was measured")
    quantity = MeasuredQuantity("latency_s", "latency_s", seconds, workload)
    return ValidationCase(name, row.device, machine, (quantity,), None, None, row.level)


def sweep(row: StreamRow, device: pm.Device) -> pm.Workload:
    """Return the workload of a row; one whose file names only a level lies well inside it."""
    if row.kernel not in WORKLOADS:
        raise InputError(Fault(f"no streaming kernel is named '{row.kernel}'"))
    if not row.vector:
        raise InputError(Fault("the file names vectors that no kernel is known for"))
    if row.extents:
        return pm.workload(WORKLOADS[row.kernel], **dict(row.extents))
    size = row.size or _inside(row.level, device)
    elements = size / (8.0 * KERNELS[row.kernel].arrays)
    return pm.workload(WORKLOADS[row.kernel], elements=elements)


def _inside(level: str, device: pm.Device) -> float:
    first, second, third = (
        next(m.capacity.value for m in device.memories if m.name == name) for name in LEVELS[:-1]
    )
    sizes = {
        "L1": first / 2.0,
        "L2": (first * second) ** 0.5,
        "L3": (second * third) ** 0.5,
        "DRAM": 8.0 * third,
    }
    if level not in sizes:
        raise InputError(Fault(f"no level is named '{level}'", expected=", ".join(sizes)))
    return sizes[level]


def _results(workload: pm.Workload) -> Any:
    (block,) = workload.graph().blocks
    return dict(dict(block.operators[0].attributes)["extents"])["results"]


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the constants were fitted.

    Skylake-SP and Cascade Lake-SP share their core and caches, so each is left out of the other's
    fit, once for the levels of the chip and once for main memory, which they do not share. Of a
    machine that is alone of its microarchitecture the kernels are left out, one by one.
    """
    rows, _ = read(folder)
    out = [
        _shared("skylake_sp_caches", [r for r in rows if r.level != "DRAM"], _CORE, devices),
        _shared("skylake_sp_memory", [r for r in rows if r.level == "DRAM"], _MEMORY, devices),
    ]
    for node, own in _OWN.items():
        mine = [row for row in rows if row.node == node and row.kernel in KERNELS and row.vector]
        if mine:
            machine = pm.hardware(mine[0].device, devices).machine("ideal")
            clock = machine.facts[f"engines.{machine.engine}.clock"]
            out.append(
                Refit(
                    f"{node}_kernels",
                    measured_cycles(mine, clock),
                    [r.kernel for r in mine],
                    constants(machine, (*_CORE, *_MEMORY, *own)),
                    forward(mine, machine, LEVELS),
                    left_out="kernel",
                )
            )
    return [refit for refit in out if len(set(refit.groups)) > 1]


def _shared(
    target: str, rows: Sequence[StreamRow], names: Sequence[str], devices: Sequence[str | Path]
) -> Refit:
    mine = [[r for r in rows if r.node == n and r.kernel in KERNELS and r.vector] for n in SKYLAKE]
    ordered = [row for each in mine for row in each]
    machines = [pm.hardware(MACHINES[n], devices).machine("ideal") for n in SKYLAKE]
    parts = [
        forward(each, machine, LEVELS) for each, machine in zip(mine, machines, strict=True) if each
    ]

    def both(values: Mapping[str, float]) -> Any:
        return np.concatenate([part(values) for part in parts]) if parts else np.zeros(0)

    start: list[Constant] = constants(machines[0], names)
    return Refit(
        target, measured_cycles(ordered, 1.0), [row.device for row in ordered], start, both
    )


__all__ = ["BENCH", "NAME", "PLACES", "SWEEPS", "TITLE", "ZEN4", "case_of", "load", "refits"]
