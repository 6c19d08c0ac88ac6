"""Layout of a matrix in compute-in-memory arrays: cells, arrays, input steps and copies.

Shafiee et al., "ISAAC", ISCA 2016 (weights stationary, bits over columns, inputs bit by bit);
Andrulis, Emer and Sze, "CiMLoop", ISPASS 2024; Houshmand et al., ZigZag-IMC, 2023.
"""

from __future__ import annotations

from typing import NamedTuple

from perfmodel.arrays import Value, namespace
from perfmodel.hardware.fact_views import or_else
from perfmodel.kinds.in_memory.spec import InMemoryArrays, speed


def _ceil(value: Value, relaxed: bool) -> Value:
    return value if relaxed else namespace(value).ceil(value - 1e-9)


def _floor(value: Value, relaxed: bool) -> Value:
    return value if relaxed else namespace(value).floor(value + 1e-9)


class MatrixLayout(NamedTuple):
    """Layout of a matrix of ``groups`` blocks of ``inner`` x ``outer`` weights.

    Attributes
    ----------
    arrays
        Arrays per copy.
    row_tiles, column_tiles
        Tiles of one block along each side.
    together
        Blocks placed in one array along its diagonal.
    row_groups
        Consecutive reads of an array to cover all its rows.
    sums
        Sums that an array computes.
    columns_each
        Columns per weight.
    slices
        Columns per weight that hold its bits.
    """

    arrays: Value
    row_tiles: Value
    column_tiles: Value
    together: Value
    row_groups: Value
    sums: Value
    columns_each: Value
    slices: Value


def layout(
    groups: Value,
    inner: Value,
    outer: Value,
    weight_bits: Value,
    engine: InMemoryArrays,
    *,
    relaxed: bool = False,
) -> MatrixLayout:
    """Return the layout of a matrix in arrays.

    A weight occupies ``ceil(bits / cell_bits) + extra`` columns and `cells_per_weight` rows. Blocks
    of a grouped convolution share an array along its diagonal where both sides fit.

    Parameters
    ----------
    groups, inner, outer
        Number of blocks, and inputs and outputs of each.
    weight_bits
        Bits of a weight.
    engine
        Facts of the arrays.
    relaxed
        Omit ceilings and floors.
    """
    rows, columns, pair = engine.rows, engine.columns, engine.cells_per_weight
    xp = namespace(groups, inner, outer, weight_bits, rows, columns, engine.cell_bits, pair)
    slices = _ceil(weight_bits / engine.cell_bits, relaxed)
    each = slices + engine.extra_columns
    weight_rows = _floor(rows / pair, relaxed)
    # A weight wider than an array continues in the next one.
    weight_columns = xp.where(columns >= each, _floor(columns / each, relaxed), columns / each)
    row_tiles, column_tiles = (
        _ceil(inner / weight_rows, relaxed),
        _ceil(outer / weight_columns, relaxed),
    )
    room = xp.minimum(weight_rows / inner, weight_columns / outer)
    together = xp.clip(_floor(room, relaxed), 1.0, xp.maximum(groups, 1.0))
    if relaxed:
        row_tiles, column_tiles = xp.maximum(row_tiles, 1.0), xp.maximum(column_tiles, 1.0)
    used = xp.minimum(inner * together, weight_rows) * pair
    active = engine.rows_active
    reads = 1.0 if active is None else used / xp.minimum(active, rows)
    row_groups = xp.maximum(_ceil(1.0 * reads + 0.0 * used, relaxed), 1.0)
    arrays = _ceil(groups / together, relaxed) * row_tiles * column_tiles
    sums = xp.minimum(outer * together, weight_columns)
    return MatrixLayout(arrays, row_tiles, column_tiles, together, row_groups, sums, each, slices)


class Steps(NamedTuple):
    """Steps in which an input is applied to the rows.

    Attributes
    ----------
    steps
        Number of steps, in sequence.
    bits
        Bits that drive rows, over all steps.
    pulses
        Pulses over all steps.
    converted_bits
        Bits of a sum's conversions over all steps.
    """

    steps: Value
    bits: Value
    pulses: Value
    converted_bits: Value


