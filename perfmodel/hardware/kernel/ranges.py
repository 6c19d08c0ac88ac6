"""Types of the constants of kernels: dimension and range."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from perfmodel.hardware.quantity import Of, Quantity

Time: TypeAlias = Annotated[Quantity, Of("time")]
Share: TypeAlias = Annotated[Quantity, Of("fraction", positive=True, ceiling=2.0)]
Portion: TypeAlias = Annotated[Quantity, Of("fraction", ceiling=1.0)]
Number: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=1e6)]
Clocks: TypeAlias = Annotated[Quantity, Of("clocks", ceiling=1e6)]
Norm: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=100.0)]
Exponent: TypeAlias = Annotated[Quantity, Of("count", ceiling=4.0)]
Speed: TypeAlias = Annotated[Quantity, Of("compute", positive=True)]
Blocks: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=32.0)]
Passes: TypeAlias = Annotated[Quantity, Of("count", ceiling=100.0)]
Bandwidth: TypeAlias = Annotated[Quantity, Of("bandwidth", positive=True)]
Draw: TypeAlias = Annotated[Quantity, Of("bandwidth_per_clock", positive=True, bare=True)]
Cost: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=20.0)]
Rows: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=1024.0)]
