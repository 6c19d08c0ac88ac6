"""Attention rows of a table on a GPU: one flash kernel, or two products with passes over scores.

Shapes of attention are read off the loop nests of a row: query heads per KV head, new queries, keys
and head sizes. `attention` times the flash kernels (Dao et al., FlashAttention, NeurIPS 2022); a
runtime without such kernels writes the scores to memory between two products (`gemm`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.setting import Setting
from perfmodel.hardware.fact_views import or_else
from perfmodel.kinds.distinct_columns import Places, places_of
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.rates import product_format
from perfmodel.kinds.tensor_core.attention import (
    EXPONENTIALS,
    AttentionExtents,
    Chip,
    decode_parts,
    prefill_parts,
    resident_share,
)
from perfmodel.kinds.tensor_core.constants import TensorCoreKernel
from perfmodel.kinds.tensor_core.gemm import Processor, gemm_times
from perfmodel.kinds.tensor_core.kernels import (
    KernelRows,
    constants_of,
    kernel_rows,
    near_seconds,
    processor,
)
from perfmodel.kinds.tensor_core.spec import TensorCore
from perfmodel.workload.nest_table import Nests
from perfmodel.workload.operator_rows import OperatorRow
from perfmodel.workload.operator_table import OperatorTable


def attention_rows(table: OperatorTable, setting: Setting, base: Terms) -> Iterator[KernelRows]:
    """Yield the times of attention for which the runtime states constants.

    ``attention_prefill`` and ``attention_decode`` are flash kernels: the first where keys are new,
    the second where they come from a cache. A runtime that states neither, but ``batched_gemm``,
    computes scores with one product, makes passes over them, and multiplies again.
    """
    nests = table.nests
    assert nests is not None
    by_kind = table.once("attention", lambda: _groups(table.rows, nests))
    for (cached, causal, pair), first in by_kind.items():
        executed = product_format(setting, pair)
        stored = setting.precision.kv.name
        name = "attention_decode" if cached else "attention_prefill"
        flash = constants_of(setting, name, (stored, executed))
        values = flash or constants_of(setting, "batched_gemm", (executed,))
        if not values:
            continue
        attention = _AttentionRows(table, setting, base, first, processor(setting, pair, executed))
        if not flash:
            yield attention.unfused(values)
        else:
            yield attention.decode(flash) if cached else attention.prefill(flash, causal)


def _groups(
    rows: Sequence[OperatorRow], nests: Nests
) -> dict[tuple[bool, bool, tuple[str, str]], Places]:
    """Return (from a cache, causal, pair of slots) -> first products of that attention."""
    pairs = [rows[int(row)].pair for row in nests.row]
    second = np.append(False, nests.row[1:] == nests.row[:-1])
    return places_of(
        (pair[0].partition(":")[0] == "kv", nests.causal[i], pair)
        if nests.kind[i] == "attention" and not second[i]
        else None
        for i, pair in enumerate(pairs)
    )


class _AttentionRows:
    """Attention of some rows; every array has shape ``(len(rows), points or 1)``.

    Attributes
    ----------
    kv_groups, shared
        Batch times KV heads, and query heads per KV head.
    queries, keys, head_dim, value_dim
        Extents of the products.
    unmasked
        Share of query-key pairs that the mask keeps, for masks not represented by blocks.
    """

    def __init__(
        self, table: OperatorTable, setting: Setting, base: Terms, first: Any, machine: Processor
    ) -> None:
        nests = table.nests
        assert nests is not None
        self.setting, self.base, self.machine = setting, base, machine
        self.rows = nests.row[first]
        self.kv_groups, self.shared = nests.groups[first], nests.batch[first]
        self.queries, self.keys = nests.out_rows[first], nests.out_channels[first]
        self.head_dim, self.value_dim = nests.in_channels[first], nests.out_channels[first + 1]
        self.unmasked = 1.0 - table.masked_macs[self.rows] / table.macs[self.rows]
        self.heads = self.kv_groups * self.shared

    @property
    def chip(self) -> Chip:
        """Facts of the device that flash kernels read."""
        setting, machine = self.setting, self.machine
        near, main = setting.nearest_memory, setting.main_memory
        engine = setting.engine_as(TensorCore, "tensor_core")
        return Chip(
            machine.peak,
            machine.units,
            machine.clock,
            setting.memory(main).bandwidth,
            setting.memory(near).capacity if near != main else 0.0,
            machine.l2_bandwidth,
            or_else(engine.exponentials_per_clock, EXPONENTIALS),
        )

    @property
    def extents(self) -> AttentionExtents:
        """Extents of the attentions; their sequences count as heads."""
        head_dim = (self.head_dim + self.value_dim) / 2.0
        return AttentionExtents(1.0, self.queries, self.keys, self.heads, self.kv_groups, head_dim)

    @property
    def narrow(self) -> Value:
        """Whether the cache has fewer bits than the activations."""
        precision = self.setting.precision
        return precision.bits("kv") < precision.bits("activation")

    def prefill(self, values: dict[str, Value], causal: bool) -> KernelRows:
        """Return the times of a flash kernel over prompts."""
        kernel = TensorCoreKernel.constants({"pnorm": 1.0, **values})
        parts = prefill_parts(
            self.extents,
            self.chip,
            kernel,
            moved_bytes=self.base.traffic[self.setting.main_memory][self.rows],
            narrow=self.narrow,
            causal=causal,
            relaxed=self.setting.relaxed,
        )
        # A window mask is not a causal staircase of blocks: scale by the share of pairs it keeps.
        unmasked = 1.0 if causal else self.unmasked
        matrix = parts.products * unmasked + parts.blocks
        vector, p = parts.exponentials * unmasked, kernel.pnorm
        total = parts.total
        if not causal:
            total = kernel.launch + ((matrix + vector) ** p + parts.memory**p) ** (1.0 / p)
        return self._flash(matrix, vector, parts.memory, kernel.launch, total, kernel.host_floor)

    def decode(self, values: dict[str, Value]) -> KernelRows:
        """Return the times of a flash kernel over a cache, all of which a token attends to."""
        setting = self.setting
        kernel = TensorCoreKernel.constants({"pnorm": 4.0, **values})
        # A cache that stays from the previous run only crosses the nearest boundary.
        traffic = self.base.traffic[setting.nearest_memory][self.rows]
        chip = self.chip
        warm = setting.warm and len(setting.levels) > 1  # a device need not state its cache
        parts = decode_parts(
            self.extents,
            chip,
            kernel,
            moved_bytes=traffic,
            narrow=self.narrow,
            resident=resident_share(traffic, chip.l2_capacity) if warm else 0.0,
            relaxed=setting.relaxed,
        )
        launch = parts.launch + parts.combine
        return self._flash(
            parts.products, parts.exponentials, parts.memory, launch, parts.total, 0.0
        )

    def _flash(
        self,
        matrix: Value,
        vector: Value,
        memory: Value,
        launch: Value,
        total: Value,
        host_floor: Value,
    ) -> KernelRows:
        setting, rows = self.setting, self.rows
        l2 = near_seconds(self.base, setting, rows)
        work = total - launch
        return kernel_rows(rows, matrix, vector, memory, l2, launch, work, host_floor, setting.xp)

    def unfused(self, values: dict[str, Value]) -> KernelRows:
        """Return the times of two batched products, a softmax, and further passes over scores."""
        setting, groups, rows = self.setting, self.heads, self.queries
        kernel = TensorCoreKernel.constants(values)
        each = setting.precision.bits("activation") / 8.0
        scores = groups * rows * self.keys * each
        # Queries or results, and keys or values.
        operands = groups * rows * each * self.head_dim
        operands = scores + operands + groups * self.keys * self.head_dim * each
        first, second = (
            gemm_times(
                rows,
                n,
                k,
                machine=self.machine,
                constants=kernel,
                moved_bytes=operands,
                left_bytes=each,
                right_bytes=each,
                groups=groups,
                relaxed=setting.relaxed,
            )
            for n, k in ((self.keys, self.head_dim), (self.value_dim, self.keys))
        )
        bandwidth = setting.memory(setting.main_memory).bandwidth
        soft, plain = (
            TensorCoreKernel.constants(constants_of(setting, name, ()))
            for name in ("softmax", "elementwise")
        )
        passes = values.get("passes", 0.0)
        over = 2.0 * scores / (soft.bandwidth_share * bandwidth) + passes * 2.0 * scores / (
            plain.bandwidth_share * bandwidth
        )
        both = 2.0 * kernel.launch
        return kernel_rows(
            self.rows,
            first.matrix_s + second.matrix_s,
            0.0,
            first.dram_s + second.dram_s + over,
            first.l2_s + second.l2_s,
            soft.launch + passes * plain.launch + both,
            first.total_s + second.total_s - both + over,
            (3.0 + passes) * kernel.host_floor,
            setting.xp,
        )
