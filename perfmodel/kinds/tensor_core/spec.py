"""What a spec file says of a GPU with matrix units."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from perfmodel.hardware.engine import Engine
from perfmodel.hardware.quantity import Of, Quantity

Count: TypeAlias = Annotated[Quantity, Of("count", positive=True)]
EnergyPerOp: TypeAlias = Annotated[Quantity, Of("energy_per_op", positive=True)]


class TensorCore(Engine):
    """Streaming multiprocessors (or compute units, Xe cores) with matrix units.

    `units` are the processors that thread blocks are spread over. Under a runtime that states
    constants of its kernels, products and attention are costed kernel by kernel; under any other,
    as on a roofline.
    """

    WHAT = "a GPU"
    CLOCK = "1.83 GHz"
    OTHERWISE = "is no GPU"

    exponentials_per_clock: Count | None = None
    """Exponentials that a unit computes a clock (special function units)."""
    sustained_energy: EnergyPerOp | None = None
    """Energy of the whole board for one operation of a large 16-bit product: with `power.busy` it
    caps the rate. Narrower formats take the square root of the ratio of their bits."""

    vector_sustained_energy: EnergyPerOp | None = None
    """The same of a large fp32 product where no matrix units run it: with the device's `power.busy`
    it caps that rate, as on boards of 70 W."""
