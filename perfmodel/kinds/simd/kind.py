"""The kind `simd`: what a table costs on CPU cores with vector units.

Matrix operators take the clocks of their runtime's kernels; everything else, and every class of
kernels of which the runtime states no constants, goes as on a roofline.
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
from perfmodel.kinds.rates import TransferExpression, copy_shares, with_latency
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.kinds.roofline import launch_times, matrix_rates
from perfmodel.kinds.simd.constants import SimdKernel
from perfmodel.kinds.simd.kernels import KERNEL_OF, nest_clocks, on_image
from perfmodel.kinds.simd.spec import Simd
from perfmodel.kinds.simd.streams import Streams, level_bandwidth, missed, streams
from perfmodel.kinds.simd.vector import by_kernel, vector_seconds
from perfmodel.kinds.streams import with_streams
from perfmodel.workload.lower import OperatorTable


class SimdCores:
    """Time of a row = the slowest of arithmetic and each memory level, plus what is cold."""

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
        found = streams(table, setting)
        memory = self._memory(table, setting, found, matrix)
        overhead = _launches(table, setting)
        rule = "none" if setting.overlap == "none" else "full"
        cold = _cold(table, setting, found, compose(compute, memory, {}, rule))
        overhead = {"cold_weights": cold, **overhead}
        row_s = compose(compute, memory, overhead, rule)
        said = {level: _said(found, memory, level) for level in memory}
        terms = Terms(
            compute,
            memory,
            overhead,
            found.traffic,
            row_s,
            operations,
            executed,
            unsupported,
            work=work,
            said=said,
            left_out=left_out,
        )
        return with_streams(table, setting, terms)

    def _memory(
        self, table: OperatorTable, setting: Setting, found: Streams, matrix: Value
    ) -> dict[str, Value]:
        """Return seconds of each level; the nearest is among what kernels' clocks count."""
        share = copy_shares(table, setting)
        xp, nearest = setting.xp, setting.levels[0]
        memory: dict[str, Value] = {}
        for level, moved in found.moved.items():
            seconds = moved / level_bandwidth(setting, level) / share
            seconds = with_latency(seconds, moved, setting, level)
            if level == nearest and len(found.moved) > 1:
                seconds = xp.where(matrix > 0, 0.0, seconds)
            memory[level] = seconds
        return memory


def _launches(table: OperatorTable, setting: Setting) -> dict[str, Value]:
    """Return seconds of dispatch; its own state is cold as the run's other data is."""
    out = launch_times(table, setting)
    lines: Value = setting.runtime.lines_per_operator
    if not is_array(lines) and not lines:
        return out
    caches = setting.levels[:-1]
    wait: Value = or_else(setting.memory(caches[-1]).latency, 0.0) if caches else 0.0
    if setting.warm and len(caches) > 1:
        everything = setting.xp.asarray(footprint_bytes(table, setting), dtype=float)
        everything = everything.reshape(1, -1)
        wait, here = 0.0, 1.0
        for inner, level in pairwise(caches):
            # State outlives a run in the nearest cache that holds all of it.
            gone = here * missed(setting, inner, everything)
            beyond = 0.0 if level == caches[-1] else gone * missed(setting, level, everything)
            wait = wait + (gone - beyond) * or_else(setting.memory(level).latency, 0.0)
            here = gone
    out["launch"] = out.get("launch", 0.0) + table.kernels * lines * wait
    return out


def _cold(table: OperatorTable, setting: Setting, found: Streams, body: Value) -> Value:
    """Return seconds of weights that come from the memory that stores them.

    No arithmetic starts on weights that are not there: they add to it, but for a share that hides,
    or for all of the rest of the row where there is less of it than that. The kernels' share is of
    what a core loads from main memory; a drive writes into memory by itself.
    """
    xp = setting.xp
    rate = level_bandwidth(setting, setting.weights_memory)
    loaded = setting.weights_memory == setting.levels[-1]
    share = by_kernel(table, setting, lambda k: k.bandwidth_share, 1.0) if loaded else 1.0
    hidden = by_kernel(table, setting, lambda k: k.hidden_share, 0.0)
    seconds = found.weights / (rate * share)
    if setting.overlap != "cold_weights_add":
        return found.missed * xp.maximum(seconds - body, 0.0)
    return found.missed * xp.maximum(seconds - body, (1.0 - hidden) * seconds)


def _said(found: Streams, memory: dict[str, Value], level: str) -> TransferExpression:
    return TransferExpression(found.moved[level], memory[level])


KIND = SimdCores()
