"""The kind `systolic`: what a table costs on arrays of processing elements.

Matrix operators go through the array fold by fold; everything else runs on the vector unit as on a
roofline. Operands come from beyond the scratchpad as its best tile needs, or with every fold.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perfmodel.arrays import Value, is_array
from perfmodel.cost.compose import compose
from perfmodel.cost.residency import access_bytes, sum_by_row
from perfmodel.cost.setting import Setting
from perfmodel.cost.tiled import tiled_traffic
from perfmodel.kinds.protocol import Equation, Terms
from perfmodel.kinds.rates import (
    bandwidth,
    executed_format,
    pair_format,
    vector_rates,
)
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.kinds.roofline import best_format, launch_times, matrix_rates
from perfmodel.kinds.systolic.folds import ArrayRun
from perfmodel.kinds.systolic.nests import RowSums, element_bytes, nest_runs, unmasked
from perfmodel.kinds.systolic.stalls import double_buffered
from perfmodel.workload.lower import OperatorTable
from perfmodel.workload.shapes import Nests

__all__ = ["KIND", "Systolic"]

_SAMAJDAR = "Samajdar et al., SCALE-Sim, ISPASS 2020"


class Systolic:
    """Time of a row = the slowest of the array's cycles and each memory, plus launch."""

    name = "systolic"
    needs_nests = True
    network_wide: frozenset[str] = frozenset({"memory"})
    equations: Mapping[str, Equation] = {
        "matrix": Equation("cycles / clock", _SAMAJDAR),
        "fold_stall": Equation("stall_cycles / clock", "double-buffered windows, docs/systolic.md"),
        "vector": ROOFLINE.equations["vector"],
        "memory": ROOFLINE.equations["memory"],
        "launch": ROOFLINE.equations["launch"],
        "layer": ROOFLINE.equations["layer"],
    }

    def cost(self, table: OperatorTable, setting: Setting) -> Terms:
        """Cost every row of the table; see the class attribute `equations`."""
        nests = table.nests
        if nests is None or not len(nests):
            return ROOFLINE.cost(table, setting)
        facts, head = setting.facts, f"engines.{setting.engine}."
        clock = facts[head + "clock"]
        rows = RowSums(nests, len(table.rows), setting.xp)
        run = nest_runs(nests, setting, arrays=facts[head + "units"], relaxed=setting.relaxed)
        slower = _clocks_a_product(table, nests, setting)
        times = nests.times * unmasked(table, nests, setting)
        cycles = rows(_full(run.cycles * times * slower, table, nests))
        vector = table.vector_ops / vector_rates(table, setting)
        compute = {"matrix": cycles / clock, "vector": vector}
        work = {"matrix": cycles, "vector": table.vector_ops}
        widths = element_bytes(nests, table.points, setting)
        apart = _apart(table, setting)
        traffic: dict[str, Value] = {}
        near, main = setting.levels[0], setting.levels[-1]
        if near != main and f"memories.{near}.bandwidth" in facts:
            traffic[near] = rows(_full(_near_bytes(run, widths, setting) * times, table, nests))
            traffic[near] = traffic[near] + apart
        if setting.choices["far_traffic"] == "tiled" and near != main:
            beyond, model = _tiled(table, nests, widths, setting, rows)
        else:
            stall, moved, model = _windows(table, nests, widths, times, slower, setting)
            compute["fold_stall"] = rows(stall) / clock
            work["fold_stall"] = rows(stall)
            beyond = {main: rows(moved) + apart}
        traffic |= beyond
        memory: dict[str, Value] = {}
        for level, crossing in traffic.items():
            latency = setting.fact(f"memories.{level}.latency", 0.0)
            memory[level] = crossing / bandwidth(setting, level)
            if is_array(latency) or latency:
                memory[level] = memory[level] + latency * (crossing > 0)
        overhead = launch_times(table, setting)
        row_s = compose(compute, memory, overhead, setting.overlap)
        macs = table.macs
        if setting.causal_skips_masked:
            macs = macs - table.masked_macs
        _, operations, executed, unsupported = matrix_rates(table, macs, setting)
        operations["vector"] = table.vector_ops
        busy = compute["matrix"] + vector + sum(overhead.values(), 0.0)
        detail = _detail(run, times, rows, table, nests)
        elements = facts[head + "height"] * facts[head + "width"] * facts[head + "units"]
        xp = setting.xp
        detail["array_utilization"] = macs / xp.maximum(cycles * elements, 1.0)
        detail["stall_s"] = xp.maximum(row_s - busy, 0.0)
        return Terms(
            compute, memory, overhead, traffic, row_s, operations, executed, unsupported,
            work=work, energy=_hops(run, widths, times, setting, rows, table, nests),
            detail=detail, traffic_model=model,
        )  # fmt: skip


