"""Spec of a bit-composable array."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from perfmodel.hardware.engine import Engine
from perfmodel.hardware.field_types import ONE, Bits, Buffer, Energy, EnergyPerByte, Extent, Word
from perfmodel.hardware.quantity import Quantity
from perfmodel.pydantic_faults import Flaw


class BitComposableArray(Engine):
    """Fusion units on a grid: rows span input channels, columns span output channels.

    A unit multiplies one pair of `highest_bits` per clock, or as many narrower pairs as its parts
    can form; wider operands require several clocks. The first of `peaks` is the rate for one pair.
    """

    WHAT = "a bit-composable array"
    CLOCK = "500 MHz"
    OTHERWISE = "is no bit-composable array"
    PEAK_FACTORS = ("height", "width", "units")
    PEAKS_GROW_WITH = ("height", "width")

    height: Extent
    """Rows of fusion units: input channels that are summed at `highest_bits`."""
    width: Extent
    """Columns of fusion units: output channels."""
    highest_bits: Bits = Quantity(value=8.0)
    """Bits of both operands that the whole unit multiplies in one clock."""
    lowest_bits: Bits = Quantity(value=2.0)
    """Bits of the smallest multiplier; narrower operands occupy as much."""
    depthwise_channels: Extent = ONE
    """Channels of a depthwise convolution in one pass at `highest_bits`, laid out as a dense
    convolution padded with zeros; more at fewer bits, at most `width`."""
    weight_buffer: Buffer
    """Scratchpad of weights."""
    input_buffer: Buffer
    """Scratchpad of inputs."""
    output_buffer: Buffer
    """Scratchpad of partial sums and outputs."""
    double_buffered: bool = True
    """Whether half of each buffer fills while the array works from the other half."""
    first_layer_unrolled: bool = False
    """Whether the windows of a convolution over the network's input are stored one by one (im2col,
    by the host), so that its taps share the rows with its channels."""
    partial_sum: Word = Quantity(value=4.0)
    """Bytes of a partial sum, the form in which outputs are read from and written to main
    memory."""
    cycle_energy: Energy | None = None
    """Energy of the array per clock in which it computes."""
    weight_read_energy: EnergyPerByte | None = None
    """Energy of a byte read from the weights' buffer."""
    weight_write_energy: EnergyPerByte | None = None
    """Energy of a byte written to the weights' buffer."""
    input_read_energy: EnergyPerByte | None = None
    """Energy of a byte read from the inputs' buffer."""
    input_write_energy: EnergyPerByte | None = None
    """Energy of a byte written to the inputs' buffer."""
    output_read_energy: EnergyPerByte | None = None
    """Energy of a byte read from the outputs' buffer."""
    output_write_energy: EnergyPerByte | None = None
    """Energy of a byte written to the outputs' buffer."""

    @property
    def SCALES(self) -> Mapping[str, tuple[str, ...]]:
        """Facts that scale when another is varied: peaks and the energy per clock."""
        more = () if self.cycle_energy is None else ("cycle_energy",)
        return {name: (*facts, *more) for name, facts in super().SCALES.items()}

    def flaws(self) -> Iterator[Flaw]:
        """Yield a flaw where the smallest multiplier is larger than the whole unit."""
        if self.lowest_bits.value > self.highest_bits.value:
            message = "the smallest multiplier has more bits than the whole unit"
            yield Flaw(("lowest_bits",), message, f"at most {self.highest_bits.value:g}")
