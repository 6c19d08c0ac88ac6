"""Nests on the array; bytes from beyond its scratchpad by the best tile, or with every fold."""

from __future__ import annotations

import numpy as np

from perfmodel.arrays import Value, is_array
from perfmodel.cost.nests import network_bytes, outside
from perfmodel.cost.residency import access_bytes, crossing, sum_by_row, usable_capacity
from perfmodel.cost.tiled import tiled_traffic
from perfmodel.kinds.array import NestRun
from perfmodel.kinds.rates import bandwidth
from perfmodel.kinds.systolic.buffers import Buffers, SystolicGemm, buffered_traffic
from perfmodel.kinds.systolic.folds import ArrayRun, gemm
from perfmodel.kinds.systolic.spec import SystolicArray
from perfmodel.kinds.systolic.stalls import double_buffered
from perfmodel.workload.lower import WEIGHT
from perfmodel.workload.shapes import Nests


def runs_of(nests: Nests, engine: SystolicArray, *, arrays: Value, relaxed: bool) -> ArrayRun:
    """Return every nest on the array, each executed once; of shape ``(nests, points)``.

    A convolution goes by its im2col form, with real outputs (padding makes more of them than
    SCALE-Sim counts): M positions of all images, N output channels of a group, K taps x channels.
    """
    return gemm(
        nests.positions,
        nests.out_channels,
        nests.summed,
        rows=engine.height,
        columns=engine.width,
        dataflow=engine.dataflow,
        shadow_weights=engine.shadow_weights,
        overlap_folds=engine.overlap_folds,
        replication=engine.replicate_groups,
        groups=nests.groups,
        arrays=arrays,
        relaxed=relaxed,
    )


def tiled_bytes(run: NestRun, engine: SystolicArray) -> tuple[dict[str, Value], str]:
    """Return bytes beyond the scratchpad, or buffers of each operand, under the best tile.

    Where not even the smallest tile fits, every product fetches its operands.
    """
    table, setting, xp = run.table, run.setting, run.xp
    partial: Value = engine.partial_sum
    keep: Value = engine.kept_share
    buffers = engine.input_buffer, engine.weight_buffer, engine.output_buffer
    if any(size is not None for size in buffers):
        if setting.stays is True:
            return _buffered(run, engine, keep)
        alone, model = _buffered(run, engine, 0.0)
        if (not is_array(keep) and keep == 0.0) or setting.stays is False:
            return alone, model
        kept, _ = _buffered(run, engine, keep)
        better = network_bytes(table, kept) < network_bytes(table, alone)
        return {
            level: xp.where(better, kept[level], moved) for level, moved in alone.items()
        }, model
    tiled = tiled_traffic(table, setting, partial=partial, keep=keep)
    found = tiled.traffic
    if xp is np and all(np.all(np.isfinite(moved)) for moved in found.values()):
        return found, tiled.model
    x, w, y = run.widths
    each = run.rows(run.nests.macs * (x + w + 2.0 * partial + y)) + run.outside
    return {
        level: xp.where(xp.isfinite(moved), moved, each) for level, moved in found.items()
    }, tiled.model


def _buffered(run: NestRun, engine: SystolicArray, keep: Value) -> tuple[dict[str, Value], str]:
    """Return bytes of each row where operands have buffers of their own.

    Activations may keep a share of the scratchpad from the row that makes them to their readers.
    """
    table, nests, setting, xp, rows = run.table, run.nests, run.setting, run.xp, run.rows
    access = table.accesses
    assert access is not None
    near = usable_capacity(setting, setting.levels[0])
    nothing = not is_array(keep) and keep == 0.0
    away = crossing(table, setting, 0.0 if nothing else near * keep)
    beyond = xp.concatenate([away, xp.zeros((1, away.shape[1]))])
    x, w, y = (width * beyond[nests.access[:, i]] for i, width in enumerate(run.widths))
    m, k = nests.positions, nests.summed
    # Real input over its im2col form; a cut between rows of outputs fetches a window's rest again.
    reach = (nests.kernel_rows - 1.0) * nests.dilation[:, :1] + 1.0
    rest = xp.maximum(reach - nests.stride[:, :1], 0.0) * nests.in_columns * nests.in_channels
    partial = engine.partial_sum
    if engine.whole_weight_tiles:
        high, wide = engine.height, engine.width
        tiles = xp.ceil(k / high) * xp.ceil(nests.out_channels / wide)
        w = w * (tiles * high * wide / (k * nests.out_channels))
    product = SystolicGemm(
        m,
        nests.out_channels,
        k,
        x * xp.minimum(nests.inputs / (m * k), 1.0),
        w,
        y,
        partial,
        rest * x,
    )
    buffers = Buffers(
        engine.input_buffer, engine.weight_buffer, engine.output_buffer, near * (1.0 - keep)
    )
    total, weights = buffered_traffic(product, buffers, xp)
    fits, times = xp.isfinite(total), nests.groups * nests.times
    each = nests.macs / times
    weights = xp.where(fits, weights, each * w)
    rest = xp.where(fits, total, each * (x + 2.0 * partial + y + w)) - weights
    moved = access_bytes(table, setting) * away * outside(table)
    model = "tiled, a buffer an operand; double-buffered"
    main, store = setting.levels[-1], setting.weights_memory
    if main == store:
        apart = sum_by_row(moved, table, setting)
        return {main: rows((rest + weights) * times) + apart}, model
    stored = (access.tensor == WEIGHT)[:, None] * 1.0
    # The second factor of attention is no stored weight.
    at = nests.access[:, 1]
    mine = np.where(at >= 0, stored[at, 0], 0.0)[:, None]
    here = rows((rest + weights * (1.0 - mine)) * times)
    there = rows(weights * mine * times)
    return {
        main: here + sum_by_row(moved * (1.0 - stored), table, setting),
        store: there + sum_by_row(moved * stored, table, setting),
    }, model


def window_bytes(run: NestRun, engine: SystolicArray, slower: Value) -> tuple[Value, Value, str]:
    """Return cycles that the array waits and bytes that move, fold by fold."""
    setting = run.setting
    array = runs_of(run.nests, engine, arrays=1.0, relaxed=False)
    rate = bandwidth(setting, setting.levels[-1]) / setting.clock * slower
    x, w, y = run.widths
    found = double_buffered(array, rate, input_bytes=x, weight_bytes=w, output_bytes=y)
    stall = (found.cycles - array.cycles) * run.times * slower
    moved = (found.fetched_bytes + found.written_bytes) * run.times
    return stall, moved, "operands with every fold that does not share them; double-buffered folds"
