"""Floating point in software: clocks of an operation on a core without a floating-point unit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.setting import Setting
from perfmodel.kinds.mcu.kernels import passing
from perfmodel.kinds.mcu.spec import Microcontroller
from perfmodel.kinds.rates import executed_format, pair_format
from perfmodel.workload.operator_table import OperatorTable

_FLOATS = ("fp", "bf", "tf")


class SoftFloat(NamedTuple):
    """Clocks of work computed in software.

    Attributes
    ----------
    rows, elements
        Whether products, and whether other work, of a row are emulated; ``(rows, 1)``.
    matrix, vector
        Clocks of products and of other work, ``(rows, points)``.
    executed
        Compute format -> itself, for emulated formats.
    """

    rows: Value
    elements: Value
    matrix: Value
    vector: Value
    executed: dict[str, str]


def soft_float(
    table: OperatorTable, macs: Value, setting: Setting, engine: Microcontroller
) -> SoftFloat | None:
    """Return rows emulated in floating point; ``None`` where the core has a unit for it."""
    each = engine.float_clocks
    if each is None:
        return None
    rows: list[bool] = []
    executed: dict[str, str] = {}
    for row in table.rows:
        wanted = pair_format(setting, row.pair) if row.products else ""
        soft = wanted.startswith(_FLOATS) and not executed_format(setting, wanted)
        rows.append(soft)
        if soft:
            executed[wanted] = wanted
    act = setting.precision.activations.compute
    floats = act.startswith(_FLOATS) and not executed_format(setting, act)
    part = passing(table, setting, engine)
    return SoftFloat(
        np.array(rows)[:, None],
        np.full((len(rows), 1), floats),
        2.0 * macs * each * part,
        table.vector_ops * each * part,
        executed,
    )
