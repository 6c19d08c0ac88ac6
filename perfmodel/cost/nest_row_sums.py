"""Values of loop nests per table row: sums per row, bytes outside nests, unmasked shares.

A row of the operator table is a kernel; it has no loop nest (elementwise), one (a convolution) or
several (attention has two: queries times keys, and probabilities times values).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from perfmodel.arrays import Array, Value
from perfmodel.cost.operand_bytes import access_bytes, sum_by_row
from perfmodel.cost.setting import Setting
from perfmodel.workload.nest_table import Index
from perfmodel.workload.operator_table import OperatorTable


class RowSums:
    """Sums over the nests of each table row; nests are in the order of their rows.

    Parameters
    ----------
    row
        Row of each nest, ascending.
    rows
        Number of rows of the table.
    xp
        Array namespace of the values.
    """

    def __init__(self, row: Index, rows: int, xp: Any) -> None:
        self.row, self.rows, self.xp = row, rows, xp
        first = np.ones(len(row), dtype=bool)
        first[1:] = row[1:] != row[:-1]
        self.starts = np.flatnonzero(first)
        self.all_distinct = bool(first.all())

    def __call__(self, values: Value) -> Value:
        """Sum ``(nests, points)`` to ``(rows, points)``; 0 for rows without a nest."""
        if np.ndim(values) < 2 or values.shape[0] != len(self.row):
            values = values * np.ones((len(self.row), 1))
        if self.xp is not np:
            out = self.xp.zeros((self.rows, values.shape[1]))
            return out.at[self.row].add(values)
        out = np.zeros((self.rows, values.shape[1]))
        if self.all_distinct:
            out[self.row] = values
        elif len(self.starts):
            out[self.row[self.starts]] = np.add.reduceat(values, self.starts, axis=0)
        return out


def outside_nests(table: OperatorTable) -> Array:
    """Return 1 for each access that belongs to no nest, else 0; ``(accesses, 1)``."""
    nests, access = table.nests, table.accesses
    assert nests is not None
    assert access is not None
    mask = np.ones((len(access.row), 1))
    mask[nests.access[nests.access >= 0]] = 0.0
    return mask


def outside_bytes(table: OperatorTable, setting: Setting) -> Value:
    """Return the bytes of each row that belong to no nest: bias, residual input, poolings."""
    return sum_by_row(access_bytes(table, setting) * outside_nests(table), table, setting)


def unmasked(table: OperatorTable, setting: Setting) -> Value:
    """Return the computed share of each nest: masked query-key pairs may be skipped."""
    nests = table.nests
    assert nests is not None
    if not setting.causal_skips_masked or "attention" not in nests.kind:
        return 1.0
    xp = setting.xp
    share = xp.where(table.macs > 0, 1.0 - table.masked_macs / xp.maximum(table.macs, 1.0), 1.0)
    attention = np.array([kind == "attention" for kind in nests.kind])[:, None]
    return xp.where(attention, share[nests.row], 1.0)


def network_bytes(table: OperatorTable, row_bytes: Mapping[str, Value]) -> Value:
    """Return the network's bytes over all levels, ``(points,)``, from those of its rows."""
    return sum((table.count * part).sum(axis=0) for part in row_bytes.values())
