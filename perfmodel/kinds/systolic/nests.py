"""Loop nests of a table as matrix products on the array, and sums of nests over rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.residency import slot_bytes
from perfmodel.cost.setting import Setting
from perfmodel.kinds.systolic.folds import ArrayRun, gemm
from perfmodel.workload.lower import OperatorTable
from perfmodel.workload.shapes import Nests

__all__ = ["RowSums", "element_bytes", "full", "nest_runs", "unmasked"]


def nest_runs(nests: Nests, setting: Setting, *, arrays: Value, relaxed: bool) -> ArrayRun:
    """Return every nest on the array, each executed once; of shape ``(nests, points)``.

    A convolution goes by its im2col form, with real outputs (padding makes more of them than
    SCALE-Sim counts): M positions of all images, N output channels of a group, K taps x channels.
    """
    facts, head, choices = setting.facts, f"engines.{setting.engine}.", setting.choices
    return gemm(
        nests.batch * nests.out_rows * nests.out_columns,
        nests.out_channels,
        nests.in_channels * nests.kernel_rows * nests.kernel_columns,
        rows=facts[head + "height"],
        columns=facts[head + "width"],
        dataflow=choices["dataflow"],
        shadow_weights=choices["shadow_weights"],
        overlap_folds=choices["overlap_folds"],
        replication=choices["replicate_groups"],
        groups=nests.groups,
        arrays=arrays,
        relaxed=relaxed,
    )


def unmasked(table: OperatorTable, nests: Nests, setting: Setting) -> Value:
    """Return the share of each nest that is computed: masked query-key pairs may be skipped."""
    if not setting.causal_skips_masked or "attention" not in nests.kind:
        return 1.0
    xp = setting.xp
    share = xp.where(table.macs > 0, 1.0 - table.masked_macs / xp.maximum(table.macs, 1.0), 1.0)
    picked = share[nests.row]
    attention = np.array([kind == "attention" for kind in nests.kind])[:, None]
    return xp.where(attention, picked, 1.0)


def element_bytes(nests: Nests, points: int, setting: Setting) -> tuple[Value, Value, Value]:
    """Return bytes of an element of input, weight and output, ``(nests, points or 1)``."""
    n = len(nests)
    slots = [slot for operand in range(3) for slot in (s[operand] for s in nests.slots)]
    each = slot_bytes(tuple(slots), points, setting)
    return each[:n], each[n : 2 * n], each[2 * n :]


def full(values: Value, nests: Nests) -> Value:
    """Return values of nests with both axes, ``(nests, points or 1)``."""
    return values if np.ndim(values) == 2 else values * np.ones((len(nests), 1))


class RowSums:
    """Sums of nests over the rows of a table; nests are in the order of their rows."""

    def __init__(self, nests: Nests, rows: int, xp: Any) -> None:
        self.row, self.rows, self.xp = nests.row, rows, xp
        first = np.ones(len(nests), dtype=bool)
        first[1:] = nests.row[1:] != nests.row[:-1]
        self.starts = np.flatnonzero(first)
        self.alone = bool(first.all())

    def __call__(self, values: Value) -> Value:
        """Return ``(rows, points)`` of values ``(nests, points)``; 0 for rows without a nest."""
        if self.xp is not np:
            out = self.xp.zeros((self.rows, values.shape[1]))
            return out.at[self.row].add(values)
        out = np.zeros((self.rows, values.shape[1]))
        if self.alone:
            out[self.row] = values
        elif len(self.starts):
            out[self.row[self.starts]] = np.add.reduceat(values, self.starts, axis=0)
        return out
