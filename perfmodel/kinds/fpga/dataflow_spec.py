"""Spec of a pipeline of circuits, one per layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias

from perfmodel.hardware.field_types import ONE, Frequency, LargeCount, PositiveFraction
from perfmodel.hardware.quantity import Of, Quantity, Spec
from perfmodel.kinds.fpga.design_styles import FpgaDesign

Count: TypeAlias = Annotated[Quantity, Of("count", ceiling=1e9)]
Strategy: TypeAlias = Literal["latency", "resource"]

#: Layers that can be addressed by position.
_PLACES = tuple(str(i) for i in range(1, 33))


class LayerDesign(Spec):
    """Settings of one layer with weights; a field left out has the design's value."""

    reuse_factor: LargeCount | None = None
    """Products per multiplier and input."""
    nonzeros: Count | None = None
    """Number of non-zero weights."""
    multipliers: Count | None = None
    """Weights whose product requires a multiplier (strategy ``latency``): the layer's DSP slices at
    a reuse factor of 1."""
    parallel: LargeCount | None = None
    """Pixels of a convolution that are computed in parallel."""
    sum_bits: LargeCount | None = None
    """Bits of sums."""
    strategy: Strategy | None = None
    """``latency`` or ``resource``."""


class Dataflow(FpgaDesign):
    """A pipeline of layers, each with separate multipliers (hls4ml)."""

    KEYS: ClassVar[Mapping[str, tuple[type[Spec], tuple[str, ...]]]] = {
        "layers": (LayerDesign, _PLACES)
    }

    io: Literal["parallel", "stream"] = "parallel"
    """Whether layers exchange all numbers of a tensor at once, or pixel by pixel."""
    strategy: Strategy = "latency"
    """``latency``: loops unrolled, weights in the logic, zeros skipped. ``resource``: a loop of as
    many iterations as the reuse factor, weights in memory blocks."""
    multiply_in: Literal["auto", "packed", "dsp", "lut"] = "auto"
    """Resource that implements the multipliers: DSP slices (``dsp``), look-up tables (``lut``), or
    what the tool decides by the bits of the wider factor (``auto``). ``packed`` puts products that
    share an input into one slice where both fit (two of 8 bits, AMD WP486)."""
    weight_fraction_bits: Count | None = None
    """Bits of weights behind the point; if left out two fewer than they have, and at most 10, as in
    the tool's own ``ap_fixed<16,6>``."""
    reuse_factor: LargeCount = ONE
    """Products per multiplier and input, for layers that state no other number."""
    density: PositiveFraction = ONE
    """Share of non-zero weights, for layers that state no count."""
    parallel: LargeCount = ONE
    """Pixels of a convolution that are computed in parallel."""
    sum_bits: LargeCount | None = None
    """Bits of sums of products; if left out, the bits of both factors added."""
    target_clock: Frequency | None = None
    """Clock that the tool schedules the circuits for; that of the engine if left out. Varying the
    engine's clock runs the same circuits faster or slower."""
    clock_margin: PositiveFraction = Quantity(value=0.125)
    """Share of the period that the tool reserves for wires (12.5 % in Vivado HLS, 27 % in
    Vitis)."""
    layers: Mapping[str, LayerDesign] = {}
    """Position of a layer among those with weights (``"1"`` is the first) -> its settings."""
