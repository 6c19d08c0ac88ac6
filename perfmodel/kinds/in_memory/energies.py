"""Joules of vectors through arrays, by what takes them; and the area of it all."""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.arrays import Value, namespace
from perfmodel.hardware.view import engine_view, or_else
from perfmodel.kinds.in_memory.counts import MatrixLayout, Steps
from perfmodel.kinds.in_memory.spec import InMemoryArrays


def vector_joules(
    found: MatrixLayout,
    steps: Steps,
    engine: InMemoryArrays,
    *,
    groups: Value,
    inner: Value,
    outer: Value,
    input_density: Value,
    weight_density: Value,
    adc_bits: Value = 0.0,
) -> dict[str, Value]:
    """Return joules of one vector through all groups, at the nominal voltage.

    Switching follows the data (CiMLoop, Andrulis et al., ISPASS 2024): a row is driven for the
    bits of its input that are one, a cell works where the weight's bit is one too.

    Parameters
    ----------
    found, steps
        Of the matrix and its inputs.
    engine
        Its energies, joules: of a spec, or facts of a machine.
    groups, inner, outer
        Blocks of weights, and inputs and outputs of each.
    input_density, weight_density
        Shares of bits that are one.
    adc_bits
        Bits of a conversion.

    Returns
    -------
    dict
        ``array``, ``rows``, ``cells``, ``converters``, ``digital``: joules.
    """
    xp = namespace(*found, *steps, groups, inner, outer, input_density, weight_density)
    cells_per_weight = engine.cells_per_weight
    reads = found.arrays * found.row_groups * steps.steps
    rows = groups * inner * cells_per_weight * found.column_tiles
    cells = groups * inner * outer * cells_per_weight * found.slices
    each = xp.maximum(found.slices / engine.columns_per_conversion, 1.0)
    sums = groups * outer * found.row_tiles * found.row_groups * each
    levels = 2.0**adc_bits if not isinstance(adc_bits, float) or adc_bits else 0.0
    return {
        "array": reads * engine.array_energy,
        "rows": rows
        * (steps.bits * input_density * engine.row_energy + steps.steps * engine.dac_energy),
        "cells": cells * steps.bits * input_density * weight_density * engine.cell_energy,
        "converters": sums
        * (
            steps.pulses * engine.pulse_energy
            + steps.steps * engine.conversion_energy
            + steps.converted_bits * engine.conversion_bit_energy
            + steps.steps * levels * engine.conversion_level_energy
        ),
        "digital": sums * steps.steps * engine.digital_energy,
    }


def chip_area(facts: Mapping[str, Value], engine: str) -> dict[str, Value]:
    """Return the area of arrays by part, square metres; the parts add up.

    Parameters
    ----------
    facts
        Of a machine (`Machine.facts`); arrays pass.
    engine
        Name of its engine of kind ``in_memory``.
    """
    chip = engine_view(InMemoryArrays, facts, engine)
    units, rows, columns = chip.units, chip.rows, chip.columns
    converters = or_else(chip.converters, columns / chip.columns_per_conversion)
    return {
        "cells": units * rows * columns * chip.cell_area,
        "rows": units * rows * chip.row_area,
        "columns": units * columns * chip.column_area,
        "converters": units * converters * chip.converter_area,
        "arrays": units * chip.array_area,
        "chip": chip.chip_area,
    }
