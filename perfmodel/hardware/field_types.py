"""Field types of spec classes: physical quantities with their dimension and allowed range."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from perfmodel.hardware.quantity import Of, Quantity

ZERO: Final = Quantity(value=0.0)
ONE: Final = Quantity(value=1.0)

Time: TypeAlias = Annotated[Quantity, Of("time")]
Size: TypeAlias = Annotated[Quantity, Of("bytes")]
Watts: TypeAlias = Annotated[Quantity, Of("power")]
Energy: TypeAlias = Annotated[Quantity, Of("energy")]
EnergyPerByte: TypeAlias = Annotated[Quantity, Of("energy_per_byte")]
Bandwidth: TypeAlias = Annotated[Quantity, Of("bandwidth", positive=True)]
Count: TypeAlias = Annotated[Quantity, Of("count", positive=True, integral=True)]
Portion: TypeAlias = Annotated[Quantity, Of("fraction", ceiling=1.0)]
#: Exponent p of a p-norm that combines times or rates: 1 is their sum, infinity their maximum.
Norm: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=100.0)]
#: Bytes per clock that a unit of an engine can read.
Draw: TypeAlias = Annotated[Quantity, Of("bandwidth_per_clock", positive=True, bare=True)]
PositiveTime: TypeAlias = Annotated[Quantity, Of("time", positive=True)]
Clocks: TypeAlias = Annotated[Quantity, Of("clocks")]
Frequency: TypeAlias = Annotated[Quantity, Of("frequency", positive=True)]
EnergyPerOp: TypeAlias = Annotated[Quantity, Of("energy_per_op", positive=True)]
Area: TypeAlias = Annotated[Quantity, Of("area")]
PositiveSize: TypeAlias = Annotated[Quantity, Of("bytes", positive=True)]
#: Capacity of a scratchpad: at least one line of 64 bytes.
Buffer: TypeAlias = Annotated[Quantity, Of("bytes", positive=True, floor=64.0)]
#: Width of a word: at most 512 bits.
Word: TypeAlias = Annotated[Quantity, Of("bytes", positive=True, ceiling=64.0)]
ComputeRate: TypeAlias = Annotated[Quantity, Of("compute", positive=True)]
PositiveFraction: TypeAlias = Annotated[Quantity, Of("fraction", positive=True, ceiling=1.0)]
Share: TypeAlias = Annotated[Quantity, Of("share")]
PositiveNumber: TypeAlias = Annotated[Quantity, Of("count", positive=True)]
#: A positive factor.
Multiple: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=100.0)]
Amount: TypeAlias = Annotated[Quantity, Of("count", ceiling=1e8)]
LargeCount: TypeAlias = Annotated[Quantity, Of("count", positive=True, integral=True, ceiling=1e8)]
#: Number of rows or columns of an array of units.
Extent: TypeAlias = Annotated[
    Quantity, Of("count", positive=True, integral=True, ceiling=1_048_576)
]
#: Number of parallel lanes.
Lanes: TypeAlias = Annotated[Quantity, Of("count", positive=True, integral=True, ceiling=65_536)]
Bits: TypeAlias = Annotated[Quantity, Of("count", positive=True, integral=True, ceiling=64)]