def steps_of(input_bits: Value, engine: InMemoryArrays, *, relaxed: bool = False) -> Steps:
    """Return the steps of an input, with its bits distributed over them as evenly as possible.

    A step of b bits lasts 2^b - 1 pulses where inputs are counts of pulses (NeuRRAM: Wan et al.,
    Nature 608, 2022), else one. With narrowing, a step is converted at the ADC's bits minus those
    of the steps before it.

    Parameters
    ----------
    input_bits
        Bits of an input, sign included.
    engine
        Facts of the arrays.
    relaxed
        Omit ceilings.
    """
    step_bits, adc_bits = engine.input_step_bits, or_else(engine.adc_bits, 0.0)
    xp = namespace(input_bits, step_bits, adc_bits, engine.most_steps)
    bits = xp.maximum(input_bits - 1.0, 1.0) if engine.sign_apart else 1.0 * input_bits
    steps = xp.maximum(_ceil(bits / step_bits, relaxed), 1.0)
    if engine.most_steps is not None:
        steps = xp.minimum(steps, engine.most_steps)
    low = _floor(bits / steps, relaxed)
    longer = xp.clip(bits - low * steps, 0.0, steps)
    count = steps + 0.0 * bits
    if engine.pulses:
        count = longer * (2.0 ** (low + 1.0) - 1.0) + (steps - longer) * (2.0**low - 1.0)
    before: Value = 0.0
    if engine.narrowing:
        # Longer steps first: sum over steps p of p low + min(p, longer).
        before = low * steps * (steps - 1.0) / 2.0
        before = before + longer * steps - longer * (longer + 1.0) / 2.0
    return Steps(steps, bits, count, xp.maximum(steps * adc_bits - before, 0.0))


def vector_seconds(
    matrix: MatrixLayout, steps: Steps, engine: InMemoryArrays, *, relaxed: bool = False
) -> Value:
    """Return seconds of a vector through its arrays, which all work in parallel.

    ``groups of rows x (read, conversions)``: their sum, or the maximum where they overlap. The sums
    of a digital array ripple through ``rows / registers + columns per weight`` adders. A supply
    other than the nominal one scales the result by `speed`.

    Notes
    -----
    ``matrix = passes / (passes a second)``
        Shafiee et al., ISAAC, ISCA 2016; docs/in_memory.md

    ``load = rows written / (1 / write_time)``
        docs/in_memory.md

    ``digital = 2 * macs / vector_peak``
        docs/in_memory.md
    """
    converters = engine.converters
    xp = namespace(*matrix, *steps, engine.read_time, converters)
    ripple = engine.adder_time * (engine.rows / engine.registers + matrix.columns_each)
    read = steps.steps * (engine.read_time + ripple) + steps.pulses * engine.pulse_time
    shared: Value = 1.0
    if converters is not None:
        each = _ceil(matrix.slices / engine.columns_per_conversion, relaxed)
        shared = xp.maximum(_ceil(matrix.sums * each / converters, relaxed), 1.0)
    per_bit = steps.converted_bits * engine.conversion_bit_time
    convert = shared * (steps.steps * engine.conversion_time + per_bit)
    busy = xp.maximum(read, convert) if engine.pipelined else read + convert
    seconds = matrix.row_groups * busy
    if engine.voltage is None:
        return seconds
    threshold = engine.threshold_voltage
    return seconds * speed(engine.nominal_voltage, threshold) / speed(engine.voltage, threshold)


def copies_of(
    arrays: Value,
    vectors: Value,
    seconds: Value,
    count: Value,
    there: Value,
    needed: Value,
    *,
    relaxed: bool = False,
) -> Value:
    """Return copies of each matrix where all matrices are resident in the arrays.

    The time ``sum v t / d`` under ``sum d n <= arrays`` is minimal for ``d n`` proportional to
    ``sqrt(v t n)`` (Lagrange multiplier), with ``v`` vectors of ``t`` seconds, ``d`` copies of
    ``n`` arrays; each matrix has one copy first, then its share of the remaining arrays.

    Parameters
    ----------
    arrays
        Arrays of one copy of each matrix, ``(matrices, points)``.
    vectors, seconds
        Vectors through each matrix, and seconds of one.
    count
        Number of equal matrices.
    there
        Arrays of the machine.
    needed
        Arrays for one copy of all matrices.
    """
    xp = namespace(arrays, vectors, seconds, count, there, needed)
    spare = xp.maximum(there - needed, 0.0)
    weight = xp.sqrt(xp.maximum(vectors * seconds * arrays, 1e-300))
    share = weight / xp.maximum(xp.sum(count * weight, axis=0), 1e-300)
    more = _floor(spare * share / xp.maximum(arrays, 1e-12), relaxed)
    return xp.minimum(1.0 + more, xp.maximum(vectors, 1.0))
