"""Times of rows of class ``stream`` by the Execution-Cache-Memory model.

`perfmodel.kinds.streams` imports this module for tables with such rows only.
"""

from __future__ import annotations

from dataclasses import replace

from perfmodel.arrays import Value, first_number, is_array
from perfmodel.cost.ecm import cycles_at_levels, cycles_by_size, level_parts, miss_share
from perfmodel.cost.setting import Setting
from perfmodel.kinds.cache.hierarchy import CacheHierarchy, grid_reads, hierarchy, work_of
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.rates import bandwidth
from perfmodel.workload.operator_table import OperatorTable
from perfmodel.workload.streaming import KERNELS, StreamingKernel


def stream_terms(table: OperatorTable, setting: Setting, terms: Terms) -> Terms:
    """Return the terms with the model's times for rows of class ``stream``.

    The arithmetic time of such a row is that of the core with all data in its first cache; the
    seconds and bytes of a memory are those of lines transferred to the next nearer cache, for each
    memory separately; `row_s` combines them by the machine's overlap. A column ``cycles_per_line``
    is added, for one core; several cores divide the loop, bounded by the bandwidth of main memory.
    """
    caches = hierarchy(setting.facts, setting.engine_name, setting.levels)
    if caches is None:
        return terms
    compute, memory, traffic = dict(terms.compute), dict(terms.memory), dict(terms.traffic)
    joined = dict(terms.joined)
    row_s = terms.row_s
    per_line = _zeros(table, setting)
    for i, row in enumerate(table.rows):
        kernel = KERNELS.get(row.loop)
        if kernel is None:
            continue
        times = _StreamTimes(kernel, table, i, caches, setting)
        for name in compute:
            compute[name] = _with_row(
                compute[name], i, times.core if name == "vector" else 0.0, table, setting
            )
        for level in caches.levels:
            seconds, size = times.levels.get(level, (0.0, 0.0))
            memory[level] = _with_row(memory.get(level, 0.0), i, seconds, table, setting)
            traffic[level] = _with_row(traffic.get(level, 0.0), i, size, table, setting)
        overhead = sum((_row(v, i) for v in terms.overhead.values()), 0.0)
        row_s = _with_row(row_s, i, times.total + overhead, table, setting)
        per_line = _with_row(per_line, i, times.cycles, table, setting)
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


class _StreamTimes:
    """Times of one row: total and core seconds, and (seconds, bytes) of each level."""

    def __init__(
        self,
        kernel: StreamingKernel,
        table: OperatorTable,
        i: int,
        caches: CacheHierarchy,
        setting: Setting,
    ) -> None:
        results, size, row, plane = (
            _row(table.extents[name], i) for name in ("results", "size", "row", "plane")
        )
        self.hierarchy, work = caches, work_of(kernel)
        core = caches.core
        self.lines = results * 8.0 / core.line
        reads = grid_reads(kernel, caches, row, plane)
        self.parts = level_parts(work, core, caches.boundaries, reads)
        cores: Value = setting.engine.units
        # Cores share the last cache; each has its part of the arrays in the private ones.
        sizes = [size / cores] * (len(caches.boundaries) - 1) + [size]
        self.gone = [
            self._missed(miss_share(own, e.centre, e.sharpness), setting)
            for own, e in zip(sizes, caches.boundaries, strict=True)
        ]
        at = cycles_at_levels(work, core, caches.boundaries, reads)
        self.per_row = caches.row_start * core.line / row if kernel.radius else 0.0
        self.cycles = cycles_by_size(at, sizes, caches.boundaries) + self.per_row
        self.core = self.lines * self.parts[0] / caches.clock / cores
        self.levels: dict[str, tuple[Value, Value]] = {}
        for edge, level, come, missing_share in zip(
            caches.boundaries, caches.levels[1:], reads, self.gone, strict=True
        ):
            allocated = work.writes * (1.0 - work.full_lines * (1.0 - edge.allocate))
            lines_in = come + work.updates + allocated
            seconds = edge.line_in * lines_in + edge.line_out * work.stores
            self.levels[level] = (
                missing_share * self.lines * seconds / caches.clock / cores,
                missing_share * self.lines * core.line * (lines_in + work.stores),
            )
        self.total = self.lines * self.cycles / caches.clock / cores
        main = caches.levels[-1]
        shared = self.levels[main][1] / bandwidth(setting, main)
        # One core's own draw is in its times; only several cores can saturate the memory.
        xp = setting.xp
        self.shared = xp.where(xp.asarray(cores) > 1.0, shared, 0.0)
        self.total = xp.maximum(self.total, self.shared)
        self.cores = cores

    def _missed(self, share: Value, setting: Setting) -> Value:
        """Return a share of missing lines, 0 where fewer than one line in a thousand runs misses.

        Lines are indivisible: the tail of the ramp far below a cache's size is no traffic.
        """
        return setting.xp.where(share * self.lines < 1e-3, 0.0, share)

    def text(self) -> str:
        """Return the seconds of the first point as a plain arithmetic expression."""
        p = _number_text(self.hierarchy.core.overlap)
        powers = [f"{_number_text(part)}**{p}" for part in self.parts]
        at = [_number_text(self.parts[0])]
        at += [f"({' + '.join(powers[: i + 3])})**(1/{p})" for i in range(len(self.gone))]
        clocks = at[0]
        for missing_share, inner, outer in zip(self.gone, at, at[1:], strict=False):
            clocks += f" + {_number_text(missing_share)}*({outer} - {inner})"
        clocks += (
            f" + {_number_text(self.per_row)}" if is_array(self.per_row) or self.per_row else ""
        )
        own = f"{_number_text(self.lines)}/{_number_text(self.hierarchy.clock)}*({clocks})"
        if _number_text(self.cores) == "1":
            return own
        return f"max({own}/{_number_text(self.cores)}, {_number_text(self.shared)})"


def _number_text(value: Value) -> str:
    return f"{first_number(value):.12g}"


def _row(value: Value, i: int) -> Value:
    """Return row `i` of ``(rows, points)``; a scalar applies to all rows."""
    return value[i] if is_array(value) and value.ndim else value


def _zeros(table: OperatorTable, setting: Setting) -> Value:
    return setting.xp.zeros((len(table.rows), 1))


def _with_row(values: Value, i: int, row: Value, table: OperatorTable, setting: Setting) -> Value:
    """Return ``(rows, points)`` values with one row replaced."""
    xp = setting.xp
    selected = xp.asarray([[1.0 if j == i else 0.0] for j in range(len(table.rows))]) > 0
    return xp.where(selected, row, values)
