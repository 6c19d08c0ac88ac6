"""Two residencies of a network's matrices: all resident with copies, or written in turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.setting import Setting
from perfmodel.kinds.array import NestRun
from perfmodel.kinds.in_memory.counts import copies_of
from perfmodel.kinds.in_memory.matrices import ArrayProducts
from perfmodel.kinds.in_memory.spec import InMemoryArrays
from perfmodel.workload.operator_table import OperatorTable


class ArrayResidency(NamedTuple):
    """Matrices that are written into the arrays in turn.

    Attributes
    ----------
    copies, passes
        Copies of each matrix, and consecutive passes of vectors.
    load
        Rows of cells that are written, in sequence.
    writes
        Number of times that the whole matrix is written.
    """

    copies: Value
    passes: Value
    load: Value
    writes: Value


def resident_copies(
    columns: Mapping[str, Value], table: OperatorTable, engine: InMemoryArrays, setting: Setting
) -> tuple[Value, Value, Value]:
    """Return copies and passes of matrices that all stay in arrays, and whether all fit.

    Parameters
    ----------
    columns
        Arrays, vectors, seconds, times and columns per weight of each matrix, and whether it holds
        weights, ``(nests, points)`` or ``(nests, 1)``.
    """
    assert table.nests is not None
    row, xp = table.nests.row, setting.xp
    arrays, vectors = columns["arrays"], columns["vectors"]
    count = table.count[row] * columns["is_weight"] * _once(table)[row]
    needed = xp.maximum(
        (count * arrays).sum(axis=0), _stored(table, engine, columns["columns_each"])
    )
    copies = copies_of(
        arrays,
        vectors * columns["times"],
        columns["seconds"],
        count,
        engine.units,
        needed,
        relaxed=setting.relaxed,
    )
    passes = vectors / copies
    passes = passes if setting.relaxed else xp.ceil(passes - 1e-9)
    return copies + 0.0 * arrays, passes, needed <= engine.units


def rewritten(run: NestRun, engine: InMemoryArrays, products: ArrayProducts) -> ArrayResidency:
    """Return the matrices that are written into the arrays in turn."""
    nests, setting, xp = run.nests, run.setting, run.xp
    available, arrays, vectors = engine.units, products.layout.arrays, nests.positions

    def ceil(value: Value) -> Value:
        return value if setting.relaxed else xp.ceil(value - 1e-9)

    zero = 0.0 * arrays
    fit = available / arrays
    fewest = xp.maximum(fit if setting.relaxed else xp.floor(fit + 1e-9), 1.0)
    fewest = xp.minimum(fewest, xp.maximum(vectors, 1.0))
    rounds = xp.maximum(ceil(arrays / available), 1.0)
    used_rows = xp.minimum(
        products.inputs * products.layout.together * engine.cells_per_weight, engine.rows
    )
    # Steps of a recurrence are sequential: a matrix that needs rounds is rewritten in each.
    writes = xp.where(rounds > 1.0 + 1e-9, nests.times, 1.0) + zero
    return ArrayResidency(
        fewest + zero, rounds * ceil(vectors / fewest), rounds * used_rows * writes, writes
    )


def _once(table: OperatorTable) -> Value:
    """Return 1 for rows that store their own weights, else 0: a decode shares its prompt's."""
    phases = {row.phase for row in table.rows}
    both = {"prefill", "decode"} <= phases
    return np.array([0.0 if both and row.phase == "decode" else 1.0 for row in table.rows])[:, None]


def _stored(table: OperatorTable, engine: InMemoryArrays, columns_each: Value) -> Value:
    """Return arrays of all stored weights, which include experts that no token uses."""
    assert table.nests is not None
    if "moe" not in table.nests.kind:
        return 0.0
    stored = table.stored
    elements = sum((n for slot, n in stored.items() if slot.startswith("weight")), 0.0)
    cells = elements * engine.cells_per_weight * namespace(columns_each).min(columns_each, axis=0)
    return cells / (engine.rows * engine.columns)
