"""Clocks and bits of a layer on a bit-composable array, for a given tiling.

Sharma et al., "Bit Fusion: Bit-Level Dynamically Composable Architecture for Accelerating Deep
Neural Networks", ISCA 2018, and the simulator published with it; `docs/bit_fusion.md` has the
equations and the details inferred from the tables of APQ (Wang et al., CVPR 2020).
"""

from __future__ import annotations

from typing import NamedTuple

from perfmodel.arrays import Value, namespace
from perfmodel.cost.traffic.nest import TileNest
from perfmodel.cost.traffic.pointwise import columns_of


class ComposedArray(NamedTuple):
    """An array whose units are composed for operands of some bits; numbers or arrays.

    Attributes
    ----------
    input_bits, weight_bits
        Stored bits of an element; 0 where the operand does not come from main memory.
    sum_bits
        Bits of a partial sum spilled to main memory and read back; 0 where outputs stay on chip.
    held_bits
        Bits of a partial sum in its buffer.
    lanes, steps
        From `lanes_and_steps`.
    unrolled
        1 where the windows are stored one by one (im2col), else 0.
    height, width
        Rows and columns of fusion units.
    input_room, weight_room, output_room
        Capacity for a tile in each buffer, bits.
    """

    input_bits: Value
    weight_bits: Value
    sum_bits: Value
    held_bits: Value
    lanes: Value
    steps: Value
    unrolled: Value
    height: Value
    width: Value
    input_room: Value
    weight_room: Value
    output_room: Value


class BitFusionTiling(NamedTuple):
    """Extents of a tile, number of tiles moved per operand, and tiles resident in each buffer.

    Attributes
    ----------
    images, rows, columns, in_channels, out_channels
        Extents of a tile of the loop nest, in outputs and channels.
    input_moves, weight_moves, output_moves
        Tiles transferred between main memory and the operand's buffer.
    input_held, weight_held, output_held
        Tiles resident in the buffer together, loaded before the first product or written back after
        the last one.
    """

    images: Value
    rows: Value
    columns: Value
    in_channels: Value
    out_channels: Value
    input_moves: Value
    weight_moves: Value
    output_moves: Value
    input_held: Value
    weight_held: Value
    output_held: Value


class TileCounts(NamedTuple):
    """Clocks and bits of one pass.

    Attributes
    ----------
    cycles
        Clocks during which the array computes.
    ends_bits
        Bits of the first tiles loaded and of the last one written back, which overlap with nothing.
    input_bits, weight_bits, output_bits
        Bits between main memory and each buffer; outputs count in both directions.
    """

    cycles: Value
    ends_bits: Value
    input_bits: Value
    weight_bits: Value
    output_bits: Value

    @property
    def memory_bits(self) -> Value:
        """Bits between main memory and all buffers."""
        return self.input_bits + self.weight_bits + self.output_bits


def lanes_and_steps(
    input_bits: Value,
    weight_bits: Value,
    highest: Value = 8.0,
    lowest: Value = 2.0,
    *,
    relaxed: bool = False,
) -> tuple[Value, Value]:
    """Return products that a fusion unit computes in parallel, and clocks that they require.

    ``floor(8 / max(a, 2)) * floor(8 / max(w, 2))`` products for operands of ``a`` and ``w`` bits,
    at most eight each (Sharma et al., section III); a wider operand is processed in pieces of eight
    bits.

    Parameters
    ----------
    input_bits, weight_bits
        Bits of the operands; numbers or arrays.
    highest, lowest
        Bits of the whole unit and of its smallest part.
    relaxed
        Omit the floors.
    """
    xp = namespace(input_bits, weight_bits, highest, lowest)
    lanes: Value = 1.0
    steps: Value = 1.0
    for bits in (input_bits, weight_bits):
        side = highest / xp.maximum(xp.minimum(bits, highest), lowest)
        lanes = lanes * (side if relaxed else xp.floor(side + 1e-9))
        pieces = xp.maximum(bits / highest, 1.0)
        steps = steps * (pieces if relaxed else xp.ceil(pieces - 1e-9))
    return lanes, steps


def tile_bits(
    nest: TileNest,
    array: ComposedArray,
    images: Value,
    rows: Value,
    columns: Value,
    in_channels: Value,
    out_channels: Value,
) -> tuple[Value, Value, Value]:
    """Return bits of a tile of inputs, weights and partial sums as transferred from main memory."""
    positions = input_window(nest, array, rows, columns)
    return (
        positions * images * in_channels * array.input_bits,
        nest.taps * in_channels * out_channels * array.weight_bits,
        images * rows * columns * out_channels * array.sum_bits,
    )


def input_window(nest: TileNest, array: ComposedArray, rows: Value, columns: Value) -> Value:
    """Return input positions read by the outputs of a tile, halo and padding included.

    ``((rows - 1) stride + (taps - 1) dilation + 1)`` along each axis; every output has a copy of
    its window where the windows are unrolled.
    """
    window_rows = (rows - 1) * nest.row_stride + (nest.kernel_rows - 1) * nest.row_dilation + 1
    window_columns = (
        (columns - 1) * nest.column_stride + (nest.kernel_columns - 1) * nest.column_dilation + 1
    )
    unrolled_positions = rows * columns * nest.taps
    return (
        array.unrolled * unrolled_positions + (1.0 - array.unrolled) * window_rows * window_columns
    )


def count(
    nest: TileNest, array: ComposedArray, tiling: BitFusionTiling, *, relaxed: bool = False
) -> TileCounts:
    """Return clocks and bits of one pass, a convolution of one group, under a tiling.

    Parameters
    ----------
    nest, array, tiling
        Numbers or arrays that broadcast.
    relaxed
        Omit the ceilings of channels over rows and columns of units.

    Notes
    -----
    ``matrix = cycles / clock``
        Sharma et al., Bit Fusion, ISCA 2018

    ``ends = (first tiles + last tile) / bandwidth``
        Sharma et al., Bit Fusion, ISCA 2018, simulator; docs/bit_fusion.md
    """
    xp = namespace(*columns_of(nest), *array, *tiling)
    extents = nest.batch, nest.out_rows, nest.out_columns, nest.in_channels, nest.out_channels
    # A tile as large as the extent grows with it.
    tile = [
        xp.where(part >= extent, extent, part)
        for part, extent in zip(tiling, extents, strict=False)
    ]
    images, rows, columns, inner, outer = tile

    def ceil(value: Value) -> Value:
        return value if relaxed else xp.ceil(value - 1e-9)

    lanes = array.height * array.lanes
    shared_taps, separate_taps = ceil(nest.taps * inner / lanes), nest.taps * ceil(inner / lanes)
    inner_steps = array.unrolled * shared_taps + (1.0 - array.unrolled) * separate_taps
    cycles = images * rows * columns * ceil(outer / array.width) * inner_steps * array.steps
    full: list[Value] = []
    for part, extent in zip(tile, extents, strict=True):
        cycles = cycles * ceil(extent / part)
        # Share of the tiles that lies within the extent.
        full.append(extent / (part * xp.ceil(extent / part - 1e-9)) if relaxed else 1.0)
    outputs = full[0] * full[1] * full[2]
    x, w, y = tile_bits(nest, array, images, rows, columns, inner, outer)
    t = tiling
    # The last tile of sums is read at the start and written at the end.
    ends = x * t.input_held + w * t.weight_held + 2.0 * y * t.output_held
    return TileCounts(
        cycles,
        ends,
        x * t.input_moves * outputs * full[3],
        w * t.weight_moves * full[3] * full[4],
        2.0 * y * t.output_moves * outputs * full[4],
    )
