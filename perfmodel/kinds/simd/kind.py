"""The kind `simd`: cost of a table on CPU cores with vector units.

Matrix operators cost the clocks of their runtime's kernels; all other work, and every class of
kernels without stated constants, is costed as on a roofline.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from perfmodel.arrays import Value, is_array
from perfmodel.cost.compose import compose
from perfmodel.cost.nests import RowSums, unmasked
from perfmodel.cost.residency import footprint_bytes
from perfmodel.cost.setting import Setting
from perfmodel.hardware.view import or_else
from perfmodel.kinds.protocol import Equation, Terms, equations_of
from perfmodel.kinds.rates import SecondsExpression, copy_shares, with_latency
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.kinds.roofline import launch_times, matrix_rates
from perfmodel.kinds.simd.constants import SimdKernel
from perfmodel.kinds.simd.kernels import KERNEL_OF, nest_clocks, on_image
from perfmodel.kinds.simd.spec import Simd
from perfmodel.kinds.simd.streams import Streams, level_bandwidth, missed, streams
from perfmodel.kinds.simd.vector import by_kernel, vector_seconds
from perfmodel.kinds.streams import with_streams
from perfmodel.workload.operator_table import OperatorTable


class SimdCores:
    """Time of a row = max of arithmetic and each memory level, plus cold weights."""

    name = "simd"
    spec = Simd
    any_algorithm = True
    needs_nests = True
    network_wide: frozenset[str] = frozenset({"memory", "cold_weights", "launch"})
    equations: Mapping[str, Equation] = {
        **equations_of(nest_clocks, missed),
        **{name: ROOFLINE.equations[name] for name in ("vector", "memory", "layer")},
    }

    def cost(self, table: OperatorTable, setting: Setting) -> Terms:
        """Cost every row of the table; see the class attribute `equations`.

        Raises
        ------
        InputError
            The engine is of another kind.
        """
        nests = table.nests
        if setting.bare or table.accesses is None:
            return ROOFLINE.cost(table, setting)
        engine = setting.engine_as(Simd, self.name)
        if all(setting.kernel(name, SimdKernel).tile_rows is None for name in KERNEL_OF.values()):
            return ROOFLINE.cost(table, setting)
        xp, clock = setting.xp, setting.clock
        macs = table.macs
        if setting.causal_skips_masked:
            macs = macs - table.masked_macs
        rates, operations, executed, unsupported = matrix_rates(table, macs, setting)
        n = len(table.rows)
        left_out: Value = None
        matrix: Value = (2.0 * macs) / rates
        work: dict[str, Value] = {}
        if nests is not None and len(nests):
            clocks, known = nest_clocks(table, setting, engine)
            rows = RowSums(nests.row, n, xp)
            spent = rows(clocks * unmasked(table, setting))
            modelled = np.zeros((n, 1), dtype=bool)
            modelled[nests.row[known]] = True
            matrix = xp.where(modelled, spent / clock, matrix)
            done = nests.macs * nests.times
            share = rows(done * on_image(nests)) / xp.maximum(rows(done), 1.0)
            share = xp.where(modelled, share, 1.0)
            operations = {name: each * share for name, each in operations.items()}
            left_out = 2.0 * macs * (1.0 - share)
            work["matrix"] = xp.where(modelled, spent, 2.0 * macs)
        operations["vector"] = table.vector_ops
        vector = vector_seconds(table, setting)
        compute = {"matrix": matrix, "vector": vector}
        crossing = streams(table, setting)
        memory = self._memory(table, setting, crossing, matrix)
        overhead = _launches(table, setting)
        rule = "none" if setting.overlap == "none" else "full"
        cold = _cold(table, setting, crossing, compose(compute, memory, {}, rule))
        overhead = {"cold_weights": cold, **overhead}
        row_s = compose(compute, memory, overhead, rule)
        expressions = {
            level: SecondsExpression(seconds, crossing.charged[level])
            for level, seconds in memory.items()
        }
        terms = Terms(
            compute,
            memory,
            overhead,
            crossing.traffic,
            row_s,
            operations,
            executed,
            unsupported,
            work=work,
            expressions=expressions,
            left_out=left_out,
        )
        return with_streams(table, setting, terms)

    def _memory(
        self, table: OperatorTable, setting: Setting, crossing: Streams, matrix: Value
    ) -> dict[str, Value]:
        """Return seconds of each level; those of the nearest are part of the kernels' clocks."""
        share = copy_shares(table, setting)
        xp, nearest = setting.xp, setting.nearest_memory
        memory: dict[str, Value] = {}
        for level, size in crossing.charged.items():
            seconds = size / level_bandwidth(setting, level) / share
            seconds = with_latency(seconds, size, setting, level)
            if level == nearest and len(crossing.charged) > 1:
                seconds = xp.where(matrix > 0, 0.0, seconds)
            memory[level] = seconds
        return memory


def _launches(table: OperatorTable, setting: Setting) -> dict[str, Value]:
    """Return seconds of dispatch; its state is cold in the caches like the run's other data."""
    out = launch_times(table, setting)
    lines: Value = setting.runtime.lines_per_operator
    if not is_array(lines) and not lines:
        return out
    caches = setting.levels[:-1]
    wait: Value = or_else(setting.memory(caches[-1]).latency, 0.0) if caches else 0.0
    if setting.warm and len(caches) > 1:
        everything = setting.xp.asarray(footprint_bytes(table, setting), dtype=float)
        everything = everything.reshape(1, -1)
        wait, reaching = 0.0, 1.0
        for inner, level in pairwise(caches):
            # State survives between runs in the nearest cache that holds all data.
            missing = reaching * missed(setting, inner, everything)
            missed_next = (
                0.0 if level == caches[-1] else missing * missed(setting, level, everything)
            )
            wait = wait + (missing - missed_next) * or_else(setting.memory(level).latency, 0.0)
            reaching = missing
    out["launch"] = out.get("launch", 0.0) + table.kernels * lines * wait
    return out


def _cold(table: OperatorTable, setting: Setting, crossing: Streams, body: Value) -> Value:
    """Return seconds to load weights from the memory that stores them, beyond the overlapped part.

    Arithmetic cannot start before its weights have arrived: their time is added, except a share
    that is hidden, at most the time of the row's other work. The kernels' share refers to loads by
    a core from main memory; a drive writes into memory without the core.
    """
    xp = setting.xp
    rate = level_bandwidth(setting, setting.weights_memory)
    loaded = setting.weights_memory == setting.main_memory
    share = by_kernel(table, setting, lambda kernel: kernel.bandwidth_share) if loaded else 1.0
    hidden = by_kernel(table, setting, lambda kernel: kernel.hidden_share)
    seconds = crossing.weights / (rate * share)
    if setting.overlap != "cold_weights_add":
        return crossing.missed * xp.maximum(seconds - body, 0.0)
    return crossing.missed * xp.maximum(seconds - body, (1.0 - hidden) * seconds)


KIND = SimdCores()
