"""The kind `in_memory`: what a table costs on arrays whose cells hold the weights.

Weights stay in the arrays where all of them fit, copied as often as there is room; else, or where
that is faster, every layer is written into them in turn. Products of two activations and all
elementwise work run on the digital units beside the arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.compose import compose
from perfmodel.cost.nests import RowSums, unmasked
from perfmodel.cost.residency import level_traffic, row_bytes
from perfmodel.cost.setting import Setting
from perfmodel.kinds.in_memory.counts import MatrixLayout, Steps
from perfmodel.kinds.in_memory.energies import vector_joules
from perfmodel.kinds.in_memory.held import ArrayResidency, ways
from perfmodel.kinds.in_memory.matrices import (
    cells_of,
    inputs_of,
    square_of_supply,
    stated,
    vectors_through,
)
from perfmodel.kinds.protocol import Equation, Terms, need_engine
from perfmodel.kinds.rates import executed_macs, memory_seconds, vector_rates
from perfmodel.kinds.roofline import BESIDE_PRODUCTS, launch_times, matrix_rates
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.workload.lower import OperatorTable
from perfmodel.workload.shapes import Nests

_SHAFIEE = "Shafiee et al., ISAAC, ISCA 2016"
_PARTS = ("array", "rows", "cells", "converters", "digital")
_ENERGIES = (
    "array_energy", "row_energy", "cell_energy", "dac_energy", "pulse_energy", "conversion_energy",
    "conversion_bit_energy", "conversion_level_energy", "digital_energy", "write_energy",
    "cells_per_weight", "columns_per_conversion",
)  # fmt: skip


class InMemory:
    """Time of a row = passes of its vectors and what is written, or the slowest memory."""

    name = "in_memory"
    by_bits = True
    needs_nests = True
    network_wide: frozenset[str] = frozenset({"arrays", "memory"})
    equations: Mapping[str, Equation] = {
        "matrix": Equation("passes / (passes a second)", f"{_SHAFIEE}; docs/in_memory.md"),
        "load": Equation("rows written / (1 / write_time)", "docs/in_memory.md"),
        "digital": Equation("2 * macs / vector_peak", "docs/in_memory.md"),
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
        need_engine(setting, "sign_apart", self.name, "does not compute in memory")
        facts, head, xp = setting.facts, f"engines.{setting.engine}.", setting.xp
        still = np.array([s[1].startswith("weight") for s in nests.slots], dtype=float)[:, None]
        found, steps, seconds, densities = vectors_through(table, nests, setting)
        times = nests.times * unmasked(table, setting) * still
        rows = RowSums(nests.row, len(table.rows), xp)
        vectors = nests.batch * nests.out_rows * nests.out_columns
        resident, reloaded, fits = ways(table, nests, setting, found, seconds, vectors, still)
        write = facts[head + "write_time"]
        macs = executed_macs(table, setting)
        moving = 2.0 * rows(nests.macs * unmasked(table, setting) * (1.0 - still))
        rate = vector_rates(table, setting)
        overhead = launch_times(table, setting)
        # Whether weights stay is the arrays' affair, from one run to the next too.
        everything = level_traffic(table, replace(setting, warm=False))
        held = rows(still) > 0
        mine = _weight_bytes(table, setting, everything, held)

        def terms_of(
            way: ArrayResidency, moved: Mapping[str, Value]
        ) -> tuple[Value, dict[str, Value]]:
            compute = {
                "matrix": rows(way.passes * seconds * times),
                "load": rows(way.load * still) * write,
                "digital": moving / rate,
                "vector": table.vector_ops / rate,
            }
            memory = memory_seconds(moved, setting)
            return compose(compute, memory, overhead, setting.overlap), compute

        # Weights that stay come from nowhere.
        kept = {
            level: xp.maximum(moved - mine.get(level, 0.0), 0.0)
            for level, moved in everything.items()
        }
        at_rest, _ = terms_of(resident, kept)
        again = rows(reloaded.writes * still) / xp.maximum(rows(still), 1.0) - held
        anew = {level: moved + again * mine.get(level, 0.0) for level, moved in everything.items()}
        in_turn, _ = terms_of(reloaded, anew)
        total = (table.count * at_rest).sum(axis=0), (table.count * in_turn).sum(axis=0)
        stays = fits & (total[0] <= total[1])

        def chosen(one: Value, other: Value) -> Value:
            return xp.where(stays, one, other)

        way = ArrayResidency(
            *(chosen(one, other) for one, other in zip(resident, reloaded, strict=True))
        )
        traffic = {level: chosen(kept[level], moved) for level, moved in anew.items()}
        row_s, compute = terms_of(way, traffic)
        _, operations, executed, unsupported = matrix_rates(table, macs, setting)
        operations["vector"] = table.vector_ops
        energy = _joules(table, nests, setting, found, steps, densities, vectors * times, rows)
        written = rows(cells_of(table, nests, found, setting) * still * way.writes)
        energy["writes"] = written * facts[head + "write_energy"] * square_of_supply(setting)
        priced = tuple(f"operations {name}" for name in operations if name != "vector")
        passes = rows(way.passes * times)
        work = {
            "matrix": passes, "load": rows(way.load * still), "digital": moving,
            "vector": table.vector_ops,
        }  # fmt: skip
        detail = _detail(table, nests, setting, found, steps, way, times, rows)
        memory = memory_seconds(traffic, setting)
        return Terms(
            compute, memory, overhead, traffic, row_s, operations, executed, unsupported, work=work,
            energy=energy, priced=priced, detail=detail,
            traffic_model="activations by residency; weights only where they are written anew",
        )  # fmt: skip


def _weight_bytes(
    table: OperatorTable, setting: Setting, traffic: Mapping[str, Value], mine: Value
) -> dict[str, Value]:
    """Return the bytes of weights that lie in arrays, of each level's traffic."""
    moved = row_bytes(table, setting, weights=True) * mine
    main = setting.levels[-1]
    apart = setting.weights_memory != main
    return {level: moved for level in traffic if not (apart and level == main)}


