"""What the row-stationary formulas take: a layer, an array, a mapping; arrays that broadcast."""

from __future__ import annotations

from typing import NamedTuple

from perfmodel.arrays import Value, namespace


def ceil_div(a: Value, b: Value) -> Value:
    """Return how many pieces of `b` hold `a`; quotients that are whole but for rounding stay so."""
    return namespace(a, b).ceil(a / b - 1e-9)


class GroupedConvolution(NamedTuple):
    """A grouped convolution; a matrix product has one column and one tap.

    Attributes
    ----------
    groups, images
        Independent products, and inputs that share the filters.
    filters, channels
        Output and input channels of one group.
    out_rows, out_columns, kernel_rows, kernel_columns
        Extents.
    row_stride, column_stride, row_dilation, column_dilation
        Steps of the window, and between its taps.
    in_rows, in_columns
        Real extents of the input, without padding.
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
        """Multiply-accumulates."""
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
        Words a clock from buffer to array; as many partial sums come back.
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
    """How a layer is cut into passes; the letters are those of Chen et al. (JSSC 2017).

    Attributes
    ----------
    images
        n: inputs of a pass.
    filters
        m: filters whose partial sums the buffer holds.
    rows
        e: output rows of a strip, one per column of the array (or of blocks stacked on it).
    set_filters, set_channels
        p and q: filters and channels interleaved in one element.
    channel_sets, filter_sets
        r and t: sets of elements side by side that work on other channels, and other filters.
    group_sets
        Sets side by side that work on other groups; 1 in the chip.
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
    """Energies of what a mapping can change; only their ratios matter to `choose`.

    Attributes
    ----------
    array, buffer, dram
        Joule of a word to or from each level.
    clock
        Joule of a clock: what its network takes, whatever the elements do.
    """

    array: Value
    buffer: Value
    dram: Value
    clock: Value
