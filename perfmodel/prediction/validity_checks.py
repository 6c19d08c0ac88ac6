"""Validity of predicted numbers: every row and total is finite and not negative.

The totals of a network are checked when its rows are summed (stage ``sum`` of
`perfmodel.prediction.stages`). Only if a total is invalid are the rows searched for the term at
fault. `reference_work` states the operations that a kind must account for; the audit compares them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.setting import Setting
from perfmodel.errors import Fault, InputError
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.rates import executed_macs
from perfmodel.workload.operator_table import OperatorTable


def check_validity(
    totals: Mapping[str, Value],
    table: OperatorTable,
    terms: Terms,
    values: Mapping[str, Value],
    sound: bool,
) -> None:
    """Raise an error for impossible totals and rows: not finite, negative, or zero latency.

    Parameters
    ----------
    values
        Free dimensions of the points, to identify the point at fault.
    sound
        Whether row seconds and totals were already checked to be non-negative numbers.

    Raises
    ------
    InputError
        Every invalid number, with its row and term, at its first point at fault.
    """
    # Infinite bytes or operations imply infinite time.
    if sound and _all_finite(totals["latency_s"]):
        return
    if namespace(*totals.values(), terms.row_s) is not np:
        return  # a tracer has no numbers yet
    faults: list[Fault] = []
    for name, seconds in {**terms.compute, **terms.memory, **terms.overhead}.items():
        faults += _first_fault(f"{name}_s", seconds, table, values)
    for level, bytes_ in terms.traffic.items():
        faults += _first_fault(f"{level}_bytes", bytes_, table, values)
    faults += [] if faults else _first_fault("row_s", terms.row_s, table, values)
    for name, value in () if faults else totals.items():
        faults += _first_fault(name, np.atleast_2d(value), None, values)
    raise InputError(faults)


def _all_finite(seconds: Value) -> bool:
    """Return whether all numbers of an array are finite; true for a tracer."""
    return namespace(seconds) is not np or bool(np.max(seconds) < np.inf)


def _first_fault(
    name: str, value: Value, table: OperatorTable | None, values: Mapping[str, Value]
) -> list[Fault]:
    """Return the fault of the first number in ``(rows, points)`` that is negative or not finite."""
    array = np.asarray(value, dtype=float)
    invalid = np.argwhere(~((array >= 0.0) & (array < np.inf)))
    if not invalid.size:
        return []
    row, point = (int(invalid[0, 0]), int(invalid[0, -1])) if array.ndim == 2 else (0, 0)
    where = "" if table is None else f"row '{table.rows[row].name}' "
    numbers = {n: np.asarray(v, dtype=float).reshape(-1) for n, v in values.items()}
    at = ", ".join(f"{n}={v[point if v.size > 1 else 0]:g}" for n, v in numbers.items())
    number = float(array[tuple(invalid[0])])
    at = f" at {at}" if at else ""
    return [
        Fault(f"{where}comes out as {number:g}{at}", name, expected="a finite number from 0 up")
    ]


def reference_work(table: OperatorTable, terms: Terms, setting: Setting) -> Value:
    """Return the operations of each row of the graph that a kind must count, ``2 macs - omitted``.

    The multiply-accumulates are those of the row's algorithm, including padding of panels and
    excluding skipped masked pairs; `omitted` are operations that the kind declares as left out.
    """
    operations: Value = 2.0 * executed_macs(table, setting)
    return operations if terms.left_out is None else operations - terms.left_out
