"""What styles of pipelined layers share: frames that wait, data at the ends, peaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.residency import access_bytes, sum_by_row
from perfmodel.cost.setting import Setting
from perfmodel.cost.totals import total
from perfmodel.kinds.array import Counts
from perfmodel.kinds.rates import best_format, executed_macs
from perfmodel.workload.lower import ALWAYS_MAIN, OperatorTable


def waited(held: Value, frames: Value, xp: Any) -> tuple[Value, Value]:
    """Return the clocks that the slowest row holds a frame, and those that each row waits.

    The pipeline takes a frame as often as its slowest row; the wait is that row's (shared where
    several are as slow).

    Parameters
    ----------
    held
        Clocks that a frame holds each row, ``(rows, points)``.
    frames
        Frames that are waited for.
    xp
        Array namespace.
    """
    slowest = xp.max(held, axis=0)
    among = (held >= slowest * (1.0 - 1e-12)) & (held > 0)
    share = among / xp.maximum(xp.sum(among, axis=0), 1.0)
    return slowest, share * slowest * frames


def finished(held: Value, tail: Value, fill: Value, xp: Any) -> Value:
    """Return the clocks that each row adds until its last output, for one frame in a stream.

    A row ends when the one before has ended and its own tail is through, or when it has worked off
    the frame itself since its first input came; rows are taken one behind the other.

    Parameters
    ----------
    held
        Clocks that a frame holds each row, ``(rows, points)``.
    tail
        Clocks from a row's last input to its last output.
    fill
        Clocks from a row's first input to its first output.
    xp
        Array namespace.
    """
    start: Value = 0.0
    end: Value = 0.0
    out: list[Value] = []
    for i in range(held.shape[0]):
        now = xp.maximum(end + tail[i], start + held[i])
        out.append(now - end)
        start, end = start + fill[i], now
    return xp.stack(xp.broadcast_arrays(*out))


def io_traffic(table: OperatorTable, setting: Setting) -> Value:
    """Return bytes of each row that enter or leave the network, ``(rows, points)``."""
    access = table.accesses
    if access is None:
        return np.zeros((len(table.rows), 1))
    ends = (access.tensor == ALWAYS_MAIN)[:, None] * 1.0
    return sum_by_row(access_bytes(table, setting) * ends, table, setting)


def pipelined(
    table: OperatorTable,
    setting: Setting,
    clocks: Mapping[str, Value],
    by_row: Mapping[str, Value],
    detail: Mapping[str, Value],
) -> Counts:
    """Return what a pipeline takes in which each row has hardware of its own.

    Operations are those of the best peak, which is what the part's DSP slices do. Products of rows
    without a slice are made of look-up tables, which it does not count and whose number bounds
    them.

    Parameters
    ----------
    clocks
        Term -> clocks of each row, ``(rows, points)``.
    by_row
        Resource -> amount of one copy of each row; a row that is executed several times stands for
        as many copies.
    detail
        Further columns.
    """
    in_slices = setting.xp.where(by_row["dsp"] > 0.0, 1.0, 0.0)
    done = 2.0 * executed_macs(table, setting)
    return Counts(
        {name: (each, setting.clock) for name, each in clocks.items()},
        {setting.levels[-1]: io_traffic(table, setting)},
        {**by_row, **detail},
        operations=({best_format(setting): done * in_slices}, {}, ()),
        elementwise=False,
        left_out=done * (1.0 - in_slices),
        resources={name: total(table.count, amount) for name, amount in by_row.items()},
        traffic_model="inputs and outputs of the network; weights are in the fabric",
    )
