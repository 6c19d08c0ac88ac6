"""The kind `bit_fusion`: cost of a table on a bit-composable array.

Matrix operators run on the array pass by pass, each under its fastest tiling; operators fused
behind them are applied on the way out. All other work runs on the vector units, as on a roofline.
"""

from __future__ import annotations

from dataclasses import replace

from perfmodel.arrays import Value
from perfmodel.cost.area import SiliconBlock, elements
from perfmodel.cost.buffered_nests import tile_nest
from perfmodel.cost.traffic.nest import TileNest
from perfmodel.hardware.fact_views import or_else
from perfmodel.kinds.array import ArrayKind, Counts, NestRun
from perfmodel.kinds.bit_fusion.counts import ComposedArray, TileCounts, count, lanes_and_steps
from perfmodel.kinds.bit_fusion.fastest_tiling import layer_cycles
from perfmodel.kinds.bit_fusion.spec import BitComposableArray
from perfmodel.kinds.operand_bits import operations_by_format
from perfmodel.kinds.rates import bandwidth
from perfmodel.kinds.silicon import buffers, first_peak, vector_units
from perfmodel.workload.operator_table import ALWAYS_MAIN


class BitFusion(ArrayKind[BitComposableArray]):
    """Time of a row = max of the array's clocks plus both ends, and main-memory time."""

    name = "bit_fusion"
    traceable = True
    spec = BitComposableArray
    laws = (count,)
    prices_operations = True

    def structure(
        self, engine: BitComposableArray, _weight_bytes: Value
    ) -> dict[str, SiliconBlock]:
        """Return fusion units as multipliers of their highest bits, vector lanes and buffers."""
        name = first_peak(engine)
        count = engine.height * engine.width * engine.units
        registers = 2.0 * engine.highest_bits + 8.0 * engine.partial_sum
        return {
            "elements": elements(count, name, registers),
            **vector_units(engine),
            **buffers(
                weight_buffer=engine.weight_buffer,
                input_buffer=engine.input_buffer,
                output_buffer=engine.output_buffer,
            ),
        }

    def counts(self, run: NestRun, engine: BitComposableArray) -> Counts:
        """Return clocks and bits of all passes, each under its fastest tiling."""
        setting, nests, rows, xp = run.setting, run.nests, run.rows, run.xp
        main, clock = setting.main_memory, setting.clock
        rate = bandwidth(setting, main)
        operands = run.bits(0), run.bits(1)
        nest, array, passes = _passes(run, engine, operands)
        # Several arrays share the passes and the bandwidth.
        per_pass, _ = layer_cycles(
            nest, array, 8.0 * rate / clock / engine.units, relaxed=setting.relaxed
        )
        times = passes * run.times
        counts = TileCounts(*(rows(v * times) for v in per_pass))
        busy = counts.cycles / engine.units
        products = rows(array.lanes / array.steps * per_pass.cycles * times)
        detail = {
            "cycles": busy,
            "passes": rows(passes * nests.times + 0.0 * per_pass.cycles),
            "products_per_unit": products / xp.maximum(counts.cycles, 1.0),
            "unit_utilization": run.macs / xp.maximum(products * engine.height * engine.width, 1.0),
            "input_bits": counts.input_bits,
            "weight_bits": counts.weight_bits,
            "output_bits": counts.output_bits,
            "ends_bits": counts.ends_bits,
        }
        return Counts(
            {"matrix": (busy, clock), "ends": (counts.ends_bits / 8.0, rate)},
            {main: counts.memory_bits / 8.0 + run.outside},
            detail,
            _energies(array, operands, per_pass, times, run, engine),
            vector=run.table.vector_ops * run.without_nests,
            operations=operations_by_format(run.table, run.macs, setting),
            traffic_model="tiles of powers of two, each operand kept while it fits its buffer; "
            "outputs as partial sums, read and written",
        )


def _passes(
    run: NestRun, engine: BitComposableArray, operands: tuple[Value, Value]
) -> tuple[TileNest, ComposedArray, Value]:
    """Return one pass of each nest, the array as composed for it, and the number of passes."""
    nests, xp, width = run.nests, run.xp, engine.width
    lanes, steps = lanes_and_steps(
        *operands, engine.highest_bits, engine.lowest_bits, relaxed=run.setting.relaxed
    )
    # Channels of narrow groups share a pass, within the array's columns and the spec's limit.
    share = xp.minimum(engine.depthwise_channels * lanes, width)
    widest = xp.maximum(nests.in_channels, nests.out_channels)
    together = xp.clip(xp.floor(share / widest + 1e-9), 1.0, xp.maximum(nests.groups, 1.0))
    passes = xp.where(together > 1.0, xp.ceil(nests.groups / together - 1e-9), nests.groups)
    nest = tile_nest(nests)
    nest = replace(
        nest,
        groups=1,
        out_channels=nest.out_channels * together,
        in_channels=nest.in_channels * together,
    )
    (x, w, _), (reads, loads, writes) = run.widths, run.there
    sum_bits = 8.0 * engine.partial_sum
    room = 8.0 * (0.5 if engine.double_buffered else 1.0)
    array = ComposedArray(
        8.0 * x * reads,
        8.0 * w * loads,
        sum_bits * writes,
        sum_bits,
        lanes,
        steps,
        _unrolled(run, engine),
        engine.height,
        width,
        room * engine.input_buffer,
        room * engine.weight_buffer,
        room * engine.output_buffer,
    )
    return nest, array, passes


def _unrolled(run: NestRun, engine: BitComposableArray) -> Value:
    """Return 1 for nests whose windows are stored one by one: taps over an input of the network."""
    access = run.table.accesses
    if access is None or not engine.first_layer_unrolled:
        return 0.0
    at = run.nests.access[:, 0]
    first = (at >= 0) & (access.tensor[at] == ALWAYS_MAIN)
    return first[:, None] & run.is_kind("conv") & (run.nests.taps > 1.0)


def _energies(
    array: ComposedArray,
    operands: tuple[Value, Value],
    per_pass: TileCounts,
    times: Value,
    run: NestRun,
    engine: BitComposableArray,
) -> dict[str, Value]:
    """Return joules of each row by component; empty where the spec states no energy per clock.

    In each clock every unit reads its weights, every row of units its inputs, and every column
    reads and writes its partial sum.
    """
    if engine.cycle_energy is None:
        return {}
    a, w = (run.xp.minimum(bits, engine.highest_bits) for bits in operands)
    inputs = per_pass.cycles * array.height * array.lanes * a
    weights = per_pass.cycles * array.height * array.width * array.lanes * w
    sums = per_pass.cycles * array.width * array.held_bits + 0.5 * per_pass.output_bits
    bits = {
        "input buffer": (
            (engine.input_read_energy, inputs),
            (engine.input_write_energy, per_pass.input_bits),
        ),
        "weight buffer": (
            (engine.weight_read_energy, weights),
            (engine.weight_write_energy, per_pass.weight_bits),
        ),
        "output buffer": ((engine.output_read_energy, sums), (engine.output_write_energy, sums)),
    }
    return {
        "array": run.rows(per_pass.cycles * times) * engine.cycle_energy,
        **{
            name: sum(run.rows(amount * times) / 8.0 * or_else(each, 0.0) for each, amount in parts)
            for name, parts in bits.items()
        },
    }


KIND = BitFusion()
