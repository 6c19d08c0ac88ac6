"""Two residencies of a network's matrices: all resident with copies, or written in turn."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perfmodel.arrays import Value
from perfmodel.kinds.array import NestRun
from perfmodel.kinds.in_memory.counts import MatrixLayout, copies_of
from perfmodel.kinds.in_memory.matrices import ArrayProducts
from perfmodel.kinds.in_memory.spec import InMemoryArrays
from perfmodel.workload.operator_table import OperatorTable


class ArrayResidency(NamedTuple):
    """Matrices in the arrays under one of the two residencies.

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


def ways(
    run: NestRun, engine: InMemoryArrays, products: ArrayProducts
) -> tuple[ArrayResidency, ArrayResidency, Value]:
    """Return the resident and the rewritten matrices, and whether all fit as residents."""
    table, nests, setting, xp = run.table, run.nests, run.setting, run.xp
    available, arrays, vectors = engine.units, products.layout.arrays, nests.positions

    def ceil(value: Value) -> Value:
        return value if setting.relaxed else xp.ceil(value - 1e-9)

    count = table.count[nests.row] * products.is_weight * _once(table)[nests.row]
    needed = xp.maximum((count * arrays).sum(axis=0), _stored(run, engine, products.layout))
    copies = copies_of(
        arrays,
        vectors * nests.times,
        products.seconds,
        count,
        available,
        needed,
        relaxed=setting.relaxed,
    )
    zero = 0.0 * arrays
    resident = ArrayResidency(copies + zero, ceil(vectors / copies), zero, zero)
    fit = available / arrays
    fewest = xp.maximum(fit if setting.relaxed else xp.floor(fit + 1e-9), 1.0)
    fewest = xp.minimum(fewest, xp.maximum(vectors, 1.0))
    rounds = xp.maximum(ceil(arrays / available), 1.0)
    used_rows = xp.minimum(
        products.inputs * products.layout.together * engine.cells_per_weight, engine.rows
    )
    # Steps of a recurrence are sequential: a matrix that needs rounds is rewritten in each.
    writes = xp.where(rounds > 1.0 + 1e-9, nests.times, 1.0) + zero
    reloaded = ArrayResidency(
        fewest + zero, rounds * ceil(vectors / fewest), rounds * used_rows * writes, writes
    )
    return resident, reloaded, needed <= available


def _once(table: OperatorTable) -> Value:
    """Return 1 for rows that store their own weights, else 0: a decode shares its prompt's."""
    phases = {row.phase for row in table.rows}
    both = {"prefill", "decode"} <= phases
    return np.array([0.0 if both and row.phase == "decode" else 1.0 for row in table.rows])[:, None]


def _stored(run: NestRun, engine: InMemoryArrays, matrix_layout: MatrixLayout) -> Value:
    """Return arrays of all stored weights, which include experts that no token uses."""
    if "moe" not in run.nests.kind:
        return 0.0
    stored = run.table.stored
    elements = sum((n for slot, n in stored.items() if slot.startswith("weight")), 0.0)
    cells = elements * engine.cells_per_weight * matrix_layout.columns_each.min(axis=0)
    return cells / (engine.rows * engine.columns)