def _full(values: Value, table: OperatorTable, nests: Nests) -> Value:
    """Return values of nests with both axes, ``(nests, points or 1)``."""
    return values if np.ndim(values) == 2 else values * np.ones((len(nests), 1))


def _clocks_a_product(table: OperatorTable, nests: Nests, setting: Setting) -> Value:
    """Return clocks of one multiply-accumulate of each nest: 1 in the array's first format."""
    head = f"engines.{setting.engine}.peaks."
    native = next(path for path in setting.facts if path.startswith(head))
    found: list[Value] = []
    for i in nests.row.tolist():
        name = executed_format(setting, pair_format(setting, table.rows[int(i)].pair))
        path = head + (name or best_format(setting))
        found.append(1.0 if path == native else setting.facts[native] / setting.facts[path])
    if all(isinstance(ratio, float) and ratio == 1.0 for ratio in found):
        return 1.0
    xp = setting.xp
    return xp.stack([xp.broadcast_to(xp.asarray(r, dtype=float), (table.points,)) for r in found])


def _apart(table: OperatorTable, setting: Setting) -> Value:
    """Return the bytes of each row that no nest accounts for: bias, residual input, poolings."""
    nests, access = table.nests, table.accesses
    assert nests is not None
    assert access is not None
    counted = np.ones((len(access.row), 1))
    counted[nests.access[nests.access >= 0]] = 0.0
    return sum_by_row(access_bytes(table, setting) * counted, table, setting)


def _near_bytes(run: ArrayRun, widths: tuple[Value, Value, Value], setting: Setting) -> Value:
    """Return bytes between scratchpad and array: operands, results, partial sums both ways."""
    x, w, y = widths
    partial = setting.facts[f"engines.{setting.engine}.partial_sum"]
    final = run.output_writes - run.output_reads
    return run.input_reads * x + run.weight_reads * w + final * y + 2.0 * run.output_reads * partial


def _tiled(
    table: OperatorTable, nests: Nests, widths: tuple[Value, Value, Value], setting: Setting,
    rows: RowSums,
) -> tuple[dict[str, Value], str]:  # fmt: skip
    """Return bytes beyond the scratchpad under its best tile.

    Where not even the smallest tile fits, every product fetches its operands.
    """
    facts, head = setting.facts, f"engines.{setting.engine}."
    partial = facts[head + "partial_sum"]
    found = tiled_traffic(table, setting, partial=partial, keep=facts[head + "kept_share"])
    xp = setting.xp
    if xp is np and all(np.all(np.isfinite(moved)) for moved in found.traffic.values()):
        return found.traffic, found.model
    x, w, y = widths
    each = rows(_full(nests.macs * (x + w + 2.0 * partial + y), table, nests))
    each = each + _apart(table, setting)
    return {
        level: xp.where(xp.isfinite(moved), moved, each) for level, moved in found.traffic.items()
    }, found.model


def _windows(
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
    stall = _full((found.cycles - run.cycles) * times * slower, table, nests)
    moved = _full((found.fetched_bytes + found.written_bytes) * times, table, nests)
    return stall, moved, "operands with every fold that does not share them; double-buffered folds"


def _detail(
    run: ArrayRun, times: Value, rows: RowSums, table: OperatorTable, nests: Nests
) -> dict[str, Value]:
    """Return counts of each row: folds, cycles, elements read from and written to the SRAM."""
    return {
        name: rows(_full(values * times, table, nests))
        for name, values in (
            ("folds", run.folds),
            ("cycles", run.cycles),
            ("sram_input_reads", run.input_reads),
            ("sram_weight_reads", run.weight_reads),
            ("sram_output_writes", run.output_writes),
            ("sram_output_reads", run.output_reads),
        )
    }


def _hops(
    run: ArrayRun, widths: tuple[Value, Value, Value], times: Value, setting: Setting,
    rows: RowSums, table: OperatorTable, nests: Nests,
) -> dict[str, Value]:  # fmt: skip
    """Return the energy of operands and sums that elements pass on: two of them a product."""
    each = setting.fact(f"engines.{setting.engine}.hop_energy")
    if each is None:
        return {}
    x, w, _ = widths
    partial = setting.facts[f"engines.{setting.engine}.partial_sum"]
    moved = {
        "output_stationary": x + w,
        "weight_stationary": x + partial,
        "input_stationary": w + partial,
    }[run.dataflow]
    return {"array hops": rows(_full(run.macs * moved * times, table, nests)) * each}


KIND = Systolic()
