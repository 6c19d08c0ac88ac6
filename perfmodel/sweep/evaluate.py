"""Points of a plan to columns: one call of `predict` a case, numbers as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.columns import TEXT
from perfmodel.hardware.library import hardware
from perfmodel.hardware.library import runtime as find_runtime
from perfmodel.hardware.machine import Machine
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.prediction.scarce import largest_share
from perfmodel.resolve import machine_of
from perfmodel.settings import BITS, OPTIONS, is_fact
from perfmodel.sweep.bottleneck import bottlenecks
from perfmodel.sweep.plan import Piece, Plan, pieces_points
from perfmodel.sweep.resolve_cases import bound, precision_of
from perfmodel.table import Table

__all__ = ["evaluate", "predict_piece"]


def evaluate(plan: Plan, chunk: Sequence[Piece]) -> Table:
    """Return the rows of a chunk.

    Parameters
    ----------
    plan : Plan
    chunk : sequence of (case, start, stop)

    Returns
    -------
    Table
        The plan's columns, one row a point.
    """
    parts = [_columns(plan, piece) for piece in chunk]
    dimensions = plan.columns
    if len(parts) == 1:
        return Table(_repeated(parts[0], pieces_points(chunk)), dimensions, plan.axis_columns)
    columns: dict[str, Any] = {}
    sizes = [stop - start for _, start, stop in chunk]
    for name, dimension in dimensions.items():
        kind = object if dimension == TEXT else bool if name == "feasible" else np.float64
        whole = columns[name] = np.empty(sum(sizes), dtype=kind)
        at = 0
        for part, size in zip(parts, sizes, strict=True):
            whole[at : at + size] = part[name]
            at += size
    return Table(columns, dimensions, plan.axis_columns)


def _repeated(columns: dict[str, Any], rows: int) -> dict[str, Any]:
    # A text that is the same in all rows stays one object, seen many times.
    return {
        name: np.broadcast_to(np.array(v, dtype=object), (rows,)) if isinstance(v, str)
        else np.broadcast_to(np.asarray(v), (rows,))
        for name, v in columns.items()
    }  # fmt: skip


def predict_piece(plan: Plan, piece: Piece) -> Prediction:
    """Return the prediction of a range of points of one case; scalar where nothing is batched."""
    index, start, stop = piece
    case = plan.cases[index]
    numbers = case.numbers(start, stop)
    options = plan.options
    chosen = {n: case.categories.get(n, getattr(options, n)) for n in OPTIONS}
    settings = {n: v for n, v in case.categories.items() if n not in OPTIONS}
    facts: dict[str, Any] = {}
    bits: dict[str, Any] = {}
    for name, values in numbers.items():
        if is_fact(name):
            facts[name] = values
        elif name in BITS:
            bits[BITS[name]] = values
        else:
            settings[name] = values
    for name in [n for n in settings if n in BITS or is_fact(n)]:
        (bits if name in BITS else facts)[BITS.get(name, name)] = settings.pop(name)
    workload = bound(plan.workloads[case.workload], settings)
    ref = plan.devices[case.device]
    device = ref if isinstance(ref, Machine) else hardware(ref)
    runtime = None if chosen["runtime"] is None else find_runtime(chosen["runtime"])
    machine = machine_of(device, runtime, facts, workload) if facts else device
    precision = precision_of(chosen["precision"], bits, workload, device, runtime, chosen["engine"])
    return predict(
        workload, machine, precision=precision, runtime=runtime, engine=chosen["engine"],
        model=chosen["model"], fuse=options.fuse, flash_attention=options.flash_attention,
        relaxed=options.relaxed, warm=options.warm,
    )  # fmt: skip


def _columns(plan: Plan, piece: Piece) -> dict[str, Any]:
    """Columns of a piece: arrays, or scalars where nothing varies."""
    case = plan.cases[piece[0]]
    found = predict_piece(plan, piece)
    columns: dict[str, Any] = {
        "workload": found.workload.name,
        "device": found.machine.device.name,
        "runtime": found.machine.runtime.name,
        "precision": found.precision,
    }
    numbers = case.numbers(piece[1], piece[2])
    for axis in plan.axes:
        if axis.name in numbers:
            columns[axis.name] = numbers[axis.name]
        elif axis.name not in columns:
            value = case.categories.get(axis.name)
            number = plan.columns[axis.name] != TEXT
            columns[axis.name] = _number(value) if number else _text(value)
    for name in plan.metrics:
        columns[name] = _metric(found, name)
    return columns


def _number(value: Any) -> float:
    return np.nan if value is None else float(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _metric(found: Prediction, name: str) -> Value:
    if name == "bottleneck":
        return bottlenecks(found)
    if name == "resource_share":
        return largest_share(found.resources)
    if name in ("traffic_bytes", "bandwidth_bytes_per_s"):
        moved = found.traffic_bytes.get(found.machine.main_memory)
        if moved is None:
            return np.nan
        return moved if name == "traffic_bytes" else moved / found.latency_s
    value = getattr(found, name)
    return np.nan if value is None else value
