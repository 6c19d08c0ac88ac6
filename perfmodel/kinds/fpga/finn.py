"""The style `finn`: matrix-vector units that fold a layer over processing elements and lanes.

Umuroglu et al., "FINN: a framework for fast, scalable binarized neural network inference", FPGA
2017; Blott et al., "FINN-R", ACM TRETS 11(3), 2018: estimates as in the tool's source
(`finn/custom_op/fpgadataflow/hls/matrixvectoractivation_hls.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Final, Literal, NamedTuple, TypeAlias

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.nests import RowSums
from perfmodel.cost.setting import Setting
from perfmodel.errors import Fault, InputError
from perfmodel.hardware.quantity import Of, Quantity, Spec
from perfmodel.kinds.array import Counts
from perfmodel.kinds.fpga.blocks import blocks_18k
from perfmodel.kinds.fpga.layers import check_kinds, layer_designs, stated_or
from perfmodel.kinds.fpga.pipeline import finished, pipelined, waited
from perfmodel.kinds.fpga.styles import FpgaDesign
from perfmodel.kinds.operand_bits import element_bits
from perfmodel.kinds.protocol import Equation, equations_of
from perfmodel.workload.lower import OperatorTable
from perfmodel.workload.shapes import Nests

Fold: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=65536.0)]


class FoldedLayer(Spec):
    """How one layer with weights is folded."""

    pe: Fold | None = None
    """Processing elements: outputs side by side; divides the outputs."""
    simd: Fold | None = None
    """Lanes of each: inputs side by side; divides the inputs of an output."""


class Finn(FpgaDesign):
    """A pipeline of folded matrix-vector units (FINN)."""

    KEYS: ClassVar[Mapping[str, tuple[type[Spec], tuple[str, ...]]]] = {
        "layers": (FoldedLayer, tuple(str(i) for i in range(1, 65)))
    }

    multiply_in: Literal["dsp", "lut"] = "lut"
    """What multipliers are made of."""
    pe: Fold = Quantity(value=1.0)
    """Processing elements of layers that say nothing else: the largest divisor up to it."""
    simd: Fold = Quantity(value=1.0)
    """Lanes of layers that say nothing else: the largest divisor up to it."""
    layers: Mapping[str, FoldedLayer] = {}
    """Position of a layer among those with weights (``"1"`` is the first) -> how it is folded."""


class Unit(NamedTuple):
    """A matrix-vector unit with threshold activation; numbers or arrays.

    Attributes
    ----------
    inputs, outputs
        Products of an output (``MW``), and outputs (``MH``).
    pe, simd
        Outputs and inputs side by side.
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


#: Bits of an activation up to which it is a comparison with thresholds.
_THRESHOLD_BITS = 4.0

DESIGN = Finn


def unit_cycles(unit: Unit) -> Value:
    """Return clocks of a unit for one vector: ``(MH / PE) (MW / SIMD)``."""
    return unit.outputs / unit.pe * (unit.inputs / unit.simd)


