"""Spec of a row-stationary array, after Eyeriss.

Chen et al., "Eyeriss: a spatial architecture for energy-efficient dataflow for convolutional neural
networks", ISCA 2016; `docs/spatial.md` has the equations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from perfmodel.hardware.engine import Engine
from perfmodel.hardware.field_types import ZERO, Buffer, Energy, Extent, Share, Word
from perfmodel.hardware.quantity import Quantity
from perfmodel.pydantic_faults import Flaw


class RowStationaryArray(Engine):
    """Processing elements with private scratchpads, fed row by row from one buffer.

    An element computes one product per clock, in the first of `peaks`. Energies are per access of
    one word; the memory that feeds the buffer states its own per byte.
    """

    WHAT = "a row-stationary array"
    CLOCK = "200 MHz"
    OTHERWISE = "is no row-stationary array"
    PEAKS_GROW_WITH = ("height", "width")

    height: Extent
    """Rows of processing elements."""
    width: Extent
    """Columns of processing elements."""
    filter_words: Extent
    """Words of an element's filter scratchpad."""
    input_words: Extent
    """Words of an element's input scratchpad: a window of the interleaved channels."""
    sum_words: Extent
    """Words of an element's scratchpad of partial sums."""
    buffer: Buffer
    """Capacity of the global buffer for feature maps and partial sums."""
    word: Word = Quantity(value=2.0)
    """Bytes of a word in the buffer and the scratchpads."""
    filter_bus: Extent
    """Words of filters per clock from buffer to array."""
    input_bus: Extent
    """Words of inputs per clock from buffer to array."""
    sum_bus: Extent
    """Words of partial sums per clock from buffer to array, and as many back."""
    replicate_groups: bool = False
    """Whether parallel sets may process other groups of a grouped convolution."""
    feature_maps_wait: bool = False
    """Whether the array waits while feature maps are transferred to and from main memory."""
    compression: bool = False
    """Whether feature maps are run-length coded in main memory."""
    zero_gating: bool = False
    """Whether a zero input skips the filter's read and the product."""
    input_zeros: Share = ZERO
    """Share of zeros among the inputs, padding included."""
    output_zeros: Share = ZERO
    """Share of zeros among the outputs."""
    mac_energy: Energy
    """Energy of a multiply-accumulate."""
    scratchpad_energy: Energy
    """Energy of a word read from or written to a scratchpad."""
    array_energy: Energy
    """Energy of a word from an element, or the buffer's bus, to an element."""
    buffer_energy: Energy
    """Energy of a word read from or written to the buffer."""
    clock_energy: Energy = ZERO
    """Energy of a clock: its network, and the registers and precharge that it drives."""

    def flaws(self) -> Iterator[Flaw]:
        """Yield a flaw where the buffer is smaller than three words."""
        if self.buffer.value < 3.0 * self.word.value:
            message = "the buffer cannot hold an input, a filter word and a partial sum at once"
            yield Flaw((), message, "three words or more")

    @property
    def SCALES(self) -> Mapping[str, tuple[str, ...]]:
        """Facts that scale when another is varied: peaks, and the clock network."""
        return {name: (*facts, "clock_energy") for name, facts in super().SCALES.items()}
