"""What a mapping of a layer costs on a row-stationary array: cycles, and accesses by level.

A set of elements does one two-dimensional convolution: each element slides one filter row over one
input row, sums run up the column. A pass loads p x t filters and q x r channels and streams a strip
of e output rows; passes run over the m filters that the buffer holds, then channels, then strips,
then filter groups (Chen, Emer and Sze, ISCA 2016; Chen et al., JSSC 52(1), 2017).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from perfmodel.arrays import Value, namespace
from perfmodel.kinds.spatial.shapes import GroupedConvolution, PeArray, RowMapping, ceil_div


class Folds(NamedTuple):
    """A window too large for the array or a scratchpad, cut into pieces that add to one sum.

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
    """What one execution of a layer costs; counts are of words.

    Attributes
    ----------
    passes, cycles
        Passes through the array, and clocks of all of them.
    column_cycles
        Clocks of one output column in a pass.
    fill_cycles
        Clocks of a pass in which no product is made: filters and the first window come, the last
        sums leave.
    active
        Elements of a full pass that work.
    macs
        Multiply-accumulates.
    array_words
        Words over wires between elements, and from and to the buffer.
    buffer_input, buffer_sum
        Words between buffer and array.
    dram_input, dram_filter, dram_output
        Words from and to main memory, uncompressed.
    padded_input
        Words of `dram_input` with the padding that the array sees, for densities that count it.
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
    """Return how many pieces of `b` hold `a`; relaxed, without rounding up but for the first."""
    if not relaxed:
        return ceil_div(a, b)
    # At one whole piece the slope is that of fewer, as a mapping made for a little more has it.
    return namespace(a, b).where(a > b * (1.0 + 1e-12), a / b, 1.0)


def _padding(
    padding: Value, outputs: Value, piece: Value, pieces: Value, step: Value, xp: Any
) -> Value:
    """Return padding rows (or columns) of all strips together; low strips reach into it twice."""
    before = xp.floor(xp.maximum(padding, 0.0) / 2.0)
    after = xp.maximum(padding, 0.0) - before
    each = step * piece
    # The last strip is ragged; the one before it ends as many rows above.
    ragged = step * (outputs - xp.maximum(pieces - 1.0, 0.0) * piece)
    behind = xp.maximum(after - ragged, 0.0)
    total = before + after
    for reach, most in ((xp.maximum(before - each, 0.0), pieces - 1.0), (behind, pieces - 1.0)):
        times = xp.minimum(xp.ceil(reach / each), most)
        total = total + times * reach - each * times * (times - 1.0) / 2.0
    return total


def folds(layer: GroupedConvolution, array: PeArray) -> Folds:
    """Return how a window is cut: a piece has at most `height` rows and a scratchpad of columns."""
    xp = namespace(*layer, *array)
    rows = ceil_div(layer.kernel_rows, array.height)
    widest = xp.minimum(array.input_words, array.filter_words)
    columns = ceil_div(layer.kernel_columns, widest)
    return Folds(
        rows, columns, ceil_div(layer.kernel_rows, rows), ceil_div(layer.kernel_columns, columns)
    )


def sets_that_fit(rows: Value, kernel_rows: Value, array: PeArray) -> Value:
    """Return the sets of `rows` columns that fit side by side; 0 where not even one does.

    A strip wider than the array is cut into blocks that stack on its height.
    """
    xp = namespace(rows, kernel_rows, *array)
    high = xp.floor(array.height / kernel_rows + 1e-9)
    blocks = ceil_div(rows, array.width)
    side = xp.maximum(xp.floor(array.width / rows + 1e-9), 1.0)
    return xp.floor(high / blocks + 1e-9) * side


def buffer_demand(layer: GroupedConvolution, mapping: RowMapping) -> Value:
    """Return words of partial sums and inputs that the buffer holds during a pass."""
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
    """Return input rows and columns of all strips together: of pieces, and without padding."""
    xp = namespace(*layer, *mapping, blocks)

    def span(outputs: Value, pieces: Value, step: Value, reach: Value) -> Value:
        return outputs * xp.minimum(step, reach) + pieces * xp.maximum(reach - step, 0.0)

    rows = span(layer.out_rows, strips, layer.row_stride, layer.reach_rows)
    wide = span(layer.out_columns, blocks, layer.column_stride, layer.reach_columns)
    # A piece of a folded window reaches over its own rows and columns only.
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
    """Return the clocks of an output column of a pass, and those in which no product is made.

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
    """Return what a layer costs under a mapping.

    Parameters
    ----------
    layer, mapping, array
        Numbers or arrays that broadcast.
    blocks
        Pieces of the output columns, for rows that the buffer cannot hold.
    relaxed
        Count pieces as if the last one took its share only: smooth in the layer, never above.

    Notes
    -----
    The clocks of an output column are the longest of its products (p q S), of the partial sums that
    come from and go to the buffer, and of the inputs that the buses bring.

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

    # Each filter row to every column, each input row to every element that slides over it.
    to_elements = weights * layer.out_rows * image_groups * blocks
    to_elements = to_elements + buffer_input * m.filter_sets * (high * cut.kernel_rows / pass_rows)
    depth = cut.kernel_rows * m.channel_sets
    hops = layer.macs / (cut.kernel_columns * m.set_channels) * ((depth + 1.0) / depth)
    sets = m.channel_sets * m.filter_sets * m.group_sets
    active = cut.kernel_rows * xp.minimum(m.rows, layer.out_rows) * sets
    dram_input = channels * real_rows * real_wide * filter_groups
    padded = (layer.padded_rows / xp.minimum(layer.in_rows, layer.padded_rows)) * (
        layer.padded_columns / xp.minimum(layer.in_columns, layer.padded_columns)
    )
    return RowCounts(
        passes,
        cycles,
        column_cycles,
        fill_cycles,
        active,
        layer.macs,
        to_elements + hops,
        buffer_input,
        buffer_sum,
        dram_input,
        weights * strips * image_groups * blocks,
        outputs,
        dram_input * padded,
    )
