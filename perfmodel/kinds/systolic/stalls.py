"""Stalls of a systolic array on a slow memory, with double buffering: one window per fold.

While a fold computes, the next one's operands are fetched from the far memory and the previous
one's results are written to it; the next fold starts when all three are done. Folds iterate over
rows first, then over columns. An operand shared with the next fold is not fetched again:

================== ========================== ==================== ===========================
dataflow           changes with every fold    with the columns     results leave
================== ========================== ==================== ===========================
output_stationary  input (unless one row)     weight               after every fold
weight_stationary  weight, input (unless ...) -                    after the last row of folds
input_stationary   input, weight (unless ...) -                    after the last row of folds
================== ========================== ==================== ===========================

Folds differ only at the edges of the problem, so that sixteen distinct windows, weighted by their
number of occurrences, are sufficient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.kinds.systolic.folds import ArrayRun


@dataclass(frozen=True, slots=True)
class Windows:
    """Time of all folds with a far memory of finite bandwidth, in cycles of the array.

    Attributes
    ----------
    cycles
        Cycles from the first byte fetched to the last one written.
    fill_cycles
        Cycles before the first fold can start.
    stall_cycles
        Cycles for which the array waits between folds.
    drain_cycles
        Cycles after the last fold, until its results are written.
    fetched_bytes, written_bytes
        Bytes across the far boundary.
    """

    cycles: Value
    fill_cycles: Value
    stall_cycles: Value
    drain_cycles: Value
    fetched_bytes: Value
    written_bytes: Value


def double_buffered(
    run: ArrayRun,
    bytes_per_cycle: Value,
    *,
    input_bytes: Value,
    weight_bytes: Value,
    output_bytes: Value,
) -> Windows:
    """Return the time of a run whose operands come from a memory of finite bandwidth.

    Parameters
    ----------
    run
        From `folds.gemm`: its folds, their interval and the groups that share a fold.
    bytes_per_cycle
        Bandwidth of the far memory, both directions together, over the array's clock.
    input_bytes, weight_bytes, output_bytes
        Bytes of an element of each operand in the far memory.

    Notes
    -----
    Groups run in sequence and share no data. Where the last pack of groups is not full, bytes are
    those of a mean pack.

    ``fold_stall = stall_cycles / clock``
        double-buffered windows, docs/systolic.md
    """
    xp = namespace(
        run.folds, run.interval_cycles, bytes_per_cycle, input_bytes, weight_bytes, output_bytes
    )
    down, across = xp.ceil(_float(run.row_folds, xp)), xp.ceil(_float(run.column_folds, xp))
    in_group = down * across
    packs = _float(run.folds, xp) / in_group
    groups = run.macs / (
        _float(run.spatial_rows, xp) * _float(run.spatial_columns, xp) * _float(run.streamed, xp)
    )
    widths = input_bytes, weight_bytes, output_bytes
    fold = _Folds(run, down, across, widths, groups / packs, xp)
    rate = _float(bytes_per_cycle, xp)
    step, last_step = _float(run.interval_cycles, xp), _float(run.fold_cycles, xp)
    total, fetched, written = 0.0, 0.0, 0.0
    for p, times_p in _places(down, xp):
        for q, times_q in _places(across, xp):
            times = times_p * times_q
            total = total + times * xp.maximum(step, fold.window(p, q) / rate)
            fetched = fetched + times * fold.fetched(p, q)
            written = written + times * fold.written(p, q)
    # In the first window nothing is written yet, in the last one nothing more is fetched.
    end = down - 1, across - 1
    first = fold.window(0.0 * down, 0.0 * across)
    final = fold.window(*end)
    opening = xp.maximum(step, fold.fetched(*fold.next(0.0 * down, 0.0 * across)) / rate)
    closing = xp.maximum(last_step, fold.written(*fold.before(*end)) / rate)
    several = (
        packs * total
        - xp.maximum(step, first / rate)
        - xp.maximum(step, final / rate)
        + opening
        + closing
    )
    inside = xp.where(packs * in_group > 1, several, last_step)
    fill = fold.fetched(0.0 * down, 0.0 * across) / rate
    drain = fold.written(*end) / rate
    compute = packs * in_group * step + (last_step - step)
    return Windows(
        fill + inside + drain, fill, inside - compute, drain, packs * fetched, packs * written
    )


def _places(count: Value, xp: Any) -> list[tuple[Value, Value]]:
    """Return (index, multiplicity) of first, middle, last but one and last folds."""
    one = xp.ones_like(count)
    return [
        (0.0 * count, one),
        (one, xp.maximum(count - 3.0, 0.0)),
        (xp.maximum(count - 2.0, 0.0), 1.0 * (count >= 3)),
        (count - 1.0, 1.0 * (count >= 2)),
    ]


class _Folds:
    """Bytes that fold (p, q) of a group fetches and writes."""

    def __init__(
        self,
        run: ArrayRun,
        down: Value,
        across: Value,
        widths: tuple[Value, Value, Value],
        packed: Value,
        xp: Any,
    ) -> None:
        self.xp, self.down, self.across, self.packed = xp, down, across, packed
        self.high, self.wide = _float(run.spatial_rows, xp), _float(run.spatial_columns, xp)
        self.streamed = _float(run.streamed, xp)
        self.rows, self.columns = _float(run.rows, xp), _float(run.columns, xp)
        x, w, y = widths
        #: bytes per element of the operands indexed by row, by column, and by both
        self.each = {
            "output_stationary": (x, w, y),
            "weight_stationary": (x, y, w),
            "input_stationary": (w, y, x),
        }[run.dataflow]
        self.outputs_stay = run.dataflow == "output_stationary"

    def sizes(self, p: Value, q: Value) -> tuple[Value, Value, Value]:
        xp = self.xp
        used_rows = xp.minimum(self.rows, self.high - p * self.rows)
        used_columns = xp.minimum(self.columns, self.wide - q * self.columns)
        by_row, by_column, both = self.each
        scale = self.packed
        return (
            scale * used_rows * self.streamed * by_row,
            scale * used_columns * self.streamed * by_column,
            scale * used_rows * used_columns * both,
        )

    def fetched(self, p: Value, q: Value) -> Value:
        """Bytes of fold (p, q) that the previous one did not need."""
        by_row, by_column, both = self.sizes(p, q)
        total = by_row * ((self.down > 1) | (q == 0))
        if self.outputs_stay:
            return total + by_column * (p == 0)
        return total + both

    def written(self, p: Value, q: Value) -> Value:
        """Bytes written after fold (p, q)."""
        _, by_column, both = self.sizes(p, q)
        return both if self.outputs_stay else by_column * (p == self.down - 1)

    def next(self, p: Value, q: Value) -> tuple[Value, Value]:
        """Return the fold after (p, q); the first one after the last."""
        xp, turn = self.xp, p == self.down - 1
        over = turn & (q == self.across - 1)
        return xp.where(turn, 0.0, p + 1), xp.where(over, 0.0, xp.where(turn, q + 1, q))

    def before(self, p: Value, q: Value) -> tuple[Value, Value]:
        """Return the fold before (p, q); the last one before the first."""
        xp, turn = self.xp, p == 0
        over = turn & (q == 0)
        return (
            xp.where(turn, self.down - 1, p - 1),
            xp.where(over, self.across - 1, xp.where(turn, q - 1, q)),
        )

    def window(self, p: Value, q: Value) -> Value:
        """Bytes transferred while fold (p, q) computes, with groups before and after."""
        return self.fetched(*self.next(p, q)) + self.written(*self.before(p, q))


def _float(value: Value, xp: Any) -> Value:
    return xp.asarray(value, dtype=float) if xp is np else xp.asarray(value) * 1.0
