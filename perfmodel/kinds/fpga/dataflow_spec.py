"""What a spec file says of a pipeline of circuits, a layer each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias

from perfmodel.hardware.quantity import Of, Quantity, Spec
from perfmodel.kinds.fpga.styles import FpgaDesign

Factor: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=1e8)]
Count: TypeAlias = Annotated[Quantity, Of("count", ceiling=1e9)]
Share: TypeAlias = Annotated[Quantity, Of("fraction", positive=True, ceiling=1.0)]
Clock: TypeAlias = Annotated[Quantity, Of("frequency", positive=True)]
Strategy: TypeAlias = Literal["latency", "resource"]

#: Layers that may be told apart by their position.
_PLACES = tuple(str(i) for i in range(1, 33))


class LayerDesign(Spec):
    """What holds for one layer with weights; what is left out is as the design has it."""

    reuse_factor: Factor | None = None
    """Products that a multiplier makes for one input."""
    nonzeros: Count | None = None
    """Weights that are not zero."""
    multipliers: Count | None = None
    """Weights whose product needs a multiplier (strategy ``latency``): the DSP slices of the layer
    at a reuse factor of 1."""
    parallel: Factor | None = None
    """Pixels of a convolution that are computed side by side."""
    sum_bits: Factor | None = None
    """Bits of sums."""
    strategy: Strategy | None = None
    """``latency`` or ``resource``."""


class Dataflow(FpgaDesign):
    """A pipeline of layers, each with multipliers of its own (hls4ml)."""

    KEYS: ClassVar[Mapping[str, tuple[type[Spec], tuple[str, ...]]]] = {
        "layers": (LayerDesign, _PLACES)
    }

    io: Literal["parallel", "stream"] = "parallel"
    """Whether all numbers of a tensor cross between layers at once, or pixel by pixel."""
    strategy: Strategy = "latency"
    """``latency``: loops unrolled, weights in the logic, zeros left out. ``resource``: a loop of as
    many turns as the reuse factor, weights in memory blocks."""
    multiply_in: Literal["dsp", "lut"] = "dsp"
    """What multipliers are made of."""
    reuse_factor: Factor = Quantity(value=1.0)
    """Products that a multiplier makes for one input, of layers that say nothing else."""
    density: Share = Quantity(value=1.0)
    """Share of the weights that are not zero, of layers that do not say how many."""
    parallel: Factor = Quantity(value=1.0)
    """Pixels of a convolution that are computed side by side."""
    sum_bits: Factor | None = None
    """Bits of sums of products; those of both factors together where left out."""
    target_clock: Clock | None = None
    """Clock that the tool schedules the circuits for; that of the engine where left out. A clock
    that is varied runs the same circuits faster or slower."""
    clock_margin: Share = Quantity(value=0.125)
    """Share of the clock that the tool keeps for wires (12.5 % in Vivado HLS, 27 % in Vitis)."""
    layers: Mapping[str, LayerDesign] = {}
    """Position of a layer among those with weights (``"1"`` is the first) -> what holds for it."""
