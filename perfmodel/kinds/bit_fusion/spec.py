"""What a spec file says of a bit-composable array."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, TypeAlias

from perfmodel.hardware.engine import Engine
from perfmodel.hardware.quantity import Of, Quantity
from perfmodel.pydantic_faults import Flaw

Count: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=1_048_576)]
Bits: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=64)]
Energy: TypeAlias = Annotated[Quantity, Of("energy")]
ByteEnergy: TypeAlias = Annotated[Quantity, Of("energy_per_byte")]
Size: TypeAlias = Annotated[Quantity, Of("bytes", positive=True, floor=64.0)]
Word: TypeAlias = Annotated[Quantity, Of("bytes", positive=True, ceiling=64.0)]


class BitComposableArray(Engine):
    """Fusion units on a grid: rows take input channels, columns make output channels.

    A unit multiplies one pair of `highest_bits` a clock, or as many pairs of fewer bits as its
    parts make up; wider operands take several clocks. The first of `peaks` is that of one pair.
    """

    WHAT = "a bit-composable array"
    CLOCK = "500 MHz"
    OTHERWISE = "is no bit-composable array"
    PEAK_FACTORS = ("height", "width", "units")
    PEAKS_GROW_WITH = ("height", "width")

    height: Count
    """Rows of fusion units: input channels that are summed at `highest_bits`."""
    width: Count
    """Columns of fusion units: output channels."""
    highest_bits: Bits = Quantity(value=8.0)
    """Bits of both operands that the whole unit multiplies in a clock."""
    lowest_bits: Bits = Quantity(value=2.0)
    """Bits of the smallest multiplier; operands of fewer bits take as much."""
    depthwise_channels: Count = Quantity(value=1.0)
    """Channels of a depthwise convolution that one pass takes at `highest_bits`, laid out as a
    dense convolution of zeros elsewhere; more at fewer bits, at most `width`."""
    weight_buffer: Size
    """Scratchpad of weights."""
    input_buffer: Size
    """Scratchpad of inputs."""
    output_buffer: Size
    """Scratchpad of partial sums and outputs."""
    double_buffered: bool = True
    """Whether half of each buffer fills while the array works from the other half."""
    first_layer_unrolled: bool = False
    """Whether windows of a convolution that reads the network's input come laid out one by one
    (im2col, by the host), so that its taps share the rows with its channels."""
    partial_sum: Word = Quantity(value=4.0)
    """Bytes of a partial sum; outputs cross to main memory as such, read and written."""
    cycle_energy: Energy | None = None
    """Energy of the array in a clock in which it computes."""
    weight_read_energy: ByteEnergy | None = None
    """Energy of a byte read from the weights' buffer."""
    weight_write_energy: ByteEnergy | None = None
    """Energy of a byte written to the weights' buffer."""
    input_read_energy: ByteEnergy | None = None
    """Energy of a byte read from the inputs' buffer."""
    input_write_energy: ByteEnergy | None = None
    """Energy of a byte written to the inputs' buffer."""
    output_read_energy: ByteEnergy | None = None
    """Energy of a byte read from the outputs' buffer."""
    output_write_energy: ByteEnergy | None = None
    """Energy of a byte written to the outputs' buffer."""

    @property
    def SCALES(self) -> Mapping[str, tuple[str, ...]]:
        """Facts that go in proportion when another is varied: peaks, and what a clock takes."""
        more = () if self.cycle_energy is None else ("cycle_energy",)
        return {name: (*facts, *more) for name, facts in super().SCALES.items()}

    def flaws(self) -> Iterator[Flaw]:
        """Yield that of a smallest multiplier larger than the whole unit."""
        if self.lowest_bits.value > self.highest_bits.value:
            message = "the smallest multiplier has more bits than the whole unit"
            yield Flaw(("lowest_bits",), message, f"at most {self.highest_bits.value:g}")
