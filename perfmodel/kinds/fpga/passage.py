"""How long a frame takes through layers that stream to each other, each at its own pace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.workload.lower import OperatorTable


def passage(held: Sequence[Value], needed: Sequence[Value], xp: Any) -> list[Value]:
    """Return clocks until the last output of each layer of a chain.

    Layer ``i`` makes a frame in ``held[i]`` clocks once its input is there, and lags behind its
    input by the share ``needed[i]`` of a frame. With ``T_i(x)`` the time of the share ``x`` of its
    output, ``T_i(x) = max(T_i(x - dx) + held_i dx, T_{i-1}(x + needed_i))``: a longest path. One
    layer ``a`` works through the whole frame; lags before it pass at the pace of the slowest layer
    before them, those behind it at that of the slowest layer from there on::

        end_i = max over a <= i of  sum over k <= a of needed_k max(held_0 ... held_{k-1})
                                    + held_a
                                    + sum over a < k <= i of needed_k max(held_k ... held_i)

    Parameters
    ----------
    held
        Clocks of a frame, of each layer.
    needed
        Share of the input that must be there for the first output; that of the first layer is the
        source's, which takes no time.
    xp
        Array namespace.
    """
    ends: list[Value] = []
    start: Value = 0.0 * held[0]
    starts: list[Value] = []
    pace: Value = 0.0 * held[0]
    for i, own in enumerate(held):
        start = start + needed[i] * pace
        starts.append(start)
        pace = xp.maximum(pace, own)
        drain, slowest = 0.0 * own, own
        end = start + own
        for a in range(i - 1, -1, -1):
            drain = drain + needed[a + 1] * slowest
            end = xp.maximum(end, starts[a] + held[a] + drain)
            slowest = xp.maximum(slowest, held[a])
        ends.append(end)
    return ends


def passed(table: OperatorTable, held: Value, needed: Value, xp: Any) -> Value:
    """Return the clocks that each row adds until the last output of the rows so far.

    Rows of a block that is executed several times are as many layers; each stands for its share of
    what they add together. Rows that hold no frame up are passed by.
    """
    counts = np.asarray(table.count, dtype=float)[:, 0]
    order: list[int] = []
    row, rows = 0, len(table.rows)
    while row < rows:
        last = row
        while last + 1 < rows and table.rows[last + 1].block == table.rows[row].block:
            last += 1
        order += list(range(row, last + 1)) * max(round(counts[row]), 1)
        row = last + 1
    busy = [bool(np.any(np.asarray(held[i]) > 0)) if xp is np else True for i in range(rows)]
    order = [i for i in order if busy[i]]
    added: list[Value] = [0.0 * held[0]] * rows
    before: Value = 0.0 * held[0]
    found = passage([held[i] for i in order], [needed[i] for i in order], xp) if order else []
    for i, end in zip(order, found, strict=True):
        added[i] = added[i] + (end - before) / max(round(counts[i]), 1)
        before = end
    return xp.stack(xp.broadcast_arrays(*added))
