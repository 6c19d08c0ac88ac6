"""Cells of NAS-Bench-201 on one core of a Raspberry Pi 5 and of a phone, in three runtimes.

HW-NAS-Bench-360 (github.com/roldebijvank/HW-NAS-Bench-360, 2026): latency, energy
above idle and accuracy of the cells that its authors hold to be distinct. Costs are the oracle's,
which equals `predict`; `details` of the result says what such costs decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import perfmodel as pm
from perfmodel.evaluate.data_files import DataFolder
from perfmodel.evaluate.result import ValidationResult
from perfmodel.evaluate.validate import comparison_row, summarise
from perfmodel.evidence import QUANTITIES, Subject
from perfmodel.measurement_csv import read_rows

from perfmodel_studies.readers.hwnasbench360.costs import (
    DEVICES,
    FRAMEWORKS,
    Framework,
    device_of,
    oracle,
    reason,
)
from perfmodel_studies.readers.hwnasbench360.decide import TARGETS, Floats, decided
from perfmodel_studies.readers.hwnasbench360.rows import Bench, benches

__all__ = [
    "DEVICES",
    "FRAMEWORKS",
    "NAME",
    "PLACES",
    "TITLE",
    "Bench",
    "Framework",
    "benches",
    "decided",
    "load",
    "oracle",
]

NAME: Final = "hwnasbench360"
TITLE: Final = "NAS-Bench-201 cells on one core of a Raspberry Pi 5 and of a phone, three runtimes"
#: Where its file lies.
PLACES: Final = (
    "measured/hwnasbench360_pi5_pixel.csv.gz",
    "hwnasbench360_pi5_pixel.csv.gz",
)

_NOTES: Final = (
    "constants of the runtimes are fitted on 41 cells a framework on CIFAR-100, which details omit",
    "energy is what lies above the idle board's: four constants for all runtimes, from those cells",
)


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> ValidationResult:
    """Predict every connected cell.

    Returns
    -------
    ValidationResult
        `by_device` is by device and framework, `by_group` by framework and task; `details` holds
        `decided` by device, framework and task.
    """
    path = folder.need(NAME, *PLACES)
    rows: list[dict[str, Any]] = []
    decisions: dict[str, Any] = {}
    left_out: dict[str, list[str]] = {}
    bares: dict[tuple[str, str], pm.Oracle] = {}
    total = 0
    for bench in benches(read_rows(path)):
        total += len(bench.indices) + bench.disconnected
        if bench.disconnected:
            unread = left_out.setdefault("the output does not depend on the input", [])
            unread += [bench.name] * bench.disconnected
        why = reason(bench)
        if why:
            left_out.setdefault(why, []).extend([bench.name] * len(bench.indices))
        if why or not len(bench.indices):
            continue
        key = (bench.device, bench.task)
        if key not in bares:
            bares[key] = oracle(bench, devices, bare=True)
        costs = oracle(bench, devices).batch(bench.choices)
        peak = device_of(bench, devices).machine().facts["engines.cpu.peaks.fp32"]
        name = device_of(bench, devices).name
        subject = Subject(FRAMEWORKS[bench.framework].runtime, name, "frames")
        rows += _rows(bench, costs, bares[key].batch(bench.choices), float(peak), subject)
        decisions[bench.name] = decided(bench, costs)
    notes = (*_NOTES, *folder.note(path))
    return summarise(NAME, rows, total, left_out, notes=notes, details=decisions)


def _rows(
    bench: Bench,
    costs: Mapping[str, Floats],
    bare: Mapping[str, Floats],
    peak: float,
    subject: Subject,
) -> list[dict[str, Any]]:
    """Return the rows of a result: one a cell and target."""
    out: list[dict[str, Any]] = []
    for target in TARGETS:
        measured: Floats = getattr(bench, target)
        if target not in costs:
            continue
        compute = 2.0 * bare["macs"] / peak
        columns = (bench.indices, measured, costs[target], bare[target], compute)
        for index, seconds, predicted, floor, least in zip(
            *(c.tolist() for c in columns), strict=True
        ):
            if not np.isfinite(seconds) or seconds <= 0:
                continue
            out.append(
                comparison_row(
                    f"{bench.task} {index}",
                    f"{bench.device} {bench.framework}",
                    f"{bench.framework} {bench.task}",
                    target,
                    seconds,
                    predicted,
                    subject=subject._replace(quantity=QUANTITIES[target]),
                    roofline=floor,
                    compute=least if target == "latency_s" else None,
                )
            )
    return out
