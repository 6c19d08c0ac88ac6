"""Spec of a systolic array, after SCALE-Sim.

Samajdar et al., "A systematic methodology for characterizing scalability of DNN accelerators using
SCALE-Sim", ISPASS 2020; `docs/systolic.md` has the equations.
"""

from __future__ import annotations

from typing import Literal

from perfmodel.hardware.engine import Engine
from perfmodel.hardware.field_types import Count, EnergyPerByte, PositiveSize, Share
from perfmodel.hardware.quantity import Quantity
from perfmodel.kinds.systolic.folds import Dataflow, Replication


class SystolicArray(Engine):
    """Processing elements on a grid that pass operands to their neighbours.

    `units` are arrays that divide the folds of a layer among them. The first of `peaks` is the
    format with one multiply-accumulate per clock and element; others require more clocks by the
    ratio of the peaks.
    """

    WHAT = "a systolic array"
    CLOCK = "700 MHz"
    OTHERWISE = "is no systolic array"
    PEAK_FACTORS = ("height", "width", "units")
    PEAKS_GROW_WITH = ("height", "width")

    height: Count
    """Rows of processing elements."""
    width: Count
    """Columns of processing elements."""
    dataflow: Dataflow
    """output_stationary, weight_stationary or input_stationary: the operand kept in the
    elements."""
    shadow_weights: bool = False
    """Whether a second register hides the load of the stationary operand."""
    overlap_folds: bool = False
    """Whether the next fold's operands enter while the current one drains."""
    replicate_groups: Replication = "none"
    """Groups of a grouped convolution (or heads) that share a fold: none, along the diagonal, or
    side by side with separate wires to each group."""
    far_traffic: Literal["tiled", "folds"] = "tiled"
    """How often operands are fetched from beyond the scratchpad: under the best tile for its
    capacity (tiled), or with every fold that does not share them with the previous one (folds)."""
    partial_sum: PositiveSize = Quantity(value=4.0)
    """Bytes of a partial sum."""
    input_buffer: PositiveSize | None = None
    """Scratchpad of inputs only; operands without a dedicated one share the nearest memory."""
    weight_buffer: PositiveSize | None = None
    """Scratchpad of weights only."""
    whole_weight_tiles: bool = False
    """Whether weights are stored and fetched as full tiles of the array, edges padded (for operands
    with a dedicated buffer)."""
    output_buffer: PositiveSize | None = None
    """Scratchpad of partial sums and outputs only: accumulators."""
    kept_share: Share = Quantity(value=0.5)
    """Share of the scratchpad in which activations may stay from one layer to the next, where that
    moves fewer bytes over the whole network than layer by layer: half, as the other half holds the
    tiles of the layer at work. 0 for software that writes every layer's outputs to main memory."""
    input_buffer_energy: EnergyPerByte | None = None
    """Energy of a byte read from the dedicated buffer of inputs."""
    weight_buffer_energy: EnergyPerByte | None = None
    """Energy of a byte read from the dedicated buffer of weights."""
    output_buffer_energy: EnergyPerByte | None = None
    """Energy of a byte of partial sums written to or read from the dedicated buffer of outputs."""
    hop_energy: EnergyPerByte | None = None
    """Energy of a byte passed from one element to the next."""
