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
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.result import ValidationResult
from perfmodel.evaluate.validate import baselines, error_of, grouped, worst_of
from perfmodel.evidence import QUANTITIES, Subject
from perfmodel.measurements import read_rows

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
    left_out: dict[str, list[tuple[int, str]]] = {}
    bares: dict[tuple[str, str], pm.Oracle] = {}
    total = 0
    for bench in benches(read_rows(path)):
        total += len(bench.indices) + bench.disconnected
        if bench.disconnected:
            told = (bench.disconnected, bench.name)
            left_out.setdefault("the output does not depend on the input", []).append(told)
        why = reason(bench)
        if why:
            left_out.setdefault(why, []).append((len(bench.indices), bench.name))
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
    return _result(rows, total, left_out, (*_NOTES, *folder.note(path)), decisions)


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
        for index, told, predicted, floor, least in zip(
            *(c.tolist() for c in columns), strict=True
        ):
            if not np.isfinite(told) or told <= 0:
                continue
            out.append(
                {
                    "name": f"{bench.task} {index}",
                    "device": f"{bench.device} {bench.framework}",
                    "group": f"{bench.framework} {bench.task}",
                    "target": target,
                    "measured": told,
                    "predicted": predicted,
                    "error": predicted / told - 1.0,
                    "subject": subject._replace(quantity=QUANTITIES[target]),
                    "roofline": floor,
                    "compute": least if target == "latency_s" else None,
                }
            )
    return out


def _result(
    rows: list[dict[str, Any]],
    total: int,
    left_out: Mapping[str, list[tuple[int, str]]],
    notes: tuple[str, ...],
    decisions: Mapping[str, Any],
) -> ValidationResult:
    primary = [row for row in rows if row["target"] == TARGETS[0]]
    targets = {
        target: error_of(of)
        for target in TARGETS
        if (of := [row for row in rows if row["target"] == target]) or target == TARGETS[0]
    }
    counts = {why: sum(count for count, _ in told) for why, told in left_out.items()}
    missed = sum(counts.values())
    unpredicted = tuple(
        {"reason": why, "rows": counts[why], "first": told[0][1]} for why, told in left_out.items()
    )
    return ValidationResult(
        NAME,
        total,
        (total - missed) / total,
        targets,
        TARGETS[0],
        grouped(primary, lambda row: row["device"]),
        grouped(primary, lambda row: row["group"]),
        baselines(primary),
        unpredicted,
        worst_of(primary),
        tuple(rows),
        notes,
        decisions,
    )
