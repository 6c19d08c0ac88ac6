"""Rows of a table that are attention: one flash kernel, or products and passes over scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.setting import Setting
from perfmodel.hardware.view import or_else
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.rates import executed_in
from perfmodel.kinds.tensor_core.attention import (
    EXPONENTIALS,
    Chip,
    DecodeKernel,
    PrefillKernel,
    decode_parts,
    prefill_parts,
    resident_share,
)
from perfmodel.kinds.tensor_core.gemm import GemmConstants, Processor, gemm_times
from perfmodel.kinds.tensor_core.kernels import KernelRows, constants_of, processor
from perfmodel.kinds.tensor_core.spec import TensorCore
from perfmodel.workload.lower import OperatorRow, OperatorTable
from perfmodel.workload.shapes import Nests


@dataclass(frozen=True, slots=True)
class _AttentionRows:
    """Attention of some rows; every array has shape ``(len(rows), points or 1)``."""

    rows: Any
    groups: Value  # batch x key and value heads
    shared: Value  # query heads that share keys
    queries: Value
    keys: Value
    head_dim: Value
    value_dim: Value
    kept: Value  # share of query-key pairs that the mask leaves, where blocks do not tell


def attention_rows(table: OperatorTable, setting: Setting, base: Terms) -> Iterator[KernelRows]:
    """Yield the times of attention for which the runtime states constants.

    ``attention_prefill`` and ``attention_decode`` are flash kernels: the first where keys are new,
    the second where they come from a cache. A runtime that states neither, but ``batched_gemm``,
    computes scores with one product, passes over them, and multiplies again.
    """
    nests = table.nests
    assert nests is not None
    by_kind = table.once("attention", lambda: _groups(table.rows, nests))
    for (cached, causal, pair), first in by_kind.items():
        executed = executed_in(setting, pair)
        stored = setting.precision.kv.name
        name = "attention_decode" if cached else "attention_prefill"
        flash = constants_of(setting, name, (stored, executed))
        values = flash or constants_of(setting, "batched_gemm", (executed,))
        if not values:
            continue
        machine = processor(setting, pair, executed)
        found = _gathered(table, first)
        if flash:
            kernel = _decode if cached else _prefill
            yield kernel(table, setting, base, found, _chip(setting, machine), values, causal)
        else:
            yield _unfused(table, setting, base, found, machine, values)


def _groups(
    rows: Sequence[OperatorRow], nests: Nests
) -> dict[tuple[bool, bool, tuple[str, str]], Any]:
    """Return (from a cache, causal, pair of slots) -> the first products of such attention."""
    out: dict[tuple[bool, bool, tuple[str, str]], list[int]] = {}
    for i, kind in enumerate(nests.kind):
        row = rows[int(nests.row[i])]
        second = i and nests.row[i] == nests.row[i - 1]
        if kind == "attention" and not second:
            cached = row.pair[0].partition(":")[0] == "kv"
            out.setdefault((cached, nests.causal[i], row.pair), []).append(i)
    return {key: np.array(first) for key, first in out.items()}


def _gathered(table: OperatorTable, first: Any) -> _AttentionRows:
    nests = table.nests
    assert nests is not None
    rows = nests.row[first]
    macs = table.macs[rows]
    masked = table.masked_macs[rows]
    return _AttentionRows(
        rows,
        nests.groups[first],
        nests.batch[first],
        nests.out_rows[first],
        nests.out_channels[first],
        nests.in_channels[first],
        nests.out_channels[first + 1],
        1.0 - masked / macs,
    )


def _chip(setting: Setting, machine: Processor) -> Chip:
    near, main = setting.levels[0], setting.levels[-1]
    l2 = near != main
    engine = setting.engine_as(TensorCore, "tensor_core")
    return Chip(
        machine.peak,
        machine.units,
        machine.clock,
        setting.memory(main).bandwidth,
        setting.memory(near).capacity if l2 else 0.0,
        machine.l2_bandwidth,
        or_else(engine.exponentials_per_clock, EXPONENTIALS),
    )


def _narrow(setting: Setting) -> Value:
    """Return whether the cache has fewer bits than the activations."""
    return setting.precision.bits("kv") < setting.precision.bits("activation")


def _prefill(
    table: OperatorTable,
    setting: Setting,
    base: Terms,
    r: _AttentionRows,
    chip: Chip,
    values: dict[str, Value],
    causal: bool,
) -> KernelRows:
    kernel = PrefillKernel(
        values["launch"],
        values.get("peak_share", 1.0),
        values.get("exp_cost", 1.0),
        values.get("block_time", 0.0),
        values.get("bandwidth_share", 1.0),
        values.get("pnorm", 1.0),
        values.get("narrow_slowdown", 1.0),
    )
    moved = base.traffic[setting.levels[-1]][r.rows]
    found = prefill_parts(
        1.0,
        r.queries,
        r.keys,
        r.groups * r.shared,
        (r.head_dim + r.value_dim) / 2.0,
        chip,
        kernel,
        moved_bytes=moved,
        narrow=_narrow(setting),
        causal=causal,
        relaxed=setting.relaxed,
    )
    # A window is no staircase of blocks: the share of pairs that it leaves.
    kept = 1.0 if causal else r.kept
    matrix = found.products * kept + found.blocks
    return _flash(
        table,
        setting,
        base,
        r,
        matrix,
        found.exponentials * kept,
        found.memory,
        found.total if causal else None,
        kernel.launch,
        kernel.pnorm,
        values.get("host_floor", 0.0),
    )


def _decode(
    table: OperatorTable,
    setting: Setting,
    base: Terms,
    r: _AttentionRows,
    chip: Chip,
    values: dict[str, Value],
    causal: bool,
) -> KernelRows:
    del causal  # one token sees its whole cache
    kernel = DecodeKernel(
        values["launch"],
        values.get("combine", 0.0),
        values.get("query_rows", 1.0),
        values.get("peak_share", 1.0),
        values.get("exp_cost", 1.0),
        values.get("bandwidth_share", 1.0),
        values.get("ramp", 0.0),
        values.get("pnorm", 4.0),
        values.get("l2_share", 1.0),
        values.get("narrow_launch", 0.0),
    )
    # A cache that stays from the run before crosses the nearest boundary alone.
    moved = base.traffic[setting.levels[0]][r.rows]
    holds = setting.warm and len(setting.levels) > 1  # a device need not state its cache
    resident = resident_share(moved, chip.l2_capacity) if holds else 0.0
    dims = (r.head_dim + r.value_dim) / 2.0
    found = decode_parts(
        1.0,
        r.queries,
        r.keys,
        r.groups * r.shared,
        r.groups,
        dims,
        chip,
        kernel,
        moved_bytes=moved,
        narrow=_narrow(setting),
        resident=resident,
        relaxed=setting.relaxed,
    )
    return _flash(
        table,
        setting,
        base,
        r,
        found.products,
        found.exponentials,
        found.memory,
        found.total,
        found.launch + found.combine,
        kernel.pnorm,
    )


def _flash(
    table: OperatorTable,
    setting: Setting,
    base: Terms,
    r: _AttentionRows,
    matrix: Value,
    vector: Value,
    memory: Value,
    total: Value | None,
    launch: Value,
    pnorm: Value,
    host_floor: Value = 0.0,
) -> KernelRows:
    del table
    xp = setting.xp
    zero = 0.0 * (matrix + memory)
    near, main = setting.levels[0], setting.levels[-1]
    l2 = base.memory[near][r.rows] + zero if near != main else zero
    whole = total
    if whole is None:
        whole = launch + ((matrix + vector) ** pnorm + memory**pnorm) ** (1.0 / pnorm)
    top = xp.maximum(xp.maximum(matrix + vector, memory), l2)
    return KernelRows(
        r.rows,
        matrix + zero,
        memory + zero,
        l2,
        launch + zero,
        whole - launch - top,
        host_floor_s=host_floor + zero,
        vector_s=vector + zero,
    )


def _unfused(
    table: OperatorTable,
    setting: Setting,
    base: Terms,
    r: _AttentionRows,
    machine: Processor,
    values: dict[str, Value],
) -> KernelRows:
    """Return the times of two batched products, a softmax, and what else passes over the scores."""
    xp = setting.xp
    constants = GemmConstants.of(values)
    each = setting.precision.bits("activation") / 8.0
    groups, rows = r.groups * r.shared, r.queries
    scores = groups * rows * r.keys * each
    streams = groups * rows * each

    def product(n: Value, k: Value) -> Any:
        moved = scores + streams * r.head_dim + groups * r.keys * r.head_dim * each
        return gemm_times(
            rows,
            n,
            k,
            machine=machine,
            constants=constants,
            moved_bytes=moved,
            left_bytes=each,
            right_bytes=each,
            groups=groups,
            relaxed=setting.relaxed,
        )

    first, second = product(r.keys, r.head_dim), product(r.value_dim, r.keys)
    bandwidth = setting.memory(setting.levels[-1]).bandwidth
    soft = constants_of(setting, "softmax", ())
    plain = constants_of(setting, "elementwise", ())
    passes = values.get("passes", 0.0)
    over = 2.0 * scores / (soft.get("bandwidth_share", 1.0) * bandwidth) + passes * 2.0 * scores / (
        plain.get("bandwidth_share", 1.0) * bandwidth
    )
    launch = soft.get("launch", 0.0) + passes * plain.get("launch", 0.0) + 2.0 * constants.launch
    matrix = first.matrix_s + second.matrix_s
    dram = first.dram_s + second.dram_s + over
    l2 = first.l2_s + second.l2_s
    total = first.total_s + second.total_s - 2.0 * constants.launch + over
    zero = 0.0 * (matrix + dram)
    top = xp.maximum(xp.maximum(matrix, dram), l2)
    return KernelRows(
        r.rows,
        matrix,
        dram + zero,
        l2,
        launch + zero,
        total - top,
        host_floor_s=(3.0 + passes) * constants.host_floor + zero,
        vector_s=zero,
    )
