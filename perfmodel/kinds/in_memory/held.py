"""Two ways to hold a network's matrices: all at rest with copies, or each written in its turn."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perfmodel.arrays import Value
from perfmodel.kinds.array import NestRun
from perfmodel.kinds.in_memory.counts import MatrixLayout, copies_of
from perfmodel.kinds.in_memory.matrices import ArrayVectors
from perfmodel.kinds.in_memory.spec import InMemoryArrays
from perfmodel.workload.lower import OperatorTable


class ArrayResidency(NamedTuple):
    """Matrices in the arrays, in one of the two ways.

    Attributes
    ----------
    copies, passes
        Of each matrix; and passes of vectors, one after another.
    load
        Rows of cells that are written, one after another.
    writes
        How often the whole matrix is written.
    """

    copies: Value
    passes: Value
    load: Value
    writes: Value


def ways(
    run: NestRun, engine: InMemoryArrays, through: ArrayVectors
) -> tuple[ArrayResidency, ArrayResidency, Value]:
    """Return matrices that stay, matrices written in turn, and whether all of them may stay."""
    table, nests, setting, xp = run.table, run.nests, run.setting, run.xp
    there, arrays, vectors = engine.units, through.layout.arrays, nests.positions

    def ceil(value: Value) -> Value:
        return value if setting.relaxed else xp.ceil(value - 1e-9)

    count = table.count[nests.row] * through.still * _once(table)[nests.row]
    needed = xp.maximum((count * arrays).sum(axis=0), _stored(run, engine, through.layout))
    copies = copies_of(
        arrays,
        vectors * nests.times,
        through.seconds,
        count,
        there,
        needed,
        relaxed=setting.relaxed,
    )
    zero = 0.0 * arrays
    resident = ArrayResidency(copies + zero, ceil(vectors / copies), zero, zero)
    whole = there / arrays
    fewest = xp.maximum(whole if setting.relaxed else xp.floor(whole + 1e-9), 1.0)
    fewest = xp.minimum(fewest, xp.maximum(vectors, 1.0))
    rounds = xp.maximum(ceil(arrays / there), 1.0)
    deep = xp.minimum(
        through.inputs * through.layout.together * engine.cells_per_weight, engine.rows
    )
    # Steps of a cell wait for one another: what takes rounds is written anew in each.
    writes = xp.where(rounds > 1.0 + 1e-9, nests.times, 1.0) + zero
    reloaded = ArrayResidency(
        fewest + zero, rounds * ceil(vectors / fewest), rounds * deep * writes, writes
    )
    return resident, reloaded, needed <= there


def _once(table: OperatorTable) -> Value:
    """Return 1 for rows whose weights no other row has, else 0: a decode's are its prompt's."""
    phases = {row.phase for row in table.rows}
    both = {"prefill", "decode"} <= phases
    return np.array([0.0 if both and row.phase == "decode" else 1.0 for row in table.rows])[:, None]


def _stored(run: NestRun, engine: InMemoryArrays, laid: MatrixLayout) -> Value:
    """Return arrays of all weights that are stored, for experts that no token asked for."""
    if "moe" not in run.nests.kind:
        return 0.0
    stored = run.table.stored
    elements = sum((n for slot, n in stored.items() if slot.startswith("weight")), 0.0)
    cells = elements * engine.cells_per_weight * laid.columns_each.min(axis=0)
    return cells / (engine.rows * engine.columns)
