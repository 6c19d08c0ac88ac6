"""The kind `in_memory`: cost of a table on arrays whose cells hold the weights.

Weights are resident where all of them fit, in as many copies as there are arrays for; otherwise, or
where that is faster, every layer is written into the arrays in turn. Products of two activations
and all elementwise work run on the digital units next to the arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.area import Block
from perfmodel.cost.compose import compose
from perfmodel.cost.operand_bytes import row_bytes
from perfmodel.cost.residency import level_traffic
from perfmodel.hardware.fact_views import or_else
from perfmodel.kinds.array import ArrayKind, Counts, NestRun
from perfmodel.kinds.in_memory.counts import vector_seconds
from perfmodel.kinds.in_memory.energies import parts_area, vector_joules
from perfmodel.kinds.in_memory.matrices import ArrayProducts, array_products
from perfmodel.kinds.in_memory.residency import ArrayResidency, ways
from perfmodel.kinds.in_memory.spec import InMemoryArrays
from perfmodel.kinds.rates import memory_seconds, vector_rates
from perfmodel.kinds.roofline import launch_times


class InMemory(ArrayKind[InMemoryArrays]):
    """Time of a row = passes of its vectors plus writes, or the slowest memory."""

    name = "in_memory"
    traceable = True
    spec = InMemoryArrays
    laws = (vector_seconds,)
    by_bits = True
    network_wide = frozenset({"arrays", "memory"})
    prices_operations = True

    def structure(self, engine: InMemoryArrays, _weight_bytes: Value) -> dict[str, Block]:
        """Return the areas that the spec states; of cells and converters else those of the node."""
        stated = {name: Block(stated_m2=area) for name, area in parts_area(engine).items()}
        cells = engine.units * engine.rows * engine.columns * engine.cell_bits
        if not np.any(engine.cell_area):
            stated["cells"] = Block(memory_bytes=cells / 8.0, banks=engine.units)
        if engine.adc_bits is not None and not np.any(engine.converter_area):
            count = or_else(engine.converters, engine.columns / engine.columns_per_conversion)
            converters = engine.units * count
            stated["converters"] = Block(converters=converters, converter_bits=engine.adc_bits)
        return {
            name: block
            for name, block in stated.items()
            if any(map(np.any, (block.stated_m2, block.memory_bytes, block.converters)))
        }

    def counts(self, run: NestRun, engine: InMemoryArrays) -> Counts:
        """Return passes and writes under the faster residency of the matrices."""
        table, setting, rows, xp = run.table, run.setting, run.rows, run.xp
        products = array_products(run, engine)
        is_weight = products.is_weight
        times = run.times * is_weight
        resident, reloaded, fits = ways(run, engine, products)
        unstored = run.nests.macs * run.times / run.nests.times * (1.0 - is_weight)
        moving, rate = 2.0 * rows(unstored), vector_rates(table, setting)
        overhead = launch_times(table, setting)
        # Residency of weights is decided by the arrays, also between runs.
        everything = level_traffic(table, replace(setting, warm=False))
        in_arrays = rows(is_weight) > 0
        weight_bytes = dict.fromkeys(
            everything, row_bytes(table, setting, operands="weights") * in_arrays
        )
        if setting.weights_memory != setting.main_memory:
            weight_bytes[setting.main_memory] = 0.0

        def busy(way: ArrayResidency) -> dict[str, Value]:
            return {
                "matrix": rows(way.passes * products.seconds * times),
                "load": rows(way.load * is_weight) * engine.write_time,
                "digital": moving / rate,
            }

        def total(way: ArrayResidency, traffic: Mapping[str, Value]) -> Value:
            compute = {**busy(way), "vector": table.vector_ops / rate}
            row_s = compose(compute, memory_seconds(traffic, setting), overhead, setting.overlap)
            return (table.count * row_s).sum(axis=0)

        # Resident weights are read from no memory.
        at_rest = {name: xp.maximum(v - weight_bytes[name], 0.0) for name, v in everything.items()}
        again = rows(reloaded.writes * is_weight) / xp.maximum(rows(is_weight), 1.0) - in_arrays
        in_turn = {name: v + again * weight_bytes[name] for name, v in everything.items()}
        is_resident = fits & (total(resident, at_rest) <= total(reloaded, in_turn))
        is_resident = is_resident & (setting.resident is not False)
        way = ArrayResidency(
            *(
                xp.where(is_resident, one, other)
                for one, other in zip(resident, reloaded, strict=True)
            )
        )
        terms = {
            "matrix": (rows(way.passes * times), None),
            "load": (rows(way.load * is_weight), None),
            "digital": (moving, rate),
        }
        return Counts(
            terms,
            {name: xp.where(is_resident, at_rest[name], v) for name, v in in_turn.items()},
            _detail(run, engine, products, way),
            _joules(run, engine, products, way),
            seconds=busy(way),
            vector=table.vector_ops,
            traffic_model="activations by residency; weights only where they are written anew",
        )


def _joules(
    run: NestRun, engine: InMemoryArrays, products: ArrayProducts, way: ArrayResidency
) -> dict[str, Value]:
    """Return joules of each row by component, at the machine's voltage."""
    nests, is_weight = run.nests, products.is_weight
    each = vector_joules(
        products.layout,
        products.steps,
        engine,
        groups=nests.groups,
        inner=products.inputs,
        outer=nests.out_channels,
        input_density=products.input_density,
        weight_density=products.weight_density,
    )
    square: Value = 1.0
    if engine.voltage is not None:
        square = (engine.voltage / engine.nominal_voltage) ** 2
    vectors = nests.positions * run.times * is_weight
    joules = {name: run.rows(each[name] * vectors) * square for name in each}
    written = run.rows(products.cells * is_weight * way.writes)
    return {**joules, "writes": written * engine.write_energy * square}


def _detail(
    run: NestRun, engine: InMemoryArrays, products: ArrayProducts, way: ArrayResidency
) -> dict[str, Value]:
    """Return array statistics of each row: over several nests the sum, or the mean."""
    xp, rows, arrays, steps = run.xp, run.rows, products.layout.arrays, products.steps
    times = run.times * products.is_weight
    executed = 1.0 * (times > 0)
    several = xp.maximum(rows(executed + 0.0 * arrays), 1.0)
    used = rows(arrays * executed)
    summed = xp.minimum(products.inputs, or_else(engine.rows_active, engine.rows))
    needed = xp.log2(xp.maximum(summed, 1.0)) + engine.cell_bits + steps.bits / steps.steps
    return {
        "arrays": used,
        "copies": rows(way.copies * executed) / several,
        "passes": rows(way.passes * times),
        "input_steps": rows(steps.steps * executed + 0.0 * arrays) / several,
        "cell_utilization": rows(products.cells * executed)
        / xp.maximum(used * engine.rows * engine.columns, 1.0),
        "written_rows": rows(way.load * executed),
        "lossless_adc_bits": rows(needed * executed) / several,
    }


KIND = InMemory()
