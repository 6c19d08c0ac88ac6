"""What a table's matrices are to the arrays: their layout, steps of inputs, seconds of a vector."""

from __future__ import annotations

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.setting import Setting
from perfmodel.kinds.in_memory.counts import (
    MatrixLayout,
    Steps,
    layout,
    speed,
    steps_of,
    vector_seconds,
)
from perfmodel.kinds.operand_bits import element_bits
from perfmodel.workload.lower import OperatorTable
from perfmodel.workload.shapes import Nests


def stated(setting: Setting, name: str) -> Value:
    """Return a fact of the engine; ``None`` where it states none."""
    return setting.facts.get(f"engines.{setting.engine}.{name}")


def square_of_supply(setting: Setting) -> Value:
    """Return what energies are multiplied by: the square of the supply over the nominal one."""
    nominal = stated(setting, "nominal_voltage")
    voltage = stated(setting, "voltage")
    return 1.0 if voltage is None else (voltage / nominal) ** 2


def vectors_through(
    table: OperatorTable, nests: Nests, setting: Setting
) -> tuple[MatrixLayout, Steps, Value, tuple[Value, Value]]:
    """Return what a vector goes through in every matrix, ``(nests, points)``.

    Returns
    -------
    tuple
        Layouts; steps of inputs; seconds of a vector; and the shares of bits that are one, of
        inputs and of weights.
    """
    facts, head, relaxed = setting.facts, f"engines.{setting.engine}.", setting.relaxed
    choice = setting.choices
    bits = [element_bits([s[i] for s in nests.slots], table.points, setting) for i in range(2)]
    found = layout(
        nests.groups, inputs_of(table, nests, setting), nests.out_channels,
        bits[1],
        rows=facts[head + "rows"], columns=facts[head + "columns"],
        cell_bits=facts[head + "cell_bits"], cells_per_weight=facts[head + "cells_per_weight"],
        extra_columns=facts[head + "extra_columns"], rows_active=stated(setting, "rows_active"),
        relaxed=relaxed,
    )  # fmt: skip
    adc = stated(setting, "adc_bits")
    steps = steps_of(
        bits[0], step_bits=facts[head + "input_step_bits"],
        adc_bits=0.0 if adc is None else adc, most_steps=stated(setting, "most_steps"),
        pulses=choice["pulses"], sign_apart=choice["sign_apart"], narrowing=choice["narrowing"],
        relaxed=relaxed,
    )  # fmt: skip
    names = (
        "read_time", "pulse_time", "conversion_time", "conversion_bit_time", "adder_time", "rows",
        "registers", "columns_per_conversion",
    )  # fmt: skip
    seconds = vector_seconds(
        found, steps, **{name: facts[head + name] for name in names},
        converters=stated(setting, "converters"), pipelined=choice["pipelined"],
        relaxed=relaxed,
    )  # fmt: skip
    voltage = stated(setting, "voltage")
    if voltage is not None:
        nominal, threshold = facts[head + "nominal_voltage"], facts[head + "threshold_voltage"]
        seconds = seconds * speed(nominal, threshold) / speed(voltage, threshold)
    shares = (facts[head + "input_density"], facts[head + "weight_density"])
    ones, set_bits = (_density(nests, i, share, setting) for i, share in enumerate(shares))
    there, share = _spiking(table, nests)
    return found, steps, seconds, (setting.xp.where(there > 0, share, ones), set_bits)


def _density(nests: Nests, operand: int, share: Value, setting: Setting) -> Value:
    """Return a share of bits that are one, less what the precision says is zero."""
    dense: list[float] = []
    for slots in nests.slots:
        sparsity = setting.precision.sparsity_of(slots[operand])
        dense.append(1.0 if sparsity is None else sparsity.density)
    return share * np.array(dense)[:, None]


def _spiking(table: OperatorTable, nests: Nests) -> tuple[Value, Value]:
    """Return the inputs of nests that sum over those that fire (0 for others), and the share.

    An array holds the rows of all inputs, whoever fires.
    """
    inputs, active = table.extents.get("inputs"), table.extents.get("active")
    if inputs is None or active is None:
        return 0.0 * nests.in_channels, 0.0
    there = inputs[nests.row]
    return there + 0.0 * nests.in_channels, active[nests.row] / (there + (there <= 0))


def inputs_of(table: OperatorTable, nests: Nests, setting: Setting) -> Value:
    """Return inputs of a nest's matrix, those that do not fire with them."""
    summed = nests.in_channels * nests.kernel_rows * nests.kernel_columns
    there, _ = _spiking(table, nests)
    return setting.xp.where(there > 0, there, summed)


def cells_of(table: OperatorTable, nests: Nests, found: MatrixLayout, setting: Setting) -> Value:
    """Return the cells that a copy of each matrix fills, ``(nests, points)``."""
    weights = nests.groups * inputs_of(table, nests, setting) * nests.out_channels
    return weights * found.slices * stated(setting, "cells_per_weight")
