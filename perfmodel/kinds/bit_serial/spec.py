"""What a spec file says of an array that takes weights few bits at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import model_validator

from perfmodel.hardware.engine import Engine, register_engine
from perfmodel.hardware.quantity import Of, Quantity
from perfmodel.pydantic_faults import Flaw, checked

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

    @model_validator(mode="after")
    def _consistent(self) -> BitSerialArray:
        clock = self._needed_clock("a bit-serial array", "1 GHz")
        elements = self.rows.value * self.columns.value * self.lanes.value * self.units.value
        flaws = self._peak_flaws(2.0 * elements * clock, "rows x columns x lanes x units x clock")
        if self.folds.value > self.rows.value:
            message = "the rows are split into more parts than there are"
            flaws.append(Flaw(("folds",), message, f"at most {self.rows.value:g}"))
        return checked(self, flaws)

    @property
    def SCALES(self) -> Mapping[str, tuple[str, ...]]:
        """Facts that go in proportion when another is varied: peaks."""
        peaks = tuple(f"peaks.{name}" for name in self.peaks)
        return {"rows": peaks, "columns": peaks, "lanes": peaks}


register_engine("bit_serial", BitSerialArray)
