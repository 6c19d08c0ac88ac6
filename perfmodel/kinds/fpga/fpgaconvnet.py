"""The design style `fpgaconvnet`: streams of words through sliding windows and dot products.

Venieris and Bouganis, "fpgaConvNet: a framework for mapping convolutional neural networks on
FPGAs", FCCM 2016; rates as in the tool's model (`fpgaconvnet/models/modules`, modules
`SlidingWindow`, `VectorDot`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, Literal, TypeAlias

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.setting import Setting
from perfmodel.hardware.fact_views import or_else
from perfmodel.hardware.field_types import ONE, Lanes
from perfmodel.hardware.quantity import Spec
from perfmodel.kinds.array import Counts, NestRun
from perfmodel.kinds.fpga.design_styles import FpgaDesign
from perfmodel.kinds.fpga.fabric import blocks_18k, slices_of_product
from perfmodel.kinds.fpga.layers import check_supported, layer_designs, stated_or_default
from perfmodel.kinds.fpga.pipeline import (
    completion_by_row,
    numbers_of_rows,
    pipeline_counts,
    pipelined,
    slowest_row_and_waits,
)
from perfmodel.kinds.fpga.spec import FpgaSpec
from perfmodel.kinds.protocol import Terms
from perfmodel.workload.nest_table import Nests
from perfmodel.workload.operator_table import OperatorTable

Multipliers: TypeAlias = Literal["dsp", "lut"]

_ONE: Final = ONE


class StreamedLayer(Spec):
    """Unrolling of one layer with weights; a field left out has the design's value."""

    coarse_in: Lanes | None = None
    """Parallel streams of input channels."""
    coarse_out: Lanes | None = None
    """Parallel streams of output channels."""
    coarse_group: Lanes | None = None
    """Parallel streams of groups (in a depthwise convolution: of channels)."""
    fine: Lanes | None = None
    """Taps of a window that are multiplied in parallel."""
    multiply_in: Multipliers | None = None
    """Resource that implements its multipliers."""


class FpgaConvNet(FpgaDesign):
    """A pipeline of streaming sliding windows and dot products (fpgaConvNet)."""

    KEYS: ClassVar[Mapping[str, tuple[type[Spec], tuple[str, ...]]]] = {
        "layers": (StreamedLayer, tuple(str(i) for i in range(1, 65)))
    }

    multiply_in: Multipliers = "dsp"
    """Resource that implements the multipliers."""
    coarse_in: Lanes = _ONE
    """Parallel streams of input channels, for layers that state no other number."""
    coarse_out: Lanes = _ONE
    """Parallel streams of output channels."""
    coarse_group: Lanes = _ONE
    """Parallel streams of groups."""
    fine: Lanes = _ONE
    """Taps of a window that are multiplied in parallel."""
    layers: Mapping[str, StreamedLayer] = {}
    """Position of a layer among those with weights (``"1"`` is the first) -> its unrolling; a
    repeated layer counts once."""


DESIGN = FpgaConvNet


def counts(run: NestRun) -> Counts:
    """Return the clocks and resources of every row.

    Raises
    ------
    InputError
        A layer that no module supports.

    Notes
    -----
    ``passage = (clocks until the last output of the layers so far) / clock``
        Venieris and Bouganis, fpgaConvNet, FCCM 2016; docs/fpga.md

    ``wait = (frames - 1) * clocks of the slowest layer / clock``
        Venieris and Bouganis, fpgaConvNet, FCCM 2016
    """
    nests, setting, rows, xp = run.nests, run.setting, run.rows, run.xp
    frames = setting.sequences
    check_supported(run)
    design = setting.inside(FpgaConvNet, "design")
    each = layer_designs(StreamedLayer, nests, setting)
    inside = stated_or_default([layer.coarse_in for layer in each], design.coarse_in, xp)
    outside = stated_or_default([layer.coarse_out for layer in each], design.coarse_out, xp)
    groups = stated_or_default([layer.coarse_group for layer in each], design.coarse_group, xp)
    fine = stated_or_default([layer.fine for layer in each], design.fine, xp)

    def parts(value: Value) -> Value:
        return value if setting.relaxed else xp.ceil(value - 1e-9)

    taps = nests.taps
    streams = parts(nests.in_channels / inside) * parts(nests.groups / groups)
    # A word of a window is multiplied by one filter after another.
    passes = streams * parts(nests.out_channels / outside) * parts(taps / fine)
    windows = _window_positions(nests) * nests.batch / frames
    occupied = rows(
        xp.maximum(passes * nests.positions / frames, xp.where(taps > 1.0, streams * windows, 0.0))
    )
    in_dsp = np.array([or_else(layer.multiply_in, design.multiply_in) == "dsp" for layer in each])
    columns = {
        "interval": occupied + _pooling_clocks(run),
        "needed": rows(_share_for_first_output(nests, setting)),
        **_resources(run, (inside, outside, groups, fine), in_dsp),
    }
    return pipeline_counts(run, columns)


