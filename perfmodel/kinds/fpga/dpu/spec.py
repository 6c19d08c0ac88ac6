"""Spec of a deep-learning processing unit (DPU), and clocks of a layer on its multipliers.

The array computes `pixels` of an output column in parallel, each from `input_channels` and for
`output_channels`; a partial tile in any of them takes as long as a full one (PG338, "Architecture
of the DPUCZDX8G").
"""

from __future__ import annotations

from typing import Any, NamedTuple

from perfmodel.arrays import Value
from perfmodel.hardware.field_types import ONE, Draw, Lanes
from perfmodel.hardware.quantity import Quantity
from perfmodel.kinds.fpga.design_styles import FpgaDesign
from perfmodel.kinds.fpga.fabric import Fabric


class Dpu(FpgaDesign):
    """Cores of multipliers in parallel over pixels, input channels and output channels.

    The engine's `units` are the cores, its clock that of the multipliers' controller. Its first
    peak is two operations per multiplier and clock, over all cores and their engines. A memory
    nearer than main memory keeps feature maps between layers; without one all of them go through
    main memory.
    """

    pixels: Lanes
    """Pixels of a column that are computed in parallel."""
    input_channels: Lanes
    """Input channels that are summed per clock."""
    output_channels: Lanes
    """Output channels that are computed in parallel."""
    taps_fill_channels: bool = False
    """Channel augmentation: taps of a kernel row share the input channels, in layers with at most
    half as many."""
    alu_pixels: Lanes = ONE
    """Pixels that the unit for depthwise convolution and pooling computes in parallel."""
    alu_channels: Lanes = Quantity(value=16.0)
    """Channels of that unit in parallel."""
    images: Lanes = ONE
    """Engines of a core, each of which processes one image with the same weights."""
    port: Draw
    """Bytes per clock that the data ports of a core read or write, per image."""
    weight_port: Draw | None = None
    """Bytes of weights per clock that a core reads through separate ports; those of `port` if left
    out."""
    core: Fabric = Fabric()
    """Resources of one core."""
    platform: Fabric = Fabric()
    """Resources of the fabric outside the cores."""


class DpuLayerShape(NamedTuple):
    """Layer of one image, arrays that broadcast: extents of the output, channels per group."""

    rows: Value
    columns: Value
    in_channels: Value
    out_channels: Value
    kernel_rows: Value
    kernel_columns: Value
    groups: Value = 1.0


class DpuParallelism(NamedTuple):
    """Parallel extents of the array; `augmented` is 1 where taps share the input channels."""

    pixels: Value
    input_channels: Value
    output_channels: Value
    augmented: Value = 0.0


def array_clocks(
    layer: DpuLayerShape, tile: DpuParallelism, xp: Any, *, relaxed: bool = False
) -> Value:
    """Return clocks of a convolution or matrix product.

    ``ceil(rows/pixels) * columns * steps * ceil(out/output_channels) * kernel_rows * groups``, with
    ``steps`` equal to ``ceil(in/input_channels) * kernel_columns`` or, under channel augmentation
    and with at most half the input channels, ``ceil(in * kernel_columns / input_channels)``.

    Parameters
    ----------
    xp
        Array namespace.
    relaxed
        Omit rounding: a fraction of a tile takes that fraction of its time.
    """

    def parts(value: Value) -> Value:
        return value if relaxed else xp.ceil(value - 1e-9)

    plain = parts(layer.in_channels / tile.input_channels) * layer.kernel_columns
    filled = parts(layer.in_channels * layer.kernel_columns / tile.input_channels)
    narrow = (2.0 * layer.in_channels <= tile.input_channels) * tile.augmented
    steps = xp.where(narrow > 0, xp.minimum(filled, plain), plain)
    return (
        parts(layer.rows / tile.pixels)
        * layer.columns
        * steps
        * parts(layer.out_channels / tile.output_channels)
        * layer.kernel_rows
        * layer.groups
    )


def alu_clocks(
    layer: DpuLayerShape, pixels: Value, channels: Value, xp: Any, *, relaxed: bool = False
) -> Value:
    """Return clocks of a depthwise convolution: `channels` x `pixels` taps per clock."""

    def parts(value: Value) -> Value:
        return value if relaxed else xp.ceil(value - 1e-9)

    return (
        parts(layer.rows / pixels)
        * layer.columns
        * parts(layer.groups / channels)
        * layer.out_channels
        * layer.in_channels
        * layer.kernel_rows
        * layer.kernel_columns
    )
