"""Rows of class ``stream`` (loops over arrays, stencils) by the Execution-Cache-Memory model.

Any kind of engine may hand its terms to `with_streams`: where the caches state their ports and
transfers, such rows take the model's times, all other rows stay as they are.
"""

from __future__ import annotations

from dataclasses import replace

from perfmodel.arrays import Value, is_array
from perfmodel.cost.ecm import core_cycles, cycles_at_levels, cycles_by_size, miss_share
from perfmodel.cost.setting import Setting
from perfmodel.kinds.cache import Hierarchy, grid_reads, hierarchy, work_of
from perfmodel.kinds.protocol import Terms
from perfmodel.workload.lower import OperatorTable
from perfmodel.workload.streaming import KERNELS, Kernel

__all__ = ["with_streams"]


def with_streams(table: OperatorTable, setting: Setting, terms: Terms) -> Terms:
    """Return the terms with the model's times for rows of class ``stream``.

    The time of arithmetic of such a row is that of the core with all data in its first cache; the
    seconds and bytes of a memory are those of its lines that cross to the cache before it, each by
    itself; `row_s` joins them as the machine's overlap says. A column ``cycles_per_line`` is added.
    """
    if setting.bare or not table.extents:
        return terms
    found = hierarchy(setting.facts, setting.engine, setting.levels)
    if found is None:
        return terms
    compute = dict.fromkeys(terms.compute, _zeros(table, setting))
    compute |= terms.compute
    memory, traffic = dict(terms.memory), dict(terms.traffic)
    row_s = terms.row_s
    per_line = _zeros(table, setting)
    for i, row in enumerate(table.rows):
        kernel = KERNELS.get(row.loop)
        if kernel is None:
            continue
        times = _Times(kernel, table, i, found)
        for name in compute:
            compute[name] = _put(compute[name], i, times.core if name == "vector" else 0.0, table,
                                 setting)  # fmt: skip
        for level in found.levels:
            seconds, moved = times.levels.get(level, (0.0, 0.0))
            memory[level] = _put(memory.get(level, 0.0), i, seconds, table, setting)
            traffic[level] = _put(traffic.get(level, 0.0), i, moved, table, setting)
        overhead = sum((_row(v, i) for v in terms.overhead.values()), 0.0)
        row_s = _put(row_s, i, times.total + overhead, table, setting)
        per_line = _put(per_line, i, times.cycles, table, setting)
    return replace(
        terms, compute=compute, memory={m: memory[m] for m in memory if m in traffic},
        traffic=traffic, row_s=row_s, detail={**terms.detail, "cycles_per_line": per_line},
        traffic_model=terms.traffic_model or "lines across each boundary, by layer conditions",
    )  # fmt: skip


class _Times:
    """Times of one row: seconds in all, of the core, and (seconds, bytes) of each level."""

    def __init__(self, kernel: Kernel, table: OperatorTable, i: int, found: Hierarchy) -> None:
        results, size, row, plane = (
            _row(table.extents[name], i) for name in ("results", "size", "row", "plane")
        )
        core, work = found.core, work_of(kernel)
        lines = results * 8.0 / core.line
        reads = grid_reads(kernel, found, row, plane)
        at = cycles_at_levels(work, core, found.edges, reads)
        self.cycles = cycles_by_size(at, size, found.edges)
        if kernel.radius:
            self.cycles = self.cycles + found.row_start * core.line / row
        self.total = lines * self.cycles / found.clock
        self.core = lines * core_cycles(work, core) / found.clock
        self.levels: dict[str, tuple[Value, Value]] = {}
        for edge, level, come in zip(found.edges, found.levels[1:], reads, strict=True):
            gone = miss_share(size, edge.centre, edge.sharpness)
            allocated = work.writes * (1.0 - work.whole * (1.0 - edge.allocate))
            lines_in = come + work.updates + allocated
            seconds = edge.line_in * lines_in + edge.line_out * work.stores
            self.levels[level] = (
                gone * lines * seconds / found.clock,
                gone * lines * core.line * (lines_in + work.stores),
            )


def _row(value: Value, i: int) -> Value:
    """Return row `i` of ``(rows, points)``; a number is the same for all rows."""
    return value[i] if is_array(value) and value.ndim else value


def _zeros(table: OperatorTable, setting: Setting) -> Value:
    return setting.xp.zeros((len(table.rows), 1))


def _put(whole: Value, i: int, row: Value, table: OperatorTable, setting: Setting) -> Value:
    """Return ``(rows, points)`` values with one row replaced."""
    xp = setting.xp
    mine = xp.asarray([[1.0 if j == i else 0.0] for j in range(len(table.rows))]) > 0
    return xp.where(mine, row, whole)
