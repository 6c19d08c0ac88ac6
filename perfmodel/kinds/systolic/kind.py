"""The kind `systolic`: cost of a table on systolic arrays of processing elements.

Matrix operators run on the array fold by fold; all other work runs on the vector unit, as on a
roofline. Operands are fetched from beyond the scratchpad under its best tile, or with every fold.
"""

from __future__ import annotations

from perfmodel.arrays import Value
from perfmodel.cost.area import SiliconBlock, elements
from perfmodel.cost.setting import Setting
from perfmodel.hardware.technology.operations import width
from perfmodel.kinds.array import ArrayKind, Counts, NestRun
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.rates import by_pair
from perfmodel.kinds.silicon import buffers, first_peak, vector_units
from perfmodel.kinds.systolic.folds import ArrayRun, gemm
from perfmodel.kinds.systolic.scratchpad_traffic import runs_of, tiled_bytes, window_bytes
from perfmodel.kinds.systolic.spec import SystolicArray
from perfmodel.kinds.systolic.stalls import double_buffered
from perfmodel.workload.operator_table import OperatorTable


class Systolic(ArrayKind[SystolicArray]):
    """Time of a row = max of the array's cycles and each memory, plus launch."""

    name = "systolic"
    traceable = True
    spec = SystolicArray
    laws = (gemm, double_buffered)
    network_wide = frozenset({"memory"})

    def counts(self, run: NestRun, engine: SystolicArray) -> Counts:
        """Return cycles, bytes and energies of folds."""
        table, setting, rows, xp = run.table, run.setting, run.rows, run.xp
        array = runs_of(run.nests, engine, arrays=engine.units, relaxed=setting.relaxed)
        slower = _clocks_a_product(run, engine)
        at_one = rows(array.cycles * run.times)
        alike = isinstance(slower, float) and slower == 1.0
        cycles = at_one if alike else rows(array.cycles * run.times * slower)
        terms = {"matrix": (cycles, setting.clock)}
        traffic: dict[str, Value] = {}
        near, main = setting.nearest_memory, setting.main_memory
        if near != main and setting.has_memory(near):
            traffic[near] = rows(_near_bytes(array, run, engine) * run.times) + run.outside
        if engine.far_traffic == "tiled" and near != main:
            far, model = tiled_bytes(run, engine)
        else:
            stall, fold_bytes, model = window_bytes(run, engine, slower)
            terms["fold_stall"] = rows(stall), setting.clock
            far = {main: rows(fold_bytes) + run.outside}
        counted = {
            "folds": array.folds,
            "sram_input_reads": array.input_reads,
            "sram_weight_reads": array.weight_reads,
            "sram_output_writes": array.output_writes,
            "sram_output_reads": array.output_reads,
        }
        elements = engine.height * engine.width * engine.units
        detail = {
            **{name: rows(values * run.times) for name, values in counted.items()},
            "cycles": cycles,
            # Elements that need several clocks per product are busy for all of them.
            "array_utilization": run.macs / xp.maximum(at_one * elements, 1.0),
        }
        return Counts(
            terms,
            traffic | far,
            detail,
            _energies(array, run, engine),
            vector=table.vector_ops,
            traffic_model=model,
        )

    def structure(self, engine: SystolicArray, _weight_bytes: Value) -> dict[str, SiliconBlock]:
        """Return elements with their operands and partial sum, vector lanes, dedicated buffers."""
        name = first_peak(engine)
        operands = (3.0 if engine.shadow_weights else 2.0) * width(name)[1]
        count = engine.height * engine.width * engine.units
        return {
            "elements": elements(count, name, operands + 8.0 * engine.partial_sum),
            **vector_units(engine),
            **buffers(
                input_buffer=engine.input_buffer,
                weight_buffer=engine.weight_buffer,
                output_buffer=engine.output_buffer,
            ),
        }

    def cost(self, table: OperatorTable, setting: Setting) -> Terms:
        """Cost every row of the table, and add the column of seconds spent waiting for memories."""
        terms = super().cost(table, setting)
        if "folds" in terms.detail:
            busy = sum(terms.overhead.values(), terms.compute["matrix"] + terms.compute["vector"])
            terms.detail["stall_s"] = setting.xp.maximum(terms.row_s - busy, 0.0)
        return terms


def _clocks_a_product(run: NestRun, engine: SystolicArray) -> Value:
    """Return clocks per multiply-accumulate of each nest: 1 in the array's first format."""
    native = next(iter(engine.peaks))

    def clocks(name: str, _: tuple[str, str]) -> Value:
        return 1.0 if name == native else engine.peaks[native] / engine.peaks[name]

    return by_pair(run.table, run.nests.row, run.setting, clocks)


def _near_bytes(array: ArrayRun, run: NestRun, engine: SystolicArray) -> Value:
    """Return bytes between the nearest memory and the array, dedicated buffers excluded."""
    x, w, y = run.widths
    total = (array.output_writes - array.output_reads) * y
    if engine.input_buffer is None:
        total = total + array.input_reads * x
    if engine.weight_buffer is None:
        total = total + array.weight_reads * w
    if engine.output_buffer is None:
        total = total + 2.0 * array.output_reads * engine.partial_sum
    return total


def _energies(array: ArrayRun, run: NestRun, engine: SystolicArray) -> dict[str, Value]:
    """Return joules of each row by component with a stated energy: hops, and dedicated buffers.

    A product requires two hops: of both streamed operands, or of one and a partial sum.
    """
    x, w, _ = run.widths
    partial = engine.partial_sum
    hops = {
        "output_stationary": x + w,
        "weight_stationary": x + partial,
        "input_stationary": w + partial,
    }[array.dataflow]
    sums = (array.output_writes + array.output_reads) * partial
    parts = {
        "array hops": (engine.hop_energy, array.macs * hops),
        "input buffer": (engine.input_buffer_energy, array.input_reads * x),
        "weight buffer": (engine.weight_buffer_energy, array.weight_reads * w),
        "output buffer": (engine.output_buffer_energy, sums),
    }
    return {
        name: run.rows(bytes_ * run.times) * each
        for name, (each, bytes_) in parts.items()
        if each is not None
    }


KIND = Systolic()
