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
from perfmodel.cost.area import SiliconBlock
from perfmodel.cost.compose import compose
from perfmodel.cost.nest_row_sums import RowSums
from perfmodel.cost.operand_bytes import row_bytes
from perfmodel.cost.residency import level_traffic
from perfmodel.cost.setting import Setting
from perfmodel.hardware.fact_views import or_else
from perfmodel.kinds.array import ArrayKind, Counts, NestRun
from perfmodel.kinds.in_memory.counts import vector_seconds
from perfmodel.kinds.in_memory.energies import parts_area, vector_joules
from perfmodel.kinds.in_memory.matrices import ArrayProducts, array_products
from perfmodel.kinds.in_memory.residency import ArrayResidency, resident_copies, rewritten
from perfmodel.kinds.in_memory.spec import InMemoryArrays
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.rates import memory_seconds, vector_rates
from perfmodel.workload.operator_table import OperatorTable


class InMemory(ArrayKind[InMemoryArrays]):
    """Time of a row = passes of its vectors plus writes, or the slowest memory."""

    name = "in_memory"
    traceable = True
    spec = InMemoryArrays
    laws = (vector_seconds,)
    by_bits = True
    network_wide = frozenset({"arrays", "memory"})
    prices_operations = True

    def structure(self, engine: InMemoryArrays, _weight_bytes: Value) -> dict[str, SiliconBlock]:
        """Return the areas that the spec states; of cells and converters else those of the node."""
        stated = {name: SiliconBlock(stated_m2=area) for name, area in parts_area(engine).items()}
        cells = engine.units * engine.rows * engine.columns * engine.cell_bits
        if not np.any(engine.cell_area):
            stated["cells"] = SiliconBlock(memory_bytes=cells / 8.0, banks=engine.units)
        if engine.adc_bits is not None and not np.any(engine.converter_area):
            count = or_else(engine.converters, engine.columns / engine.columns_per_conversion)
            converters = engine.units * count
            stated["converters"] = SiliconBlock(
                converters=converters, converter_bits=engine.adc_bits
            )
        return {
            name: block
            for name, block in stated.items()
            if any(map(np.any, (block.stated_m2, block.memory_bytes, block.converters)))
        }

    def counts(self, run: NestRun, engine: InMemoryArrays) -> Counts:
        """Return passes and writes of matrices that are written into the arrays in turn."""
        table, nests, setting, rows, xp = run.table, run.nests, run.setting, run.rows, run.xp
        products = array_products(run, engine)
        is_weight = products.is_weight
        times = run.times * is_weight
        way = rewritten(run, engine, products)
        unstored = nests.macs * run.times / nests.times * (1.0 - is_weight)
        moving, rate = 2.0 * rows(unstored), vector_rates(table, setting)
        # Residency of weights is decided by the arrays, also between runs.
        everything = level_traffic(table, replace(setting, warm=False))
        in_arrays = rows(is_weight) > 0
        weight_bytes = dict.fromkeys(
            everything, row_bytes(table, setting, operands="weights") * in_arrays
        )
        if setting.weights_memory != setting.main_memory:
            weight_bytes[setting.main_memory] = 0.0
        # Resident weights are read from no memory.
        at_rest = {name: xp.maximum(v - weight_bytes[name], 0.0) for name, v in everything.items()}
        again = rows(way.writes * is_weight) / xp.maximum(rows(is_weight), 1.0) - in_arrays
        load = rows(way.load * is_weight)
        return Counts(
            {
                "matrix": (rows(way.passes * times), None),
                "load": (load, None),
                "digital": (moving, rate),
            },
            {name: v + again * weight_bytes[name] for name, v in everything.items()},
            _detail(run, engine, products, way),
            _joules(run, engine, products, way),
            seconds={
                "matrix": rows(way.passes * products.seconds * times),
                "load": load * engine.write_time,
            },
            vector=table.vector_ops,
            traffic_model="activations by residency; weights only where they are written anew",
            columns={
                "layer": 1.0 - run.without_nests,
                **{f"at_rest {name}": size for name, size in at_rest.items()},
            },
            nest_columns={
                "is_weight": is_weight,
                "arrays": products.layout.arrays,
                "columns_each": products.layout.columns_each,
                "vectors": nests.positions,
                "times": nests.times,
                "executed": times,
                "seconds": products.seconds,
            },
        )

    def combined(self, terms: Terms, table: OperatorTable, setting: Setting) -> Terms:
        """Return the terms with all matrices resident, where they fit and that is faster."""
        if setting.resident is False:
            return terms
        assert table.nests is not None
        columns, xp = terms.nest_columns, setting.xp
        rows = RowSums(table.nests.row, len(table.rows), xp)
        engine = setting.engine_as(InMemoryArrays, self.name)
        copies, passes, fits = resident_copies(columns, table, engine, setting)
        times = columns["executed"]
        executed = 1.0 * (times > 0)
        none = 0.0 * rows(columns["arrays"])
        compute = {"matrix": rows(passes * columns["seconds"] * times), "load": none}
        at_rest = {name: terms.columns[f"at_rest {name}"] for name in terms.traffic}
        memory = memory_seconds(at_rest, setting)
        row_s = compose({**terms.compute, **compute}, memory, terms.overhead, setting.overlap)
        before_s, resident_s = (
            (table.count * seconds).sum(axis=0) for seconds in (terms.row_s, row_s)
        )
        is_resident = fits & (resident_s <= before_s)

        def selected(before: dict[str, Value], resident: Mapping[str, Value]) -> dict[str, Value]:
            return {
                name: xp.where(is_resident, resident[name], value) if name in resident else value
                for name, value in before.items()
            }

        several = xp.maximum(rows(executed), 1.0)
        return replace(
            terms,
            compute=selected(terms.compute, compute),
            memory=selected(terms.memory, memory),
            traffic=selected(terms.traffic, at_rest),
            row_s=xp.where(is_resident, row_s, terms.row_s),
            work=selected(terms.work, {"matrix": rows(passes * times), "load": none}),
            energy=selected(terms.energy, {"writes": none}),
            detail=selected(
                terms.detail,
                {
                    "copies": rows(copies * executed) / several,
                    "passes": rows(passes * times),
                    "written_rows": none,
                },
            ),
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
