"""Two ways to hold a network's matrices: all at rest with copies, or each written in its turn."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.setting import Setting
from perfmodel.kinds.in_memory.counts import MatrixLayout, copies_of
from perfmodel.kinds.in_memory.matrices import inputs_of, stated
from perfmodel.workload.lower import OperatorTable
from perfmodel.workload.shapes import Nests


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
    table: OperatorTable, nests: Nests, setting: Setting, found: MatrixLayout, seconds: Value,
    vectors: Value, still: Value,
) -> tuple[ArrayResidency, ArrayResidency, Value]:  # fmt: skip
    """Return matrices that stay, matrices written in turn, and whether all of them may stay.

    Parameters
    ----------
    found
        Layouts of the matrices.
    seconds
        Of a vector through each, ``(nests, points)``.
    vectors
        Of each.
    still
        1 for matrices of weights, 0 for products of what a run makes, ``(nests, 1)``.
    """
    xp, there = setting.xp, setting.facts[f"engines.{setting.engine}.units"]

    def ceil(value: Value) -> Value:
        return value if setting.relaxed else xp.ceil(value - 1e-9)

    count = table.count[nests.row] * still * _once(table)[nests.row]
    needed = xp.maximum((count * found.arrays).sum(axis=0), _stored(table, nests, setting, found))
    copies = copies_of(
        found.arrays, vectors * nests.times, seconds, count, there, needed, relaxed=setting.relaxed
    )
    zero = 0.0 * found.arrays
    resident = ArrayResidency(copies + zero, ceil(vectors / copies), zero, zero)
    whole = there / found.arrays
    fewest = xp.maximum(whole if setting.relaxed else xp.floor(whole + 1e-9), 1.0)
    fewest = xp.minimum(fewest, xp.maximum(vectors, 1.0))
    rounds = xp.maximum(ceil(found.arrays / there), 1.0)
    deep = xp.minimum(
        inputs_of(table, nests, setting) * found.together * stated(setting, "cells_per_weight"),
        stated(setting, "rows"),
    )
    # Steps of a cell wait for one another: what takes rounds is written anew in each.
    writes = xp.where(rounds > 1.0 + 1e-9, nests.times, 1.0) + zero
    reloaded = ArrayResidency(
        fewest + zero, rounds * ceil(vectors / fewest), rounds * deep * writes, writes
    )  # fmt: skip
    return resident, reloaded, needed <= there


def _once(table: OperatorTable) -> Value:
    """Return 1 for rows whose weights no other row has, else 0: a decode's are its prompt's."""
    phases = {row.phase for row in table.rows}
    both = {"prefill", "decode"} <= phases
    return np.array([0.0 if both and row.phase == "decode" else 1.0 for row in table.rows])[:, None]


def _stored(table: OperatorTable, nests: Nests, setting: Setting, found: MatrixLayout) -> Value:
    """Return arrays of all weights that are stored, for experts that no token asked for."""
    if "moe" not in nests.kind:
        return 0.0
    elements = sum(
        (n for slot, n in table.stored.items() if slot.startswith("weight")), 0.0
    )  # fmt: skip
    cells = elements * stated(setting, "cells_per_weight") * found.columns_each.min(axis=0)
    return cells / (stated(setting, "rows") * stated(setting, "columns"))
