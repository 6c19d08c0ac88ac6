"""Cost of a mapping on a row-stationary array: cycles, and accesses by level.

A set of elements computes one two-dimensional convolution: each element slides one filter row over
one input row, and partial sums move up the column. A pass loads p x t filters and q x r channels
and streams a strip of e output rows; passes iterate over the m filters that the buffer holds, then
channels, then strips, then filter groups (Chen, Emer and Sze, ISCA 2016; Chen et al., JSSC 52(1),
2017).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from perfmodel.arrays import Value, namespace
from perfmodel.kinds.spatial.shapes import GroupedConvolution, PeArray, RowMapping, ceil_div


class Folds(NamedTuple):
    """Split of a window that exceeds the array or a scratchpad into pieces with a common sum.

    Attributes
    ----------
    rows, columns
        Pieces along each side.
    kernel_rows, kernel_columns
        Taps of a piece.
    """

    rows: Value
    columns: Value
    kernel_rows: Value
    kernel_columns: Value


class RowCounts(NamedTuple):
    """Cost of one execution of a layer; counts are in words.

    Attributes
    ----------
    passes, cycles
        Passes through the array, and clocks of all of them.
    column_cycles
        Clocks of one output column in a pass.
    fill_cycles
        Clocks of a pass without products: load of filters and the first window, drain of the last
        sums.
    active
        Active elements of a full pass.
    macs
        Multiply-accumulates.
    array_words
        Words over wires between elements, and to and from the buffer.
    buffer_input, buffer_sum
        Words between buffer and array.
    dram_input, dram_filter, dram_output
        Words to and from main memory, uncompressed.
    padded_input
        Words of `dram_input` including padding as seen by the array, for densities that count it.
    """

    passes: Value
    cycles: Value
    column_cycles: Value
    fill_cycles: Value
    active: Value
    macs: Value
    array_words: Value
    buffer_input: Value
    buffer_sum: Value
    dram_input: Value
    dram_filter: Value
    dram_output: Value
    padded_input: Value


def _pieces(a: Value, b: Value, relaxed: bool) -> Value:
    """Return the number of pieces of `b` that cover `a`; relaxed: fractional, at least one."""
    if not relaxed:
        return ceil_div(a, b)
    # At exactly one piece the derivative is zero, like that from below.
    return namespace(a, b).where(a > b * (1.0 + 1e-12), a / b, 1.0)


def _padding(
    padding: Value, outputs: Value, piece: Value, pieces: Value, step: Value, xp: Any
) -> Value:
    """Return padding rows (or columns) of all strips; short strips may overlap it repeatedly."""
    before = xp.floor(xp.maximum(padding, 0.0) / 2.0)
    after = xp.maximum(padding, 0.0) - before
    each = step * piece
    # The last strip may be shorter, so that padding behind it extends into the strips before.
    ragged = step * (outputs - xp.maximum(pieces - 1.0, 0.0) * piece)
    behind = xp.maximum(after - ragged, 0.0)
    total = before + after
    for reach, most in ((xp.maximum(before - each, 0.0), pieces - 1.0), (behind, pieces - 1.0)):
        times = xp.minimum(xp.ceil(reach / each), most)
        total = total + times * reach - each * times * (times - 1.0) / 2.0
    return total


def folds(layer: GroupedConvolution, array: PeArray) -> Folds:
    """Return the split of a window: at most `height` rows and a scratchpad of columns per piece."""
    xp = namespace(*layer, *array)
    rows = ceil_div(layer.kernel_rows, array.height)
    widest = xp.minimum(array.input_words, array.filter_words)
    columns = ceil_div(layer.kernel_columns, widest)
    return Folds(
        rows, columns, ceil_div(layer.kernel_rows, rows), ceil_div(layer.kernel_columns, columns)
    )


def sets_that_fit(rows: Value, kernel_rows: Value, array: PeArray) -> Value:
    """Return the number of sets of `rows` columns that fit in parallel; 0 if not even one does.

    A strip wider than the array is split into blocks stacked along its height.
    """
    xp = namespace(rows, kernel_rows, *array)
    high = xp.floor(array.height / kernel_rows + 1e-9)
    blocks = ceil_div(rows, array.width)
    side = xp.maximum(xp.floor(array.width / rows + 1e-9), 1.0)
    return xp.floor(high / blocks + 1e-9) * side


def buffer_demand(layer: GroupedConvolution, mapping: RowMapping) -> Value:
    """Return words of partial sums and inputs in the buffer during a pass.

    In the letters of Chen et al., with ``F`` output columns, ``R`` kernel rows, ``W`` input columns
    and stride ``U``: ``n m e F + n q r (U (e - 1) + R) W``, for each parallel group.
    """
    m = mapping
    sums = m.group_sets * m.images * m.filters * m.rows * layer.out_columns
    high = layer.row_stride * (m.rows - 1.0) + layer.reach_rows
    channels = m.set_channels * m.channel_sets
    return sums + m.group_sets * m.images * channels * high * layer.padded_columns


def _spans(
    layer: GroupedConvolution,
    mapping: RowMapping,
    cut: Folds,
    columns: Value,
    strips: Value,
    blocks: Value,
) -> tuple[Value, Value, Value, Value]:
    """Return input rows and columns of all strips: those of pieces, and without padding."""
    xp = namespace(*layer, *mapping, blocks)

    def span(outputs: Value, pieces: Value, step: Value, reach: Value) -> Value:
        return outputs * xp.minimum(step, reach) + pieces * xp.maximum(reach - step, 0.0)

    rows = span(layer.out_rows, strips, layer.row_stride, layer.reach_rows)
    wide = span(layer.out_columns, blocks, layer.column_stride, layer.reach_columns)
    # A piece of a folded window spans only its own rows and columns.
    reach = (cut.kernel_rows - 1.0) * layer.row_dilation + 1.0
    piece_rows = span(layer.out_rows, strips, layer.row_stride, reach) * cut.rows
    reach = (cut.kernel_columns - 1.0) * layer.column_dilation + 1.0
    piece_wide = span(layer.out_columns, blocks, layer.column_stride, reach) * cut.columns
    padding = layer.padded_rows - layer.in_rows, layer.padded_columns - layer.in_columns
    real_rows = rows - _padding(
        padding[0], layer.out_rows, mapping.rows, strips, layer.row_stride, xp
    )
    real_wide = wide - _padding(
        padding[1], layer.out_columns, columns, blocks, layer.column_stride, xp
    )
    return piece_rows, piece_wide, real_rows, real_wide


def _cycles(
    layer: GroupedConvolution,
    mapping: RowMapping,
    array: PeArray,
    cut: Folds,
    groups: Value,
    high: Value,
    pass_rows: Value,
) -> tuple[Value, Value]:
    """Return the clocks of an output column of a pass, and its clocks without products.

    The former are ``max(taps, sums / sum_bus, inputs * min(stride, kernel columns) / input_bus)``.

    Parameters
    ----------
    groups, high, pass_rows
        Groups, output rows and input rows of a pass.
    """
    xp, m = namespace(*layer, *mapping, *array), mapping
    side = m.channel_sets * groups
    sums = m.set_filters * m.filter_sets * groups * high
    taps = m.set_filters * m.set_channels * cut.kernel_columns
    inputs = m.set_channels * side * pass_rows
    column_cycles = xp.maximum(
        xp.maximum(taps, sums / array.sum_bus),
        inputs * xp.minimum(layer.column_stride, cut.kernel_columns) / array.input_bus,
    )
    fill_cycles = (
        taps * cut.kernel_rows * side * m.filter_sets / array.filter_bus
        + inputs * cut.kernel_columns / array.input_bus
        + sums / array.sum_bus
        + cut.kernel_rows
    )
    return column_cycles, fill_cycles


def count(
    layer: GroupedConvolution,
    mapping: RowMapping,
    array: PeArray,
    *,
    blocks: Value = 1.0,
    relaxed: bool = False,
) -> RowCounts:
    """Return the cost of a layer under a mapping.

    Parameters
    ----------
    layer, mapping, array
        Numbers or arrays that broadcast.
    blocks
        Blocks of the output columns, for rows that exceed the buffer.
    relaxed
        Count the last piece as a fraction: smooth in the layer, never above the exact count.

    Notes
    -----
    The clocks of an output column are the maximum of its products (p q S), of the transfers of
    partial sums to and from the buffer, and of inputs on the buses.

    ``matrix = cycles / clock``
        Chen, Emer and Sze, ISCA 2016; Chen et al., JSSC 52(1), 2017

    ``feature_maps = feature_map_bytes / bandwidth``
        Chen, Emer and Sze, ISCA 2016; Chen et al., JSSC 52(1), 2017
    """
    xp = namespace(*layer, *mapping, *array, blocks)
    m, cut = mapping, folds(layer, array)
    columns = layer.out_columns / blocks
    strips = _pieces(layer.out_rows, m.rows, relaxed)
    high = layer.out_rows / strips
    image_groups = _pieces(layer.images, m.images, relaxed)
    images = layer.images / image_groups
    group_passes = _pieces(layer.groups, m.group_sets, relaxed)
    groups = layer.groups / group_passes
    filter_passes = _pieces(layer.filters, m.set_filters * m.filter_sets, relaxed)
    channel_passes = _pieces(layer.channels, m.set_channels * m.channel_sets, relaxed)
    sum_passes = channel_passes * cut.rows * cut.columns
    passes = group_passes * image_groups * strips * blocks * filter_passes * sum_passes

    piece_rows, piece_wide, real_rows, real_wide = _spans(layer, m, cut, columns, strips, blocks)
    channels = layer.groups * layer.images * layer.channels
    outputs = layer.groups * layer.images * layer.filters * layer.out_rows * layer.out_columns
    window = layer.kernel_rows * layer.kernel_columns
    weights = layer.groups * layer.filters * layer.channels * window
    filter_groups = _pieces(layer.filters, m.filters, relaxed)
    buffer_input = channels * piece_rows * piece_wide * filter_passes
    buffer_sum = 2.0 * outputs * sum_passes

    pass_rows = piece_rows / cut.rows / strips
    column_cycles, fill_cycles = _cycles(layer, m, array, cut, groups, high, pass_rows)
    cycles = passes * (images * columns * column_cycles + fill_cycles)

    # Each filter row goes to every column, each input row to every element that slides over it.
    to_elements = weights * layer.out_rows * image_groups * blocks
    to_elements = to_elements + buffer_input * m.filter_sets * (high * cut.kernel_rows / pass_rows)
    sets = m.channel_sets * m.filter_sets * m.group_sets
    active = cut.kernel_rows * xp.minimum(m.rows, layer.out_rows) * sets
    dram_input = channels * real_rows * real_wide * filter_groups
    return RowCounts(
        passes,
        cycles,
        column_cycles,
        fill_cycles,
        active,
        layer.macs,
        to_elements + _sum_hops(layer, m, cut),
        buffer_input,
        buffer_sum,
        dram_input,
        weights * strips * image_groups * blocks,
        outputs,
        dram_input * _padding_ratio(layer, xp),
    )


def _sum_hops(layer: GroupedConvolution, mapping: RowMapping, cut: Folds) -> Value:
    """Return the words of partial sums on wires between elements, and to and from the buffer.

    A column of ``depth`` elements passes a sum over ``depth - 1`` wires and exchanges one word each
    way with the buffer, ``depth + 1`` words in all: ``macs / (taps per element) (depth + 1) /
    depth``.
    """
    depth = cut.kernel_rows * mapping.channel_sets
    return layer.macs / (cut.kernel_columns * mapping.set_channels) * ((depth + 1.0) / depth)


def _padding_ratio(layer: GroupedConvolution, xp: Any) -> Value:
    """Return the pixels of an input with its padding, relative to those without it."""
    return (layer.padded_rows / xp.minimum(layer.in_rows, layer.padded_rows)) * (
        layer.padded_columns / xp.minimum(layer.in_columns, layer.padded_columns)
    )
