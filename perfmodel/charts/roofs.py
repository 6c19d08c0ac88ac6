"""What a roofline is made of: roofs from the rows' own rates, and rows as points under them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.charts.subject import Column, PredictionPoint

_LARGEST, _SMALLEST = 46.0, 7.0


class Roof(NamedTuple):
    """One roof: what the rows can reach, beside what the data sheet says.

    Attributes
    ----------
    name
        Memory, or compute format.
    value
        Bytes a second of a memory, operations a second of a format, as this prediction used it.
    peak
        The theoretical figure.
    """

    name: str
    value: float
    peak: float


class RowPoints(NamedTuple):
    """Rows that have arithmetic and traffic, as points.

    Attributes
    ----------
    row
        Index of each row.
    x
        Operational intensity: operations per byte across the memory whose traffic counts.
    y
        Operations a second of the kernel itself.
    diameter
        Pixels; the area is the share of the latency.
    """

    row: npt.NDArray[np.intp]
    x: Column
    y: Column
    diameter: Column


def row_points(subject: PredictionPoint, level: str | None = None) -> RowPoints:
    """Return the points, by a memory's traffic or by that of each row's slowest memory."""
    columns, operations = subject.columns, subject.operations
    levels = [level] if level else list(subject.levels)
    bytes_ = np.stack([columns[f"{name}_bytes"] for name in levels])
    seconds = np.stack([columns[f"{name}_s"] for name in levels])
    which = np.argmax(np.where(bytes_ > 0, seconds, -1.0), axis=0)
    crossing = bytes_[which, np.arange(bytes_.shape[1])]
    # A share of what a layer costs says nothing of the kernel that carries it.
    own = columns["row_s"] - columns.get("layer_s", 0.0)
    index = np.flatnonzero((operations > 0) & (crossing > 0) & (own > 0))
    share = columns["total_s"] / (columns["total_s"].sum() or 1.0)
    diameter = np.maximum(_SMALLEST, _LARGEST * np.sqrt(share))
    return RowPoints(
        index, operations[index] / crossing[index], operations[index] / own[index], diameter[index]
    )


def memory_roofs(subject: PredictionPoint) -> list[Roof]:
    """Return a roof for each memory that carries traffic, neaown the engine first."""
    out: list[Roof] = []
    facts = subject.setting.facts
    for level in subject.levels:
        crossing, seconds = subject.columns[f"{level}_bytes"], subject.columns[f"{level}_s"]
        own: Column = seconds - subject.latency(level)
        # Loops over arrays have their lines prefetched: no latency is in their seconds.
        loops = np.asarray(subject.columns["kind"] == "stream", dtype=bool)
        own[loops] = seconds[loops]
        busy = (crossing > 0) & (own > 0)
        if level == subject.levels[-1] and "cold_weights_s" in subject.columns:
            busy &= subject.columns["cold_weights_s"] == 0  # a part of the bytes waits there
        peak = float(facts[f"memories.{level}.bandwidth"])
        if busy.any():
            rate = float(np.max(crossing[busy] / own[busy]))
        else:
            rate = peak * float(facts.get(f"memories.{level}.sustained_fraction", 1.0))
        out.append(Roof(level, rate, peak))
    return out


def compute_roofs(subject: PredictionPoint) -> list[Roof]:
    """Return a roof for each format that multiplies, and ``vector`` for other arithmetic."""
    columns, setting = subject.columns, subject.setting
    # Where memory multiplies too, only the engine's own work says how fast the engine is.
    macs = columns.get("host_macs", columns["macs"])
    # A kind that names its units otherwise has its products in its first term.
    term = "matrix" if "matrix_s" in columns else next(iter(subject.terms.compute))
    products = columns[f"{term}_s"]
    out: list[Roof] = []
    for name, rows in subject.formats().items():
        # Products may run elsewhere than on the matrix units: attention beside memory arrays.
        here = products[rows] > 0
        if not here.any():
            continue
        rates = 2.0 * macs[rows][here] / products[rows][here]
        peak = setting.facts.get(f"engines.{setting.engine_name}.peaks.{name}")
        best = float(np.max(rates))
        out.append(Roof(name, best, float(peak) if peak is not None else best))
    vector = columns.get("vector_s", np.zeros(len(macs)))
    some = (columns["vector_ops"] > 0) & (vector > 0)
    if some.any():
        best = float(np.max(columns["vector_ops"][some] / vector[some]))
        out.append(Roof("vector", best, best))
    return sorted(out, key=lambda roof: -roof.value)


def merged(roofs: list[Roof]) -> list[Roof]:
    """Return roofs with those that coincide as one, their names joined."""
    out: list[Roof] = []
    for roof in roofs:
        if out and abs(out[-1].value / roof.value - 1) < 0.02:
            out[-1] = Roof(f"{out[-1].name}, {roof.name}", roof.value, roof.peak)
        else:
            out.append(roof)
    return out
