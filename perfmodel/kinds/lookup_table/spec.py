"""What a spec file says of an engine that looks products up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from perfmodel.hardware.engine import Engine
from perfmodel.hardware.quantity import Of, Quantity

Count: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=1_048_576)]
Perhaps: TypeAlias = Annotated[Quantity, Of("count", ceiling=1e8)]
Group: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=12)]
Rate: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=1e6)]
Clocks: TypeAlias = Annotated[Quantity, Of("clocks")]
Size: TypeAlias = Annotated[Quantity, Of("bytes", positive=True)]


class LookupTableEngine(Engine):
    """Tables of sums of activations, read by indices of weights.

    The first of `peaks` is that of one pass of the tables. Weights that the tables do not take (a
    head in 8 bits) are multiplied at the peak of their own format, by whatever cores do it.
    """

    WHAT = "tables"
    CLOCK = "250 MHz"
    OTHERWISE = "has no tables to look products up in"
    PEAK_FACTORS = ("tables", "reads", "group", "units")

    takes: Literal["ternary", "bit_planes"]
    """What an index stands for: ternary weights in one pass, or one bit of each, a pass a bit."""
    group: Group
    """Activations whose sums one table holds."""
    tables: Count
    """Tables side by side."""
    reads: Count
    """Look-ups a clock in each table: copies, or ports."""
    build: Clocks = Quantity(value=0.0)
    """Least clocks from one set of tables to the next."""
    transfer: Size
    """Bytes of a transfer of weights, which takes whole vectors of indices."""
    double_buffered: bool = False
    """Whether weights come while others are used; a matrix is loaded, then multiplied, where
    not."""
    attention_macs: Rate
    """Multiply-accumulates of attention a clock, on units of their own."""
    lut: Perhaps | None = None
    """Look-up tables of the part."""
    dsp: Perhaps | None = None
    """DSP slices of the part."""
    uram: Perhaps | None = None
    """UltraRAM blocks of the part, 4096 words of 72 bits each."""
    lut_a_read: Perhaps | None = None
    """Look-up tables of the fabric that a table takes for each of its reads, sums and adders among
    them."""
    lut_beside: Perhaps = Quantity(value=0.0)
    """Look-up tables that all else takes."""
    dsp_used: Perhaps = Quantity(value=0.0)
    """DSP slices that the design takes."""
    uram_copies: Count = Quantity(value=1.0)
    """Buffers of weights: 2 where one fills while the other is read."""

    @property
    def SCALES(self) -> Mapping[str, tuple[str, ...]]:
        """Facts that go in proportion when another is varied: the tables' peak."""
        first = (f"peaks.{next(iter(self.peaks))}",)
        return {"tables": first, "reads": first}

    def own_precision(self) -> str:
        """Return ternary weights with a head of 8 bits where tables are of ternary sums."""
        if self.takes == "ternary":
            return "w=ternary_head_int8,a=int8,kv=fp16"
        return super().own_precision()
