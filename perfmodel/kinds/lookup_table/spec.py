"""Spec of an FPGA engine that multiplies by looking sums of activations up in tables.

The accelerator is that of Qiao et al., "TeLLMe v2", FPGA 2026 (arXiv 2510.15926): a group of g
activations has one *sum table*, with the sum of the activations for every combination of g few-bit
weights. The weights index the table, and no product is computed. With T parallel sum tables, Q
look-ups per clock in each, U units and the clock f in Hz, the engine reaches, in operations per
second::

    peak = 2 T Q g U f          two operations per multiply-accumulate

`perfmodel.kinds.lookup_table.counts` has the clocks of a product, and `kind` of the same folder
the time and the FPGA resources. A *LUT*, in contrast, is a look-up table of the FPGA's fabric, the
hardware from which sum tables and adders are built.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from perfmodel.hardware.engine import Engine
from perfmodel.hardware.field_types import ONE, ZERO, Amount, Clocks, Extent, PositiveSize
from perfmodel.hardware.quantity import Of, Quantity


class LookupTableEngine(Engine):
    """Sum tables of activations, indexed by weights, in the fabric of an FPGA.

    The first of `peaks` is the rate of one pass over the weights, as in the module's equation.
    Weights in other formats (a head in 8 bits) are multiplied on processor cores, at the peak of
    their format.
    """

    WHAT = "tables"
    CLOCK = "250 MHz"
    OTHERWISE = "has no tables to look products up in"
    PEAK_FACTORS = ("tables", "reads", "group", "units")

    # Sum tables: these fields determine the clocks.
    takes: Literal["ternary", "bit_planes"]
    """Content of an index: ternary weights, in one pass, or one bit of each weight, in one pass per
    bit."""
    group: Annotated[Quantity, Of("count", positive=True, integral=True, ceiling=12)]
    """Activations whose sums one sum table holds: g."""
    tables: Extent
    """Parallel sum tables: T."""
    reads: Extent
    """Look-ups per clock in each sum table, by copies or ports: Q."""
    build: Clocks = ZERO
    """Least number of clocks from one set of sum tables to the next."""
    transfer: PositiveSize
    """Bytes of one transfer of weights from memory, which contains whole vectors of T indices."""
    double_buffered: bool = False
    """Whether the next weights are loaded while others are used; if not, a matrix is loaded, then
    multiplied."""
    attention_macs: Annotated[Quantity, Of("count", positive=True, ceiling=1e6)]
    """Multiply-accumulates of attention per clock, on separate units."""

    # Resources of the FPGA; a design that exceeds one of them is not feasible.
    lut: Amount | None = None
    """LUTs that the FPGA has."""
    dsp: Amount | None = None
    """DSP slices that the FPGA has."""
    uram: Amount | None = None
    """UltraRAM blocks that the FPGA has, 4096 words of 72 bits each."""

    # Resources that the design uses: T Q lut_a_read + lut_beside LUTs.
    lut_a_read: Amount | None = None
    """LUTs per sum table and look-up per clock, including those of its sums and adders."""
    lut_beside: Amount = ZERO
    """LUTs of all other modules of the design."""
    dsp_used: Amount = ZERO
    """DSP slices of the whole design."""
    uram_copies: Extent = ONE
    """Buffers of weights in UltraRAM: 2 with double buffering."""

    @property
    def SCALES(self) -> Mapping[str, tuple[str, ...]]:
        """Facts that scale with a varied field: the first peak, with sum tables and look-ups."""
        first_peak = (f"peaks.{next(iter(self.peaks))}",)
        return {"tables": first_peak, "reads": first_peak}

    def own_precision(self) -> str:
        """Return ternary weights with an 8-bit head for engines of ternary sum tables."""
        if self.takes == "ternary":
            return "w=ternary_head_int8,a=int8,kv=fp16"
        return super().own_precision()
