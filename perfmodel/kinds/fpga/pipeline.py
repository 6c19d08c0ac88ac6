"""Pipelines of circuits, one for each layer: time of a frame, waiting frames, and data in and out.

The design styles `dataflow`, `finn` and `fpgaconvnet` share these functions. A pipeline accepts a
frame once per interval of its slowest layer; a frame leaves after the longest path through the
layers, each of which starts when a share of its input has arrived (`chain_completion`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.compose import compose
from perfmodel.cost.operand_bytes import access_bytes, sum_by_row
from perfmodel.cost.setting import Setting
from perfmodel.cost.totals import total
from perfmodel.kinds.array import Counts, NestRun
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.rates import best_format
from perfmodel.workload.operator_table import ALWAYS_MAIN, OperatorTable


def slowest_row_and_waits(occupied: Value, frames: Value, xp: Any) -> tuple[Value, Value]:
    """Return the clocks for which a frame occupies the slowest row, and the wait of each row.

    The pipeline accepts a frame once per interval of its slowest row; the wait is attributed to
    that row (shared equally where several are as slow).

    Parameters
    ----------
    occupied
        Clocks for which a frame occupies each row, ``(rows, points)``.
    frames
        Frames that the last one waits for.
    xp
        Array namespace.
    """
    slowest = xp.max(occupied, axis=0)
    # Numbers: traced booleans do not add up.
    among = xp.where((occupied >= slowest * (1.0 - 1e-12)) & (occupied > 0), 1.0, 0.0)
    share = among / xp.maximum(xp.sum(among, axis=0), 1.0)
    return slowest, share * slowest * frames


def stream_clocks_by_row(occupied: Value, tail: Value, fill: Value, count: Value, xp: Any) -> Value:
    """Return the clocks that each row adds until its last output, for one frame in a stream.

    A row ends when the preceding one has ended and its own tail has passed, or when it has
    processed the frame since its first input arrived, whichever is later; rows form one chain.

    Parameters
    ----------
    occupied
        Clocks for which a frame occupies each row, ``(rows, points)``.
    tail
        Clocks from a row's last input to its last output.
    fill
        Clocks from a row's first input to its first output.
    count
        Executions of each row; a row with none is not there.
    xp
        Array namespace.
    """
    start: Value = 0.0
    end: Value = 0.0
    out: list[Value] = []
    for i in range(occupied.shape[0]):
        now = xp.maximum(end + tail[i], start + occupied[i])
        if xp is np and not np.all(count[i]):
            now = xp.where(count[i] > 0.0, now, end)
        out.append(now - end)
        start, end = start + fill[i], now
    return xp.stack(xp.broadcast_arrays(*out))


def io_traffic(run: NestRun) -> Value:
    """Return bytes of each row that enter or leave the network, ``(rows, points)``."""
    ends = (run.accesses.tensor == ALWAYS_MAIN)[:, None]
    return sum_by_row(access_bytes(run.table, run.setting) * ends, run.table, run.setting)


def of_layer_before(values: Value, layer: Value) -> Value:
    """Return values of the last layer before each row; of the first if there is none.

    Parameters
    ----------
    layer
        1 for layers, else 0, ``(rows, points)`` or ``(rows, 1)``.
    """
    is_layer = np.asarray(layer, dtype=float) > 0.0
    rows = np.where(is_layer, np.arange(len(is_layer))[:, None], -1)
    before = np.maximum.accumulate(np.concatenate([np.full_like(rows[:1], -1), rows[:-1]]), axis=0)
    before = np.where(before < 0, is_layer.argmax(axis=0), before)
    if before.shape[1] == 1:
        return values[before[:, 0]]
    return np.take_along_axis(values, before, axis=0)


def numbers_of_rows(run: NestRun) -> Value:
    """Return the numbers of a frame that each row takes from its first operand."""
    return run.accesses.elements[run.accesses.starts] / run.setting.sequences


def pipeline_counts(
    run: NestRun, columns: dict[str, Value], detail: dict[str, Value] | None = None
) -> Counts:
    """Return the counts of rows that each have dedicated hardware in a pipeline.

    Operations count towards the best peak, that of the part's DSP slices. Products of rows without
    a slice are built from look-up tables, which the peak does not include and whose number bounds
    them.

    Parameters
    ----------
    columns
        What `pipelined` and the design style take of each row; ``dsp`` are its slices.
    detail
        Further columns of the table.
    """
    setting = run.setting
    in_slices = setting.xp.where(columns["dsp"] > 0.0, 1.0, 0.0)
    done = 2.0 * run.macs
    frames = setting.sequences + np.zeros((len(run.table.rows), 1))
    return Counts(
        {},
        {setting.main_memory: io_traffic(run)},
        detail or {},
        operations=({best_format(setting): done * in_slices}, {}, ()),
        elementwise=False,
        left_out=done * (1.0 - in_slices),
        columns={"waiting": frames - 1.0, **columns},
        traffic_model="inputs and outputs of the network; weights are in the fabric",
    )


def pipelined(
    terms: Terms,
    table: OperatorTable,
    setting: Setting,
    clocks: dict[str, Value],
    by_row: Mapping[str, Value],
    detail: Mapping[str, Value],
    interval: Value,
) -> Terms:
    """Return the terms of a pipeline with the clocks and the resources of its network.

    Parameters
    ----------
    clocks
        Term -> clocks of each row, ``(rows, points)``.
    by_row
        Resource -> amount of one copy of each row; a row that is executed several times exists in
        as many copies.
    detail
        Further columns of the table, besides those of `terms`.
    interval
        Clocks for which a frame occupies the slowest row.
    """
    compute = {name: each / setting.clock for name, each in clocks.items()}
    return replace(
        terms,
        compute=compute,
        row_s=compose(compute, terms.memory, terms.overhead, setting.overlap),
        work=clocks,
        detail={**by_row, **detail, **terms.detail},
        resources={name: total(table.count, amount) for name, amount in by_row.items()},
        interval=setting.xp.asarray(interval / setting.clock).reshape(-1),
    )


def chain_completion(occupied: Sequence[Value], needed: Sequence[Value], xp: Any) -> list[Value]:
    """Return clocks until the last output of each layer of a chain.

    Layer ``i`` processes a frame in ``t_i`` clocks once its input has arrived (`occupied`), and
    lags behind its input by the share ``needed[i]`` of a frame. With ``T_i(x)`` the time of the
    share ``x`` of its output, ``T_i(x) = max(T_i(x - dx) + t_i dx, T_{i-1}(x + needed_i))``: a
    longest path. One layer ``a`` on it processes the whole frame; lags before it pass at the pace
    of the slowest layer so far, those behind it at that of the slowest layer from there on::

        end_i = max over a <= i of  sum over k <= a of needed_k max(t_0 ... t_{k-1})
                                    + t_a
                                    + sum over a < k <= i of needed_k max(t_k ... t_i)

    Parameters
    ----------
    occupied
        Clocks of a frame, per layer.
    needed
        Share of the input required for the first output; that of the first layer refers to the
        source, which takes no time.
    xp
        Array namespace.
    """
    ends: list[Value] = []
    start: Value = 0.0 * occupied[0]
    starts: list[Value] = []
    pace: Value = 0.0 * occupied[0]
    for i, own in enumerate(occupied):
        start = start + needed[i] * pace
        starts.append(start)
        pace = xp.maximum(pace, own)
        drain, slowest = 0.0 * own, own
        end = start + own
        for a in range(i - 1, -1, -1):
            drain = drain + needed[a + 1] * slowest
            end = xp.maximum(end, starts[a] + occupied[a] + drain)
            slowest = xp.maximum(slowest, occupied[a])
        ends.append(end)
    return ends


def completion_by_row(table: OperatorTable, occupied: Value, needed: Value, xp: Any) -> Value:
    """Return the clocks that each row adds until the last output of the rows so far.

    Rows of a block that is executed several times count as that many layers; each row has its share
    of the clocks that they add together. Rows that no frame occupies are skipped.
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
    busy = [bool(np.any(np.asarray(occupied[i]) > 0)) if xp is np else True for i in range(rows)]
    order = [i for i in order if busy[i]]
    added: list[Value] = [0.0 * occupied[0]] * rows
    before: Value = 0.0 * occupied[0]
    ends = (
        chain_completion([occupied[i] for i in order], [needed[i] for i in order], xp)
        if order
        else []
    )
    for i, end in zip(order, ends, strict=True):
        added[i] = added[i] + (end - before) / max(round(counts[i]), 1)
        before = end
    return xp.stack(xp.broadcast_arrays(*added))