def unit_luts(unit: Unit) -> Value:
    """Return look-up tables of a unit, FINN's estimate.

    ``300 + 1.1 PE (multipliers + adder tree + accumulator + thresholds)``, and weights in look-up
    tables where there are at most 128 words of them.
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
    """Return memory blocks of a unit's weights, FINN's estimate: words of all PEs and lanes."""
    xp = namespace(*unit)
    words, width = unit_cycles(unit), unit.pe * unit.simd * unit.weight_bits
    narrow = blocks_18k(words, width)
    wide = xp.where(words > 512.0, xp.ceil(words / 1024.0) * xp.ceil(width / 18.0), narrow)
    return xp.where(words <= 128.0, 0.0, xp.where(width > 18.0, wide, narrow))


def counts(table: OperatorTable, setting: Setting) -> Counts:
    """Return what every row takes.

    Raises
    ------
    InputError
        A layer that there is no unit for, or a folding that does not divide it.

    Notes
    -----
    ``stream = (clocks until the layer's last output, after the one before) / clock``
        Blott et al., FINN-R, TRETS 11(3), 2018; docs/fpga.md
    """
    nests, xp, frames = table.nests, setting.xp, setting.sequences
    assert nests is not None
    check_kinds(table, nests)
    unit = _units(table, nests, setting)
    rows = RowSums(nests.row, len(table.rows), xp)
    folds = unit_cycles(unit)
    pixels = nests.positions / frames
    # A sliding window writes its taps for every output, and reads its input once.
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
    held = rows(xp.maximum(folds * pixels, window)) + _beside(table, nests, unit, frames)
    tail = rows(folds * xp.where(nests.out_rows > 1.0, nests.out_columns, pixels))
    _, wait = waited(held, frames - 1.0, xp)
    clocks = finished(held, tail, fill, xp) + wait
    window_bits = xp.minimum(unit.simd, channels) * unit.input_bits
    lines = nests.kernel_rows * nests.in_columns * steps
    by_row = {
        "lut": rows(unit_luts(unit) + xp.where(taps > 1.0, 300.0, 0.0)),
        "dsp": rows(
            unit.in_dsp * unit.pe * unit.simd * xp.ceil((unit.input_bits + unit.weight_bits) / 48.0)
        ),
        "bram": rows(unit_blocks(unit) + xp.where(taps > 1.0, blocks_18k(lines, window_bits), 0.0)),
    }
    detail = {"clocks": clocks, "interval": held, "pe": rows(unit.pe), "simd": rows(unit.simd)}
    return pipelined(table, setting, {"stream": clocks}, by_row, detail)


def _units(table: OperatorTable, nests: Nests, setting: Setting) -> Unit:
    """Return the unit of each layer, its folding checked or cut to a divisor."""
    inputs, outputs = nests.summed, nests.out_channels * nests.groups
    bits = [element_bits([s[i] for s in nests.slots], table.points, setting) for i in range(3)]
    design = setting.inside(Finn, "design")
    in_dsp = 1.0 if design.multiply_in == "dsp" else 0.0
    each = layer_designs(FoldedLayer, nests, setting)
    faults: list[Fault] = []
    folds = [layer.pe for layer in each], [layer.simd for layer in each]
    pe = _folded("pe", folds[0], design.pe, outputs, nests, setting, faults)
    simd = _folded("simd", folds[1], design.simd, inputs, nests, setting, faults)
    if faults:
        raise InputError(faults)
    return Unit(inputs, outputs, pe, simd, bits[0], bits[1], bits[2], in_dsp)


def _folded(
    name: str,
    stated: Sequence[Value],
    default: Value,
    extent: Value,
    nests: Nests,
    setting: Setting,
    faults: list[Fault],
) -> Value:
    """Return a folding of each layer: stated ones must divide, others become the next divisor."""
    xp = setting.xp
    asked = xp.minimum(stated_or(stated, default, xp), extent)
    if xp is not np or setting.relaxed:
        return asked
    wide, given = np.broadcast_arrays(extent, asked)
    out = np.array(given, dtype=float)
    for i in range(len(nests)):
        for whole, fold in np.unique(np.stack([wide[i], given[i]]), axis=1).T:
            best = _divisor(round(whole), round(fold))
            if stated[i] is not None and best != fold:
                faults.append(
                    Fault(
                        f"layer {i + 1} ({nests.name[i]}) has {whole:g} to fold, not a multiple of "
                        f"{fold:g}",
                        path=f"engines.{setting.engine_name}.design.layers.{i + 1}.{name}",
                        expected=f"{best}, the nearest below that divides",
                    )
                )
            out[i][(wide[i] == whole) & (given[i] == fold)] = best
    return out


def _divisor(whole: int, most: int) -> int:
    """Return the largest divisor of a number that is no larger than another."""
    return next(d for d in range(min(whole, most), 0, -1) if whole % d == 0)


def _beside(table: OperatorTable, nests: Nests, unit: Unit, frames: Value) -> Value:
    """Return clocks a frame of rows without weights: poolings and copies take a pixel a clock.

    Activations are thresholds of the unit before them.
    """
    access = table.accesses
    count = len(table.rows)
    if access is None or not len(nests):
        return np.zeros((count, 1))
    moves = np.array([row.kind in {"pool", "copy", "resize"} for row in table.rows])
    before = np.clip(np.searchsorted(nests.row, np.arange(count)) - 1, 0, None)
    return moves[:, None] * access.elements[access.starts] / frames / unit.outputs[before]


EQUATIONS: Final[Mapping[str, Equation]] = equations_of(counts)
