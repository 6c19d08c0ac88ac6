"""The kind `in_memory`: what a table costs on arrays whose cells hold the weights.

Weights stay in the arrays where all of them fit, copied as often as there is room; else, or where
that is faster, every layer is written into them in turn. Products of two activations and all
elementwise work run on the digital units beside the arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from perfmodel.arrays import Value, is_array
from perfmodel.cost.compose import compose
from perfmodel.cost.nests import RowSums, unmasked
from perfmodel.cost.residency import level_traffic, row_bytes
from perfmodel.cost.setting import Setting
from perfmodel.kinds.in_memory.counts import (
    Layout,
    Steps,
    copies_of,
    layout,
    speed,
    steps_of,
    vector_seconds,
)
from perfmodel.kinds.in_memory.energies import vector_joules
from perfmodel.kinds.protocol import Equation, Terms, need_engine
from perfmodel.kinds.rates import bandwidth, executed_macs, vector_rates, with_latency
from perfmodel.kinds.roofline import BESIDE_PRODUCTS, launch_times, matrix_rates
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.workload.lower import OperatorTable
from perfmodel.workload.shapes import Nests

__all__ = ["KIND", "InMemory"]

_SHAFIEE = "Shafiee et al., ISAAC, ISCA 2016"
_PARTS = ("array", "rows", "cells", "converters", "digital")
_ENERGIES = (
    "array_energy", "row_energy", "cell_energy", "dac_energy", "pulse_energy", "conversion_energy",
    "conversion_bit_energy", "conversion_level_energy", "digital_energy", "write_energy",
    "cells_per_weight", "columns_per_conversion",
)  # fmt: skip


class _Held(NamedTuple):
    """Matrices in the arrays, in one of the two ways.

    Attributes
    ----------
    copies, passes
        Of each matrix; and passes of vectors, one after another.
    load
        Rows of cells that are written, one after another.
    writes
        How often the whole matrix is written.
    """

    copies: Value
    passes: Value
    load: Value
    writes: Value


class InMemory:
    """Time of a row = passes of its vectors and what is written, or the slowest memory."""

    name = "in_memory"
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
        found, steps, seconds, densities = _vectors(table, nests, setting)
        times = nests.times * unmasked(table, setting) * still
        rows = RowSums(nests.row, len(table.rows), xp)
        vectors = nests.batch * nests.out_rows * nests.out_columns
        resident, reloaded, fits = _ways(table, nests, setting, found, seconds, vectors, still)
        write = facts[head + "write_time"]
        macs = executed_macs(table, setting)
        moving = 2.0 * rows(nests.macs * unmasked(table, setting) * (1.0 - still))
        rate = vector_rates(table, setting)
        overhead = launch_times(table, setting)
        # Whether weights stay is the arrays' affair, from one run to the next too.
        everything = level_traffic(table, replace(setting, warm=False))
        held = rows(still) > 0
        mine = _weight_bytes(table, setting, everything, held)

        def terms_of(way: _Held, moved: Mapping[str, Value]) -> tuple[Value, dict[str, Value]]:
            compute = {
                "matrix": rows(way.passes * seconds * times),
                "load": rows(way.load * still) * write,
                "digital": moving / rate,
                "vector": table.vector_ops / rate,
            }
            return compose(compute, _seconds(moved, setting), overhead, setting.overlap), compute

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

        way = _Held(*(chosen(one, other) for one, other in zip(resident, reloaded, strict=True)))
        traffic = {level: chosen(kept[level], moved) for level, moved in anew.items()}
        row_s, compute = terms_of(way, traffic)
        _, operations, executed, unsupported = matrix_rates(table, macs, setting)
        operations["vector"] = table.vector_ops
        energy = _joules(table, nests, setting, found, steps, densities, vectors * times, rows)
        written = rows(_cells(table, nests, found, setting) * still * way.writes)
        energy["writes"] = written * facts[head + "write_energy"] * _square(setting)
        priced = tuple(f"operations {name}" for name in operations if name != "vector")
        passes = rows(way.passes * times)
        work = {
            "matrix": passes, "load": rows(way.load * still), "digital": moving,
            "vector": table.vector_ops,
        }  # fmt: skip
        detail = _detail(table, nests, setting, found, steps, way, times, rows)
        return Terms(
            compute, _seconds(traffic, setting), overhead, traffic, row_s, operations, executed,
            unsupported, work=work, energy=energy, priced=priced, detail=detail,
            traffic_model="activations by residency; weights only where they are written anew",
        )  # fmt: skip


def _optional(setting: Setting, name: str) -> Value:
    return setting.facts.get(f"engines.{setting.engine}.{name}")


def _seconds(traffic: Mapping[str, Value], setting: Setting) -> dict[str, Value]:
    return {
        level: with_latency(moved / bandwidth(setting, level), moved, setting, level)
        for level, moved in traffic.items()
    }


def _square(setting: Setting) -> Value:
    """Return what energies are multiplied by: the square of the supply over the nominal one."""
    nominal = _optional(setting, "nominal_voltage")
    voltage = _optional(setting, "voltage")
    return 1.0 if voltage is None else (voltage / nominal) ** 2


def _bits(nests: Nests, operand: int, table: OperatorTable, setting: Setting) -> Value:
    """Return bits of an operand's elements, scales not counted; ``(nests, points)``."""
    xp = setting.xp
    each = [setting.precision.format_of(s[operand]).element_bits for s in nests.slots]
    if any(is_array(bits) and np.ndim(bits) for bits in each):
        return xp.stack([xp.broadcast_to(xp.asarray(bits), (table.points,)) for bits in each])
    return xp.asarray(each, dtype=float)[:, None]


