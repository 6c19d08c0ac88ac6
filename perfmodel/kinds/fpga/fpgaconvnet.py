"""The style `fpgaconvnet`: streams of words through sliding windows and dot products.

Venieris and Bouganis, "fpgaConvNet: a framework for mapping convolutional neural networks on
FPGAs", FCCM 2016; rates as in the tool's model (`fpgaconvnet/models/modules`, modules
`SlidingWindow`, `VectorDot`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.nests import RowSums
from perfmodel.cost.setting import Setting
from perfmodel.hardware.quantity import Of, Quantity, Spec
from perfmodel.hardware.view import or_else
from perfmodel.kinds.array import Counts
from perfmodel.kinds.fpga.blocks import blocks_18k
from perfmodel.kinds.fpga.layers import check_kinds, layer_designs, stated_or
from perfmodel.kinds.fpga.passage import passed
from perfmodel.kinds.fpga.pipeline import pipelined, waited
from perfmodel.kinds.fpga.styles import FpgaDesign
from perfmodel.kinds.operand_bits import element_bits
from perfmodel.kinds.protocol import Equation, equations_of
from perfmodel.workload.lower import OperatorTable
from perfmodel.workload.shapes import Nests

Fold: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=65536.0)]
Multipliers: TypeAlias = Literal["dsp", "lut"]

_ONE: Final = Quantity(value=1.0)


class StreamedLayer(Spec):
    """How one layer with weights is spread; what is left out is as the design has it."""

    coarse_in: Fold | None = None
    """Streams of input channels."""
    coarse_out: Fold | None = None
    """Streams of output channels."""
    coarse_group: Fold | None = None
    """Streams of groups (of a depthwise convolution: of channels)."""
    fine: Fold | None = None
    """Taps of a window that are multiplied at once."""
    multiply_in: Multipliers | None = None
    """What its multipliers are made of."""


class FpgaConvNet(FpgaDesign):
    """A pipeline of sliding windows and dot products that words stream through (fpgaConvNet)."""

    KEYS: ClassVar[Mapping[str, tuple[type[Spec], tuple[str, ...]]]] = {
        "layers": (StreamedLayer, tuple(str(i) for i in range(1, 65)))
    }

    multiply_in: Multipliers = "dsp"
    """What multipliers are made of."""
    coarse_in: Fold = _ONE
    """Streams of input channels of layers that say nothing else."""
    coarse_out: Fold = _ONE
    """Streams of output channels."""
    coarse_group: Fold = _ONE
    """Streams of groups."""
    fine: Fold = _ONE
    """Taps of a window that are multiplied at once."""
    layers: Mapping[str, StreamedLayer] = {}
    """Position of a layer among those with weights (``"1"`` is the first) -> how it is spread; a
    layer that is repeated counts once."""


DESIGN = FpgaConvNet


def counts(table: OperatorTable, setting: Setting) -> Counts:
    """Return what every row takes.

    Raises
    ------
    InputError
        A layer that there is no hardware for.

    Notes
    -----
    ``passage = (clocks until the last output of the layers so far) / clock``
        Venieris and Bouganis, fpgaConvNet, FCCM 2016; docs/fpga.md

    ``wait = (frames - 1) * clocks of the slowest layer / clock``
        Venieris and Bouganis, fpgaConvNet, FCCM 2016
    """
    nests, xp, frames = table.nests, setting.xp, setting.sequences
    assert nests is not None
    check_kinds(table, nests)
    rows = RowSums(nests.row, len(table.rows), xp)
    design = setting.inside(FpgaConvNet, "design")
    each = layer_designs(StreamedLayer, nests, setting)
    inside = stated_or([layer.coarse_in for layer in each], design.coarse_in, xp)
    outside = stated_or([layer.coarse_out for layer in each], design.coarse_out, xp)
    groups = stated_or([layer.coarse_group for layer in each], design.coarse_group, xp)
    fine = stated_or([layer.fine for layer in each], design.fine, xp)

    def parts(value: Value) -> Value:
        return value if setting.relaxed else xp.ceil(value - 1e-9)

    taps = nests.taps
    streams = parts(nests.in_channels / inside) * parts(nests.groups / groups)
    # A word of a window is multiplied by a filter after the other.
    passes = streams * parts(nests.out_channels / outside) * parts(taps / fine)
    windows = _seen(nests) * nests.batch / frames
    held = rows(
        xp.maximum(passes * nests.positions / frames, xp.where(taps > 1.0, streams * windows, 0.0))
    )
    held = held + _pools(table, nests, frames)
    clocks = passed(table, held, rows(_needed(nests, setting)), xp)
    slowest, wait = waited(held, frames - 1.0, xp)
    wait = wait / xp.maximum(table.count, 1.0)
    in_dsp = np.array([or_else(layer.multiply_in, design.multiply_in) == "dsp" for layer in each])
    by_row = _resources(table, setting, rows, (inside, outside, groups, fine), in_dsp)
    detail = {"clocks": clocks, "interval": held + 0.0 * slowest}
    return pipelined(table, setting, {"passage": clocks, "wait": wait}, by_row, detail)


def _seen(nests: Nests) -> Value:
    """Return positions that a sliding window passes for a map, its padding too."""
    down = (nests.out_rows - 1.0) * nests.stride[:, :1] + nests.kernel_rows
    across = (nests.out_columns - 1.0) * nests.stride[:, 1:] + nests.kernel_columns
    return down * across


def _needed(nests: Nests, setting: Setting) -> Value:
    """Return the share of a layer's input that must be there for its first output.

    Rows and columns of padding come first; of the window the rest must have come. A dense layer
    waits for all of it.
    """
    xp = setting.xp
    above, left = (
        _before(out, stride, kernel, extent, setting)
        for out, stride, kernel, extent in (
            (nests.out_rows, nests.stride[:, :1], nests.kernel_rows, nests.in_rows),
            (nests.out_columns, nests.stride[:, 1:], nests.kernel_columns, nests.in_columns),
        )
    )
    whole = nests.in_rows * nests.in_columns
    lines = xp.maximum(nests.kernel_rows - 1.0 - above, 0.0) * nests.in_columns
    share = xp.minimum(lines + xp.maximum(nests.kernel_columns - left, 1.0), whole) / whole
    dense = np.array([kind == "gemm" for kind in nests.kind])[:, None]
    return xp.where(dense, 1.0, share)


def _before(out: Value, stride: Value, kernel: Value, extent: Value, setting: Setting) -> Value:
    """Return the padding before a map along an axis: the smaller half of all of it."""
    xp = setting.xp
    half = xp.maximum((out - 1.0) * stride + kernel - extent, 0.0) / 2.0
    return half if setting.relaxed else xp.floor(half)


def _pools(table: OperatorTable, nests: Nests, frames: Value) -> Value:
    """Return clocks a frame of poolings, a word per clock."""
    access = table.accesses
    if access is None or not len(nests):
        return np.zeros((len(table.rows), 1))
    pools = np.array([row.kind == "pool" for row in table.rows])
    return pools[:, None] * access.elements[access.starts] / frames


def _resources(
    table: OperatorTable,
    setting: Setting,
    rows: RowSums,
    folds: tuple[Value, Value, Value, Value],
    in_dsp: Value,
) -> dict[str, Value]:
    """Return DSP slices of the multipliers, and memory blocks of weights and lines, by row."""
    inside, outside, groups, fine = folds
    nests, xp = table.nests, setting.xp
    assert nests is not None
    bits = [element_bits([s[i] for s in nests.slots], table.points, setting) for i in range(2)]
    dots = inside * outside * groups
    weights = nests.groups * nests.out_channels * nests.summed
    depth = weights / (dots * fine)
    lines = nests.in_columns * nests.in_channels * nests.groups / (inside * groups)
    buffers = xp.where(nests.kernel_rows > 1.0, nests.kernel_rows - 1.0, 0.0) * inside * groups
    return {
        "dsp": rows(in_dsp[:, None] * dots * fine),
        "bram": rows(
            dots * blocks_18k(depth, fine * bits[1], relaxed=setting.relaxed)
            + buffers * blocks_18k(lines, bits[0], relaxed=setting.relaxed)
        ),
    }


EQUATIONS: Final[Mapping[str, Equation]] = equations_of(counts)
