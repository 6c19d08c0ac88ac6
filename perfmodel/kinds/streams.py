"""Rows of class ``stream`` (loops over arrays, stencils) by the Execution-Cache-Memory model.

Any kind of engine may hand its terms to `with_streams`: where the caches state their ports and
transfers, such rows take the model's times, all other rows stay as they are.
"""

from __future__ import annotations

from dataclasses import replace

from perfmodel.arrays import Value, first_number, is_array
from perfmodel.cost.ecm import cycles_at_levels, cycles_by_size, level_parts, miss_share
from perfmodel.cost.setting import Setting
from perfmodel.kinds.cache import CacheHierarchy, grid_reads, hierarchy, work_of
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.rates import bandwidth
from perfmodel.workload.lower import OperatorTable
from perfmodel.workload.streaming import KERNELS, StreamingKernel


def with_streams(table: OperatorTable, setting: Setting, terms: Terms) -> Terms:
    """Return the terms with the model's times for rows of class ``stream``.

    The time of arithmetic of such a row is that of the core with all data in its first cache; the
    seconds and bytes of a memory are those of its lines that cross to the cache before it, each by
    itself; `row_s` joins them as the machine's overlap says. A column ``cycles_per_line`` is added,
    of one core; several cores divide the loop until main memory's bandwidth holds them up.
    """
    if setting.bare or "results" not in table.extents:
        return terms
    found = hierarchy(setting.facts, setting.engine_name, setting.levels)
    if found is None:
        return terms
    compute, memory, traffic = dict(terms.compute), dict(terms.memory), dict(terms.traffic)
    joined = dict(terms.joined)
    row_s = terms.row_s
    per_line = _zeros(table, setting)
    for i, row in enumerate(table.rows):
        kernel = KERNELS.get(row.loop)
        if kernel is None:
            continue
        times = _Times(kernel, table, i, found, setting)
        for name in compute:
            compute[name] = _put(
                compute[name], i, times.core if name == "vector" else 0.0, table, setting
            )
        for level in found.levels:
            seconds, moved = times.levels.get(level, (0.0, 0.0))
            memory[level] = _put(memory.get(level, 0.0), i, seconds, table, setting)
            traffic[level] = _put(traffic.get(level, 0.0), i, moved, table, setting)
        overhead = sum((_row(v, i) for v in terms.overhead.values()), 0.0)
        row_s = _put(row_s, i, times.total + overhead, table, setting)
        per_line = _put(per_line, i, times.cycles, table, setting)
        joined[i] = times.text
    return replace(
        terms,
        compute=compute,
        memory={m: memory[m] for m in memory if m in traffic},
        traffic=traffic,
        row_s=row_s,
        detail={**terms.detail, "cycles_per_line": per_line},
        traffic_model=terms.traffic_model or "lines across each boundary, by layer conditions",
        joined=joined,
    )


class _Times:
    """Times of one row: seconds in all, of the core, and (seconds, bytes) of each level."""

    def __init__(
        self,
        kernel: StreamingKernel,
        table: OperatorTable,
        i: int,
        found: CacheHierarchy,
        setting: Setting,
    ) -> None:
        results, size, row, plane = (
            _row(table.extents[name], i) for name in ("results", "size", "row", "plane")
        )
        self.found, work = found, work_of(kernel)
        core = found.core
        self.lines = results * 8.0 / core.line
        reads = grid_reads(kernel, found, row, plane)
        self.parts = level_parts(work, core, found.edges, reads)
        cores: Value = setting.engine.units
        # Cores share the last cache; each holds its part of the arrays in those before it.
        sizes = [size / cores] * (len(found.edges) - 1) + [size]
        self.gone = [
            self._missed(miss_share(held, e.centre, e.sharpness), setting)
            for held, e in zip(sizes, found.edges, strict=True)
        ]
        at = cycles_at_levels(work, core, found.edges, reads)
        self.per_row = found.row_start * core.line / row if kernel.radius else 0.0
        self.cycles = cycles_by_size(at, sizes, found.edges) + self.per_row
        self.core = self.lines * self.parts[0] / found.clock / cores
        self.levels: dict[str, tuple[Value, Value]] = {}
        for edge, level, come, gone in zip(
            found.edges, found.levels[1:], reads, self.gone, strict=True
        ):
            allocated = work.writes * (1.0 - work.whole * (1.0 - edge.allocate))
            lines_in = come + work.updates + allocated
            seconds = edge.line_in * lines_in + edge.line_out * work.stores
            self.levels[level] = (
                gone * self.lines * seconds / found.clock / cores,
                gone * self.lines * core.line * (lines_in + work.stores),
            )
        self.total = self.lines * self.cycles / found.clock / cores
        main = found.levels[-1]
        shared = self.levels[main][1] / bandwidth(setting, main)
        # What one core draws is in its own times; several may be held up by the memory.
        xp = setting.xp
        self.shared = xp.where(xp.asarray(cores) > 1.0, shared, 0.0)
        self.total = xp.maximum(self.total, self.shared)
        self.cores = cores

    def _missed(self, share: Value, setting: Setting) -> Value:
        """Return a share of lines that miss, none where no run in a thousand misses a line.

        Lines come whole: what the ramp leaves far below a cache's size is no traffic.
        """
        return setting.xp.where(share * self.lines < 1e-3, 0.0, share)

    def text(self) -> str:
        """Return the seconds of the first point as plain arithmetic."""
        p = _said(self.found.core.overlap)
        powers = [f"{_said(part)}**{p}" for part in self.parts]
        at = [_said(self.parts[0])]
        at += [f"({' + '.join(powers[: i + 3])})**(1/{p})" for i in range(len(self.gone))]
        clocks = at[0]
        for gone, inner, outer in zip(self.gone, at, at[1:], strict=False):
            clocks += f" + {_said(gone)}*({outer} - {inner})"
        clocks += f" + {_said(self.per_row)}" if is_array(self.per_row) or self.per_row else ""
        own = f"{_said(self.lines)}/{_said(self.found.clock)}*({clocks})"
        if _said(self.cores) == "1":
            return own
        return f"max({own}/{_said(self.cores)}, {_said(self.shared)})"


def _said(value: Value) -> str:
    return f"{first_number(value):.12g}"


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
