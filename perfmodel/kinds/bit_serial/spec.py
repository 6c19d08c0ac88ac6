"""What a spec file says of an array that takes weights few bits at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, TypeAlias

from perfmodel.hardware.engine import Engine
from perfmodel.hardware.quantity import Of, Quantity
from perfmodel.pydantic_faults import Flaw

Count: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=1_048_576)]
Folds: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=16)]
Bits: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=64)]
Clocks: TypeAlias = Annotated[Quantity, Of("clocks")]
Share: TypeAlias = Annotated[Quantity, Of("share", positive=True)]
Energy: TypeAlias = Annotated[Quantity, Of("energy")]
ByteEnergy: TypeAlias = Annotated[Quantity, Of("energy_per_byte")]
Size: TypeAlias = Annotated[Quantity, Of("bytes", positive=True, floor=64.0)]


class BitSerialArray(Engine):
    """Processing elements on a grid: rows make output channels, columns take tokens.

    An element multiplies `lanes` pairs side by side and takes `bits_a_clock` bits of each weight in
    a clock, the input at once. The first of `peaks` is that of weights of one clock. An array that
    decodes a word at once (ANT, OliVe, or plain fp16) has `bits_a_clock` of 16 or more.
    """

    WHAT = "a bit-serial array"
    CLOCK = "1 GHz"
    OTHERWISE = "is no bit-serial array"
    PEAK_FACTORS = ("rows", "columns", "lanes", "units")
    PEAKS_GROW_WITH = ("rows", "columns", "lanes")

    rows: Count
    """Rows of elements: output channels."""
    columns: Count
    """Columns of elements: tokens, or positions of an image."""
    lanes: Count = Quantity(value=1.0)
    """Products side by side in an element, of one output."""
    folds: Folds = Quantity(value=1.0)
    """How many times the rows may be split and stood beside each other: 2 makes 32 x 32 of 64 x 16
    where that takes fewer steps."""
    bits_a_clock: Bits = Quantity(value=2.0)
    """Bits of a weight that an element takes in a clock."""
    attention_bits: Bits | None = None
    """Most bits of keys and values as they meet the array; as the precision stores them where left
    out."""
    term_density: Share | None = None
    """Share of a weight's terms that are not zero, where zero ones are skipped."""
    in_step: Count = Quantity(value=1.0)
    """Weights that wait for the one with most terms, where terms are skipped."""
    group: Count = Quantity(value=128.0)
    """Weights that share a scale."""
    dequantise: Clocks = Quantity(value=0.0)
    """Clocks to apply a group's scale, behind the next group's products."""
    joined_heads: bool = False
    """Whether queries of all heads are rows as wide as all heads together, zeros outside of their
    own, which the array multiplies too; a head at a time where not."""
    weight_buffer: Size
    """Scratchpad of weights."""
    input_buffer: Size
    """Scratchpad of inputs."""
    element_energy: Energy | None = None
    """Energy of one element in a clock in which the array computes."""
    read_energy: ByteEnergy | None = None
    """Energy of a byte read from either buffer."""
    write_energy: ByteEnergy | None = None
    """Energy of a byte written to either buffer."""

    def flaws(self) -> Iterator[Flaw]:
        """Yield that of rows that are split into more parts than there are."""
        if self.folds.value > self.rows.value:
            message = "the rows are split into more parts than there are"
            yield Flaw(("folds",), message, f"at most {self.rows.value:g}")
