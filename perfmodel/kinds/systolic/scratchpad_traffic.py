"""Traffic between main memory and the scratchpad of a systolic array, for the nests of a table.

By default operands cross under the best tile of the scratchpad: of one shared buffer
(`perfmodel.cost.tiled_traffic`), or of a buffer for each operand (`buffers`). A spec may instead
fetch the operands of every fold, as SCALE-Sim does (Samajdar et al., ISPASS 2020; `stalls`). The
kind `systolic` calls these functions.
"""

from __future__ import annotations

import numpy as np

from perfmodel.arrays import Value, is_array
from perfmodel.cost.nest_row_sums import network_bytes, outside_nests
from perfmodel.cost.operand_bytes import access_bytes, sum_by_row
from perfmodel.cost.residency import crossing, usable_capacity
from perfmodel.cost.tiled_traffic import tiled_traffic
from perfmodel.cost.traffic.nest import TileNest, Widths
from perfmodel.kinds.array import NestRun
from perfmodel.kinds.rates import bandwidth
from perfmodel.kinds.systolic.buffers import Buffers, buffered_traffic
from perfmodel.kinds.systolic.folds import ArrayRun, gemm
from perfmodel.kinds.systolic.spec import SystolicArray
from perfmodel.kinds.systolic.stalls import double_buffered
from perfmodel.workload.nest_table import Nests
from perfmodel.workload.operator_table import WEIGHT


def runs_of(nests: Nests, engine: SystolicArray, *, arrays: Value, relaxed: bool) -> ArrayRun:
    """Return every nest on the array, each executed once; of shape ``(nests, points)``.

    A convolution uses its im2col form with the actual outputs (with padding, more than SCALE-Sim
    counts): M positions of all images, N output channels of a group, K taps x channels.
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
    """Return bytes beyond the scratchpad, or dedicated buffers, under the best tile.

    If the smallest tile does not fit, every product fetches its operands.
    """
    table, setting, xp = run.table, run.setting, run.xp
    partial: Value = engine.partial_sum
    keep: Value = engine.kept_share
    buffers = engine.input_buffer, engine.weight_buffer, engine.output_buffer
    if any(size is not None for size in buffers):
        if setting.resident is True:
            return _buffered(run, engine, keep)
        streamed, model = _buffered(run, engine, 0.0)
        if (not is_array(keep) and keep == 0.0) or setting.resident is False:
            return streamed, model
        resident, _ = _buffered(run, engine, keep)
        better = network_bytes(table, resident) < network_bytes(table, streamed)
        return {
            level: xp.where(better, resident[level], size) for level, size in streamed.items()
        }, model
    tiled = tiled_traffic(table, setting, partial=partial, keep=keep)
    best = tiled.traffic
    if xp is np and all(np.all(np.isfinite(size)) for size in best.values()):
        return best, tiled.model
    x, w, y = run.widths
    each = run.rows(run.nests.macs * (x + w + 2.0 * partial + y)) + run.outside
    return {
        level: xp.where(xp.isfinite(size), size, each) for level, size in best.items()
    }, tiled.model


def _buffered(run: NestRun, engine: SystolicArray, keep: Value) -> tuple[dict[str, Value], str]:
    """Return bytes of each row where operands have dedicated buffers.

    Activations may stay in a share of the scratchpad from their producer to their readers.
    """
    table, nests, setting, xp, rows = run.table, run.nests, run.setting, run.xp, run.rows
    access = table.accesses
    assert access is not None
    near = usable_capacity(setting, setting.nearest_memory)
    nothing = not is_array(keep) and keep == 0.0
    outer_share = crossing(table, setting, 0.0 if nothing else near * keep)
    share_of = xp.concatenate([outer_share, xp.zeros((1, outer_share.shape[1]))])
    x, w, y = (width * share_of[nests.access[:, i]] for i, width in enumerate(run.widths))
    m, k = nests.positions, nests.summed
    # Actual input over its im2col form; a cut between output rows fetches the halo again.
    reach = (nests.kernel_rows - 1.0) * nests.dilation[:, :1] + 1.0
    halo = xp.maximum(reach - nests.stride[:, :1], 0.0) * nests.in_columns * nests.in_channels
    partial = engine.partial_sum
    if engine.whole_weight_tiles:
        high, wide = engine.height, engine.width
        tiles = xp.ceil(k / high) * xp.ceil(nests.out_channels / wide)
        w = w * (tiles * high * wide / (k * nests.out_channels))
    nest = TileNest.product(m, nests.out_channels, k)
    widths = Widths(x * xp.minimum(nests.inputs / (m * k), 1.0), w, y, partial)
    buffers = Buffers(
        engine.input_buffer, engine.weight_buffer, engine.output_buffer, near * (1.0 - keep)
    )
    total, weights = buffered_traffic(nest, widths, halo * x, buffers, xp)
    fits, times = xp.isfinite(total), nests.groups * nests.times
    each = nests.macs / times
    weights = xp.where(fits, weights, each * w)
    others = xp.where(fits, total, each * (x + 2.0 * partial + y + w)) - weights
    accessed = access_bytes(table, setting) * outer_share * outside_nests(table)
    model = "tiled, a buffer an operand; double-buffered"
    main, store = setting.main_memory, setting.weights_memory
    if main == store:
        other_bytes = sum_by_row(accessed, table, setting)
        return {main: rows((others + weights) * times) + other_bytes}, model
    stored = (access.tensor == WEIGHT)[:, None] * 1.0
    # The second factor of attention is not a stored weight.
    at = nests.access[:, 1]
    is_stored = np.where(at >= 0, stored[at, 0], 0.0)[:, None]
    main_bytes = rows((others + weights * (1.0 - is_stored)) * times)
    store_bytes = rows(weights * is_stored * times)
    return {
        main: main_bytes + sum_by_row(accessed * (1.0 - stored), table, setting),
        store: store_bytes + sum_by_row(accessed * stored, table, setting),
    }, model


def window_bytes(run: NestRun, engine: SystolicArray, slower: Value) -> tuple[Value, Value, str]:
    """Return stall cycles of the array and bytes transferred, fold by fold."""
    setting = run.setting
    array = runs_of(run.nests, engine, arrays=1.0, relaxed=False)
    rate = bandwidth(setting, setting.main_memory) / setting.clock * slower
    x, w, y = run.widths
    windows = double_buffered(array, rate, input_bytes=x, weight_bytes=w, output_bytes=y)
    stall = (windows.cycles - array.cycles) * run.times * slower
    traffic = (windows.fetched_bytes + windows.written_bytes) * run.times
    return (
        stall,
        traffic,
        "operands with every fold that does not share them; double-buffered folds",
    )