def _density(nests: Nests, operand: int, stated: Value, setting: Setting) -> Value:
    """Return the share of bits that are one: as stated, less what the precision says is zero."""
    dense: list[float] = []
    for slots in nests.slots:
        sparsity = setting.precision.sparsity_of(slots[operand])
        dense.append(1.0 if sparsity is None else sparsity.density)
    return stated * np.array(dense)[:, None]


def _vectors(
    table: OperatorTable, nests: Nests, setting: Setting
) -> tuple[Layout, Steps, Value, tuple[Value, Value]]:
    """Return layouts, steps of inputs, seconds of a vector, and shares of bits that are one."""
    facts, head, relaxed = setting.facts, f"engines.{setting.engine}.", setting.relaxed
    choice = setting.choices
    found = layout(
        nests.groups, _inner(table, nests, setting), nests.out_channels,
        _bits(nests, 1, table, setting),
        rows=facts[head + "rows"], columns=facts[head + "columns"],
        cell_bits=facts[head + "cell_bits"], cells_per_weight=facts[head + "cells_per_weight"],
        extra_columns=facts[head + "extra_columns"], rows_active=_optional(setting, "rows_active"),
        relaxed=relaxed,
    )  # fmt: skip
    adc = _optional(setting, "adc_bits")
    steps = steps_of(
        _bits(nests, 0, table, setting), step_bits=facts[head + "input_step_bits"],
        adc_bits=0.0 if adc is None else adc, most_steps=_optional(setting, "most_steps"),
        pulses=choice["pulses"], sign_apart=choice["sign_apart"], narrowing=choice["narrowing"],
        relaxed=relaxed,
    )  # fmt: skip
    names = (
        "read_time", "pulse_time", "conversion_time", "conversion_bit_time", "adder_time", "rows",
        "registers", "columns_per_conversion",
    )  # fmt: skip
    seconds = vector_seconds(
        found, steps, **{name: facts[head + name] for name in names},
        converters=_optional(setting, "converters"), pipelined=choice["pipelined"],
        relaxed=relaxed,
    )  # fmt: skip
    voltage = _optional(setting, "voltage")
    if voltage is not None:
        nominal, threshold = facts[head + "nominal_voltage"], facts[head + "threshold_voltage"]
        seconds = seconds * speed(nominal, threshold) / speed(voltage, threshold)
    stated = (facts[head + "input_density"], facts[head + "weight_density"])
    ones, bits = (_density(nests, i, share, setting) for i, share in enumerate(stated))
    there, share = _spiking(table, nests)
    return found, steps, seconds, (setting.xp.where(there > 0, share, ones), bits)


def _ways(
    table: OperatorTable, nests: Nests, setting: Setting, found: Layout, seconds: Value,
    vectors: Value, still: Value,
) -> tuple[_Held, _Held, Value]:  # fmt: skip
    """Return matrices that stay, matrices written in turn, and whether all of them may stay."""
    xp, there = setting.xp, setting.facts[f"engines.{setting.engine}.units"]

    def ceil(value: Value) -> Value:
        return value if setting.relaxed else xp.ceil(value - 1e-9)

    count = table.count[nests.row] * still * _once(table)[nests.row]
    needed = xp.maximum((count * found.arrays).sum(axis=0), _stored(table, nests, setting, found))
    copies = copies_of(
        found.arrays, vectors * nests.times, seconds, count, there, needed, relaxed=setting.relaxed
    )
    zero = 0.0 * found.arrays
    resident = _Held(copies + zero, ceil(vectors / copies), zero, zero)
    whole = there / found.arrays
    fewest = xp.maximum(whole if setting.relaxed else xp.floor(whole + 1e-9), 1.0)
    fewest = xp.minimum(fewest, xp.maximum(vectors, 1.0))
    rounds = xp.maximum(ceil(found.arrays / there), 1.0)
    deep = xp.minimum(
        _inner(table, nests, setting) * found.together * _cells_each(setting), _rows(setting)
    )
    # Steps of a cell wait for one another: what takes rounds is written anew in each.
    writes = xp.where(rounds > 1.0 + 1e-9, nests.times, 1.0) + zero
    reloaded = _Held(
        fewest + zero, rounds * ceil(vectors / fewest), rounds * deep * writes, writes
    )  # fmt: skip
    return resident, reloaded, needed <= there


