"""Spec of an array that processes weights few bits per clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from perfmodel.hardware.engine import Engine
from perfmodel.hardware.field_types import (
    ONE,
    ZERO,
    Bits,
    Buffer,
    Clocks,
    Energy,
    EnergyPerByte,
    Extent,
)
from perfmodel.hardware.quantity import Of, Quantity
from perfmodel.pydantic_faults import Flaw


class BitSerialArray(Engine):
    """Processing elements on a grid: rows span output channels, columns span tokens.

    An element multiplies `lanes` pairs in parallel and processes `bits_a_clock` bits of each weight
    per clock, the input whole. The first of `peaks` is the rate for weights of one clock. An array
    that decodes a word at once (ANT, OliVe, or plain fp16) has `bits_a_clock` of 16 or more.
    """

    WHAT = "a bit-serial array"
    CLOCK = "1 GHz"
    OTHERWISE = "is no bit-serial array"
    PEAK_FACTORS = ("rows", "columns", "lanes", "units")
    PEAKS_GROW_WITH = ("rows", "columns", "lanes")

    rows: Extent
    """Rows of elements: output channels."""
    columns: Extent
    """Columns of elements: tokens, or positions of an image."""
    lanes: Extent = ONE
    """Parallel products in an element, all of one output."""
    folds: Annotated[Quantity, Of("count", positive=True, integral=True, ceiling=16)] = ONE
    """Largest number of parts that the rows may be split into and placed side by side: 2
    which makes 32 x 32 of 64 x 16 where that requires fewer steps."""
    bits_a_clock: Bits = Quantity(value=2.0)
    """Bits of a weight that an element processes per clock."""
    attention_bits: Bits | None = None
    """Most bits of keys and values that the array processes; as the precision stores them if left
    out."""
    term_density: Annotated[Quantity, Of("share", positive=True)] | None = None
    """Share of a weight's terms that are non-zero, where zero terms are skipped."""
    in_step: Extent = ONE
    """Weights that wait for the one with the most terms, where terms are skipped."""
    group: Extent = Quantity(value=128.0)
    """Weights that share a scale."""
    dequantise: Clocks = ZERO
    """Clocks to apply a group's scale, overlapped with the next group's products."""
    joined_heads: bool = False
    """Whether the queries of all heads are rows as wide as all heads together, with multiplied
    zeros outside their own head; if not, one head runs at a time."""
    weight_buffer: Buffer
    """Scratchpad of weights."""
    input_buffer: Buffer
    """Scratchpad of inputs."""
    element_energy: Energy | None = None
    """Energy of one element per clock in which the array computes."""
    read_energy: EnergyPerByte | None = None
    """Energy of a byte read from either buffer."""
    write_energy: EnergyPerByte | None = None
    """Energy of a byte written to either buffer."""

    def flaws(self) -> Iterator[Flaw]:
        """Yield a flaw where the rows are split into more parts than there are rows."""
        if self.folds.value > self.rows.value:
            message = "the rows are split into more parts than there are"
            yield Flaw(("folds",), message, f"at most {self.rows.value:g}")
