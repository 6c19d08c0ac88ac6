"""Spec of chips with hardwired weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeAlias

from perfmodel.hardware.engine import Engine
from perfmodel.hardware.field_types import ONE, ZERO, Area, Time, Watts
from perfmodel.hardware.quantity import Of, Quantity, Rate

Count: TypeAlias = Annotated[Quantity, Of("count", positive=True, integral=True, ceiling=1e5)]
Number: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=1e9)]
Bandwidth: TypeAlias = Annotated[Rate, Of("bandwidth", positive=True)]

#: Blocks of a chip other than the matrices.
_BLOCKS = ("vector", "control", "buffer", "interconnect", "memory")


class HardwiredChips(Engine):
    """Chips on a grid with matrices in the metal, which a token traverses stage by stage.

    `units` are chips, `grid_rows` x `grid_columns` of them, rows and columns fully connected. Dense
    matrices are split along both; an expert is located on one chip. Powers and areas are per chip.
    """

    grid_rows: Count
    """Chips over which the inputs of a matrix are split."""
    grid_columns: Count
    """Chips over which its outputs are split."""
    stages_per_layer: Count
    """Pipeline stages per layer, each with another token: the slots of the pipeline."""
    inputs_per_clock: Number
    """Inputs that a matrix accepts per clock; all its outputs accumulate in parallel."""
    cache_elements_per_clock: Number
    """Elements of keys and values that a chip attends to per clock."""
    collectives_per_layer: Count
    """Reductions and gathers over rows and columns of the grid, per layer."""
    collective_latency: Time
    """Time of one collective, independent of its size."""
    link_bandwidth: Bandwidth
    """Bandwidth of a link between two chips, per direction."""
    nonlinear_time: Time
    """Time of a layer's norms, activations and routing."""
    refill_bandwidth: Bandwidth | None = None
    """Rate, over all chips, at which keys and values beyond the buffers' capacity arrive: one
    sequence in each layer at once."""
    weight_area: Area
    """Area per bit of weight."""
    vector_area: Area = ZERO
    """Area of the units for attention and non-linear functions."""
    control_area: Area = ZERO
    """Area of control."""
    buffer_area: Area = ZERO
    """Area of the buffers of keys and values."""
    interconnect_area: Area = ZERO
    """Area of links and their engine."""
    memory_area: Area = ZERO
    """Area of the interface to memory."""
    reticle: Annotated[Quantity, Of("area", positive=True)] = Quantity(value=858e-6)
    """Largest chip that can be exposed: 26 mm x 33 mm."""
    weight_power: Watts = ZERO
    """Power of the hardwired matrices."""
    vector_power: Watts = ZERO
    """Power of the units for attention and non-linear functions."""
    control_power: Watts = ZERO
    """Power of control."""
    buffer_power: Watts = ZERO
    """Power of the buffers of keys and values."""
    interconnect_power: Watts = ZERO
    """Power of links and their engine."""
    memory_power: Watts = ZERO
    """Power of the interface to memory."""
    supply_factor: Annotated[Quantity, Of("fraction", floor=1.0, ceiling=10.0)] = ONE
    """Power of the system over that of its chips, for supply and cooling."""

    OTHERWISE = "has no weights in its wires"

    @property
    def block_areas(self) -> Mapping[str, Quantity]:
        """Area of each block of a chip other than the matrices."""
        return {name: getattr(self, f"{name}_area") for name in _BLOCKS}

    @property
    def block_powers(self) -> Mapping[str, Quantity]:
        """Power of each block of a chip."""
        return {name: getattr(self, f"{name}_power") for name in ("weight", *_BLOCKS)}

    def own_precision(self) -> str:
        """Return weights of 4 bits, as in `perfmodel.hardwire`."""
        return "w=fp4,a=fp16" if "fp4" in self.peaks else super().own_precision()
