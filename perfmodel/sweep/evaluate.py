"""Evaluation of a chunk: one call of `predict` for each case, with arrays, gives the columns.

If `predict` refuses an array because of some of its points, these points are separated from the
others; only their rows lack numbers, and state the reason. Called by `perfmodel.sweep.chunk`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.columns import TEXT, TRUTH
from perfmodel.errors import InputError
from perfmodel.hardware.machine import Machine
from perfmodel.predict import run_stages
from perfmodel.prediction import Prediction
from perfmodel.prediction.fault_isolation import isolate_faults
from perfmodel.resolve import device_of, machine_of, resolve, runtime_of
from perfmodel.settings import BITS, split
from perfmodel.sweep.bottleneck import bottlenecks
from perfmodel.sweep.cases import Numbers
from perfmodel.sweep.plan import REASON, Piece, SweepPlan, pieces_points
from perfmodel.sweep.resolve_cases import bound
from perfmodel.table import Table


def evaluate(plan: SweepPlan, chunk: Sequence[Piece]) -> Table:
    """Return the rows of a chunk.

    Parameters
    ----------
    plan : Plan
    chunk : sequence of (case, start, stop)

    Returns
    -------
    Table
        The plan's columns, one row per point. If some points cannot be predicted, an additional
        column has the reasons, and their rows have no numbers.
    """
    parts = [_columns(plan, piece) for piece in chunk]
    dimensions = plan.columns
    if any(REASON in part for part in parts):
        dimensions = dimensions | {REASON: TEXT}
    if len(parts) == 1:
        return Table(_broadcast(parts[0], pieces_points(chunk)), dimensions, plan.axis_columns)
    columns: dict[str, Any] = {}
    sizes = [stop - start for _, start, stop in chunk]
    for name, dimension in dimensions.items():
        columns[name] = np.empty(sum(sizes), dtype=dtype_of(dimension))
        at = 0
        for part, size in zip(parts, sizes, strict=True):
            columns[name][at : at + size] = part.get(name, "")
            at += size
    return Table(columns, dimensions, plan.axis_columns)


def dtype_of(dimension: str) -> Any:
    """Return the dtype of a column of a dimension."""
    return object if dimension == TEXT else bool if dimension == TRUTH else np.float64


def _broadcast(columns: dict[str, Any], rows: int) -> dict[str, Any]:
    """Return the columns with as many rows, constant ones broadcast."""
    # A text common to all rows stays one object, broadcast.
    return {
        name: np.broadcast_to(np.array(v, dtype=object), (rows,))
        if isinstance(v, str)
        else np.broadcast_to(np.asarray(v), (rows,))
        for name, v in columns.items()
    }


def predict_points(plan: SweepPlan, index: int, numbers: Numbers) -> Prediction:
    """Return the prediction of points of one case; scalar if nothing is batched.

    Raises
    ------
    InputError
        One of them cannot be predicted.
    """
    case = plan.cases[index]
    parts = split({**plan.options, **case.categories, **numbers})
    others = {
        name: parts.workload.pop(name) for name in plan.options.keys() & parts.workload.keys()
    }
    bits = {name: parts.bits[role] for name, role in BITS.items() if role in parts.bits}
    workload = bound(plan.workloads[case.workload], parts.workload)
    device, options = device_of(plan.devices[case.device]), parts.options
    if parts.facts:
        # Remarks on facts are made once, with the plan.
        precision, engine = options.get("precision"), options.get("engine")
        runtime = runtime_of(options.get("runtime"))
        device = machine_of(device, runtime, parts.facts, workload, precision, engine)
    options |= others
    named = {name: options.pop(name, None) for name in ("precision", "runtime", "engine", "model")}
    subject = resolve(workload, device, **named, settings=bits)
    return run_stages(subject, **options, points=case.points)


def _columns(plan: SweepPlan, piece: Piece) -> dict[str, Any]:
    """Return the columns of a piece: arrays, or scalars where nothing varies."""
    index, start, stop = piece
    case = plan.cases[index]
    steps = case.steps(start, stop)

    def predicted(points: Any) -> dict[str, Any]:
        return _predicted(plan, index, case.numbers([at[points] for at in steps]))

    try:
        return _predicted(plan, index, case.numbers(steps))
    except InputError as error:
        refusal = error
    columns = {
        name: np.full(stop - start, *_blank(dimension))
        for name, dimension in (plan.columns | {REASON: TEXT}).items()
    }
    unknown = _axis_columns(plan, index, case.numbers(steps)) | _subjects(plan, index)
    for name, values in unknown.items():
        columns[name][:] = values
    for points, numbers, reason in isolate_faults(steps, predicted, refusal):
        for name, values in ({REASON: reason} if numbers is None else numbers).items():
            columns[name][points] = values
    return columns


def _blank(dimension: str) -> tuple[Any, Any]:
    """Return the value of an unpredicted cell, and the dtype of its column."""
    dtype = dtype_of(dimension)
    return "" if dtype is object else False if dtype is bool else np.nan, dtype


def _subjects(plan: SweepPlan, index: int) -> dict[str, Any]:
    """Return workload, device, runtime and precision of points without a prediction."""
    case = plan.cases[index]
    options = {**plan.options, **case.categories}
    ref = plan.devices[case.device]
    workload = bound(plan.workloads[case.workload], {})
    device = device_of(ref)
    runtime = runtime_of(options.get("runtime"))
    precision = options.get("precision")
    try:
        ran = machine_of(device, runtime, {}, workload, precision, options.get("engine"))
        ran = ran.runtime.name
    except InputError:
        ran = "" if runtime is None else runtime.name
    return {
        "workload": workload.name,
        "device": (device.device if isinstance(device, Machine) else device).name,
        "runtime": ran,
        "precision": "" if precision is None else str(precision),
    }


def _predicted(plan: SweepPlan, index: int, numbers: Numbers) -> dict[str, Any]:
    """Return the columns of points of a case."""
    prediction = predict_points(plan, index, numbers)
    columns: dict[str, Any] = {
        "workload": prediction.workload.name,
        "device": prediction.machine.device.name,
        "runtime": prediction.machine.runtime.name,
        "precision": prediction.precision,
    }
    columns |= {n: v for n, v in _axis_columns(plan, index, numbers).items() if n not in columns}
    return columns | {name: _metric(prediction, name) for name in plan.metrics}


def _axis_columns(plan: SweepPlan, index: int, numbers: Numbers) -> dict[str, Any]:
    """Return the columns of the axes."""
    categories = plan.cases[index].categories
    return {
        axis.name: numbers[axis.name]
        if axis.name in numbers
        else _number(categories.get(axis.name))
        if plan.columns[axis.name] != TEXT
        else _text(categories.get(axis.name))
        for axis in plan.axes
    }


def _number(value: Any) -> float:
    """Return a category as a number; nan if it does not apply."""
    return np.nan if value is None else float(value)


def _text(value: Any) -> str:
    """Return a category as text; empty if it does not apply."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _metric(prediction: Prediction, name: str) -> Value:
    """Return a column of the prediction; nan if the prediction does not have it."""
    if name == "bottleneck":
        return bottlenecks(prediction)
    value = prediction.metric(name)
    return np.nan if value is None else value
