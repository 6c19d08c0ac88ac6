"""Joules of vectors through arrays, by what takes them; and the area of it all."""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.arrays import Value, namespace
from perfmodel.kinds.in_memory.counts import MatrixLayout, Steps


def vector_joules(
    found: MatrixLayout, steps: Steps, facts: Mapping[str, Value], *, groups: Value, inner: Value,
    outer: Value, input_density: Value, weight_density: Value, adc_bits: Value = 0.0,
) -> dict[str, Value]:  # fmt: skip
    """Return joules of one vector through all groups, at the nominal voltage.

    Switching follows the data (CiMLoop, Andrulis et al., ISPASS 2024): a row is driven for the
    bits of its input that are one, a cell works where the weight's bit is one too.

    Parameters
    ----------
    found, steps
        Of the matrix and its inputs.
    facts
        Energies by their name in `InMemoryArrays`, joules.
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
    cells_per_weight = facts["cells_per_weight"]
    reads = found.arrays * found.row_groups * steps.steps
    rows = groups * inner * cells_per_weight * found.column_tiles
    cells = groups * inner * outer * cells_per_weight * found.slices
    each = xp.maximum(found.slices / facts["columns_per_conversion"], 1.0)
    sums = groups * outer * found.row_tiles * found.row_groups * each
    levels = 2.0**adc_bits if not isinstance(adc_bits, float) or adc_bits else 0.0
    return {
        "array": reads * facts["array_energy"],
        "rows": rows
        * (steps.bits * input_density * facts["row_energy"] + steps.steps * facts["dac_energy"]),
        "cells": cells * steps.bits * input_density * weight_density * facts["cell_energy"],
        "converters": sums
        * (
            steps.pulses * facts["pulse_energy"]
            + steps.steps * facts["conversion_energy"]
            + steps.converted_bits * facts["conversion_bit_energy"]
            + steps.steps * levels * facts["conversion_level_energy"]
        ),
        "digital": sums * steps.steps * facts["digital_energy"],
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
    head = f"engines.{engine}."
    units, rows, columns = (facts[head + name] for name in ("units", "rows", "columns"))
    converters = facts.get(head + "converters", columns / facts[head + "columns_per_conversion"])
    return {
        "cells": units * rows * columns * facts[head + "cell_area"],
        "rows": units * rows * facts[head + "row_area"],
        "columns": units * columns * facts[head + "column_area"],
        "converters": units * converters * facts[head + "converter_area"],
        "arrays": units * facts[head + "array_area"],
        "chip": facts[head + "chip_area"],
    }