def combined(terms: Terms, table: OperatorTable, setting: Setting) -> Terms:
    """Return the terms of a network: the longest path through it, and its slowest layer."""
    columns, xp = terms.columns, setting.xp
    occupied = columns["interval"]
    clocks = completion_by_row(table, occupied, columns["needed"], xp)
    slowest, wait = slowest_row_and_waits(occupied, columns["waiting"], xp)
    work = {"passage": clocks, "wait": wait / xp.maximum(table.count, 1.0)}
    by_row = {name: columns[name] for name in ("dsp", "bram")}
    detail = {"clocks": clocks, "interval": occupied + 0.0 * slowest}
    return pipelined(terms, table, setting, work, by_row, detail, slowest)


def _window_positions(nests: Nests) -> Value:
    """Return positions that a sliding window visits on a map, padding included."""
    down = (nests.out_rows - 1.0) * nests.stride[:, :1] + nests.kernel_rows
    across = (nests.out_columns - 1.0) * nests.stride[:, 1:] + nests.kernel_columns
    return down * across


def _share_for_first_output(nests: Nests, setting: Setting) -> Value:
    """Return the share of a layer's input that is required for its first output.

    Padding rows and columns come first and need no input; the rest of the window must have arrived.
    A dense layer waits for its entire input.
    """
    xp = setting.xp
    above, left = (
        _leading_padding(out, stride, kernel, extent, setting)
        for out, stride, kernel, extent in (
            (nests.out_rows, nests.stride[:, :1], nests.kernel_rows, nests.in_rows),
            (nests.out_columns, nests.stride[:, 1:], nests.kernel_columns, nests.in_columns),
        )
    )
    area = nests.in_rows * nests.in_columns
    lines = xp.maximum(nests.kernel_rows - 1.0 - above, 0.0) * nests.in_columns
    share = xp.minimum(lines + xp.maximum(nests.kernel_columns - left, 1.0), area) / area
    dense = np.array([kind == "gemm" for kind in nests.kind])[:, None]
    return xp.where(dense, 1.0, share)


def _leading_padding(
    out: Value, stride: Value, kernel: Value, extent: Value, setting: Setting
) -> Value:
    """Return the padding before a map along an axis: half of the total, rounded down."""
    xp = setting.xp
    half = xp.maximum((out - 1.0) * stride + kernel - extent, 0.0) / 2.0
    return half if setting.relaxed else xp.floor(half)


def _pooling_clocks(run: NestRun) -> Value:
    """Return clocks per frame of poolings, one word per clock."""
    pools = np.array([[row.kind == "pool"] for row in run.table.rows])
    return pools * numbers_of_rows(run)


def _resources(
    run: NestRun,
    folds: tuple[Value, Value, Value, Value],
    in_dsp: Value,
) -> dict[str, Value]:
    """Return per row the DSP slices of multipliers, and memory blocks of weights and lines."""
    inside, outside, groups, fine = folds
    nests, rows, xp, relaxed = run.nests, run.rows, run.xp, run.setting.relaxed
    dots = inside * outside * groups
    slices = slices_of_product(run.bits(0), run.bits(1), run.setting.engine_as(FpgaSpec, "fpga"))
    weights = nests.groups * nests.out_channels * nests.summed
    depth = weights / (dots * fine)
    lines = nests.in_columns * nests.in_channels * nests.groups / (inside * groups)
    buffers = xp.where(nests.kernel_rows > 1.0, nests.kernel_rows - 1.0, 0.0) * inside * groups
    return {
        "dsp": rows(in_dsp[:, None] * dots * fine * slices),
        "bram": rows(
            dots * blocks_18k(depth, fine * run.bits(1), relaxed=relaxed)
            + buffers * blocks_18k(lines, run.bits(0), relaxed=relaxed)
        ),
    }
