"""What a spec file says of a row-stationary array."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, TypeAlias

from perfmodel.hardware.engine import Engine
from perfmodel.hardware.quantity import Of, Quantity
from perfmodel.pydantic_faults import Flaw

Count: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=1_048_576)]
Energy: TypeAlias = Annotated[Quantity, Of("energy")]
Share: TypeAlias = Annotated[Quantity, Of("share")]
Buffer: TypeAlias = Annotated[Quantity, Of("bytes", positive=True, floor=64.0)]
#: Bytes of a word: of at most 512 bits.
Word: TypeAlias = Annotated[Quantity, Of("bytes", positive=True, ceiling=64.0)]


class RowStationaryArray(Engine):
    """Processing elements with scratchpads of their own, fed row by row from one buffer.

    An element makes one product a clock, in the first of `peaks`. Energies are those of an access
    of one word; the memory that feeds the buffer states its own a byte.
    """

    WHAT = "a row-stationary array"
    CLOCK = "200 MHz"
    OTHERWISE = "is no row-stationary array"
    PEAKS_GROW_WITH = ("height", "width")

    height: Count
    """Rows of processing elements."""
    width: Count
    """Columns of processing elements."""
    filter_words: Count
    """Words of an element's filter scratchpad."""
    input_words: Count
    """Words of an element's input scratchpad: a window of the interleaved channels."""
    sum_words: Count
    """Words of an element's scratchpad of partial sums."""
    buffer: Buffer
    """What the global buffer holds of feature maps and partial sums."""
    word: Word = Quantity(value=2.0)
    """Bytes of a word in the buffer and the scratchpads."""
    filter_bus: Count
    """Words of filters a clock from buffer to array."""
    input_bus: Count
    """Words of inputs a clock from buffer to array."""
    sum_bus: Count
    """Words of partial sums a clock from buffer to array, and as many back."""
    replicate_groups: bool = False
    """Whether sets side by side may work on other groups of a grouped convolution."""
    feature_maps_wait: bool = False
    """Whether the array waits while feature maps come from and go to main memory."""
    compression: bool = False
    """Whether feature maps are run-length coded in main memory."""
    zero_gating: bool = False
    """Whether a zero input skips the filter's read and the product."""
    input_zeros: Share = Quantity(value=0.0)
    """Share of zeros among the inputs, padding counted."""
    output_zeros: Share = Quantity(value=0.0)
    """Share of zeros among the outputs."""
    mac_energy: Energy
    """Energy of a multiply-accumulate."""
    scratchpad_energy: Energy
    """Energy of a word read from or written to a scratchpad."""
    array_energy: Energy
    """Energy of a word from an element, or the buffer's bus, to an element."""
    buffer_energy: Energy
    """Energy of a word read from or written to the buffer."""
    clock_energy: Energy = Quantity(value=0.0)
    """Energy of a clock: its network, and the registers and precharge it drives."""

    def flaws(self) -> Iterator[Flaw]:
        """Yield that of a buffer too small for three words."""
        if self.buffer.value < 3.0 * self.word.value:
            message = "the buffer holds no input, filter and sum beside one another"
            yield Flaw((), message, "three words or more")

    @property
    def SCALES(self) -> Mapping[str, tuple[str, ...]]:
        """Facts that go in proportion when another is varied: peaks, and the clock's network."""
        return {name: (*facts, "clock_energy") for name, facts in super().SCALES.items()}
