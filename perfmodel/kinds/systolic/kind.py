"""The kind `systolic`: what a table costs on arrays of processing elements.

Matrix operators go through the array fold by fold; everything else runs on the vector unit as on a
roofline. Operands come from beyond the scratchpad as its best tile needs, or with every fold.
"""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.arrays import Value
from perfmodel.cost.compose import compose
from perfmodel.cost.nests import RowSums, outside_bytes, unmasked
from perfmodel.cost.setting import Setting
from perfmodel.kinds.protocol import Equation, Terms, need_engine
from perfmodel.kinds.rates import (
    executed_format,
    executed_macs,
    memory_seconds,
    pair_format,
    vector_rates,
)
from perfmodel.kinds.roofline import BESIDE_PRODUCTS, best_format, launch_times, matrix_rates
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.kinds.systolic.far import tiled_bytes, window_bytes
from perfmodel.kinds.systolic.folds import ArrayRun
from perfmodel.kinds.systolic.nests import element_bytes, full, nest_runs
from perfmodel.workload.lower import OperatorTable
from perfmodel.workload.shapes import Nests

_SAMAJDAR = "Samajdar et al., SCALE-Sim, ISPASS 2020"


class Systolic:
    """Time of a row = the slowest of the array's cycles and each memory, plus launch."""

    name = "systolic"
    needs_nests = True
    network_wide: frozenset[str] = frozenset({"memory"})
    equations: Mapping[str, Equation] = {
        "matrix": Equation("cycles / clock", _SAMAJDAR),
        "fold_stall": Equation("stall_cycles / clock", "double-buffered windows, docs/systolic.md"),
        **BESIDE_PRODUCTS,
    }

    def cost(self, table: OperatorTable, setting: Setting) -> Terms:
        """Cost every row of the table; see the class attribute `equations`.

        Raises
        ------
        InputError
            The engine is of another kind.
        """
        nests = table.nests
        if nests is None or not len(nests):
            return ROOFLINE.cost(table, setting)
        need_engine(setting, "dataflow", self.name, "is no systolic array")
        facts, head = setting.facts, f"engines.{setting.engine}."
        clock = facts[head + "clock"]
        rows = RowSums(nests.row, len(table.rows), setting.xp)
        run = nest_runs(nests, setting, arrays=facts[head + "units"], relaxed=setting.relaxed)
        slower = _clocks_a_product(table, nests, setting)
        times = nests.times * unmasked(table, setting)
        at_one = rows(full(run.cycles * times, nests))
        alike = isinstance(slower, float) and slower == 1.0
        cycles = at_one if alike else rows(full(run.cycles * times * slower, nests))
        vector = table.vector_ops / vector_rates(table, setting)
        compute = {"matrix": cycles / clock, "vector": vector}
        work = {"matrix": cycles, "vector": table.vector_ops}
        widths = element_bytes(nests, table.points, setting)
        apart = outside_bytes(table, setting)
        traffic: dict[str, Value] = {}
        near, main = setting.levels[0], setting.levels[-1]
        if near != main and f"memories.{near}.bandwidth" in facts:
            traffic[near] = rows(full(_near_bytes(run, widths, setting) * times, nests))
            traffic[near] = traffic[near] + apart
        if setting.choices["far_traffic"] == "tiled" and near != main:
            beyond, model = tiled_bytes(table, nests, widths, setting, rows)
        else:
            stall, moved, model = window_bytes(table, nests, widths, times, slower, setting)
            compute["fold_stall"] = rows(stall) / clock
            work["fold_stall"] = rows(stall)
            beyond = {main: rows(moved) + apart}
        traffic |= beyond
        memory = memory_seconds(traffic, setting)
        overhead = launch_times(table, setting)
        row_s = compose(compute, memory, overhead, setting.overlap)
        macs = executed_macs(table, setting)
        _, operations, executed, unsupported = matrix_rates(table, macs, setting)
        operations["vector"] = table.vector_ops
        busy = compute["matrix"] + vector + sum(overhead.values(), 0.0)
        detail = _detail(run, times, rows, nests)
        elements = facts[head + "height"] * facts[head + "width"] * facts[head + "units"]
        xp = setting.xp
        detail["cycles"] = cycles
        # Elements that take several clocks a product are busy for all of them.
        detail["array_utilization"] = macs / xp.maximum(at_one * elements, 1.0)
        detail["stall_s"] = xp.maximum(row_s - busy, 0.0)
        return Terms(
            compute, memory, overhead, traffic, row_s, operations, executed, unsupported,
            work=work, energy=_energies(run, widths, times, setting, rows, nests),
            detail=detail, traffic_model=model,
        )  # fmt: skip


