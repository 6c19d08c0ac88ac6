"""What a spec file says of a systolic array."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from perfmodel.hardware.engine import Engine
from perfmodel.hardware.quantity import Of, Quantity
from perfmodel.kinds.systolic.folds import Dataflow, Replication

Count: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True)]
Energy: TypeAlias = Annotated[Quantity, Of("energy_per_byte")]
Share: TypeAlias = Annotated[Quantity, Of("share")]
Size: TypeAlias = Annotated[Quantity, Of("bytes", positive=True)]


class SystolicArray(Engine):
    """Processing elements on a grid that pass operands to their neighbours.

    `units` are arrays that share the folds of a layer. The first of `peaks` is the format of one
    multiply-accumulate a clock and element; others take the ratio of the peaks more clocks.
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
    """output_stationary, weight_stationary or input_stationary: what stays in the elements."""
    shadow_weights: bool = False
    """Whether a second register hides the load of the stationary operand."""
    overlap_folds: bool = False
    """Whether the next fold's operands enter while this one drains."""
    replicate_groups: Replication = "none"
    """Groups of a grouped convolution (or heads) that share a fold: none, along the diagonal, or
    side by side, where each group has wires of its own."""
    far_traffic: Literal["tiled", "folds"] = "tiled"
    """How often operands come from beyond the scratchpad: as the best tile of its capacity needs
    (tiled), or with every fold that does not share them with the one before (folds)."""
    partial_sum: Size = Quantity(value=4.0)
    """Bytes of a partial sum."""
    input_buffer: Size | None = None
    """Scratchpad of inputs alone; operands that have none share the nearest memory."""
    weight_buffer: Size | None = None
    """Scratchpad of weights alone."""
    whole_weight_tiles: bool = False
    """Whether weights are stored and fetched as whole tiles of the array, edges filled up (where an
    operand has a buffer of its own)."""
    output_buffer: Size | None = None
    """Scratchpad of partial sums and outputs alone: accumulators."""
    kept_share: Share = Quantity(value=0.0)
    """Share of the scratchpad that activations may keep from one layer to the next."""
    input_buffer_energy: Energy | None = None
    """Energy of a byte read from the inputs' own buffer."""
    weight_buffer_energy: Energy | None = None
    """Energy of a byte read from the weights' own buffer."""
    output_buffer_energy: Energy | None = None
    """Energy of a byte of partial sums written to or read from the outputs' own buffer."""
    hop_energy: Energy | None = None
    """Energy of a byte that one element passes to the next."""
