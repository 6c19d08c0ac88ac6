"""Inputs of the row-stationary formulas: a layer, an array, a mapping, and costs of accesses.

All numbers are scalars or arrays that broadcast; letters as in Chen et al., JSSC 52(1), 2017.
"""

from __future__ import annotations

from typing import NamedTuple

from perfmodel.arrays import Value, namespace


def ceil_div(a: Value, b: Value) -> Value:
    """Return ``ceil(a / b)``; quotients within rounding of an integer are not rounded up."""
    return namespace(a, b).ceil(a / b - 1e-9)


class GroupedConvolution(NamedTuple):
    """A grouped convolution of a stored image; a matrix product has one column and one tap.

    More than `TileNest`, which has no extents of the input: padding is not read from main memory,
    so that the words of a strip depend on how much of its window lies outside of the image.
    Extents may be fractional.

    Attributes
    ----------
    groups, images
        Independent products, and inputs with shared filters.
    filters, channels
        Output and input channels of one group.
    out_rows, out_columns, kernel_rows, kernel_columns
        Extents of outputs and kernel.
    row_stride, column_stride, row_dilation, column_dilation
        Steps of the window, and between its taps.
    in_rows, in_columns
        Extents of the input without padding.
    """

    groups: Value
    images: Value
    filters: Value
    channels: Value
    out_rows: Value
    out_columns: Value
    kernel_rows: Value
    kernel_columns: Value
    row_stride: Value
    column_stride: Value
    row_dilation: Value
    column_dilation: Value
    in_rows: Value
    in_columns: Value

    @property
    def macs(self) -> Value:
        """Number of multiply-accumulates."""
        return (
            self.groups
            * self.images
            * self.filters
            * self.channels
            * self.out_rows
            * self.out_columns
            * self.kernel_rows
            * self.kernel_columns
        )

    @property
    def reach_rows(self) -> Value:
        """Input rows that one output row spans."""
        return (self.kernel_rows - 1.0) * self.row_dilation + 1.0

    @property
    def reach_columns(self) -> Value:
        """Input columns that one output spans."""
        return (self.kernel_columns - 1.0) * self.column_dilation + 1.0

    @property
    def padded_rows(self) -> Value:
        """Input rows with padding."""
        return self.row_stride * (self.out_rows - 1.0) + self.reach_rows

    @property
    def padded_columns(self) -> Value:
        """Input columns with padding."""
        return self.column_stride * (self.out_columns - 1.0) + self.reach_columns


class PeArray(NamedTuple):
    """An array of processing elements with scratchpads, fed by one buffer.

    Attributes
    ----------
    height, width
        Rows and columns of processing elements.
    filter_words, input_words, sum_words
        Words of the three scratchpads of an element.
    buffer_words
        Words of the buffer that hold feature maps and partial sums.
    filter_bus, input_bus, sum_bus
        Words per clock from buffer to array; as many partial sums return.
    """

    height: Value
    width: Value
    filter_words: Value
    input_words: Value
    sum_words: Value
    buffer_words: Value
    filter_bus: Value
    input_bus: Value
    sum_bus: Value


class RowMapping(NamedTuple):
    """Split of a layer into passes; letters as in Chen et al. (JSSC 2017).

    Attributes
    ----------
    images
        n: inputs per pass.
    filters
        m: filters whose partial sums the buffer holds.
    rows
        e: output rows of a strip, one per column of the array (or of blocks stacked on it).
    set_filters, set_channels
        p and q: filters and channels interleaved in one element.
    channel_sets, filter_sets
        r and t: parallel sets of elements for other channels, and for other filters.
    group_sets
        Parallel sets for other groups; 1 in the published chip.
    """

    images: Value
    filters: Value
    rows: Value
    set_filters: Value
    set_channels: Value
    channel_sets: Value
    filter_sets: Value
    group_sets: Value = 1.0


class AccessCosts(NamedTuple):
    """Energies that depend on the mapping; only their ratios matter to `choose`.

    Attributes
    ----------
    array, buffer, dram
        Joules per word to or from each level.
    clock
        Joules per clock of the clock network, independent of activity.
    """

    array: Value
    buffer: Value
    dram: Value
    clock: Value
