"""The design style `finn`: matrix-vector units fold a layer over processing elements and lanes.

Umuroglu et al., "FINN: a framework for fast, scalable binarized neural network inference", FPGA
2017; Blott et al., "FINN-R", ACM TRETS 11(3), 2018: estimates as in the tool's source
(`finn/custom_op/fpgadataflow/hls/matrixvectoractivation_hls.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.setting import Setting
from perfmodel.errors import Fault, InputError
from perfmodel.hardware.field_types import ONE, Lanes
from perfmodel.hardware.quantity import Spec
from perfmodel.kinds.array import Counts, NestRun
from perfmodel.kinds.distinct_columns import Floats
from perfmodel.kinds.fpga.design_styles import FpgaDesign
from perfmodel.kinds.fpga.fabric import blocks_18k
from perfmodel.kinds.fpga.layers import check_supported, layer_designs, stated_or_default
from perfmodel.kinds.fpga.pipeline import (
    numbers_of_rows,
    of_layer_before,
    pipeline_counts,
    pipelined,
    slowest_row_and_waits,
    stream_clocks_by_row,
)
from perfmodel.kinds.protocol import Terms
from perfmodel.tracing.array_namespace import NAMESPACE as TRACED
from perfmodel.workload.nest_table import Nests
from perfmodel.workload.operator_table import OperatorTable


class FoldedLayer(Spec):
    """Folding of one layer with weights."""

    pe: Lanes | None = None
    """Processing elements: outputs in parallel; divides the outputs."""
    simd: Lanes | None = None
    """Lanes per element: inputs in parallel; divides the inputs of an output."""


class Finn(FpgaDesign):
    """A pipeline of folded matrix-vector units (FINN)."""

    KEYS: ClassVar[Mapping[str, tuple[type[Spec], tuple[str, ...]]]] = {
        "layers": (FoldedLayer, tuple(str(i) for i in range(1, 65)))
    }

    multiply_in: Literal["dsp", "lut"] = "lut"
    """Resource that implements the multipliers."""
    pe: Lanes = ONE
    """Processing elements of layers that state no other number: the largest divisor up to it."""
    simd: Lanes = ONE
    """Lanes of layers that state no other number: the largest divisor up to it."""
    layers: Mapping[str, FoldedLayer] = {}
    """Position of a layer among those with weights (``"1"`` is the first) -> its folding."""


class Unit(NamedTuple):
    """A matrix-vector unit with threshold activation; numbers or arrays.

    Attributes
    ----------
    inputs, outputs
        Inputs (products per output, ``MW``), and outputs (``MH``).
    pe, simd
        Outputs and inputs in parallel.
    input_bits, weight_bits, output_bits
        Bits of an element.
    in_dsp
        1 where multipliers are DSP slices, else 0.
    """

    inputs: Value
    outputs: Value
    pe: Value
    simd: Value
    input_bits: Value
    weight_bits: Value
    output_bits: Value
    in_dsp: Value


#: Largest activation width in bits that is implemented as comparisons with thresholds.
_THRESHOLD_BITS = 4.0

DESIGN = Finn


def unit_cycles(unit: Unit) -> Value:
    """Return clocks of a unit for one vector: ``(MH / PE) (MW / SIMD)``."""
    return unit.outputs / unit.pe * (unit.inputs / unit.simd)


def unit_luts(unit: Unit) -> Value:
    """Return look-up tables of a unit by FINN's estimate.

    ``300 + 1.1 PE (multipliers + adder tree + accumulator + thresholds)``, plus the weights where
    they are at most 128 words and therefore in look-up tables.
    """
    u, xp = unit, namespace(*unit)
    both = u.input_bits + u.weight_bits
    multipliers = (1.0 - u.in_dsp) * u.simd * (2.0 * xp.ceil(both / 6.0) - 1.0) * both
    tree = both * (2.0 * u.simd - 1.0)
    alpha = xp.log2(u.inputs) + both - 1.0
    sums = xp.ceil(alpha + xp.log2(1.0 + 2.0**-alpha) + 1.0)
    steps = xp.where(u.output_bits <= _THRESHOLD_BITS, 2.0**u.output_bits - 1.0, 0.0)
    thresholds = steps * sums * (xp.ceil(u.outputs / u.pe / 64.0) + 1.0)
    words = unit_cycles(u)
    stored = u.pe * u.simd * u.weight_bits * xp.ceil(words / 64.0)
    return (
        300.0
        + 1.1 * u.pe * (multipliers + tree + sums + thresholds)
        + xp.where(words <= 128.0, stored, 0.0)
    )


def unit_blocks(unit: Unit) -> Value:
    """Return memory blocks of a unit's weights by FINN's estimate, all PEs and lanes in a word."""
    xp = namespace(*unit)
    words, width = unit_cycles(unit), unit.pe * unit.simd * unit.weight_bits
    narrow = blocks_18k(words, width)
    wide = xp.where(words > 512.0, xp.ceil(words / 1024.0) * xp.ceil(width / 18.0), narrow)
    return xp.where(words <= 128.0, 0.0, xp.where(width > 18.0, wide, narrow))


def counts(run: NestRun) -> Counts:
    """Return the clocks and resources of every row.

    Raises
    ------
    InputError
        A layer that no unit supports, or a folding that does not divide it.

    Notes
    -----
    ``stream = (clocks until the layer's last output, after the one before) / clock``
        Blott et al., FINN-R, TRETS 11(3), 2018; docs/fpga.md
    """
    nests, xp, rows, frames = run.nests, run.xp, run.rows, run.setting.sequences
    check_supported(run)
    unit = _units(run)
    folds = unit_cycles(unit)
    pixels = nests.positions / frames
    # A sliding window writes its taps once per output, and reads its input once.
    channels = nests.in_channels * nests.groups
    steps = channels / xp.minimum(unit.simd, channels)
    taps = nests.taps
    buffered = ((nests.kernel_rows - 1.0) * nests.in_columns + nests.kernel_columns) * steps
    window = xp.where(
        taps > 1.0,
        nests.out_rows
        * xp.maximum(
            nests.out_columns * taps * steps, nests.stride[:, 1:] * nests.in_columns * steps
        ),
        0.0,
    )
    fill = rows(xp.where(taps > 1.0, buffered, 0.0) + unit.inputs / unit.simd)
    tail = rows(folds * xp.where(nests.out_rows > 1.0, nests.out_columns, pixels))
    window_bits = xp.minimum(unit.simd, channels) * unit.input_bits
    moves = np.array([row.kind in {"pool", "copy", "resize"} for row in run.table.rows])
    lines = nests.kernel_rows * nests.in_columns * steps
    columns = {
        "interval": rows(xp.maximum(folds * pixels, window)),
        "tail": tail,
        "fill": fill,
        "layer": 1.0 - run.without_nests,
        "numbers": moves[:, None] * numbers_of_rows(run),
        "outputs": rows(unit.outputs),
        "lut": rows(unit_luts(unit) + xp.where(taps > 1.0, 300.0, 0.0)),
        "dsp": rows(
            unit.in_dsp * unit.pe * unit.simd * xp.ceil((unit.input_bits + unit.weight_bits) / 48.0)
        ),
        "bram": rows(unit_blocks(unit) + xp.where(taps > 1.0, blocks_18k(lines, window_bits), 0.0)),
    }
    return pipeline_counts(run, columns, {"pe": rows(unit.pe), "simd": rows(unit.simd)})


def combined(terms: Terms, table: OperatorTable, setting: Setting) -> Terms:
    """Return the terms of a network: its slowest layer, and its stream."""
    columns, xp = terms.columns, setting.xp
    # Poolings and copies pass one pixel per clock; activations are thresholds of the unit before.
    passing = columns["numbers"] / of_layer_before(columns["outputs"], columns["layer"])
    occupied = columns["interval"] + passing
    slowest, wait = slowest_row_and_waits(occupied, columns["waiting"], xp)
    clocks = stream_clocks_by_row(occupied, columns["tail"], columns["fill"], table.count, xp)
    clocks = clocks + wait
    by_row = {name: columns[name] for name in ("lut", "dsp", "bram")}
    detail = {"clocks": clocks, "interval": occupied}
    return pipelined(terms, table, setting, {"stream": clocks}, by_row, detail, slowest)


def _units(run: NestRun) -> Unit:
    """Return the unit of each layer, with its folding checked or reduced to a divisor."""
    nests, setting = run.nests, run.setting
    inputs, outputs = nests.summed, nests.out_channels * nests.groups
    design = setting.inside(Finn, "design")
    in_dsp = 1.0 if design.multiply_in == "dsp" else 0.0
    each = layer_designs(FoldedLayer, nests, setting)
    faults: list[Fault] = []
    folds = [layer.pe for layer in each], [layer.simd for layer in each]
    pe = _folding_factors("pe", folds[0], design.pe, outputs, nests, setting, faults)
    simd = _folding_factors("simd", folds[1], design.simd, inputs, nests, setting, faults)
    if faults:
        raise InputError(faults)
    return Unit(inputs, outputs, pe, simd, run.bits(0), run.bits(1), run.bits(2), in_dsp)


def _folding_factors(
    name: str,
    stated: Sequence[Value],
    default: Value,
    extent: Value,
    nests: Nests,
    setting: Setting,
    faults: list[Fault],
) -> Value:
    """Return the folding of each layer: stated ones must divide, others become the next divisor."""
    xp = setting.xp
    folds = xp.minimum(stated_or_default(stated, default, xp), extent)
    if xp is TRACED and not setting.relaxed:
        is_stated = np.array([[each is not None] for each in stated], dtype=float)
        return xp.by_column(_divisors_by_column, (extent, folds, is_stated), 1)[0]
    if xp is not np or setting.relaxed:
        return folds
    wide, fold_each = np.broadcast_arrays(extent, folds)
    out = np.array(fold_each, dtype=float)
    for i in range(len(nests)):
        for size, fold in np.unique(np.stack([wide[i], fold_each[i]]), axis=1).T:
            best = _largest_divisor(round(size), round(fold))
            if stated[i] is not None and best != fold:
                faults.append(
                    Fault(
                        f"layer {i + 1} ({nests.name[i]}) has {size:g} to fold, not a multiple of "
                        f"{fold:g}",
                        path=f"engines.{setting.engine_name}.design.layers.{i + 1}.{name}",
                        expected=f"{best}, the nearest below that divides",
                    )
                )
            out[i][(wide[i] == size) & (fold_each[i] == fold)] = best
    return out


def _divisors_by_column(columns: Floats) -> Floats:
    """Return the largest divisors; NaN, which is no answer, where a stated fold does not divide.

    Parameters
    ----------
    columns
        Extent, fold, and whether it is stated for the layer, ``(3, columns)``.
    """
    extents, folds, is_stated = columns
    pairs = zip(extents.tolist(), folds.tolist(), strict=True)
    best = np.array([_largest_divisor(round(size), round(fold)) for size, fold in pairs], float)
    return np.where((is_stated > 0.0) & (best != folds), np.nan, best)[None]


def _largest_divisor(number: int, most: int) -> int:
    """Return the largest divisor of a number that is no larger than another."""
    return next(d for d in range(min(number, most), 0, -1) if number % d == 0)
