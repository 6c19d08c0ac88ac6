"""Spec of an engine that looks products up in tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from perfmodel.hardware.engine import Engine
from perfmodel.hardware.field_types import ONE, ZERO, Amount, Clocks, Extent, PositiveSize
from perfmodel.hardware.quantity import Of, Quantity


class LookupTableEngine(Engine):
    """Tables of sums of activations, indexed by weights.

    The first of `peaks` is the rate of one pass of the tables. Weights in other formats (a head in
    8 bits) are multiplied at the peak of their format, on the cores that have it.
    """

    WHAT = "tables"
    CLOCK = "250 MHz"
    OTHERWISE = "has no tables to look products up in"
    PEAK_FACTORS = ("tables", "reads", "group", "units")

    takes: Literal["ternary", "bit_planes"]
    """Content of an index: ternary weights in one pass, or one bit of each weight and one pass per
    bit."""
    group: Annotated[Quantity, Of("count", positive=True, integral=True, ceiling=12)]
    """Activations whose sums one table holds."""
    tables: Extent
    """Parallel tables."""
    reads: Extent
    """Look-ups per clock in each table: copies, or ports."""
    build: Clocks = ZERO
    """Least number of clocks from one set of tables to the next."""
    transfer: PositiveSize
    """Bytes of a transfer of weights, which contains whole vectors of indices."""
    double_buffered: bool = False
    """Whether the next weights are loaded while others are used; if not, a matrix is loaded, then
    multiplied."""
    attention_macs: Annotated[Quantity, Of("count", positive=True, ceiling=1e6)]
    """Multiply-accumulates of attention per clock, on separate units."""
    lut: Amount | None = None
    """Look-up tables of the part."""
    dsp: Amount | None = None
    """DSP slices of the part."""
    uram: Amount | None = None
    """UltraRAM blocks of the part, 4096 words of 72 bits each."""
    lut_a_read: Amount | None = None
    """Look-up tables of the fabric per table and read, sums and adders included."""
    lut_beside: Amount = ZERO
    """Look-up tables of the rest of the design."""
    dsp_used: Amount = ZERO
    """DSP slices of the design."""
    uram_copies: Extent = ONE
    """Buffers of weights: 2 with double buffering."""

    @property
    def SCALES(self) -> Mapping[str, tuple[str, ...]]:
        """Facts that scale when another is varied: the peak of the tables."""
        first = (f"peaks.{next(iter(self.peaks))}",)
        return {"tables": first, "reads": first}

    def own_precision(self) -> str:
        """Return ternary weights with an 8-bit head where tables hold ternary sums."""
        if self.takes == "ternary":
            return "w=ternary_head_int8,a=int8,kv=fp16"
        return super().own_precision()
