"""What a spec file says of chips whose weights are wires."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeAlias

from perfmodel.hardware.engine import Engine
from perfmodel.hardware.quantity import Of, Quantity, Rate

Count: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=1e5)]
Number: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=1e9)]
Time: TypeAlias = Annotated[Quantity, Of("time")]
Bandwidth: TypeAlias = Annotated[Rate, Of("bandwidth", positive=True)]
Area: TypeAlias = Annotated[Quantity, Of("area")]
Reticle: TypeAlias = Annotated[Quantity, Of("area", positive=True)]
Watts: TypeAlias = Annotated[Quantity, Of("power")]
Factor: TypeAlias = Annotated[Quantity, Of("fraction", floor=1.0, ceiling=10.0)]


class HardwiredChips(Engine):
    """Chips on a grid whose matrices are in the metal: a token goes through them stage by stage.

    `units` are chips, `grid_rows` x `grid_columns` of them, rows and columns fully connected. Dense
    matrices are cut over both sides; an expert lies on one chip. Powers and areas are of one chip.
    """

    grid_rows: Count
    """Chips over which the inputs of a matrix are cut."""
    grid_columns: Count
    """Chips over which its outputs are cut."""
    stages_per_layer: Count
    """Stages of a layer, each with another token in it: the slots of the pipeline."""
    inputs_per_clock: Number
    """Inputs that a matrix takes in a clock; all its outputs grow at once."""
    cache_elements_per_clock: Number
    """Elements of keys and values that a chip attends to in a clock."""
    collectives_per_layer: Count
    """Sums and gathers over rows and columns of the grid."""
    collective_latency: Time
    """Time of one of them, whatever it carries."""
    link_bandwidth: Bandwidth
    """Bandwidth of a link between two chips, one way."""
    nonlinear_time: Time
    """Time of a layer's norms, activations and routing."""
    refill_bandwidth: Bandwidth | None = None
    """Rate, of all chips, at which keys and values come that their buffers have no room for: one
    sequence in each layer at once."""
    weight_area: Area
    """Area of a bit of weight."""
    vector_area: Area = Quantity(value=0.0)
    """Area of the units for attention and non-linear functions."""
    control_area: Area = Quantity(value=0.0)
    """Area of control."""
    buffer_area: Area = Quantity(value=0.0)
    """Area of the buffers of keys and values."""
    interconnect_area: Area = Quantity(value=0.0)
    """Area of links and their engine."""
    memory_area: Area = Quantity(value=0.0)
    """Area of the interface to memory."""
    reticle: Reticle = Quantity(value=858e-6)
    """Largest chip that can be printed: 26 mm x 33 mm."""
    weight_power: Watts = Quantity(value=0.0)
    """Power of the hardwired matrices."""
    vector_power: Watts = Quantity(value=0.0)
    """Power of the units for attention and non-linear functions."""
    control_power: Watts = Quantity(value=0.0)
    """Power of control."""
    buffer_power: Watts = Quantity(value=0.0)
    """Power of the buffers of keys and values."""
    interconnect_power: Watts = Quantity(value=0.0)
    """Power of links and their engine."""
    memory_power: Watts = Quantity(value=0.0)
    """Power of the interface to memory."""
    supply_factor: Factor = Quantity(value=1.0)
    """Power of the system over that of its chips: supply and cooling."""

    OTHERWISE = "has no weights in its wires"

    @property
    def block_areas(self) -> Mapping[str, Quantity]:
        """Area of each block of a chip beside the matrices."""
        return {
            "vector": self.vector_area,
            "control": self.control_area,
            "buffer": self.buffer_area,
            "interconnect": self.interconnect_area,
            "memory": self.memory_area,
        }

    @property
    def block_powers(self) -> Mapping[str, Quantity]:
        """Power of each block of a chip."""
        return {
            "weight": self.weight_power,
            "vector": self.vector_power,
            "control": self.control_power,
            "buffer": self.buffer_power,
            "interconnect": self.interconnect_power,
            "memory": self.memory_power,
        }

    def own_precision(self) -> str:
        """Return weights of 4 bits, as `perfmodel.hardwire` has them in wires."""
        return "w=fp4,a=fp16" if "fp4" in self.peaks else super().own_precision()
