"""Validity checks of network totals and rows, and reference work of each row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.setting import Setting
from perfmodel.errors import Fault, InputError
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.rates import executed_macs
from perfmodel.workload.operator_table import OperatorTable


def settle(
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
    if sound and _ends(totals["latency_s"]):
        return
    if namespace(*totals.values(), terms.row_s) is not np:
        return  # a tracer has no numbers yet
    faults: list[Fault] = []
    for name, seconds in {**terms.compute, **terms.memory, **terms.overhead}.items():
        faults += _faults(f"{name}_s", seconds, table, values)
    for level, bytes_ in terms.traffic.items():
        faults += _faults(f"{level}_bytes", bytes_, table, values)
    faults += [] if faults else _faults("row_s", terms.row_s, table, values)
    for name, value in () if faults else totals.items():
        faults += _faults(name, np.atleast_2d(value), None, values)
    raise InputError(faults)


def _ends(seconds: Value) -> bool:
    """Return whether all numbers of an array are finite; true for a tracer."""
    return namespace(seconds) is not np or bool(np.max(seconds) < np.inf)


def _faults(
    name: str, value: Value, table: OperatorTable | None, values: Mapping[str, Value]
) -> list[Fault]:
    """Return the fault of the first number in ``(rows, points)`` that is negative or not finite."""
    array = np.asarray(value, dtype=float)
    bad = np.argwhere(~((array >= 0.0) & (array < np.inf)))
    if not bad.size:
        return []
    row, point = (int(bad[0, 0]), int(bad[0, -1])) if array.ndim == 2 else (0, 0)
    where = "" if table is None else f"row '{table.rows[row].name}' "
    numbers = {n: np.asarray(v, dtype=float).reshape(-1) for n, v in values.items()}
    at = ", ".join(f"{n}={v[point if v.size > 1 else 0]:g}" for n, v in numbers.items())
    number = float(array[tuple(bad[0])])
    at = f" at {at}" if at else ""
    return [
        Fault(f"{where}comes out as {number:g}{at}", name, expected="a finite number from 0 up")
    ]


def work_of(table: OperatorTable, terms: Terms, setting: Setting) -> Value:
    """Return the multiply-accumulate operations of each row of the graph that a kind must count.

    There are two per multiply-accumulate of the row's algorithm, including padding of panels and
    excluding skipped masked pairs and operations that the kind declares as omitted.
    """
    graph: Value = 2.0 * executed_macs(table, setting)
    return graph if terms.left_out is None else graph - terms.left_out
