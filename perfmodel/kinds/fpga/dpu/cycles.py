"""Clocks that a layer keeps the multipliers of a core busy.

Of an output column, `pixels` are made at once, each from `input_channels` and for
`output_channels`; what is left over of either takes as long as a whole tile (PG338, "Architecture
of the DPUCZDX8G").
"""

from __future__ import annotations

from typing import Any, NamedTuple

from perfmodel.arrays import Value


class DpuLayerShape(NamedTuple):
    """A layer for one image, arrays that broadcast: extents of the result, channels of a group."""

    rows: Value
    columns: Value
    in_channels: Value
    out_channels: Value
    kernel_rows: Value
    kernel_columns: Value
    groups: Value = 1.0


class DpuParallelism(NamedTuple):
    """What works at once; `augmented` is 1 where taps of a row fill the input channels."""

    pixels: Value
    input_channels: Value
    output_channels: Value
    augmented: Value = 0.0


def array_clocks(
    layer: DpuLayerShape, tile: DpuParallelism, xp: Any, *, relaxed: bool = False
) -> Value:
    """Return clocks of a convolution or product of matrices.

    ``ceil(rows/pixels) * columns * steps * ceil(out/output_channels) * kernel_rows * groups``,
    ``steps`` being ``ceil(in/input_channels) * kernel_columns``, or, under channel augmentation
    and with at most half the input channels, ``ceil(in * kernel_columns / input_channels)``.

    Parameters
    ----------
    xp
        Array namespace.
    relaxed
        No rounding: fractions of a tile take a fraction of its time.
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
    """Return clocks of a depthwise convolution: `channels` of `pixels` at once, a tap a clock."""

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