def _joules(
    table: OperatorTable, nests: Nests, setting: Setting, found: MatrixLayout, steps: Steps,
    densities: tuple[Value, Value], vectors: Value, rows: RowSums,
) -> dict[str, Value]:  # fmt: skip
    """Return joules of each row by part, at the machine's voltage."""
    head = f"engines.{setting.engine}."
    adc = stated(setting, "adc_bits")
    each = vector_joules(
        found, steps, {name: setting.facts[head + name] for name in _ENERGIES},
        groups=nests.groups, inner=inputs_of(table, nests, setting), outer=nests.out_channels,
        input_density=densities[0], weight_density=densities[1],
        adc_bits=0.0 if adc is None else adc,
    )  # fmt: skip
    square = square_of_supply(setting)
    return {name: rows(each[name] * vectors) * square for name in _PARTS}


def _detail(
    table: OperatorTable, nests: Nests, setting: Setting, found: MatrixLayout, steps: Steps,
    way: ArrayResidency, times: Value, rows: RowSums,
) -> dict[str, Value]:  # fmt: skip
    """Return what a row does to the arrays; of several nests the sum, or the mean."""
    xp = setting.xp
    still = 1.0 * (times > 0)
    arrays = rows(found.arrays * still)
    here = stated(setting, "rows") * stated(setting, "columns")
    cells = rows(cells_of(table, nests, found, setting) * still)
    several = xp.maximum(rows(still + 0.0 * found.arrays), 1.0)
    active = stated(setting, "rows_active")
    summed = xp.minimum(
        inputs_of(table, nests, setting), stated(setting, "rows") if active is None else active
    )
    needed = xp.log2(xp.maximum(summed, 1.0))
    needed = needed + stated(setting, "cell_bits") + steps.bits / steps.steps
    return {
        "arrays": arrays,
        "copies": rows(way.copies * still) / several,
        "passes": rows(way.passes * times),
        "input_steps": rows(steps.steps * still + 0.0 * found.arrays) / several,
        "cell_utilization": cells / xp.maximum(arrays * here, 1.0),
        "written_rows": rows(way.load * still),
        "lossless_adc_bits": rows(needed * still) / several,
    }


KIND = InMemory()
