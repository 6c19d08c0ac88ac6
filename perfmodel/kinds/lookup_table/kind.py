"""The kind `lookup_table`: cost of a table of operators on look-up tables of sums in fabric.

Products with weights in the tables' format are looked up; attention runs on separate units; other
products at the peak of their format. Elementwise work fused behind a product is applied on the way
out. On a CPU the same law is part of a runtime: `perfmodel.kinds.kernel_effects.issue_rate`.
"""

from __future__ import annotations

import numpy as np

from perfmodel.arrays import Value
from perfmodel.kinds.array import ArrayKind, Counts, NestRun
from perfmodel.kinds.lookup_table.counts import (
    blocks,
    engine_clocks,
    index_bits,
    packed_bytes,
    passes,
    uram_blocks,
    uram_columns,
)
from perfmodel.kinds.lookup_table.spec import LookupTableEngine
from perfmodel.kinds.operand_bits import family_of
from perfmodel.kinds.rates import bandwidth
from perfmodel.kinds.roofline import matrix_rates

__all__ = ["KIND", "LookupTable", "LookupTableEngine"]


class LookupTable(ArrayKind[LookupTableEngine]):
    """Time of a row = loading weights, then max of look-ups and transfer of all its bytes."""

    name = "lookup_table"
    traceable = True
    spec = LookupTableEngine
    laws = (engine_clocks,)

    def counts(self, run: NestRun, engine: LookupTableEngine) -> Counts:
        """Return look-ups, and the products that are multiplied instead."""
        table, nests, setting, rows = run.table, run.nests, run.setting, run.rows
        main, clock = setting.main_memory, setting.clock
        looked, attending = _masks(run, engine)
        per_nest = _counts(run, engine, looked)
        cycles = rows(per_nest["cycles"] * nests.times * looked) / engine.units
        attention = rows(nests.macs * run.times / nests.times * attending) / engine.units
        others = np.ones((len(table.rows), 1))
        handled: Value = looked | attending
        others[nests.row[handled[:, 0]]] = 0.0
        macs = run.macs
        products = macs * others
        rates, operations, executed, unsupported = matrix_rates(table, products, setting)
        first = next(iter(engine.peaks))
        operations[first] = operations.get(first, 0.0) + 2.0 * (macs - products)
        weights = rows(per_nest["weight_bytes"] * nests.times * looked)
        traffic = weights + rows(per_nest["other_bytes"] * nests.times) + run.outside
        arrival = weights / bandwidth(setting, main)
        detail = {
            "cycles": cycles,
            "passes": rows(per_nest["passes"] * looked * (nests.times + 0.0 * run.times)),
            "look_ups": rows(per_nest["look_ups"] * nests.times * looked),
            "tables_built": rows(per_nest["tables"] * nests.times * looked),
            "index_bytes": weights,
            "weights_s": arrival,
        }
        return Counts(
            {
                "matrix": (2.0 * products, rates),
                "look_up": (cycles, clock),
                "attention": (attention, engine.attention_macs * clock),
            },
            {main: traffic},
            detail,
            vector=table.vector_ops * run.without_nests,
            cold=None if engine.double_buffered else arrival,
            operations=(operations, executed, unsupported),
            traffic_model="every operand once; weights of tables as vectors of indices",
            resources=_resources(run, engine, looked),
            is_overlay=True,
        )


def _masks(run: NestRun, engine: LookupTableEngine) -> tuple[Value, Value]:
    """Return masks of nests that the tables process, and of attention; ``(nests, 1)``."""
    families = ("ternary",) if engine.takes == "ternary" else ("ternary", "int")
    attending = run.is_kind("attention")
    looked = np.array(
        [
            slot.startswith("weight") and family_of(run.setting, slot) in families
            for slot in run.slots(1)
        ]
    )[:, None]
    return looked & ~attending, attending


def _counts(run: NestRun, engine: LookupTableEngine, looked: Value) -> dict[str, Value]:
    """Return clocks, look-ups, tables and bytes of each nest as if it were looked up."""
    nests, relaxed, ternary = run.nests, run.setting.relaxed, engine.takes == "ternary"
    group, tables = engine.group, engine.tables
    (x, w, y), (reads, loads, writes) = run.widths, run.there
    planes = passes(run.bits(1), ternary=ternary, relaxed=relaxed)
    m, k, n, groups = nests.positions, nests.summed, nests.out_channels, nests.groups
    clocks = engine_clocks(
        m,
        k,
        n,
        planes,
        group=group,
        tables=tables,
        reads=engine.reads,
        build=engine.build,
        relaxed=relaxed,
    )
    weights = packed_bytes(
        k,
        n,
        group=group,
        tables=tables,
        transfer=engine.transfer,
        index=index_bits(group, ternary=ternary, relaxed=relaxed),
        relaxed=relaxed,
    )
    stored = k * n * w * loads * (1.0 - looked)
    built = blocks(k, group, relaxed=relaxed)
    return {
        "cycles": groups * clocks,
        "passes": planes,
        "look_ups": groups * m * n * planes * built,
        "tables": groups * m * built + 0.0 * planes,
        "weight_bytes": groups * planes * weights * loads,
        "other_bytes": groups * (nests.inputs * x * reads + stored + m * n * y * writes),
    }


def _resources(run: NestRun, engine: LookupTableEngine, looked: Value) -> dict[str, Value]:
    """Return fabric resources of the design, sized for the largest matrix of the network."""
    xp, tables, reads, group = run.xp, engine.tables, engine.reads, engine.group
    used: dict[str, Value] = {}
    if engine.lut_a_read is not None:
        used["lut"] = tables * reads * engine.lut_a_read + engine.lut_beside
    if engine.dsp is not None:
        used["dsp"] = engine.dsp_used
    if engine.uram is not None and looked.any():
        k = run.nests.summed
        n, wide = run.nests.out_channels + 0.0 * k, group * tables
        index = index_bits(group, ternary=engine.takes == "ternary")
        x, y = (blocks(side, wide) * wide for side in (xp.maximum(k, n), xp.minimum(k, n)))
        each = uram_blocks(
            x,
            y,
            group=group,
            tables=tables,
            reads=reads,
            columns=uram_columns(tables, index),
            copies=engine.uram_copies,
        )
        used["uram"] = xp.max(xp.where(looked, each, 0.0), axis=0)
    return {name: xp.atleast_1d(xp.asarray(amount)) for name, amount in used.items()}


KIND = LookupTable()