def _spiking(table: OperatorTable, nests: Nests) -> tuple[Value, Value]:
    """Return the inputs of nests that sum over those that fire (0 for others), and the share.

    An array holds the rows of all inputs, whoever fires.
    """
    inputs, active = table.extents.get("inputs"), table.extents.get("active")
    if inputs is None or active is None:
        return 0.0 * nests.in_channels, 0.0
    there = inputs[nests.row]
    return there + 0.0 * nests.in_channels, active[nests.row] / (there + (there <= 0))


def _inner(table: OperatorTable, nests: Nests, setting: Setting) -> Value:
    """Return inputs of a nest's matrix, those that do not fire with them."""
    summed = nests.in_channels * nests.kernel_rows * nests.kernel_columns
    there, _ = _spiking(table, nests)
    return setting.xp.where(there > 0, there, summed)


def _rows(setting: Setting) -> Value:
    return _optional(setting, "rows")


def _cells_each(setting: Setting) -> Value:
    return _optional(setting, "cells_per_weight")


def _once(table: OperatorTable) -> Value:
    """Return 1 for rows whose weights no other row has, else 0: a decode's are its prompt's."""
    phases = {row.phase for row in table.rows}
    both = {"prefill", "decode"} <= phases
    return np.array([0.0 if both and row.phase == "decode" else 1.0 for row in table.rows])[:, None]


def _stored(table: OperatorTable, nests: Nests, setting: Setting, found: Layout) -> Value:
    """Return arrays of all weights that are stored, for experts that no token asked for."""
    if "moe" not in nests.kind:
        return 0.0
    elements = sum(
        (n for slot, n in table.stored.items() if slot.startswith("weight")), 0.0
    )  # fmt: skip
    cells = elements * _cells_each(setting) * found.columns_each.min(axis=0)
    return cells / (_rows(setting) * _optional(setting, "columns"))


def _weight_bytes(
    table: OperatorTable, setting: Setting, traffic: Mapping[str, Value], mine: Value
) -> dict[str, Value]:
    """Return the bytes of weights that lie in arrays, of each level's traffic."""
    moved = row_bytes(table, setting, weights=True) * mine
    main = setting.levels[-1]
    apart = setting.weights_memory != main
    return {level: moved for level in traffic if not (apart and level == main)}


def _cells(table: OperatorTable, nests: Nests, found: Layout, setting: Setting) -> Value:
    weights = nests.groups * _inner(table, nests, setting) * nests.out_channels
    return weights * found.slices * _cells_each(setting)


def _joules(
    table: OperatorTable, nests: Nests, setting: Setting, found: Layout, steps: Steps,
    densities: tuple[Value, Value], vectors: Value, rows: RowSums,
) -> dict[str, Value]:  # fmt: skip
    """Return joules of each row by part, at the machine's voltage."""
    head = f"engines.{setting.engine}."
    adc = _optional(setting, "adc_bits")
    each = vector_joules(
        found, steps, {name: setting.facts[head + name] for name in _ENERGIES},
        groups=nests.groups, inner=_inner(table, nests, setting), outer=nests.out_channels,
        input_density=densities[0], weight_density=densities[1],
        adc_bits=0.0 if adc is None else adc,
    )  # fmt: skip
    square = _square(setting)
    return {name: rows(each[name] * vectors) * square for name in _PARTS}


def _detail(
    table: OperatorTable, nests: Nests, setting: Setting, found: Layout, steps: Steps,
    way: _Held, times: Value, rows: RowSums,
) -> dict[str, Value]:  # fmt: skip
    """Return what a row does to the arrays; of several nests the sum, or the mean."""
    xp = setting.xp
    still = 1.0 * (times > 0)
    arrays = rows(found.arrays * still)
    here = _rows(setting) * _optional(setting, "columns")
    cells = rows(_cells(table, nests, found, setting) * still)
    several = xp.maximum(rows(still + 0.0 * found.arrays), 1.0)
    active = _optional(setting, "rows_active")
    summed = xp.minimum(_inner(table, nests, setting), _rows(setting) if active is None else active)
    needed = xp.log2(xp.maximum(summed, 1.0))
    needed = needed + _optional(setting, "cell_bits") + steps.bits / steps.steps
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
