"""Joules of vectors through compute-in-memory arrays by component, and area of the chip."""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.arrays import Value, namespace
from perfmodel.hardware.fact_views import engine_view, or_else
from perfmodel.kinds.in_memory.counts import MatrixLayout, Steps
from perfmodel.kinds.in_memory.spec import InMemoryArrays


def vector_joules(
    matrix: MatrixLayout,
    steps: Steps,
    engine: InMemoryArrays,
    *,
    groups: Value,
    inner: Value,
    outer: Value,
    input_density: Value,
    weight_density: Value,
) -> dict[str, Value]:
    """Return joules of one vector through all groups, at the nominal voltage.

    Switching depends on the data (CiMLoop, Andrulis et al., ISPASS 2024): a row is driven for the
    1-bits of its input, a cell switches where the weight's bit is 1 too.

    Parameters
    ----------
    matrix, steps
        Layout of the matrix, and steps of its inputs.
    engine
        Energies in joules: of a spec, or facts of a machine.
    groups, inner, outer
        Number of blocks, and inputs and outputs of each.
    input_density, weight_density
        Share of 1-bits.

    Returns
    -------
    dict
        ``array``, ``rows``, ``cells``, ``converters``, ``digital``: joules.
    """
    xp = namespace(*matrix, *steps, groups, inner, outer, input_density, weight_density)
    cells_per_weight = engine.cells_per_weight
    reads = matrix.arrays * matrix.row_groups * steps.steps
    rows = groups * inner * cells_per_weight * matrix.column_tiles
    cells = groups * inner * outer * cells_per_weight * matrix.slices
    each = xp.maximum(matrix.slices / engine.columns_per_conversion, 1.0)
    sums = groups * outer * matrix.row_tiles * matrix.row_groups * each
    adc_bits = or_else(engine.adc_bits, 0.0)
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
    """Return the area of arrays by component, in square metres; the components add up.

    Parameters
    ----------
    facts
        Facts of a machine (`Machine.facts`); they may be arrays.
    engine
        Name of its engine of kind ``in_memory``.
    """
    return parts_area(engine_view(InMemoryArrays, facts, engine))


def parts_area(chip: InMemoryArrays) -> dict[str, Value]:
    """Return the stated area of arrays by component, in square metres; see `chip_area`."""
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
