"""Cells, arrays, steps and copies: how a matrix lies in arrays, and what a vector passes through.

Shafiee et al., "ISAAC", ISCA 2016 (weights stationary, bits over columns, inputs bit by bit);
Andrulis, Emer and Sze, "CiMLoop", ISPASS 2024; Houshmand et al., ZigZag-IMC, 2023.
"""

from __future__ import annotations

from typing import NamedTuple

from perfmodel.arrays import Value, namespace

#: Velocity saturation of short channels (Sakurai and Newton, JSSC 25(2), 1990).
ALPHA = 1.3


def _ceil(value: Value, relaxed: bool) -> Value:
    return value if relaxed else namespace(value).ceil(value - 1e-9)


def _floor(value: Value, relaxed: bool) -> Value:
    return value if relaxed else namespace(value).floor(value + 1e-9)


class MatrixLayout(NamedTuple):
    """Where a matrix of ``groups`` blocks of ``inner`` x ``outer`` weights lies.

    Attributes
    ----------
    arrays
        Arrays of one copy.
    row_tiles, column_tiles
        Of one block.
    together
        Blocks that lie in an array along its diagonal.
    row_groups
        Reads of an array, one after another, for all its rows.
    sums
        Sums that an array makes.
    columns_each
        Columns of a weight.
    slices
        Columns of a weight that hold bits of it.
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
    *,
    rows: Value,
    columns: Value,
    cell_bits: Value = 1.0,
    cells_per_weight: Value = 1.0,
    extra_columns: Value = 0.0,
    rows_active: Value = None,
    relaxed: bool = False,
) -> MatrixLayout:
    """Return how a matrix lies in arrays.

    A weight takes ``ceil(bits / cell_bits) + extra`` columns and `cells_per_weight` rows. Blocks of
    a grouped convolution share an array along its diagonal where both sides fit.

    Parameters
    ----------
    groups, inner, outer
        Blocks, and inputs and outputs of each.
    weight_bits
        Bits of a weight.
    rows, columns, cell_bits, cells_per_weight, extra_columns, rows_active
        Of the array; see `InMemoryArrays`.
    relaxed
        Without ceilings and floors.
    """
    xp = namespace(groups, inner, outer, weight_bits, rows, columns, cell_bits, cells_per_weight)
    slices = _ceil(weight_bits / cell_bits, relaxed)
    each = slices + extra_columns
    deep = _floor(rows / cells_per_weight, relaxed)
    # A weight wider than an array goes on in the next one.
    wide = xp.where(columns >= each, _floor(columns / each, relaxed), columns / each)
    row_tiles, column_tiles = _ceil(inner / deep, relaxed), _ceil(outer / wide, relaxed)
    room = xp.minimum(deep / inner, wide / outer)
    together = xp.clip(_floor(room, relaxed), 1.0, xp.maximum(groups, 1.0))
    if relaxed:
        row_tiles, column_tiles = xp.maximum(row_tiles, 1.0), xp.maximum(column_tiles, 1.0)
    used = xp.minimum(inner * together, deep) * cells_per_weight
    reads = 1.0 if rows_active is None else used / xp.minimum(rows_active, rows)
    row_groups = xp.maximum(_ceil(1.0 * reads + 0.0 * used, relaxed), 1.0)
    arrays = _ceil(groups / together, relaxed) * row_tiles * column_tiles
    sums = xp.minimum(outer * together, wide)
    return MatrixLayout(arrays, row_tiles, column_tiles, together, row_groups, sums, each, slices)


class Steps(NamedTuple):
    """What an input goes through.

    Attributes
    ----------
    steps
        Steps, one after another.
    bits
        Bits that drive rows over all of them.
    pulses
        Pulses over all of them.
    converted_bits
        Bits of a sum's conversions over all of them.
    """

    steps: Value
    bits: Value
    pulses: Value
    converted_bits: Value


def steps_of(
    input_bits: Value,
    *,
    step_bits: Value = 1.0,
    adc_bits: Value = 0.0,
    most_steps: Value = None,
    pulses: bool = False,
    sign_apart: bool = False,
    narrowing: bool = False,
    relaxed: bool = False,
) -> Steps:
    """Return the steps of an input of some bits, spread over them as evenly as they go.

    A step of b bits is 2^b - 1 pulses where inputs are counts of pulses (NeuRRAM: Wan et al.,
    Nature 608, 2022), else one. Where conversions narrow, a step is converted at the ADC's bits
    less those of the steps before it.

    Parameters
    ----------
    input_bits
        Bits of an input, its sign with them.
    step_bits, adc_bits, most_steps, pulses, sign_apart, narrowing
        See `InMemoryArrays`.
    relaxed
        Without ceilings.
    """
    xp = namespace(input_bits, step_bits, adc_bits, most_steps)
    bits = xp.maximum(input_bits - 1.0, 1.0) if sign_apart else 1.0 * input_bits
    steps = xp.maximum(_ceil(bits / step_bits, relaxed), 1.0)
    if most_steps is not None:
        steps = xp.minimum(steps, most_steps)
    low = _floor(bits / steps, relaxed)
    longer = xp.clip(bits - low * steps, 0.0, steps)
    count = steps + 0.0 * bits
    if pulses:
        count = longer * (2.0 ** (low + 1.0) - 1.0) + (steps - longer) * (2.0**low - 1.0)
    before: Value = 0.0
    if narrowing:
        # Longer steps first: sum over steps p of p low + min(p, longer).
        before = low * steps * (steps - 1.0) / 2.0
        before = before + longer * steps - longer * (longer + 1.0) / 2.0
    return Steps(steps, bits, count, xp.maximum(steps * adc_bits - before, 0.0))


def speed(voltage: Value, threshold: Value) -> Value:
    """Return what logic's speed is proportional to: ``(V - Vt)^1.3 / V``.

    The alpha-power law of Sakurai and Newton, JSSC 25(2), 1990; volts.
    """
    xp = namespace(voltage, threshold)
    return xp.maximum(voltage - threshold, 1e-3) ** ALPHA / voltage


def vector_seconds(
    found: MatrixLayout,
    steps: Steps,
    *,
    read_time: Value,
    pulse_time: Value = 0.0,
    conversion_time: Value = 0.0,
    conversion_bit_time: Value = 0.0,
    adder_time: Value = 0.0,
    rows: Value = 1.0,
    registers: Value = 1.0,
    converters: Value = None,
    columns_per_conversion: Value = 1.0,
    pipelined: bool = False,
    relaxed: bool = False,
) -> Value:
    """Return seconds that a vector takes through its arrays, all of which work at once.

    ``groups of rows x (read, conversions)``: their sum, or the larger where they overlap. A digital
    array's sums ripple through ``rows / registers + columns of a weight`` adders.

    Notes
    -----
    ``matrix = passes / (passes a second)``
        Shafiee et al., ISAAC, ISCA 2016; docs/in_memory.md

    ``load = rows written / (1 / write_time)``
        docs/in_memory.md

    ``digital = 2 * macs / vector_peak``
        docs/in_memory.md
    """
    xp = namespace(*found, *steps, read_time, converters)
    ripple = adder_time * (rows / registers + found.columns_each)
    read = steps.steps * (read_time + ripple) + steps.pulses * pulse_time
    shared: Value = 1.0
    if converters is not None:
        each = _ceil(found.slices / columns_per_conversion, relaxed)
        shared = xp.maximum(_ceil(found.sums * each / converters, relaxed), 1.0)
    convert = shared * (steps.steps * conversion_time + steps.converted_bits * conversion_bit_time)
    return found.row_groups * (xp.maximum(read, convert) if pipelined else read + convert)


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
    """Return copies of each matrix where all of them stay in the arrays.

    The time ``sum v t / d`` under ``sum d n <= arrays`` is least where ``d n`` goes as
    ``sqrt(v t n)`` (Lagrange); each gets its one copy first, then its share of what is left.

    Parameters
    ----------
    arrays
        Of one copy of each matrix, ``(matrices, points)``.
    vectors, seconds
        That pass through it, and what one takes.
    count
        Matrices of the kind.
    there
        Arrays of the machine.
    needed
        Arrays of one copy of all.
    """
    xp = namespace(arrays, vectors, seconds, count, there, needed)
    spare = xp.maximum(there - needed, 0.0)
    weight = xp.sqrt(xp.maximum(vectors * seconds * arrays, 1e-300))
    share = weight / xp.maximum(xp.sum(count * weight, axis=0), 1e-300)
    more = _floor(spare * share / xp.maximum(arrays, 1e-12), relaxed)
    return xp.minimum(1.0 + more, xp.maximum(vectors, 1.0))
