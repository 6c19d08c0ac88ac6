"""What styles of pipelined layers share: frames that wait, data at the ends, peaks."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.residency import access_bytes, sum_by_row
from perfmodel.cost.setting import Setting
from perfmodel.kinds.rates import executed_macs
from perfmodel.kinds.roofline import best_format
from perfmodel.workload.lower import ALWAYS_MAIN, OperatorTable

DUARTE: Final = "Duarte et al., JINST 13 P07027, 2018"


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


def peak_operations(
    table: OperatorTable, setting: Setting, slices: Value
) -> tuple[dict[str, Value], Value]:
    """Return operations of products under the format of the best peak, and those it leaves out.

    That peak is what the part's DSP slices do. Products of rows without a slice are made of
    look-up tables, which it does not count and whose number bounds them.

    Parameters
    ----------
    slices
        DSP slices of each row, ``(rows, points)``.
    """
    in_slices = setting.xp.where(slices > 0.0, 1.0, 0.0)
    done = 2.0 * executed_macs(table, setting)
    return {best_format(setting): done * in_slices}, done * (1.0 - in_slices)