def _clocks_a_product(table: OperatorTable, nests: Nests, setting: Setting) -> Value:
    """Return clocks of one multiply-accumulate of each nest: 1 in the array's first format."""
    head = f"engines.{setting.engine}.peaks."
    native = next(path for path in setting.facts if path.startswith(head))
    pairs = [table.rows[int(i)].pair for i in nests.row]
    ratios: dict[tuple[str, str], Value] = {}
    for pair in dict.fromkeys(pairs):
        name = executed_format(setting, pair_format(setting, pair))
        path = head + (name or best_format(setting))
        same = path == native
        ratios[pair] = 1.0 if same else setting.facts[native] / setting.facts[path]
    if all(isinstance(ratio, float) and ratio == 1.0 for ratio in ratios.values()):
        return 1.0
    xp = setting.xp
    full_ = {
        pair: xp.broadcast_to(xp.asarray(ratio, dtype=float), (table.points,))
        for pair, ratio in ratios.items()
    }
    return xp.stack([full_[pair] for pair in pairs])


def _near_bytes(run: ArrayRun, widths: tuple[Value, Value, Value], setting: Setting) -> Value:
    """Return bytes between the nearest memory and the array; buffers of their own are apart."""
    facts, head = setting.facts, f"engines.{setting.engine}."
    x, w, y = widths
    moved = (run.output_writes - run.output_reads) * y
    if head + "input_buffer" not in facts:
        moved = moved + run.input_reads * x
    if head + "weight_buffer" not in facts:
        moved = moved + run.weight_reads * w
    if head + "output_buffer" not in facts:
        moved = moved + 2.0 * run.output_reads * facts[head + "partial_sum"]
    return moved


def _detail(run: ArrayRun, times: Value, rows: RowSums, nests: Nests) -> dict[str, Value]:
    """Return counts of each row: folds, elements read from and written to the SRAM."""
    return {
        name: rows(full(values * times, nests))
        for name, values in (
            ("folds", run.folds),
            ("sram_input_reads", run.input_reads),
            ("sram_weight_reads", run.weight_reads),
            ("sram_output_writes", run.output_writes),
            ("sram_output_reads", run.output_reads),
        )
    }


def _energies(
    run: ArrayRun, widths: tuple[Value, Value, Value], times: Value, setting: Setting,
    rows: RowSums, nests: Nests,
) -> dict[str, Value]:  # fmt: skip
    """Return joules of each row that the spec prices: hops, and buffers of single operands.

    A product takes two hops: of the operands that stream, or of one and a sum.
    """
    facts, head = setting.facts, f"engines.{setting.engine}."
    x, w, _ = widths
    partial = facts[head + "partial_sum"]
    hops = {
        "output_stationary": x + w,
        "weight_stationary": x + partial,
        "input_stationary": w + partial,
    }[run.dataflow]
    moved = {
        "array hops": ("hop_energy", run.macs * hops),
        "input buffer": ("input_buffer_energy", run.input_reads * x),
        "weight buffer": ("weight_buffer_energy", run.weight_reads * w),
        "output buffer": (
            "output_buffer_energy", (run.output_writes + run.output_reads) * partial,
        ),
    }  # fmt: skip
    return {
        name: rows(full(bytes_ * times, nests)) * facts[head + fact]
        for name, (fact, bytes_) in moved.items()
        if head + fact in facts
    }


KIND = Systolic()
