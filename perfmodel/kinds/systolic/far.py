"""Bytes from beyond the scratchpad: under its best tile, or with every fold."""

from __future__ import annotations

import numpy as np

from perfmodel.arrays import Value, is_array
from perfmodel.cost.nests import RowSums, network_bytes, outside, outside_bytes
from perfmodel.cost.residency import access_bytes, crossing, sum_by_row, usable_capacity
from perfmodel.cost.setting import Setting
from perfmodel.cost.tiled import tiled_traffic
from perfmodel.kinds.rates import bandwidth
from perfmodel.kinds.systolic.buffers import Buffers, SystolicGemm, buffered_traffic
from perfmodel.kinds.systolic.nests import full, nest_runs
from perfmodel.kinds.systolic.stalls import double_buffered
from perfmodel.workload.lower import WEIGHT, OperatorTable
from perfmodel.workload.shapes import Nests


def tiled_bytes(
    table: OperatorTable, nests: Nests, widths: tuple[Value, Value, Value], setting: Setting,
    rows: RowSums,
) -> tuple[dict[str, Value], str]:  # fmt: skip
    """Return bytes beyond the scratchpad, or buffers of each operand, under the best tile.

    Where not even the smallest tile fits, every product fetches its operands.
    """
    facts, head, xp = setting.facts, f"engines.{setting.engine}.", setting.xp
    partial = facts[head + "partial_sum"]
    if any(head + f"{name}_buffer" in facts for name in ("input", "weight", "output")):
        keep = facts[head + "kept_share"]
        if setting.stays is True:
            return _buffered(table, nests, widths, setting, rows, keep)
        alone, model = _buffered(table, nests, widths, setting, rows, 0.0)
        if (not is_array(keep) and keep == 0.0) or setting.stays is False:
            return alone, model
        kept, _ = _buffered(table, nests, widths, setting, rows, keep)
        better = network_bytes(table, kept) < network_bytes(table, alone)
        return {
            level: xp.where(better, kept[level], moved) for level, moved in alone.items()
        }, model
    tiled = tiled_traffic(table, setting, partial=partial, keep=facts[head + "kept_share"])
    found = tiled.traffic
    if xp is np and all(np.all(np.isfinite(moved)) for moved in found.values()):
        return found, tiled.model
    x, w, y = widths
    each = rows(full(nests.macs * (x + w + 2.0 * partial + y), nests))
    each = each + outside_bytes(table, setting)
    return {
        level: xp.where(xp.isfinite(moved), moved, each) for level, moved in found.items()
    }, tiled.model


def _buffered(
    table: OperatorTable, nests: Nests, widths: tuple[Value, Value, Value], setting: Setting,
    rows: RowSums, keep: Value,
) -> tuple[dict[str, Value], str]:  # fmt: skip
    """Return bytes of each row where operands have buffers of their own.

    Activations may keep a share of the scratchpad from the row that makes them to their readers.
    """
    facts, head, xp = setting.facts, f"engines.{setting.engine}.", setting.xp
    access = table.accesses
    assert access is not None
    near = usable_capacity(setting, setting.levels[0])
    nothing = not is_array(keep) and keep == 0.0
    away = crossing(table, setting, 0.0 if nothing else near * keep)
    beyond = xp.concatenate([away, xp.zeros((1, away.shape[1]))])
    x, w, y = (width * beyond[nests.access[:, i]] for i, width in enumerate(widths))
    m = nests.batch * nests.out_rows * nests.out_columns
    k = nests.in_channels * nests.kernel_rows * nests.kernel_columns
    # Real input over its im2col form; a cut between rows of outputs fetches a window's rest again.
    real = nests.batch * nests.in_channels * nests.in_rows * nests.in_columns
    reach = (nests.kernel_rows - 1.0) * nests.dilation[:, :1] + 1.0
    rest = xp.maximum(reach - nests.stride[:, :1], 0.0) * nests.in_columns * nests.in_channels
    if setting.choices["whole_weight_tiles"]:
        high, wide = facts[head + "height"], facts[head + "width"]
        tiles = xp.ceil(k / high) * xp.ceil(nests.out_channels / wide)
        w = w * (tiles * high * wide / (k * nests.out_channels))
    product = SystolicGemm(
        m, nests.out_channels, k, x * xp.minimum(real / (m * k), 1.0), w, y,
        facts[head + "partial_sum"], rest * x,
    )  # fmt: skip
    buffers = Buffers(
        *(facts.get(head + f"{name}_buffer") for name in ("input", "weight", "output")),
        shared=near * (1.0 - keep),
    )
    total, weights = buffered_traffic(product, buffers, xp)
    fits, times = xp.isfinite(total), nests.groups * nests.times
    each = nests.macs / times
    weights = xp.where(fits, weights, each * w)
    partial = facts[head + "partial_sum"]
    rest = xp.where(fits, total, each * (x + 2.0 * partial + y + w)) - weights
    moved = access_bytes(table, setting) * away * outside(table)
    model = "tiled, a buffer an operand; double-buffered"
    main, store = setting.levels[-1], setting.weights_memory
    if main == store:
        apart = sum_by_row(moved, table, setting)
        return {main: rows(full((rest + weights) * times, nests)) + apart}, model
    stored = (access.tensor == WEIGHT)[:, None] * 1.0
    # The second factor of attention is no stored weight.
    at = nests.access[:, 1]
    mine = np.where(at >= 0, stored[at, 0], 0.0)[:, None]
    here = rows(full((rest + weights * (1.0 - mine)) * times, nests))
    there = rows(full(weights * mine * times, nests))
    return {
        main: here + sum_by_row(moved * (1.0 - stored), table, setting),
        store: there + sum_by_row(moved * stored, table, setting),
    }, model


def window_bytes(
    table: OperatorTable, nests: Nests, widths: tuple[Value, Value, Value], times: Value,
    slower: Value, setting: Setting,
) -> tuple[Value, Value, str]:  # fmt: skip
    """Return cycles that the array waits and bytes that move, fold by fold."""
    facts = setting.facts
    clock = facts[f"engines.{setting.engine}.clock"]
    run = nest_runs(nests, setting, arrays=1.0, relaxed=False)
    rate = bandwidth(setting, setting.levels[-1]) / clock * slower
    x, w, y = widths
    found = double_buffered(run, rate, input_bytes=x, weight_bytes=w, output_bytes=y)
    stall = full((found.cycles - run.cycles) * times * slower, nests)
    moved = full((found.fetched_bytes + found.written_bytes) * times, nests)
    return stall, moved, "operands with every fold that does not share them; double-buffered folds"
