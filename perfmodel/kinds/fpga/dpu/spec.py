"""What a spec file says of a deep-learning processing unit."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from perfmodel.hardware.quantity import Of, Quantity
from perfmodel.kinds.fpga.fabric import Fabric
from perfmodel.kinds.fpga.styles import FpgaDesign

Lanes: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=65_536)]
Width: TypeAlias = Annotated[Quantity, Of("bandwidth_per_clock", positive=True, bare=True)]


class Dpu(FpgaDesign):
    """Cores of multipliers for pixels x input channels x output channels.

    The engine's `units` are the cores, its clock is that of the multipliers' controller. Its first
    peak is two operations a multiplier and clock, over all cores and their engines. A memory
    nearer than main memory keeps maps from one layer to the next; without one all of them cross.
    """

    pixels: Lanes
    """Pixels of a column that the multipliers work on at once."""
    input_channels: Lanes
    """Input channels that are summed in a clock."""
    output_channels: Lanes
    """Output channels that are made at once."""
    taps_fill_channels: bool = False
    """Channel augmentation: taps of a row share the input channels with a layer that has at most
    half as many."""
    alu_pixels: Lanes = Quantity(value=1.0)
    """Pixels that the unit for depthwise convolution and pooling works on at once."""
    alu_channels: Lanes = Quantity(value=16.0)
    """Channels of that unit."""
    images: Lanes = Quantity(value=1.0)
    """Engines of a core that work on an image each with the same weights."""
    port: Width
    """Bytes that the data ports of a core take or give in a clock, for each image of it."""
    weight_port: Width | None = None
    """Bytes of weights that a core takes in a clock through ports of their own; those of `port`
    where left out."""
    core: Fabric = Fabric()
    """What a core takes of the fabric."""
    platform: Fabric = Fabric()
    """What is in the fabric beside the cores."""
