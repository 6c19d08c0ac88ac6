"""What a table's matrices are to the arrays: their layout, steps of inputs, seconds of a vector."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perfmodel.arrays import Value
from perfmodel.hardware.view import or_else
from perfmodel.kinds.array import NestRun
from perfmodel.kinds.in_memory.counts import (
    MatrixLayout,
    Steps,
    layout,
    speed,
    steps_of,
    vector_seconds,
)
from perfmodel.kinds.in_memory.spec import InMemoryArrays


class ArrayVectors(NamedTuple):
    """Matrices in arrays, and what a vector goes through in each; ``(nests, points or 1)``.

    Attributes
    ----------
    still
        1 for matrices of weights, 0 for products of what a run makes.
    inputs
        Inputs of a matrix, those that do not fire with them.
    layout, steps
        Of the matrix; of an input.
    seconds
        Of a vector.
    cells
        That a copy of the matrix fills.
    input_density, weight_density
        Shares of bits that are one.
    """

    still: Value
    inputs: Value
    layout: MatrixLayout
    steps: Steps
    seconds: Value
    cells: Value
    input_density: Value
    weight_density: Value


def vectors_through(run: NestRun, engine: InMemoryArrays) -> ArrayVectors:
    """Return what a vector goes through in every matrix."""
    nests, xp, relaxed = run.nests, run.xp, run.setting.relaxed
    still = np.array([slot.startswith("weight") for slot in run.slots(1)], dtype=float)[:, None]
    spiking, firing = _spiking(run)
    inputs = xp.where(spiking > 0, spiking, nests.summed)
    laid = layout(
        nests.groups,
        inputs,
        nests.out_channels,
        run.bits(1),
        rows=engine.rows,
        columns=engine.columns,
        cell_bits=engine.cell_bits,
        cells_per_weight=engine.cells_per_weight,
        extra_columns=engine.extra_columns,
        rows_active=engine.rows_active,
        relaxed=relaxed,
    )
    steps = steps_of(
        run.bits(0),
        step_bits=engine.input_step_bits,
        adc_bits=or_else(engine.adc_bits, 0.0),
        most_steps=engine.most_steps,
        pulses=engine.pulses,
        sign_apart=engine.sign_apart,
        narrowing=engine.narrowing,
        relaxed=relaxed,
    )
    seconds = vector_seconds(
        laid,
        steps,
        read_time=engine.read_time,
        pulse_time=engine.pulse_time,
        conversion_time=engine.conversion_time,
        conversion_bit_time=engine.conversion_bit_time,
        adder_time=engine.adder_time,
        rows=engine.rows,
        registers=engine.registers,
        converters=engine.converters,
        columns_per_conversion=engine.columns_per_conversion,
        pipelined=engine.pipelined,
        relaxed=relaxed,
    )
    if engine.voltage is not None:
        threshold = engine.threshold_voltage
        seconds = (
            seconds * speed(engine.nominal_voltage, threshold) / speed(engine.voltage, threshold)
        )
    weights = nests.groups * inputs * nests.out_channels
    cells = weights * laid.slices * engine.cells_per_weight
    ones = xp.where(spiking > 0, firing, _density(run, 0, engine.input_density))
    return ArrayVectors(
        still, inputs, laid, steps, seconds, cells, ones, _density(run, 1, engine.weight_density)
    )


def _density(run: NestRun, operand: int, share: Value) -> Value:
    """Return a share of bits that are one, less what the precision says is zero."""
    sparsities = [run.setting.precision.sparsity_of(slot) for slot in run.slots(operand)]
    return share * np.array([1.0 if s is None else s.density for s in sparsities])[:, None]


def _spiking(run: NestRun) -> tuple[Value, Value]:
    """Return the inputs of nests that sum over those that fire (0 for others), and the share.

    An array holds the rows of all inputs, whoever fires.
    """
    inputs, active = run.table.extents.get("inputs"), run.table.extents.get("active")
    if inputs is None or active is None:
        return 0.0 * run.nests.in_channels, 0.0
    there = inputs[run.nests.row]
    return there + 0.0 * run.nests.in_channels, active[run.nests.row] / (there + (there <= 0))
