"""Numbers that are none of a run, refused where the rows are summed; and the work of rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.setting import Setting
from perfmodel.errors import Fault, InputError
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.rates import executed_macs
from perfmodel.workload.lower import OperatorTable


def settle(
    totals: Mapping[str, Value],
    table: OperatorTable,
    terms: Terms,
    values: Mapping[str, Value],
    sound: bool,
) -> None:
    """Refuse sums and rows that are none of a run: not finite, negative, or no time at all.

    Parameters
    ----------
    values
        Free dimensions of the points, to name the one at fault.
    sound
        Whether the seconds of every row and all sums are numbers from 0 up, as far as is known.

    Raises
    ------
    InputError
        Every number at fault, with its row and term, at the first such point of each.
    """
    # Bytes and operations without end take no end of time.
    if sound and _ends(totals["latency_s"]):
        return
    if namespace(*totals.values(), terms.row_s) is not np:
        return  # a tracer has no numbers yet
    faults: list[Fault] = []
    for name, seconds in {**terms.compute, **terms.memory, **terms.overhead}.items():
        faults += _faults(f"{name}_s", seconds, table, values)
    for level, moved in terms.traffic.items():
        faults += _faults(f"{level}_bytes", moved, table, values)
    faults += [] if faults else _faults("row_s", terms.row_s, table, values)
    for name, value in () if faults else totals.items():
        faults += _faults(name, np.atleast_2d(value), None, values)
    raise InputError(faults)


def _ends(seconds: Value) -> bool:
    """Tell whether no number of an array is without end; a tracer has none yet."""
    return namespace(seconds) is not np or bool(np.max(seconds) < np.inf)


def _faults(
    name: str, value: Value, table: OperatorTable | None, values: Mapping[str, Value]
) -> list[Fault]:
    """Return the fault of the first number of ``(rows, points)`` that is none, if any is."""
    array = np.asarray(value, dtype=float)
    bad = np.argwhere(~((array >= 0.0) & (array < np.inf)))
    if not bad.size:
        return []
    row, point = (int(bad[0, 0]), int(bad[0, -1])) if array.ndim == 2 else (0, 0)
    where = "" if table is None else f"row '{table.rows[row].name}' "
    numbers = {n: np.asarray(v, dtype=float).reshape(-1) for n, v in values.items()}
    at = ", ".join(f"{n}={v[point if v.size > 1 else 0]:g}" for n, v in numbers.items())
    found = float(array[tuple(bad[0])])
    at = f" at {at}" if at else ""
    return [Fault(f"{where}comes out as {found:g}{at}", name, expected="a finite number from 0 up")]


def work_of(table: OperatorTable, terms: Terms, setting: Setting) -> Value:
    """Return the operations of products that each row of the graph has, as a kind must count them.

    Two a multiply-accumulate of its algorithm, with the padding of panels and without masked pairs
    that are skipped; less those that the kind says it leaves out.
    """
    graph: Value = 2.0 * executed_macs(table, setting)
    return graph if terms.left_out is None else graph - terms.left_out
