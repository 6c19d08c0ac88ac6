"""The kind `in_memory`: what a table costs on arrays whose cells hold the weights.

Weights stay in the arrays where all of them fit, copied as often as there is room; else, or where
that is faster, every layer is written into them in turn. Products of two activations and all
elementwise work run on the digital units beside the arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from perfmodel.arrays import Value
from perfmodel.cost.compose import compose
from perfmodel.cost.residency import level_traffic, row_bytes
from perfmodel.hardware.view import or_else
from perfmodel.kinds.array import ArrayKind, Counts, NestRun
from perfmodel.kinds.in_memory.counts import vector_seconds
from perfmodel.kinds.in_memory.energies import vector_joules
from perfmodel.kinds.in_memory.held import ArrayResidency, ways
from perfmodel.kinds.in_memory.matrices import ArrayVectors, vectors_through
from perfmodel.kinds.in_memory.spec import InMemoryArrays
from perfmodel.kinds.rates import memory_seconds, vector_rates
from perfmodel.kinds.roofline import launch_times


class InMemory(ArrayKind[InMemoryArrays]):
    """Time of a row = passes of its vectors and what is written, or the slowest memory."""

    name = "in_memory"
    spec = InMemoryArrays
    laws = (vector_seconds,)
    by_bits = True
    network_wide = frozenset({"arrays", "memory"})
    prices_operations = True

    def counts(self, run: NestRun, engine: InMemoryArrays) -> Counts:
        """Return passes and writes of the faster way to hold the matrices."""
        table, setting, rows, xp = run.table, run.setting, run.rows, run.xp
        through = vectors_through(run, engine)
        still = through.still
        times = run.times * still
        resident, reloaded, fits = ways(run, engine, through)
        unstored = run.nests.macs * run.times / run.nests.times * (1.0 - still)
        moving, rate = 2.0 * rows(unstored), vector_rates(table, setting)
        overhead = launch_times(table, setting)
        # Whether weights stay is the arrays' affair, from one run to the next too.
        everything = level_traffic(table, replace(setting, warm=False))
        in_arrays = rows(still) > 0
        mine = dict.fromkeys(everything, row_bytes(table, setting, weights=True) * in_arrays)
        if setting.weights_memory != setting.levels[-1]:
            mine[setting.levels[-1]] = 0.0

        def busy(way: ArrayResidency) -> dict[str, Value]:
            return {
                "matrix": rows(way.passes * through.seconds * times),
                "load": rows(way.load * still) * engine.write_time,
                "digital": moving / rate,
            }

        def total(way: ArrayResidency, moved: Mapping[str, Value]) -> Value:
            compute = {**busy(way), "vector": table.vector_ops / rate}
            row_s = compose(compute, memory_seconds(moved, setting), overhead, setting.overlap)
            return (table.count * row_s).sum(axis=0)

        # Weights that stay come from nowhere.
        at_rest = {name: xp.maximum(v - mine[name], 0.0) for name, v in everything.items()}
        again = rows(reloaded.writes * still) / xp.maximum(rows(still), 1.0) - in_arrays
        in_turn = {name: v + again * mine[name] for name, v in everything.items()}
        stays = fits & (total(resident, at_rest) <= total(reloaded, in_turn))
        way = ArrayResidency(
            *(xp.where(stays, one, other) for one, other in zip(resident, reloaded, strict=True))
        )
        terms = {
            "matrix": (rows(way.passes * times), None),
            "load": (rows(way.load * still), None),
            "digital": (moving, rate),
        }
        return Counts(
            terms,
            {name: xp.where(stays, at_rest[name], v) for name, v in in_turn.items()},
            _detail(run, engine, through, way),
            _joules(run, engine, through, way),
            seconds=busy(way),
            vector=table.vector_ops,
            traffic_model="activations by residency; weights only where they are written anew",
        )


def _joules(
    run: NestRun, engine: InMemoryArrays, through: ArrayVectors, way: ArrayResidency
) -> dict[str, Value]:
    """Return joules of each row by part, at the machine's voltage."""
    nests, still = run.nests, through.still
    each = vector_joules(
        through.layout,
        through.steps,
        engine,
        groups=nests.groups,
        inner=through.inputs,
        outer=nests.out_channels,
        input_density=through.input_density,
        weight_density=through.weight_density,
        adc_bits=or_else(engine.adc_bits, 0.0),
    )
    square: Value = 1.0
    if engine.voltage is not None:
        square = (engine.voltage / engine.nominal_voltage) ** 2
    vectors = nests.positions * run.times * still
    joules = {name: run.rows(each[name] * vectors) * square for name in each}
    written = run.rows(through.cells * still * way.writes)
    return {**joules, "writes": written * engine.write_energy * square}


def _detail(
    run: NestRun, engine: InMemoryArrays, through: ArrayVectors, way: ArrayResidency
) -> dict[str, Value]:
    """Return what a row does to the arrays; of several nests the sum, or the mean."""
    xp, rows, arrays, steps = run.xp, run.rows, through.layout.arrays, through.steps
    times = run.times * through.still
    still = 1.0 * (times > 0)
    several = xp.maximum(rows(still + 0.0 * arrays), 1.0)
    used = rows(arrays * still)
    summed = xp.minimum(through.inputs, or_else(engine.rows_active, engine.rows))
    needed = xp.log2(xp.maximum(summed, 1.0)) + engine.cell_bits + steps.bits / steps.steps
    return {
        "arrays": used,
        "copies": rows(way.copies * still) / several,
        "passes": rows(way.passes * times),
        "input_steps": rows(steps.steps * still + 0.0 * arrays) / several,
        "cell_utilization": rows(through.cells * still)
        / xp.maximum(used * engine.rows * engine.columns, 1.0),
        "written_rows": rows(way.load * still),
        "lossless_adc_bits": rows(needed * still) / several,
    }


KIND = InMemory()
