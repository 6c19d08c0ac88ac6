"""What a spec file says of a row-stationary array."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from perfmodel.hardware.engine import Engine, register_engine
from perfmodel.hardware.quantity import Of, Quantity

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

    @model_validator(mode="after")
    def _clocked(self) -> RowStationaryArray:
        self._needed_clock("a row-stationary array", "200 MHz")
        return self

    @model_validator(mode="after")
    def _holds_words(self) -> RowStationaryArray:
        if self.buffer.value < 3.0 * self.word.value:
            message = "the buffer holds no input, filter and sum beside one another"
            raise PydanticCustomError("buffer", message, {"expected": "three words or more"})
        return self

    @property
    def SCALES(self) -> Mapping[str, tuple[str, ...]]:
        """Facts that go in proportion when another is varied: peaks, and the clock's network."""
        larger = (*(f"peaks.{name}" for name in self.peaks), "clock_energy")
        return {"height": larger, "width": larger}


register_engine("spatial", RowStationaryArray)
